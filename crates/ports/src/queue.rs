//! The task queue: it only wakes; what is to be done is in Postgres.

use crate::BoxFuture;

/// A send or a change that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("queue: {0}")]
pub struct QueueError(pub String);

/// What is sent to a FIFO queue.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// The task.
    pub body: &'a str,
    /// Records of one group are delivered one at a time, in order.
    pub group_id: &'a str,
    /// A record that was sent under it within five minutes is not sent again.
    pub deduplication_id: &'a str,
    /// W3C's `traceparent` of the message it is about: an attribute of the record, for a task has no field for it.
    pub traceparent: Option<&'a str>,
}

/// SQS, as the service needs it.
pub trait TaskQueue: Send + Sync {
    /// Sends a record to the FIFO queue.
    fn send<'a>(&'a self, record: NewRecord<'a>) -> BoxFuture<'a, Result<(), QueueError>>;

    /// Makes a received record invisible for so many seconds from now; 0: visible at once.
    fn set_visibility<'a>(
        &'a self,
        receipt_handle: &'a str,
        seconds: i32,
    ) -> BoxFuture<'a, Result<(), QueueError>>;
}
