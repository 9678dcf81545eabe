//! Time-outs around a model, whoever serves it. It never asks a second time: who is asked next, and when, is its
//! caller's to know, who writes down every asking.

mod stream;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use konstruct_ports::{BoxFuture, LanguageModel, ModelError, ModelRequest, ModelStream};
use tokio::time::{Instant, timeout_at};

use crate::failure::broken;
use crate::timed::stream::TimedStream;

/// How long one asking may take. The limit on connecting is the HTTP client's (contracts.md 6.5: 5 s).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// From asking to the first text, tool call or end. Reasoning that a provider streams is none of these, nor is
    /// usage. The default leaves three askings within the 90 s after which a turn must have ended (delivery.md
    /// section 3).
    pub first_event: Duration,
    /// From one event to the next, usage included, once the first has come.
    pub between_events: Duration,
    /// All of it.
    pub total: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            first_event: Duration::from_secs(28),
            between_events: Duration::from_secs(30),
            total: Duration::from_secs(600),
        }
    }
}

/// A model that answers in time or fails.
#[derive(Clone)]
pub struct Timed {
    model: Arc<dyn LanguageModel>,
    limits: TimeLimits,
}

impl fmt::Debug for Timed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Timed").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Timed {
    /// The model within these limits.
    #[must_use]
    pub fn new(model: Arc<dyn LanguageModel>, limits: TimeLimits) -> Self {
        Self { model, limits }
    }

    /// Asks, and waits for the first event, be it usage: a call that fails later has then been counted.
    async fn answer(&self, request: &ModelRequest) -> Result<Box<dyn ModelStream>, ModelError> {
        let began = Instant::now();
        let deadline = began + self.limits.total;
        let first_until = deadline.min(began + self.limits.first_event);
        let first = async {
            let mut stream = self.model.ask(request).await?;
            let event = stream.next().await?;
            Ok::<_, ModelError>((stream, event))
        };
        match timeout_at(first_until, first).await {
            Err(_) => Err(slow("first event")),
            Ok(Err(error)) => Err(error),
            Ok(Ok((_, None))) => Err(broken("empty stream")),
            Ok(Ok((stream, Some(first)))) => {
                let between = self.limits.between_events;
                Ok(Box::new(TimedStream::new(stream, first, first_until, between, deadline)))
            }
        }
    }
}

/// A retryable failure: what did not come in time.
fn slow(what: &str) -> ModelError {
    ModelError::TimedOut { reason: format!("no {what} in time") }
}

impl LanguageModel for Timed {
    fn ask<'a>(
        &'a self,
        request: &'a ModelRequest,
    ) -> BoxFuture<'a, Result<Box<dyn ModelStream>, ModelError>> {
        Box::pin(self.answer(request))
    }
}

#[cfg(test)]
mod tests;
