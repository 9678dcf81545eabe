//! Brings the schema up to date, at deploy. The only function that is the tables' owner.

use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use serde_json::{Value, json};

use crate::start::{StartError, start};
use crate::{config, telemetry};

/// Runs the function.
#[must_use]
pub fn main() -> ExitCode {
    start(run)
}

async fn run() -> Result<(), StartError> {
    let url = Arc::new(config::required("DATABASE_OWNER_URL")?);
    let handler = move |_: LambdaEvent<Value>| {
        let url = Arc::clone(&url);
        async move {
            let applied = konstruct_postgres::migrate::migrate(&url).await?;
            tracing::info!(applied = applied.len(), "the schema is up to date");
            Ok::<_, lambda_runtime::Error>(json!({ "applied": applied }))
        }
    };
    telemetry::run(Runtime::new(service_fn(handler))).await
}
