//! The API Gateway Management API: posting to and closing connections. It does not know who is connected.

use crate::BoxFuture;

/// What became of a post (delivery.md section 4, "Posts in doubt").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostOutcome {
    /// 200.
    Delivered,
    /// 410: the connection is no more.
    Gone,
    /// 429: the same post may be tried again.
    Throttled,
    /// Anything else: it is not known whether the frame arrived.
    InDoubt,
}

/// Posts frames to connections.
pub trait ConnectionGateway: Send + Sync {
    /// Posts one frame of at most 32 KB (API Gateway's limit). Never waits longer than 5 s.
    fn post<'a>(&'a self, connection_id: &'a str, frame: &'a str) -> BoxFuture<'a, PostOutcome>;

    /// Closes a connection; one that is gone already is no error, and one that cannot be closed is only logged.
    fn close<'a>(&'a self, connection_id: &'a str) -> BoxFuture<'a, ()>;
}
