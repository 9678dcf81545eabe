//! A tenant's own keys, sealed before they come here: for providers of models, and for servers of tools. What is kept is
//! never read.

use konstruct_domain::{Provider, ServerName, TenantId};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Administration;
use crate::error::DbError;
use crate::row::{closed, get};

/// A tenant's key for a provider, without the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Its row: what it is sealed for.
    pub id: Uuid,
    /// Whose models it is for.
    pub provider: Provider,
    /// Since when the tenant has one.
    pub created_at: OffsetDateTime,
}

/// What came of keeping a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is kept; `true`: there was none before.
    Done(bool),
    /// The tenant's row for this provider is another: seal for this one. Nothing is kept.
    HasRow(Uuid),
}

impl Administration {
    /// The tenant's keys for providers.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn keys(&self, tenant: TenantId) -> Result<Vec<KeyRow>, DbError> {
        const LIST: &str =
            "SELECT id, provider, created_at FROM provider_keys ORDER BY provider COLLATE \"C\"";
        let [rows] = self.run(tenant, [(LIST, &[])]).await?;
        let row = |row| {
            Ok(KeyRow {
                id: get(row, "id")?,
                provider: closed(row, "provider", Provider::parse)?,
                created_at: get(row, "created_at")?,
            })
        };
        rows.iter().map(row).collect()
    }

    /// Keeps the tenant's key for a provider, sealed for `row`.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn keep_provider_key(
        &self,
        tenant: TenantId,
        provider: Provider,
        row: Uuid,
        sealed: &Value,
    ) -> Result<Kept, DbError> {
        const MAKE: &str = "
            INSERT INTO provider_keys (tenant_id, id, provider, key) VALUES ($1, $2, $3, $4)
            ON CONFLICT DO NOTHING RETURNING id";
        const REPLACE: &str = "UPDATE provider_keys SET key = $3 WHERE id = $1 AND provider = $2";
        const FIND: &str = "SELECT id FROM provider_keys WHERE provider = $1";
        let provider = provider.as_str();
        let [made, _, found] = self
            .run(
                tenant,
                [
                    (MAKE, &[&tenant.0, &row, &provider, sealed]),
                    (REPLACE, &[&row, &provider, sealed]),
                    (FIND, &[&provider]),
                ],
            )
            .await?;
        let found = found.first().ok_or_else(|| DbError::Away("the key was removed meanwhile".to_owned()))?;
        let kept = get(found, "id")?;
        Ok(if kept == row { Kept::Done(!made.is_empty()) } else { Kept::HasRow(kept) })
    }

    /// Takes the tenant's key for a provider away; `false`: there was none.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn remove_provider_key(&self, tenant: TenantId, provider: Provider) -> Result<bool, DbError> {
        const REMOVE: &str = "DELETE FROM provider_keys WHERE provider = $1 RETURNING id";
        let [removed] = self.run(tenant, [(REMOVE, &[&provider.as_str()])]).await?;
        Ok(!removed.is_empty())
    }

    /// Keeps the key that an active server of tools is shown, sealed for its row, or takes it away (`None`); `false`:
    /// there is no such server any more, or no key to take away.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn keep_server_key(
        &self,
        tenant: TenantId,
        server: &ServerName,
        row: Uuid,
        sealed: Option<&Value>,
    ) -> Result<bool, DbError> {
        const KEEP: &str = "
            UPDATE tool_servers SET key = $3
            WHERE id = $1 AND name = $2 AND status = 'active' AND (has_key OR $3::jsonb IS NOT NULL) RETURNING id";
        let [kept] = self.run(tenant, [(KEEP, &[&row, &server.as_str(), &sealed])]).await?;
        Ok(!kept.is_empty())
    }
}
