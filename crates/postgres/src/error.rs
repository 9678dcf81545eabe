//! What can go wrong with Postgres. Never holds a query's values.

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

/// A database error.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// It is away, or the connection broke: the same call may succeed later.
    #[error("postgres is away: {0}")]
    Away(String),
    /// The connection's role could see more than one tenant. Nothing runs as such a role.
    #[error("refused to start: the database role {0}")]
    UnsafeRole(String),
    /// A query failed: a bug.
    #[error("postgres: {0}")]
    Query(String),
    /// The URL is not one, or a row is not what the schema says.
    #[error("{0}")]
    Configuration(String),
}

impl DbError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Away(_))
    }
}

impl From<tokio_postgres::Error> for DbError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&tokio_postgres::Error> for DbError {
    fn from(error: &tokio_postgres::Error) -> Self {
        const TRANSIENT: [SqlState; 8] = [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::QUERY_CANCELED,
            SqlState::READ_ONLY_SQL_TRANSACTION,
        ];
        match error.as_db_error() {
            // The message names tables and constraints; DETAIL, which names values, is left out.
            Some(db) => {
                let text = format!("{}: {}", db.code().code(), db.message());
                if TRANSIENT.contains(db.code()) { Self::Away(text) } else { Self::Query(text) }
            }
            None if error.is_closed() || std::error::Error::source(error).is_some() => {
                Self::from_transport(error)
            }
            None => Self::Query(error.to_string()),
        }
    }
}

impl DbError {
    fn from_transport(error: &tokio_postgres::Error) -> Self {
        let source = std::error::Error::source(error);
        let is_io = source.is_some_and(|s| s.downcast_ref::<std::io::Error>().is_some());
        let text = source.map_or_else(|| error.to_string(), |s| format!("{error}: {s}"));
        if is_io || error.is_closed() || error.to_string().contains("connect") {
            Self::Away(text)
        } else {
            Self::Query(text)
        }
    }
}

impl From<refinery::Error> for DbError {
    /// A migration is named by what failed, as every query: without the values in it.
    fn from(error: refinery::Error) -> Self {
        if let refinery::error::Kind::Connection(doing, source) = error.kind()
            && let Some(postgres) = source.downcast_ref::<tokio_postgres::Error>()
        {
            return match Self::from(postgres) {
                Self::Away(why) => Self::Away(format!("{doing}: {why}")),
                other => Self::Query(format!("{doing}: {other}")),
            };
        }
        Self::Query(error.to_string())
    }
}

impl From<PoolError> for DbError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::PostCreateHook(deadpool_postgres::HookError::Message(why)) => {
                Self::UnsafeRole(why.to_string())
            }
            PoolError::PostCreateHook(deadpool_postgres::HookError::Backend(error)) => error.into(),
            other => Self::Away(other.to_string()),
        }
    }
}
