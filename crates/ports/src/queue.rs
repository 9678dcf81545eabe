//! The task queue: it only wakes; what is to be done is in Postgres.

use crate::BoxFuture;

/// A send or a change that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("queue: {0}")]
pub struct QueueError(pub String);

/// SQS, as the service needs it.
pub trait TaskQueue: Send + Sync {
    /// Sends a task body to the FIFO queue.
    fn send<'a>(
        &'a self,
        body: &'a str,
        group_id: &'a str,
        deduplication_id: &'a str,
    ) -> BoxFuture<'a, Result<(), QueueError>>;

    /// Makes a received record invisible for so many seconds from now; 0: visible at once.
    fn set_visibility<'a>(
        &'a self,
        receipt_handle: &'a str,
        seconds: i32,
    ) -> BoxFuture<'a, Result<(), QueueError>>;
}
