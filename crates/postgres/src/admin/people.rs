//! People and their memberships. A person is above tenants and is never deleted; a member who is removed loses the
//! membership and nothing else.

use konstruct_domain::{Email, TenantId, TenantRole, UserId};
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

use super::Administration;
use crate::error::DbError;
use crate::members::tenant_role;
use crate::row::{closed, get};

/// A member of a tenant, as operators see one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    /// The `sub` of the person's tokens.
    pub id: UserId,
    /// The address.
    pub email: String,
    /// As what.
    pub role: TenantRole,
    /// Since when.
    pub created_at: OffsetDateTime,
}

/// What came of adding a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// A member now; `true`: not before, and otherwise nothing was changed.
    Member(MemberRow, bool),
    /// The address is that of a person with this id, who was meant to have another.
    OtherId(UserId),
    /// The id is that of a person with another address.
    IdTaken,
}

/// What came of removing a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// No member any more.
    Done(MemberRow),
    /// Known, and no member before.
    NoMember,
    /// Nobody is known under this address.
    Unknown,
}

/// The person under an address, also where it was once written with capitals.
const MEMBER: &str = "
    SELECT u.id, u.email, m.role, m.created_at FROM portal_users u LEFT JOIN tenant_members m ON m.user_id = u.id
    WHERE lower(u.email) = $1 ORDER BY m.role IS NULL, u.email <> $1, u.id LIMIT 1";

impl Administration {
    /// Adds a person to a tenant under the id `fresh`, if nobody is known under the address; `wanted`: under no other.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn add_member(
        &self,
        tenant: TenantId,
        email: &Email,
        role: TenantRole,
        fresh: UserId,
        wanted: bool,
    ) -> Result<Added, DbError> {
        const PERSON: &str = "
            INSERT INTO portal_users (id, email)
            SELECT $2::uuid, $1::text WHERE NOT EXISTS (SELECT 1 FROM portal_users WHERE lower(email) = $1)
            ON CONFLICT DO NOTHING RETURNING id";
        const JOIN: &str = "
            INSERT INTO tenant_members (tenant_id, user_id, role)
            SELECT $3::uuid, u.id, $4::text FROM portal_users u
            WHERE lower(u.email) = $1 AND (NOT $5 OR u.id = $2)
              AND NOT EXISTS (SELECT 1 FROM tenant_members m JOIN portal_users p ON p.id = m.user_id
                              WHERE lower(p.email) = $1)
            ORDER BY u.email <> $1, u.id LIMIT 1
            ON CONFLICT DO NOTHING RETURNING user_id";
        let (email, id, role) = (email.as_str(), fresh.0, role_name(role));
        let [_, joined, found] = self
            .run(
                tenant,
                [
                    (PERSON, &[&email, &id]),
                    (JOIN, &[&email, &id, &tenant.0, &role, &wanted]),
                    (MEMBER, &[&email]),
                ],
            )
            .await?;
        let Some(row) = found.first() else { return Ok(Added::IdTaken) };
        let known = UserId(get(row, "id")?);
        match member(row)? {
            _ if wanted && known != fresh => Ok(Added::OtherId(known)),
            Some(member) => Ok(Added::Member(member, !joined.is_empty())),
            None => Err(DbError::Away("the member was removed meanwhile".to_owned())),
        }
    }

    /// Every member of a tenant, by the address.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn members(&self, tenant: TenantId) -> Result<Vec<MemberRow>, DbError> {
        const LIST: &str = "
            SELECT u.id, u.email, m.role, m.created_at FROM tenant_members m JOIN portal_users u ON u.id = m.user_id
            ORDER BY u.email COLLATE \"C\", u.id";
        let [rows] = self.run(tenant, [(LIST, &[])]).await?;
        rows.iter().filter_map(|row| member(row).transpose()).collect()
    }

    /// Gives a member another role; as it was, and as it is. `None`: no member.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn change_member(
        &self,
        tenant: TenantId,
        email: &Email,
        role: TenantRole,
    ) -> Result<Option<(MemberRow, MemberRow)>, DbError> {
        const CHANGE: &str = "
            UPDATE tenant_members m SET role = $2 FROM portal_users u
            WHERE u.id = m.user_id AND lower(u.email) = $1";
        let (email, role) = (email.as_str(), role_name(role));
        let [before, _, after] =
            self.run(tenant, [(MEMBER, &[&email]), (CHANGE, &[&email, &role]), (MEMBER, &[&email])]).await?;
        let found = |rows: &[Row]| rows.first().map(member).transpose().map(Option::flatten);
        Ok(found(&before)?.zip(found(&after)?))
    }

    /// Removes a member.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn remove_member(&self, tenant: TenantId, email: &Email) -> Result<Removed, DbError> {
        const REMOVE: &str = "
            DELETE FROM tenant_members m USING portal_users u WHERE u.id = m.user_id AND lower(u.email) = $1
            RETURNING u.id, u.email, m.role, m.created_at";
        const KNOWN: &str = "SELECT 1 FROM portal_users WHERE lower(email) = $1";
        let email = email.as_str();
        let [removed, known] = self.run(tenant, [(REMOVE, &[&email]), (KNOWN, &[&email])]).await?;
        Ok(match removed.first().map(member).transpose()?.flatten() {
            Some(member) => Removed::Done(member),
            None if known.is_empty() => Removed::Unknown,
            None => Removed::NoMember,
        })
    }
}

/// `None`: a person who is no member.
fn member(row: &Row) -> Result<Option<MemberRow>, DbError> {
    if get::<Option<&str>>(row, "role")?.is_none() {
        return Ok(None);
    }
    Ok(Some(MemberRow {
        id: UserId(get::<Uuid>(row, "id")?),
        email: get(row, "email")?,
        role: closed(row, "role", tenant_role)?,
        created_at: get(row, "created_at")?,
    }))
}

/// As the database has it.
const fn role_name(role: TenantRole) -> &'static str {
    match role {
        TenantRole::Admin => "tenant_admin",
        TenantRole::Member => "tenant_member",
    }
}
