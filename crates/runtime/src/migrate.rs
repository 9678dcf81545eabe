//! Brings the schema up to date, at deploy, and carries out operators' commands. The only function that is the tables'
//! owner.

use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::{Value, json};

use crate::start::{StartError, start};
use crate::{admin, config};

/// Runs the function.
#[must_use]
pub fn main() -> ExitCode {
    start(run)
}

async fn run() -> Result<(), StartError> {
    let url = Arc::new(config::required("DATABASE_OWNER_URL")?);
    let handler = move |event: LambdaEvent<Value>| {
        let url = Arc::clone(&url);
        async move {
            if let Some(command) = event.payload.get("admin") {
                return Ok(admin::answer(&url, command).await);
            }
            let applied = konstruct_postgres::migrate::migrate(&url).await?;
            tracing::info!(applied = applied.len(), "the schema is up to date");
            Ok::<_, lambda_runtime::Error>(json!({ "applied": applied }))
        }
    };
    Ok(lambda_runtime::run(service_fn(handler)).await?)
}
