//! Every minute: turns that are due are woken. On the deadline queue: connections that did not authenticate in time
//! are closed. It answers nobody.

use std::process::ExitCode;
use std::sync::Arc;

use konstruct_service::wake::Wake;
use konstruct_service::{Connections, Error, janitor};
use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use serde::Deserialize;
use serde_json::Value;

use crate::batch::BatchResponse;
use crate::start::{StartError, start};
use crate::system::SystemClock;
use crate::{parts, telemetry};

struct Janitor {
    wake: Wake,
    connections: Connections,
}

#[derive(Deserialize)]
struct Deadline {
    v: u8,
    connection_id: String,
}

/// Runs the function.
#[must_use]
pub fn main() -> ExitCode {
    start(run)
}

async fn run() -> Result<(), StartError> {
    let sdk = parts::sdk()?;
    let janitor = Arc::new(Janitor {
        wake: Wake {
            db: parts::db(1)?,
            queue: Arc::new(parts::queue(&sdk, "QUEUE_URL")?),
            clock: Arc::new(SystemClock),
        },
        connections: parts::connections(&sdk)?,
    });
    let handler = move |event: LambdaEvent<Value>| {
        let janitor = Arc::clone(&janitor);
        async move { janitor.handle(&event.payload).await }
    };
    telemetry::run(Runtime::new(service_fn(handler))).await
}

impl Janitor {
    async fn handle(&self, event: &Value) -> Result<BatchResponse, lambda_runtime::Error> {
        let Some(records) = event.get("Records").and_then(Value::as_array) else {
            // First: what it opens again is not due yet for the list of turns.
            let expired = janitor::expire(&self.wake).await?;
            let woken = janitor::rescue(&self.wake).await?;
            tracing::info!(woken, expired, "looked for what is due");
            return Ok(BatchResponse::default());
        };
        let mut response = BatchResponse::default();
        for record in records {
            let text = |name| record.get(name).and_then(Value::as_str).unwrap_or_default();
            let outcome = match serde_json::from_str::<Deadline>(text("body")) {
                Ok(deadline) if deadline.v == 1 => self.deadline(&deadline.connection_id).await,
                _ => Err(Error::Bug("a record is no deadline of version 1".to_owned())),
            };
            if let Err(error) = outcome {
                tracing::error!(%error, "a deadline comes back");
                response.fail(text("messageId").to_owned());
            }
        }
        Ok(response)
    }

    /// Closes a connection that has not authenticated.
    async fn deadline(&self, connection_id: &str) -> Result<(), Error> {
        match self.connections.find(connection_id).await? {
            Some(connection) if connection.identity.is_some() => Ok(()),
            found => {
                if found.is_some() {
                    tracing::info!(connection_id, "a connection did not authenticate in time");
                }
                self.connections.close(connection_id).await
            }
        }
    }
}
