//! API Gateway's Management API behind `ports::ConnectionGateway`. It never posts a frame that may have arrived a
//! second time, and knows nothing of who is connected.

use std::future::Future;
use std::time::Duration;

use aws_sdk_apigatewaymanagement::Client;
use aws_sdk_apigatewaymanagement::primitives::Blob;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use konstruct_ports::{BoxFuture, ConnectionGateway, PostOutcome};

use crate::failure::{cut_while_connecting, status, words};
use crate::sdk::Sdk;

/// Longest time for one call, connecting included (delivery.md section 4: 5 s without an answer is in doubt).
const LIMIT: Duration = Duration::from_secs(5);

/// The Management API of one stage.
#[derive(Debug, Clone)]
pub struct ManagementApi {
    client: Client,
}

impl ManagementApi {
    /// `endpoint` includes the stage (`https://{host}/{stage}`), or is a custom domain with its mapping. It comes
    /// from the configuration, never from an event: behind a custom domain the event's own names are wrong
    /// (contracts.md 1.7).
    #[must_use]
    pub fn new(sdk: &Sdk, endpoint: &str) -> Self {
        Self { client: sdk.management(endpoint, LIMIT) }
    }

    async fn post_within_limit(&self, connection_id: &str, frame: &str) -> PostOutcome {
        let post = self.client.post_to_connection().connection_id(connection_id).data(Blob::new(frame));
        match within(call(|| post.clone().send())).await {
            Some(Ok(_)) => PostOutcome::Delivered,
            Some(Err(error)) => outcome(&error),
            None => {
                tracing::warn!("post in doubt: no answer in time");
                PostOutcome::InDoubt
            }
        }
    }

    async fn close_within_limit(&self, connection_id: &str) {
        let close = self.client.delete_connection().connection_id(connection_id);
        match within(call(|| close.clone().send())).await {
            Some(Ok(_)) => {}
            Some(Err(error)) if status(&error) == Some(410) => {}
            Some(Err(error)) => tracing::warn!(cause = words(&error), "connection not closed"),
            None => tracing::warn!("connection not closed: no answer in time"),
        }
    }
}

/// Calls; and calls once more if the new connection was cut while being set up, for then nothing was sent.
async fn call<T, E, F>(send: impl Fn() -> F) -> Result<T, SdkError<E, Response>>
where
    F: Future<Output = Result<T, SdkError<E, Response>>>,
{
    // After a freeze the runtime must look at its sockets once: else a kept-alive connection that is dead by now
    // is written to, and a post that never left the house is in doubt.
    tokio::task::yield_now().await;
    match send().await {
        Err(error) if cut_while_connecting(&error) => send().await,
        answered => answered,
    }
}

/// The SDK limits an attempt; this limits all of it.
async fn within<T>(call: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(LIMIT, call).await.ok()
}

fn outcome<E: ProvideErrorMetadata>(error: &SdkError<E, Response>) -> PostOutcome {
    match status(error) {
        Some(410) => PostOutcome::Gone,
        Some(429) => PostOutcome::Throttled,
        // 403: permission, region or stage is wrong; 413: frames are not split. Both are bugs of ours.
        Some(403 | 413) => {
            tracing::error!(cause = words(error), "post refused");
            PostOutcome::InDoubt
        }
        _ => {
            tracing::warn!(cause = words(error), "post in doubt");
            PostOutcome::InDoubt
        }
    }
}

impl ConnectionGateway for ManagementApi {
    fn post<'a>(&'a self, connection_id: &'a str, frame: &'a str) -> BoxFuture<'a, PostOutcome> {
        Box::pin(self.post_within_limit(connection_id, frame))
    }

    fn close<'a>(&'a self, connection_id: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(self.close_within_limit(connection_id))
    }
}
