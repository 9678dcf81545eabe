//! `$disconnect`: best effort, and never the only way a connection is forgotten. It stops no answer.

use std::process::ExitCode;
use std::sync::Arc;

use konstruct_redis::Redis;
use lambda_runtime::{LambdaEvent, Runtime, service_fn};

use crate::start::{StartError, start};
use crate::websocket::{Answer, WebSocketEvent};
use crate::{parts, telemetry};

/// Runs the function.
#[must_use]
pub fn main() -> ExitCode {
    start(run)
}

async fn run() -> Result<(), StartError> {
    let redis = Arc::new(parts::redis()?);
    parts::warm(Some(&redis), None);
    let handler = move |event: LambdaEvent<WebSocketEvent>| {
        let redis = Arc::clone(&redis);
        async move {
            forget(&redis, &event.payload.request_context.connection_id).await;
            Ok::<_, lambda_runtime::Error>(Answer::status(200))
        }
    };
    telemetry::run(Runtime::new(service_fn(handler))).await
}

async fn forget(redis: &Redis, connection_id: &str) {
    telemetry::about_connection(connection_id);
    let forgotten = async {
        let connection = redis.take_connection(connection_id).await?;
        if let Some(identity) = connection.and_then(|c| c.identity) {
            telemetry::about(Some(identity.tenant_id), Some(identity.conversation_id));
            redis.leave(identity.tenant_id, identity.conversation_id, connection_id).await?;
        }
        Ok::<_, konstruct_redis::RedisError>(())
    };
    if let Err(error) = forgotten.await {
        tracing::warn!(%error, "a closed connection is forgotten when a post to it fails");
    }
    tracing::info!("connection closed");
}
