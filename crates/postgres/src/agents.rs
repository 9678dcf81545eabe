//! The tenant's agents.

use konstruct_domain::access::Membership;
use konstruct_domain::{AgentId, UserId};

use crate::error::DbError;
use crate::members::tenant_role;
use crate::row::{closed, get};
use crate::tenant_tx::TenantTx;

/// An agent as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRow {
    /// Its id.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// What it is employed as.
    pub role: String,
    /// Whether it answers.
    pub is_active: bool,
}

impl TenantTx {
    /// The user's membership, and every agent of the tenant by name, inactive ones too.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn agents(self, user: UserId) -> Result<(Membership, Vec<AgentRow>), DbError> {
        let [members, agents] = self
            .run([
                ("SELECT role FROM tenant_members WHERE user_id = $1", &[&user.0]),
                ("SELECT id, name, role, is_active FROM agents ORDER BY name, id", &[]),
            ])
            .await?;
        let membership = members.first().map(|row| closed(row, "role", tenant_role)).transpose()?;
        let agents = agents.iter().map(|row| {
            Ok(AgentRow {
                id: AgentId(get(row, "id")?),
                name: get(row, "name")?,
                role: get(row, "role")?,
                is_active: get(row, "is_active")?,
            })
        });
        Ok((membership, agents.collect::<Result<_, DbError>>()?))
    }
}
