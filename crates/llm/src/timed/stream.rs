//! A stream that does not stall. Its clocks run on when `next` is dropped and called again, and stand still while
//! nobody waits for it.

use std::time::Duration;

use konstruct_ports::{BoxFuture, ModelError, ModelEvent, ModelStream};
use tokio::time::{Instant, timeout_at};

use super::slow;

/// A provider's stream, its first event already there.
pub(super) struct TimedStream {
    inner: Box<dyn ModelStream>,
    first: Option<ModelEvent>,
    /// Until when something other than usage has to come; none once it has.
    first_until: Option<Instant>,
    between: Duration,
    deadline: Instant,
    /// Since when the next event is waited for.
    since: Option<Instant>,
}

impl TimedStream {
    pub(super) fn new(
        inner: Box<dyn ModelStream>,
        first: ModelEvent,
        first_until: Instant,
        between: Duration,
        deadline: Instant,
    ) -> Self {
        let first_until = is_usage(&first).then_some(first_until);
        Self { inner, first: Some(first), first_until, between, deadline, since: None }
    }

    async fn advance(&mut self) -> Result<Option<ModelEvent>, ModelError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        let until = self.first_until.unwrap_or_else(|| self.deadline.min(since + self.between));
        match timeout_at(until, self.inner.next()).await {
            Ok(event) => {
                self.since = None;
                if !matches!(&event, Ok(Some(event)) if is_usage(event)) {
                    self.first_until = None;
                }
                event
            }
            Err(_) if self.first_until.is_some() => Err(slow("first event")),
            Err(_) if until == self.deadline => Err(slow("end of the answer")),
            Err(_) => Err(slow("further event")),
        }
    }
}

const fn is_usage(event: &ModelEvent) -> bool {
    matches!(event, ModelEvent::Usage(_))
}

impl ModelStream for TimedStream {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<ModelEvent>, ModelError>> {
        Box::pin(self.advance())
    }
}
