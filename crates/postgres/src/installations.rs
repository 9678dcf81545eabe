//! The tenant's installations: its links to channels. What they keep as secrets is sealed before it comes here, and
//! only `konstruct_channels` may read it; every other role may at most take it away.

use konstruct_domain::access::{Membership, TenantRole};
use konstruct_domain::{Channel, UserId};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::conversations::MEMBER;
use crate::error::DbError;
use crate::members::tenant_role;
use crate::row::{closed, get};
use crate::tenant_tx::TenantTx;

/// An installation as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallationRow {
    /// Its id.
    pub id: Uuid,
    /// On which channel.
    pub channel: Channel,
    /// The channel's own id of what it is installed in.
    pub workspace_id: String,
    /// Whether it is in use; otherwise it was removed.
    pub active: bool,
    /// When it was first made.
    pub created_at: OffsetDateTime,
}

/// What came of removing an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is removed, and what it kept is gone. Also if it was before.
    Done,
    /// The caller is no admin of the tenant: this is what he is.
    NotAdmin(Membership),
    /// The tenant has no such one.
    Unknown,
}

/// An installation to be kept.
#[derive(Debug, Clone, Copy)]
pub struct NewInstallation<'a> {
    /// Its row. What is sealed in `config` is sealed for it.
    pub id: Uuid,
    /// On which channel.
    pub channel: Channel,
    /// The channel's own id of what it is installed in.
    pub workspace_id: &'a str,
    /// All that is kept: replaces what was kept before.
    pub config: &'a Value,
    /// Who makes it.
    pub admin: UserId,
}

/// What came of keeping an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installation {
    /// It is kept and active.
    Done,
    /// The caller is no admin of the tenant (any more): this is what he is. Nothing is kept.
    NotAdmin(Membership),
    /// The workspace is another tenant's. Nothing is kept.
    Taken,
    /// The tenant has a row for this workspace: seal for this one. Nothing is kept.
    HasRow(Uuid),
}

impl TenantTx {
    /// The user's membership, and all installations, oldest first, removed ones too.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn installations(self, user: UserId) -> Result<(Membership, Vec<InstallationRow>), DbError> {
        const LIST: &str = "SELECT id, channel, workspace_id, status, created_at FROM channel_connections
            ORDER BY created_at, id";
        let [members, rows] = self.run([(MEMBER, &[&user.0]), (LIST, &[])]).await?;
        let membership = members.first().map(|row| closed(row, "role", tenant_role)).transpose()?;
        let rows = rows.iter().map(|row| {
            Ok(InstallationRow {
                id: get(row, "id")?,
                channel: closed(row, "channel", channel)?,
                workspace_id: get(row, "workspace_id")?,
                active: closed(row, "status", |status| match status {
                    "active" => Some(true),
                    "removed" => Some(false),
                    _ => None,
                })?,
                created_at: get(row, "created_at")?,
            })
        });
        Ok((membership, rows.collect::<Result<_, DbError>>()?))
    }

    /// Removes an installation, and its secrets with it.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn remove_installation(self, user: UserId, id: Uuid) -> Result<Removal, DbError> {
        const REMOVE: &str = "
            UPDATE channel_connections SET status = 'removed', config = '{}'
            WHERE id = $2 AND EXISTS
                (SELECT 1 FROM tenant_members WHERE user_id = $1 AND role = 'tenant_admin')
            RETURNING id";
        let [members, removed] = self.run([(MEMBER, &[&user.0]), (REMOVE, &[&user.0, &id])]).await?;
        let membership = members.first().map(|row| closed(row, "role", tenant_role)).transpose()?;
        Ok(match (removed.is_empty(), membership) {
            (false, _) => Removal::Done,
            (true, Some(TenantRole::Admin)) => Removal::Unknown,
            (true, other) => Removal::NotAdmin(other),
        })
    }

    /// What the active installation in a workspace keeps, and its id. As `konstruct_channels` only.
    ///
    /// # Errors
    /// [`DbError`]; as any other role `Query`.
    pub async fn installation_config(
        self,
        channel: Channel,
        workspace_id: &str,
    ) -> Result<Option<(Uuid, Value)>, DbError> {
        const CONFIG: &str = "SELECT id, config FROM channel_connections
            WHERE channel = $1 AND workspace_id = $2 AND status = 'active'";
        let rows = self.query(CONFIG, &[&channel.as_str(), &workspace_id]).await?;
        rows.first().map(|row| Ok((get(row, "id")?, get(row, "config")?))).transpose()
    }

    /// Keeps an installation: a new one, or the tenant's own of that workspace anew. As `konstruct_channels` only. Of
    /// two tenants who install in one workspace at once, one gets it.
    ///
    /// # Errors
    /// [`DbError`]; as any other role `Query`.
    pub async fn install(self, new: NewInstallation<'_>) -> Result<Installation, DbError> {
        // One after the other, whichever tenant's: what is looked for next must not change any more.
        const ALONE: &str = "SELECT 1 FROM pg_advisory_xact_lock(hashtextextended('install ' || $1::text || ' ' || $2::text, 0))";
        const FACTS: &str = "
            SELECT (SELECT role FROM tenant_members WHERE user_id = $4) AS role,
                (SELECT id FROM channel_connections WHERE channel = $1 AND workspace_id = $2) AS id,
                EXISTS (SELECT 1 FROM directory.installation($1, $2) WHERE tenant_id <> $3) AS taken";
        const KEEP: &str = "
            INSERT INTO channel_connections AS c (tenant_id, id, channel, workspace_id, config)
            SELECT $3::uuid, $5::uuid, $1::text, $2::text, $6::jsonb
            WHERE EXISTS (SELECT 1 FROM tenant_members WHERE user_id = $4 AND role = 'tenant_admin')
              AND NOT EXISTS (SELECT 1 FROM directory.installation($1, $2) WHERE tenant_id <> $3)
            ON CONFLICT (tenant_id, channel, workspace_id)
                DO UPDATE SET status = 'active', config = EXCLUDED.config WHERE c.id = EXCLUDED.id
            RETURNING id";
        let (channel, tenant) = (new.channel.as_str(), self.tenant.0);
        let [_, kept, facts] = self
            .run([
                (ALONE, &[&channel, &new.workspace_id]),
                (KEEP, &[&channel, &new.workspace_id, &tenant, &new.admin.0, &new.id, new.config]),
                (FACTS, &[&channel, &new.workspace_id, &tenant, &new.admin.0]),
            ])
            .await?;
        if !kept.is_empty() {
            return Ok(Installation::Done);
        }
        let row = facts.first().ok_or_else(|| DbError::Configuration("no facts".to_owned()))?;
        let membership = match get::<Option<&str>>(row, "role")? {
            Some(_) => Some(closed(row, "role", tenant_role)?),
            None => None,
        };
        match (membership, get(row, "taken")?, get::<Option<Uuid>>(row, "id")?) {
            (Some(TenantRole::Admin), true, _) => Ok(Installation::Taken),
            (Some(TenantRole::Admin), false, Some(id)) if id != new.id => Ok(Installation::HasRow(id)),
            // What hindered it is gone by now.
            (Some(TenantRole::Admin), ..) => Err(DbError::Away("facts changed meanwhile".to_owned())),
            (other, ..) => Ok(Installation::NotAdmin(other)),
        }
    }

    /// Remembers that an installation has no streaming. As `konstruct_channels` only.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn lost_streaming(self, id: Uuid) -> Result<(), DbError> {
        const SQL: &str = "
            UPDATE channel_connections SET config = config || '{\"streams\": false}' WHERE id = $1 AND status = 'active'";
        self.query(SQL, &[&id]).await.map(|_| ())
    }

    /// The channel itself says that the installation ended, `at` that time (seconds since 1970): removes it, and its
    /// secrets with it, unless it was made anew since. `false`: there was nothing to remove. As `konstruct_channels`
    /// only.
    ///
    /// # Errors
    /// [`DbError`]; as any other role `Query`.
    pub async fn uninstall(self, id: Uuid, at: i64) -> Result<bool, DbError> {
        const UNINSTALL: &str = "
            UPDATE channel_connections SET status = 'removed', config = '{}'
            WHERE id = $1 AND status = 'active' AND CASE jsonb_typeof(config -> 'installed_at')
                WHEN 'number' THEN (config -> 'installed_at')::numeric <= $2::bigint ELSE true END
            RETURNING id";
        Ok(!self.query(UNINSTALL, &[&id, &at]).await?.is_empty())
    }
}

fn channel(name: &str) -> Option<Channel> {
    Channel::ALL.into_iter().find(|channel| channel.as_str() == name)
}
