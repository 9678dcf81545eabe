//! What an invocation is and how it ends.
//! The event and the answer are bytes here.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

/// How an invocation ended.
pub type Outcome = Result<Bytes, Failure>;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The function reported an error.
    Unhandled(String),
    /// Its process ended or was killed.
    Crashed,
    /// It took longer than its time-out, and was killed.
    TimedOut,
    /// No such function, or it does not start.
    NotStarted(String),
}

/// An invocation under way. Dropping this does not stop it: on AWS nobody could, either.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Outcome>);

impl Pending {
    /// The pair of ends of a new invocation.
    pub fn new() -> (oneshot::Sender<Outcome>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }

    /// Waits for the end.
    pub async fn outcome(self) -> Outcome {
        self.0.await.unwrap_or(Err(Failure::Crashed))
    }
}

/// Who runs functions. The gateways know no more of Lambda than this.
pub trait Invoker: Send + Sync + 'static {
    /// Starts an invocation of `function` (its folder) at once, before this returns: calls made one
    /// after another reach the function in that order.
    fn invoke(&self, function: &str, event: Bytes) -> Pending;
}

/// A shared [`Invoker`].
pub type Functions = Arc<dyn Invoker>;
