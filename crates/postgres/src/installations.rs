//! Installations of channels: a tenant's links to its workspaces. A secret in one is sealed; it is never opened here.

use konstruct_domain::Channel;
use serde_json::Value;
use uuid::Uuid;

use crate::error::DbError;
use crate::row::get;
use crate::tenant_tx::TenantTx;

impl TenantTx {
    /// The active installation of a workspace and what is kept of it, sealed secrets included. For the role
    /// `konstruct_channels` alone.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn installation_config(
        self,
        channel: Channel,
        workspace: &str,
    ) -> Result<Option<(Uuid, Value)>, DbError> {
        const SQL: &str = "
            SELECT id, config FROM channel_connections
            WHERE channel = $1 AND workspace_id = $2 AND status = 'active'";
        let rows = self.query(SQL, &[&channel.as_str(), &workspace]).await?;
        rows.first().map(|row| Ok((get(row, "id")?, get(row, "config")?))).transpose()
    }

    /// Remembers that an installation has no streaming.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn lost_streaming(self, id: Uuid) -> Result<(), DbError> {
        const SQL: &str = "
            UPDATE channel_connections SET config = config || '{\"streams\": false}' WHERE id = $1 AND status = 'active'";
        self.query(SQL, &[&id]).await.map(|_| ())
    }

    /// Removes an installation, its secrets with it.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn uninstall(self, id: Uuid) -> Result<(), DbError> {
        const SQL: &str = "UPDATE channel_connections SET status = 'removed', config = '{}' WHERE id = $1";
        self.query(SQL, &[&id]).await.map(|_| ())
    }
}
