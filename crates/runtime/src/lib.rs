//! Lambda glue, the only crate that knows Lambda events: one concrete entry per function, and what they share. No
//! business is decided here.

mod auth;
mod batch;
mod config;
mod frames;
mod jwks;
mod operator;
mod parts;
mod problem;
mod respond;
mod rest;
mod start;
mod system;
mod telemetry;
mod websocket;

pub mod admin;
pub mod agent;
pub mod agents_list;
pub mod channels_list;
pub mod channels_remove;
pub mod conversations_create;
pub mod conversations_escalation;
pub mod conversations_list;
pub mod conversations_reply;
pub mod conversations_reset;
pub mod health;
pub mod janitor;
pub mod messages_list;
pub mod messages_send;
pub mod migrate;
pub mod notices;
pub mod openapi;
pub mod rest_default;
pub mod slack_callback;
pub mod slack_events;
pub mod slack_install;
pub mod usage;
pub mod ws_auth;
pub mod ws_connect;
pub mod ws_control;
pub mod ws_default;
pub mod ws_disconnect;
pub mod ws_message;

/// What tests need of identity: verifying tokens without a Lambda around it.
pub mod identity {
    pub use crate::auth::{AuthError, Keys, Verifier};
    pub use crate::jwks::{FetchJwks, Jwks};
}
