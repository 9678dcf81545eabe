//! The wall clock. Never used to measure durations inside a process: tokio's clock does that.

use time::OffsetDateTime;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, UTC.
    fn now(&self) -> OffsetDateTime;
}
