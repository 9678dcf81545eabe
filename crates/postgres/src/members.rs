//! Who is a member of the tenant. What that allows is not decided here.

use konstruct_domain::access::{Membership, TenantRole};
use konstruct_domain::tenant::Tenant;
use konstruct_domain::{ConversationId, UserId};
use uuid::Uuid;

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

    /// What admission needs of tenant, person and conversation; `None`: there is no such tenant.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn admission(
        self,
        user: UserId,
        conversation: ConversationId,
    ) -> Result<Option<AdmissionRow>, DbError> {
        const SQL: &str = "
            SELECT t.messages_per_minute, (SELECT role FROM tenant_members WHERE user_id = $1) AS role,
                c.user_id, coalesce(c.status = 'human', false) AS human
            FROM tenants t LEFT JOIN web_conversations c ON c.id = $2";
        let id = self.tenant;
        let rows = self.query(SQL, &[&user.0, &conversation.0]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let messages_per_minute = u32::try_from(get::<i32>(row, "messages_per_minute")?).unwrap_or(1);
        let membership = match get::<Option<&str>>(row, "role")? {
            Some(_) => Some(closed(row, "role", tenant_role)?),
            None => None,
        };
        Ok(Some(AdmissionRow {
            tenant: Tenant { id, messages_per_minute },
            membership,
            owner: get::<Option<Uuid>>(row, "user_id")?.map(UserId),
            human: get(row, "human")?,
        }))
    }
}

/// What admission needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmissionRow {
    /// The tenant and its limit.
    pub tenant: Tenant,
    /// The person's membership.
    pub membership: Membership,
    /// Whose the conversation is; `None`: the tenant has no such one.
    pub owner: Option<UserId>,
    /// Whether a human has the conversation.
    pub human: bool,
}
