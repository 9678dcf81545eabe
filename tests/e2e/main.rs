//! End to end: the real function binaries on the local stack, driven by a real WebSocket client and over HTTP. It
//! looks inside nothing but what an operator may: Postgres as administrator, to see that nothing changed.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at what it did not expect, and reads the machine's clock and environment"
)]

mod admin;
mod agent;
mod bad_input;
mod channels;
mod chat;
mod client;
mod client_gone;
mod concurrency;
mod database_away;
mod device;
mod dice;
mod duplicates;
mod isolation;
mod model_errors;
mod neighbours;
mod poison;
mod redis_away;
mod refusals;
mod rest;
mod resume;
mod slack;
mod slack_replies;
mod stack;
mod stop;
mod tokens;
mod trouble;
mod upgrade;
mod verify;
