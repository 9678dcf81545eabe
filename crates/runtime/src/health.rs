//! `GET /health`: what works and what does not (OPS-05). Anyone may ask; nothing but up or down is told.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use konstruct_aws::SqsQueue;
use konstruct_postgres::TenantPool;
use konstruct_protocol::rest::{Check, Health, HealthChecks};
use konstruct_redis::Redis;

use crate::parts;
use crate::rest::serve;
use crate::start::{StartError, start};

/// A dependency that does not answer within this is down.
const TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) struct Dependencies {
    db: TenantPool,
    redis: Redis,
    queue: SqsQueue,
}

/// Runs the function.
#[must_use]
pub fn main() -> ExitCode {
    start(run)
}

async fn run() -> Result<(), StartError> {
    let queue = parts::queue(&parts::sdk()?, "QUEUE_URL")?;
    let state = Dependencies { db: parts::db(1)?, redis: parts::redis()?, queue };
    parts::warm(Some(&state.redis), Some(&state.db));
    serve(Router::new().route("/health", get(health)).with_state(Arc::new(state))).await
}

/// Whether the service can work.
#[utoipa::path(
    get,
    path = "/health",
    responses((status = 200, body = Health), (status = 503, body = Health)),
)]
pub(crate) async fn health(State(state): State<Arc<Dependencies>>) -> (StatusCode, Json<Health>) {
    let (postgres, redis, queue) = tokio::join!(
        check("postgres", state.db.check()),
        check("redis", state.redis.check()),
        check("queue", state.queue.check()),
    );
    let checks = HealthChecks { postgres, redis, queue };
    let well = [postgres, redis, queue].iter().all(|check| *check == Check::Ok);
    let (code, status) =
        if well { (StatusCode::OK, Check::Ok) } else { (StatusCode::SERVICE_UNAVAILABLE, Check::Down) };
    (code, Json(Health { status, checks }))
}

async fn check<E: std::fmt::Display>(name: &str, asked: impl Future<Output = Result<(), E>>) -> Check {
    match tokio::time::timeout(TIMEOUT, asked).await {
        Ok(Ok(())) => Check::Ok,
        Ok(Err(error)) => {
            tracing::warn!(name, %error, "a dependency is down");
            Check::Down
        }
        Err(_) => {
            tracing::warn!(name, "a dependency does not answer");
            Check::Down
        }
    }
}
