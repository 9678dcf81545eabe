//! Brings the schema up to date. Runs as `konstruct_owner` and nothing else does.

use crate::error::DbError;
use crate::login::Login;

mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// Applies the migrations that are missing, one runner at a time (refinery takes no lock of its own). Returns
/// the names of those it applied.
///
/// # Errors
/// Postgres is away, or a migration failed: nothing of it is kept.
pub async fn migrate(login: &Login) -> Result<Vec<String>, DbError> {
    let (mut client, _connection) = login.clone().without_time_limit().open().await?;
    // Held by the session: released when the client is dropped, also by a crash.
    client.batch_execute("SELECT pg_advisory_lock(7022001)").await?;
    let report = embedded::migrations::runner()
        .run_async(&mut client)
        .await
        .map_err(|error| DbError::Query(error.to_string()))?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}
