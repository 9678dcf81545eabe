//! Starting a function: logs, one thread, the loop. A function that cannot start says why and ends.

use std::process::ExitCode;

use crate::telemetry;

/// Why a function does not start.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct StartError(pub(crate) String);

impl From<konstruct_postgres::DbError> for StartError {
    fn from(error: konstruct_postgres::DbError) -> Self {
        Self(error.to_string())
    }
}

impl From<konstruct_redis::RedisError> for StartError {
    fn from(error: konstruct_redis::RedisError) -> Self {
        Self(error.to_string())
    }
}

impl From<lambda_runtime::Error> for StartError {
    fn from(error: lambda_runtime::Error) -> Self {
        Self(error.to_string())
    }
}

/// Runs a function's loop on one thread until the environment ends.
pub(crate) fn start<F>(run: impl FnOnce() -> F) -> ExitCode
where
    F: Future<Output = Result<(), StartError>>,
{
    telemetry::start();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the function could not start");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the function could not start");
            ExitCode::FAILURE
        }
    }
}
