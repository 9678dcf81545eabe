//! Slack: what its events say, and how an answer gets into a thread (contracts.md section 4). No event is believed
//! before `signature` has passed it, and nothing here knows a tenant's rows or keys.

pub mod adapter;
pub mod api;
pub mod event;
pub mod install;
pub mod mrkdwn;
pub mod normalise;
pub mod place;
pub mod reply;
pub mod signature;
pub mod split;
pub mod ts;
