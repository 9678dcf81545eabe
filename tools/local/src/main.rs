//! The whole system on one machine: API Gateway, Lambda and SQS for the real function binaries.
//! It must share no type with the product: it speaks only AWS's wire, so that no bug hides in one.

mod addresses;
mod banner;
mod binaries;
mod channels;
mod clock;
mod config;
mod database;
mod demo;
mod demo_tokens;
mod envelope;
mod error;
mod faults;
mod gateway;
mod http_client;
mod ids;
mod lambda;
mod lambda_api;
mod listeners;
mod local_api;
mod lock;
mod model;
mod portal;
mod recorder;
mod schedule;
mod secrets;
mod server;
mod services;
mod sqs;
mod stack;
mod stack_file;
mod template;
mod token;
mod wiring;

use std::process::ExitCode;
use std::time::Duration;

use error::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            banner::say(&format!("make dev: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Each connection of a load test is a descriptor; the usual soft limit of 1,024 is below that.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Where it is not allowed, the limit stays what it is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

fn run() -> Result<()> {
    let config = config::Config::from_env()?;
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime")?;
    let result = runtime.block_on(stack::run(config));
    // Connections that are still open end with the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}
