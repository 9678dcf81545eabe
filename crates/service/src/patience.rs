//! Trying again while something we need is away. It never retries a refusal or a bug.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::Error;

/// WebSocket functions try for so long (delivery.md section 2).
pub const WEBSOCKET: Duration = Duration::from_secs(20);
/// REST functions try for so long in all; 503 comes within 1 s.
pub const REST: Duration = Duration::from_millis(700);

/// Until when somebody is willing to wait.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    until: Instant,
}

impl Patience {
    /// So long from now.
    #[must_use]
    pub fn of(limit: Duration) -> Self {
        Self { until: Instant::now() + limit }
    }

    /// How long is left.
    #[must_use]
    pub fn left(self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Runs an operation until it succeeds, fails for good, or patience ends. The operation is one that may be
    /// run twice.
    ///
    /// # Errors
    /// The last error.
    pub async fn retry<T, E, F>(self, mut operation: impl FnMut() -> F) -> Result<T, Error>
    where
        E: Into<Error>,
        F: Future<Output = Result<T, E>>,
    {
        let mut pause = Duration::from_millis(50);
        loop {
            let left = self.left();
            let error = match tokio::time::timeout(left.max(Duration::from_millis(100)), operation()).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => error.into(),
                Err(_) => return Err(Error::Away("no answer in time".to_owned())),
            };
            if !error.is_retryable() || Instant::now() + pause >= self.until {
                return Err(error);
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }
}
