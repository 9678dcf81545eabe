//! Who is a member of the tenant. What that allows is not decided here.

use konstruct_domain::access::{Membership, TenantRole};
use konstruct_domain::tenant::Tenant;
use konstruct_domain::UserId;

use crate::error::DbError;
use crate::row::{closed, get};
use crate::tenant_tx::TenantTx;

pub(crate) fn tenant_role(name: &str) -> Option<TenantRole> {
    match name {
        "tenant_admin" => Some(TenantRole::Admin),
        "tenant_member" => Some(TenantRole::Member),
        _ => None,
    }
}

impl TenantTx {
    /// The user's membership of this tenant.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn membership(self, user: UserId) -> Result<Membership, DbError> {
        let rows = self.query("SELECT role FROM tenant_members WHERE user_id = $1", &[&user.0]).await?;
        rows.first().map(|row| closed(row, "role", tenant_role)).transpose()
    }

    /// The tenant and the user's membership of it; `None`: there is no such tenant.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn tenant_and_membership(self, user: UserId) -> Result<Option<(Tenant, Membership)>, DbError> {
        const SQL: &str = "
            SELECT t.messages_per_minute, (SELECT role FROM tenant_members WHERE user_id = $1) AS role
            FROM tenants t";
        let id = self.tenant;
        let rows = self.query(SQL, &[&user.0]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let messages_per_minute = u32::try_from(get::<i32>(row, "messages_per_minute")?).unwrap_or(1);
        let membership = match get::<Option<&str>>(row, "role")? {
            Some(_) => Some(closed(row, "role", tenant_role)?),
            None => None,
        };
        Ok(Some((Tenant { id, messages_per_minute }, membership)))
    }
}
