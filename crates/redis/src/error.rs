//! What can go wrong with Redis. Never holds a value.

/// A Redis error.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// It is away, or the connection broke.
    #[error("redis is away: {0}")]
    Away(String),
    /// A command failed: a bug.
    #[error("redis: {0}")]
    Command(String),
    /// The URL is not one.
    #[error("{0}")]
    Configuration(String),
}

impl RedisError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Away(_))
    }
}

impl From<redis::RedisError> for RedisError {
    fn from(error: redis::RedisError) -> Self {
        use redis::{ErrorKind, ServerErrorKind};
        let away = error.is_io_error()
            || error.is_connection_dropped()
            || error.is_connection_refusal()
            || error.is_timeout()
            || matches!(
                error.kind(),
                ErrorKind::Server(
                    ServerErrorKind::BusyLoading
                        | ServerErrorKind::MasterDown
                        | ServerErrorKind::TryAgain
                        | ServerErrorKind::ReadOnly
                )
            );
        if away { Self::Away(error.to_string()) } else { Self::Command(error.to_string()) }
    }
}
