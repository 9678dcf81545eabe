//! Lambda on one machine: real function binaries in warm processes, driven over the Runtime API.
//! It must not look into what a function is given or answers: that is the gateways' work.

mod environment;
mod host;
mod invocation;
mod log;
mod metrics;
mod pool;
mod runtime_api;
mod sandbox;
#[cfg(test)]
mod tests;

pub use host::{Host, Setup};
pub use invocation::{Failure, Functions, Invoker, Outcome, Pending};
pub use runtime_api::router;
