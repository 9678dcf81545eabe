//! A tenant's servers of tools. Their keys are written by `keys`, and read by the agent alone.

use konstruct_domain::{ServerName, TenantId};
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Administration, Made};
use crate::error::DbError;
use crate::row::get;

/// A server of tools as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRow {
    /// Its row.
    pub id: Uuid,
    /// Comes before its tools' names.
    pub name: String,
    /// Its endpoint.
    pub url: String,
    /// Whether its tools are offered; otherwise it was removed.
    pub is_active: bool,
    /// Whether it is shown a key.
    pub has_key: bool,
    /// Since when.
    pub created_at: OffsetDateTime,
}

const FIND: &str = "
    SELECT id, name, url, status = 'active' AS is_active, has_key, created_at FROM tool_servers
    WHERE $1::text IS NULL OR name = $1 ORDER BY name COLLATE \"C\"";

impl Administration {
    /// Adds a server under the id `fresh`, unless the tenant has one of this name, also a removed one.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn make_server(
        &self,
        tenant: TenantId,
        fresh: Uuid,
        name: &ServerName,
        url: &str,
    ) -> Result<Made<ServerRow>, DbError> {
        const MAKE: &str = "
            INSERT INTO tool_servers (tenant_id, id, name, url) VALUES ($1, $2, $3, $4)
            ON CONFLICT (tenant_id, name) DO NOTHING RETURNING id";
        let name = name.as_str();
        let [made, found] =
            self.run(tenant, [(MAKE, &[&tenant.0, &fresh, &name, &url]), (FIND, &[&Some(name)])]).await?;
        let row = found.first().ok_or_else(|| DbError::Configuration("a server was not made".to_owned()))?;
        Ok(Made { row: server_row(row)?, created: !made.is_empty() })
    }

    /// The tenant's servers of tools, by name, removed ones too: all, or the one of a name.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn servers(
        &self,
        tenant: TenantId,
        name: Option<&ServerName>,
    ) -> Result<Vec<ServerRow>, DbError> {
        let [rows] = self.run(tenant, [(FIND, &[&name.map(ServerName::as_str)])]).await?;
        rows.iter().map(server_row).collect()
    }

    /// Changes a server, where something is given; as it was, and as it is. One that is removed loses its key. `None`:
    /// the tenant has none of this name.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn change_server(
        &self,
        tenant: TenantId,
        name: &ServerName,
        url: Option<&str>,
        is_active: Option<bool>,
    ) -> Result<Option<(ServerRow, ServerRow)>, DbError> {
        const CHANGE: &str = "
            UPDATE tool_servers SET url = coalesce($2, url),
                status = CASE WHEN $3 THEN 'active' WHEN NOT $3 THEN 'removed' ELSE status END
            WHERE name = $1";
        const FORGET: &str = "UPDATE tool_servers SET key = NULL WHERE name = $1 AND NOT $2";
        let name = name.as_str();
        let named = Some(name);
        let [before, _, _, after] = self
            .run(
                tenant,
                [
                    (FIND, &[&named]),
                    (CHANGE, &[&name, &url, &is_active]),
                    (FORGET, &[&name, &is_active.unwrap_or(true)]),
                    (FIND, &[&named]),
                ],
            )
            .await?;
        before
            .first()
            .zip(after.first())
            .map(|(before, after)| Ok((server_row(before)?, server_row(after)?)))
            .transpose()
    }
}

fn server_row(row: &Row) -> Result<ServerRow, DbError> {
    Ok(ServerRow {
        id: get(row, "id")?,
        name: get(row, "name")?,
        url: get(row, "url")?,
        is_active: get(row, "is_active")?,
        has_key: get(row, "has_key")?,
        created_at: get(row, "created_at")?,
    })
}
