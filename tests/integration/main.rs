//! Integration tests: the service over a real Postgres (as konstruct_app) and a real Redis, each test with tenants of
//! its own. Nothing here waits for luck: what must come is waited for, what time would do is done at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "what fails here fails a test"
)]

mod admin;
mod admission;
mod catalogue;
mod confirmations;
mod connections;
mod conversations;
mod delivery;
mod fault_schedules;
mod frame_log;
mod hand_over;
mod inbound;
mod installations;
mod isolation;
mod janitor;
mod log_writers;
mod messages;
mod summary;
mod threads;
mod tools;
mod turn;
mod turn_crash;
mod turn_failures;
mod turn_schedules;
mod turn_stopped;
mod usage;
mod wait;
