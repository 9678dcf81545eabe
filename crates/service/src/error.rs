//! What a use case says when it cannot do what was asked. What the person reads is in a [`Refusal`]; what the log
//! keeps is in the other variants and never reaches a person.

use konstruct_domain::access::Denied;
use konstruct_ports::QueueError;
use konstruct_postgres::DbError;
use konstruct_protocol::ErrorCode;
use konstruct_redis::RedisError;
use konstruct_secrets::SecretError;

/// A refusal, as the person reads it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// The code.
    pub code: ErrorCode,
    /// One plain English sentence.
    pub text: String,
    /// Seconds, rounded up, at least 1.
    pub retry_after: Option<u64>,
    /// The field of the request that is wrong, where it is one.
    pub field: Option<&'static str>,
}

impl Refusal {
    /// A refusal with a code and a sentence.
    #[must_use]
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), retry_after: None, field: None }
    }
}

/// Why a use case did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The person's mistake.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Something we need is away: the same request may succeed later.
    #[error("{0}")]
    Away(String),
    /// A bug.
    #[error("{0}")]
    Bug(String),
}

impl Error {
    /// A refusal.
    #[must_use]
    pub fn refused(code: ErrorCode, text: impl Into<String>) -> Self {
        Self::Refused(Refusal::new(code, text))
    }

    /// What is not there, or in a tenant that is not the caller's.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::refused(ErrorCode::NotFound, format!("There is no such {what}."))
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Away(_))
    }
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        Self::refused(ErrorCode::Forbidden, denied.to_string())
    }
}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        if error.is_retryable() { Self::Away(error.to_string()) } else { Self::Bug(error.to_string()) }
    }
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        if error.is_retryable() { Self::Away(error.to_string()) } else { Self::Bug(error.to_string()) }
    }
}

impl From<SecretError> for Error {
    fn from(error: SecretError) -> Self {
        if error.is_retryable() { Self::Away(error.to_string()) } else { Self::Bug(error.to_string()) }
    }
}

impl From<QueueError> for Error {
    fn from(error: QueueError) -> Self {
        Self::Away(error.to_string())
    }
}
