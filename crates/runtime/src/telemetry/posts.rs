//! Posts, counted where they leave: one line for all of an invocation. A process counts, and not a request, so posts of
//! invocations that run beside each other are told together.

use std::sync::atomic::{AtomicU64, Ordering};

use konstruct_ports::{BoxFuture, ConnectionGateway, PostOutcome};
use konstruct_service::telemetry::METRICS;

static SENT: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicU64 = AtomicU64::new(0);

/// A gateway whose posts are counted.
pub(crate) struct Counted<G>(pub(crate) G);

impl<G: ConnectionGateway> ConnectionGateway for Counted<G> {
    fn post<'a>(&'a self, connection_id: &'a str, frame: &'a str) -> BoxFuture<'a, PostOutcome> {
        Box::pin(async move {
            let outcome = self.0.post(connection_id, frame).await;
            SENT.fetch_add(1, Ordering::Relaxed);
            // Who has gone away is no failure of a post.
            if matches!(outcome, PostOutcome::Throttled | PostOutcome::InDoubt) {
                FAILED.fetch_add(1, Ordering::Relaxed);
            }
            outcome
        })
    }

    fn close<'a>(&'a self, connection_id: &'a str) -> BoxFuture<'a, ()> {
        self.0.close(connection_id)
    }
}

/// Tells what was posted since the last time, if anything was.
pub(super) fn tell() {
    let (sent, failed) = (SENT.swap(0, Ordering::Relaxed), FAILED.swap(0, Ordering::Relaxed));
    if sent > 0 {
        tracing::info!(target: METRICS, Posts = sent, PostFailures = failed, "posts");
    }
}
