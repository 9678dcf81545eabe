//! Brings the schema up to date, at deploy. The only function that is the tables' owner.

use std::process::ExitCode;
use std::sync::Arc;

use konstruct_postgres::{Login, Roots};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::{Value, json};

use crate::config;
use crate::start::{StartError, start};

/// Runs the function.
#[must_use]
pub fn main() -> ExitCode {
    start(run)
}

async fn run() -> Result<(), StartError> {
    let login = Arc::new(Login::new(&config::required("DATABASE_OWNER_URL")?, Roots::CompiledIn)?);
    let handler = move |_: LambdaEvent<Value>| {
        let login = Arc::clone(&login);
        async move {
            let applied = konstruct_postgres::migrate::migrate(&login).await?;
            tracing::info!(applied = applied.len(), "the schema is up to date");
            Ok::<_, lambda_runtime::Error>(json!({ "applied": applied }))
        }
    };
    Ok(lambda_runtime::run(service_fn(handler)).await?)
}
