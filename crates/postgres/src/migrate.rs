//! Brings the schema up to date. Runs as `konstruct_owner` and nothing else does.

use crate::error::DbError;
use crate::tenant_tx::{configuration, tls};

mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// Applies the migrations that are missing, one runner at a time (refinery takes no lock of its own). Returns
/// the names of those it applied.
///
/// # Errors
/// Postgres is away, or a migration failed: nothing of it is kept.
#[expect(clippy::disallowed_methods, reason = "migrations need a session of their own, as the owner")]
pub async fn migrate(url: &str) -> Result<Vec<String>, DbError> {
    let mut config = configuration(url)?;
    config.options("-c statement_timeout=0");
    let mut client = if config.get_ssl_mode() == tokio_postgres::config::SslMode::Disable {
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        client
    } else {
        let (client, connection) = config.connect(tls()).await?;
        tokio::spawn(connection);
        client
    };
    // Held by the session: released when the client is dropped, also by a crash.
    client.batch_execute("SELECT pg_advisory_lock(7022001)").await?;
    let report = embedded::migrations::runner()
        .run_async(&mut client)
        .await
        .map_err(|error| DbError::Query(error.to_string()))?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}
