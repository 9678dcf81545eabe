//! One adapter per channel: a file (then a folder) of its own. Nothing else in the code names a channel's JSON.

pub mod slack;
pub mod web;
