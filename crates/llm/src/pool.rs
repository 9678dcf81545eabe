//! The providers behind one `LanguageModel`, with time-outs, and with retries until the first event. After it
//! there is no other try: what was shown cannot be taken back.

mod backoff;
mod stream;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use konstruct_ports::{BoxFuture, LanguageModel, ModelError, ModelRequest, ModelStream};
use tokio::time::{Instant, timeout_at};

use crate::pool::stream::TimedStream;

/// Time-outs and retries (contracts.md 6.5). The time-out on connecting is the HTTP client's (5 s).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolConfig {
    /// How often a provider is asked again after a failure worth it; 0: never.
    pub retries: u32,
    /// From asking to the first event. Reasoning that a provider streams is no event. The default leaves three tries
    /// within the 90 s after which a turn must have ended (delivery.md section 3).
    pub first_event: Duration,
    /// From one event to the next.
    pub between_events: Duration,
    /// All of it: tries, waits and the answer.
    pub total: Duration,
    /// The wait before the first retry; it doubles up to `wait_max`, less up to a quarter at random.
    pub wait: Duration,
    /// Longest wait that is not a provider's wish.
    pub wait_max: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            retries: 2,
            first_event: Duration::from_secs(28),
            between_events: Duration::from_secs(30),
            total: Duration::from_secs(600),
            wait: Duration::from_millis(500),
            wait_max: Duration::from_secs(8),
        }
    }
}

/// Providers in order of preference: the next is asked once the one before it has failed for good.
pub struct Pool {
    providers: Vec<Arc<dyn LanguageModel>>,
    config: PoolConfig,
    random: Box<dyn Fn() -> f64 + Send + Sync>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pool").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool. `random` gives numbers from 0 to 1 that spread retries in time.
    #[must_use]
    pub fn new(
        providers: Vec<Arc<dyn LanguageModel>>,
        config: PoolConfig,
        random: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Self {
        Self { providers, config, random: Box::new(random) }
    }

    async fn answer(&self, request: &ModelRequest) -> Result<Box<dyn ModelStream>, ModelError> {
        let deadline = Instant::now() + self.config.total;
        let mut failure = ModelError::Fatal { reason: "no provider is configured".to_owned() };
        for provider in &self.providers {
            match self.ask_patiently(provider.as_ref(), request, deadline).await {
                Ok(stream) => return Ok(Box::new(stream)),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Asks one provider until it answers, refuses, or the tries or the time are spent.
    async fn ask_patiently(
        &self,
        provider: &dyn LanguageModel,
        request: &ModelRequest,
        deadline: Instant,
    ) -> Result<TimedStream, ModelError> {
        let mut tries = 0;
        loop {
            let (reason, retry_after) = match self.ask_once(provider, request, deadline).await {
                Ok(stream) => return Ok(stream),
                Err(fatal @ ModelError::Fatal { .. }) => return Err(fatal),
                Err(ModelError::Retryable { reason, retry_after }) => (reason, retry_after),
            };
            let wait = retry_after.unwrap_or_else(|| backoff::wait(&self.config, tries, (self.random)()));
            let in_time = Instant::now().checked_add(wait).is_some_and(|then| then < deadline);
            if tries >= self.config.retries || !in_time {
                return Err(ModelError::Retryable { reason, retry_after });
            }
            tries += 1;
            tracing::warn!(reason, tries, wait_ms = wait.as_millis(), "model is asked again");
            tokio::time::sleep(wait).await;
        }
    }

    /// Asks once, and waits for the first event.
    async fn ask_once(
        &self,
        provider: &dyn LanguageModel,
        request: &ModelRequest,
        deadline: Instant,
    ) -> Result<TimedStream, ModelError> {
        let until = deadline.min(Instant::now() + self.config.first_event);
        let first = async {
            let mut stream = provider.ask(request).await?;
            let event = stream.next().await?;
            Ok::<_, ModelError>((stream, event))
        };
        match timeout_at(until, first).await {
            Err(_) => Err(slow("first event")),
            Ok(Err(error)) => Err(error),
            Ok(Ok((_, None))) => {
                Err(ModelError::Retryable { reason: "empty stream".to_owned(), retry_after: None })
            }
            Ok(Ok((stream, Some(first)))) => {
                Ok(TimedStream::new(stream, first, self.config.between_events, deadline))
            }
        }
    }
}

/// A retryable failure: what did not come in time.
fn slow(what: &str) -> ModelError {
    ModelError::Retryable { reason: format!("no {what} in time"), retry_after: None }
}

impl LanguageModel for Pool {
    fn ask<'a>(
        &'a self,
        request: &'a ModelRequest,
    ) -> BoxFuture<'a, Result<Box<dyn ModelStream>, ModelError>> {
        Box::pin(self.answer(request))
    }
}

#[cfg(test)]
mod tests;
