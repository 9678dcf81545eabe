//! Brings the schema up to date. Runs as the owner of the tables and nothing else does.

use tokio_postgres::Client;

use crate::error::DbError;
use crate::login::Login;

mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// What came of migrating.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The names of the migrations that were missing.
    pub applied: Vec<String>,
    /// The newest migration that the schema has.
    pub version: i64,
    /// Whether that one is newer than this program, as after a deployment that was taken back.
    pub is_newer: bool,
}

/// Who signs in by IAM, where the server knows it.
const SIGN_IN: &str = "konstruct_app, konstruct_channels, konstruct_agent, konstruct_platform";

/// Applies the migrations that are missing, one runner at a time (refinery takes no lock of its own). A schema that is
/// newer than this program is left as it is: every migration leaves the version before it able to work
/// (migrations/README.md).
///
/// # Errors
/// Postgres is away, or a migration failed: nothing of it is kept.
pub async fn migrate(login: &Login) -> Result<Migrated, DbError> {
    let (mut client, connection) = login.clone().without_time_limit().open().await?;
    let migrated = migrate_on(&mut client).await;
    // Ends the session, and with it the lock, before whoever waits for this goes on.
    drop(client);
    if connection.await.is_err() {
        tracing::warn!("the connection of the migration ended badly");
    }
    migrated
}

async fn migrate_on(client: &mut Client) -> Result<Migrated, DbError> {
    // Held by the session: released when the client is dropped, also by a crash.
    client.batch_execute("SELECT pg_advisory_lock(7022001)").await?;
    let runner = embedded::migrations::runner();
    let newest = runner.get_migrations().iter().map(|known| i64::from(known.version())).max().unwrap_or(0);
    let last = runner.get_last_applied_migration_async(client).await?;
    let last = last.map_or(0, |applied| i64::from(applied.version()));
    if last > newest {
        tracing::warn!(last, newest, "the schema is newer than this program: nothing is done to it");
        allow_sign_in(client).await?;
        return Ok(Migrated { applied: Vec::new(), version: last, is_newer: true });
    }
    let report = runner.run_async(client).await?;
    allow_sign_in(client).await?;
    let applied = report.applied_migrations().iter().map(ToString::to_string).collect();
    Ok(Migrated { applied, version: newest, is_newer: false })
}

/// On RDS: lets the functions' roles sign in by IAM, which is membership of a role that RDS makes.
async fn allow_sign_in(client: &Client) -> Result<(), DbError> {
    let there = client.query_typed("SELECT 1 FROM pg_roles WHERE rolname = 'rds_iam'", &[]).await?;
    if !there.is_empty() {
        client.batch_execute(&format!("GRANT rds_iam TO {SIGN_IN}")).await?;
    }
    Ok(())
}
