//! The door of administration: what an operator's commands read and write (docs/OPERATIONS.md). It is opened as the
//! owner of the schema and becomes `konstruct_admin` for each transaction: that role sees tenants and people, everything
//! else of one tenant only, and nothing that was said or sealed.

pub mod agents;
pub mod keys;
pub mod people;
pub mod servers;
pub mod tenants;

use futures_util::future::try_join_all;
use konstruct_domain::TenantId;
use tokio_postgres::{Client, Row, Statement};
use uuid::Uuid;

use crate::error::DbError;
use crate::tenant_tx::{Step, configuration, pipelined, tls};

/// One connection, for one command after the other.
pub struct Administration {
    client: Client,
}

impl std::fmt::Debug for Administration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Administration")
    }
}

impl Administration {
    /// Connects as the owner, or as whoever else may become `konstruct_admin`.
    ///
    /// # Errors
    /// The URL is not one, or Postgres is away.
    #[expect(
        clippy::disallowed_methods,
        reason = "administration needs a session as the owner, which no pool hands out"
    )]
    pub async fn connect(url: &str) -> Result<Self, DbError> {
        let config = configuration(url)?;
        let client = if config.get_ssl_mode() == tokio_postgres::config::SslMode::Disable {
            let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
            tokio::spawn(connection);
            client
        } else {
            let (client, connection) = config.connect(tls()).await?;
            tokio::spawn(connection);
            client
        };
        Ok(Self { client })
    }

    /// Runs the statements in order as one transaction for a tenant; the rows of each.
    async fn run<const N: usize>(
        &self,
        tenant: TenantId,
        steps: [Step<'_>; N],
    ) -> Result<[Vec<Row>; N], DbError> {
        let prepared: Vec<Statement> =
            try_join_all(steps.iter().map(|(sql, _)| self.client.prepare(sql))).await?;
        let begin = format!(
            "BEGIN; SET LOCAL ROLE konstruct_admin; SELECT set_config('app.current_tenant', '{tenant}', true)"
        );
        pipelined(&self.client, &begin, &prepared, steps).await
    }

    /// The same where no tenant is current: of tenants and people only.
    async fn above<const N: usize>(&self, steps: [Step<'_>; N]) -> Result<[Vec<Row>; N], DbError> {
        self.run(TenantId(Uuid::nil()), steps).await
    }
}

/// What a command found in its place, and whether it made that itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made<T> {
    /// What is there now.
    pub row: T,
    /// It was made just now; otherwise it was there, and nothing of it was changed.
    pub created: bool,
}
