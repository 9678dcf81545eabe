//! `$disconnect`: best effort, and never the only way a connection is forgotten. It stops no answer.

use std::process::ExitCode;
use std::sync::Arc;

use konstruct_redis::Redis;
use lambda_runtime::{LambdaEvent, service_fn};

use crate::parts;
use crate::start::{StartError, start};
use crate::websocket::{Answer, WebSocketEvent};

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
    Ok(lambda_runtime::run(service_fn(handler)).await?)
}

async fn forget(redis: &Redis, connection_id: &str) {
    let forgotten = async {
        let connection = redis.take_connection(connection_id).await?;
        if let Some(identity) = connection.and_then(|c| c.identity) {
            redis.leave(identity.tenant_id, identity.conversation_id, connection_id).await?;
        }
        Ok::<_, konstruct_redis::RedisError>(())
    };
    if let Err(error) = forgotten.await {
        tracing::warn!(%error, "a closed connection is forgotten when a post to it fails");
    }
}
