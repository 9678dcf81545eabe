//! Tenants, as operators make and change them. None is ever deleted.

use konstruct_domain::{Name, Slug, TenantId};
use time::OffsetDateTime;
use tokio_postgres::Row;

use super::{Administration, Made};
use crate::error::DbError;
use crate::row::get;

/// A tenant as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRow {
    /// Its id.
    pub id: TenantId,
    /// What operators call it.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// Whether its people are let in.
    pub is_active: bool,
    /// Messages a minute and channel.
    pub messages_per_minute: i32,
    /// What a calendar month may cost; `None`: no limit.
    pub tokens_per_month: Option<i64>,
    /// Since when.
    pub created_at: OffsetDateTime,
}

/// A tenant to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewTenant<'a> {
    /// Its id, unless it is there.
    pub id: TenantId,
    /// What operators call it.
    pub slug: &'a Slug,
    /// What people call it.
    pub name: &'a Name,
    /// Messages a minute and channel, more than 0.
    pub messages_per_minute: i32,
    /// What a calendar month may cost, 0 or more; `None`: no limit.
    pub tokens_per_month: Option<i64>,
}

/// What is to be changed; `None` stays as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct TenantChange<'a> {
    /// What people call it.
    pub name: Option<&'a Name>,
    /// Messages a minute and channel, more than 0.
    pub messages_per_minute: Option<i32>,
    /// What a calendar month may cost; `Some(None)`: no limit.
    pub tokens_per_month: Option<Option<i64>>,
    /// Whether its people are let in.
    pub is_active: Option<bool>,
}

/// How much there is of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantFigures {
    /// Members.
    pub users: i64,
    /// Agents, inactive ones too.
    pub agents: i64,
    /// Tokens booked in this calendar month (UTC).
    pub tokens_this_month: i64,
}

const FIND: &str = "
    SELECT id, slug, name, is_active, messages_per_minute, tokens_per_month, created_at FROM tenants WHERE slug = $1";

impl Administration {
    /// Makes a tenant; `None`: its id is another one's.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn make_tenant(&self, new: NewTenant<'_>) -> Result<Option<Made<TenantRow>>, DbError> {
        const MAKE: &str = "
            INSERT INTO tenants (id, slug, name, messages_per_minute, tokens_per_month) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT DO NOTHING RETURNING id";
        let (slug, name) = (new.slug.as_str(), new.name.as_str());
        // A statement of its own: it sees what a racing call committed while the INSERT waited for it.
        let [made, found] = self
            .run(
                new.id,
                [
                    (MAKE, &[&new.id.0, &slug, &name, &new.messages_per_minute, &new.tokens_per_month]),
                    (FIND, &[&slug]),
                ],
            )
            .await?;
        let row = found.first().map(tenant_row).transpose()?;
        Ok(row.map(|row| Made { row, created: !made.is_empty() }))
    }

    /// The tenant that operators call so.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn tenant(&self, slug: &Slug) -> Result<Option<TenantRow>, DbError> {
        let [found] = self.above([(FIND, &[&slug.as_str()])]).await?;
        found.first().map(tenant_row).transpose()
    }

    /// Every tenant, by its slug.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn tenants(&self) -> Result<Vec<TenantRow>, DbError> {
        const LIST: &str = "
            SELECT id, slug, name, is_active, messages_per_minute, tokens_per_month, created_at FROM tenants
            ORDER BY slug COLLATE \"C\"";
        let [rows] = self.above([(LIST, &[])]).await?;
        rows.iter().map(tenant_row).collect()
    }

    /// How much there is of a tenant.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn tenant_figures(&self, tenant: TenantId) -> Result<TenantFigures, DbError> {
        const COUNT: &str = "
            SELECT (SELECT count(*) FROM tenant_members) AS users, (SELECT count(*) FROM agents) AS agents,
                coalesce((SELECT spent FROM token_months
                    WHERE month = date_trunc('month', now() AT TIME ZONE 'UTC')::date), 0) AS tokens_this_month";
        let [rows] = self.run(tenant, [(COUNT, &[])]).await?;
        let row = rows.first().ok_or_else(|| DbError::Configuration("counting has no row".to_owned()))?;
        Ok(TenantFigures {
            users: get(row, "users")?,
            agents: get(row, "agents")?,
            tokens_this_month: get(row, "tokens_this_month")?,
        })
    }

    /// Changes a tenant; as it was, and as it is. `None`: there is none.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn change_tenant(
        &self,
        tenant: TenantId,
        change: TenantChange<'_>,
    ) -> Result<Option<(TenantRow, TenantRow)>, DbError> {
        const LOCK: &str = "
            SELECT id, slug, name, is_active, messages_per_minute, tokens_per_month, created_at FROM tenants
            WHERE id = $1 FOR NO KEY UPDATE";
        const CHANGE: &str = "
            UPDATE tenants SET name = coalesce($2, name), messages_per_minute = coalesce($3, messages_per_minute),
                tokens_per_month = CASE WHEN $4 THEN $5 ELSE tokens_per_month END, is_active = coalesce($6, is_active)
            WHERE id = $1
            RETURNING id, slug, name, is_active, messages_per_minute, tokens_per_month, created_at";
        let name = change.name.map(Name::as_str);
        let (budget_given, budget) = (change.tokens_per_month.is_some(), change.tokens_per_month.flatten());
        let [before, after] = self
            .run(
                tenant,
                [
                    (LOCK, &[&tenant.0]),
                    (
                        CHANGE,
                        &[
                            &tenant.0,
                            &name,
                            &change.messages_per_minute,
                            &budget_given,
                            &budget,
                            &change.is_active,
                        ],
                    ),
                ],
            )
            .await?;
        match (before.first(), after.first()) {
            (Some(before), Some(after)) => Ok(Some((tenant_row(before)?, tenant_row(after)?))),
            _ => Ok(None),
        }
    }
}

fn tenant_row(row: &Row) -> Result<TenantRow, DbError> {
    Ok(TenantRow {
        id: TenantId(get(row, "id")?),
        slug: get(row, "slug")?,
        name: get(row, "name")?,
        is_active: get(row, "is_active")?,
        messages_per_minute: get(row, "messages_per_minute")?,
        tokens_per_month: get(row, "tokens_per_month")?,
        created_at: get(row, "created_at")?,
    })
}
