//! Who may do what: the one RBAC table (CHAT-04). It never looks anything up: facts come in, a verdict goes out.

use crate::conversation::Conversation;
use crate::id::{TenantId, UserId};

/// The role a token claims. Inside a tenant only `tenant_members` counts; `PlatformAdmin` is honoured as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads every tenant; writes nowhere but where he is a member.
    PlatformAdmin,
    /// Claims to administer the tenant.
    TenantAdmin,
    /// Claims to be a member.
    TenantMember,
}

impl Role {
    /// Its name in a token and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PlatformAdmin => "platform_admin",
            Self::TenantAdmin => "tenant_admin",
            Self::TenantMember => "tenant_member",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::PlatformAdmin, Self::TenantAdmin, Self::TenantMember].into_iter().find(|r| r.as_str() == name)
    }
}

/// The role a row of `tenant_members` gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantRole {
    /// `tenant_admin`.
    Admin,
    /// `tenant_member`.
    Member,
}

/// What a verified token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// `sub`.
    pub user_id: UserId,
    /// `role`.
    pub role: Role,
    /// `tenant_id`; only a platform admin may lack it.
    pub tenant_id: Option<TenantId>,
    /// `exp`, seconds since 1970.
    pub expires_at: i64,
}

impl Principal {
    /// Whether the token is a platform admin's.
    #[must_use]
    pub fn is_platform_admin(&self) -> bool {
        self.role == Role::PlatformAdmin
    }
}

/// What the database says of a caller in a tenant: `None` is no member.
pub type Membership = Option<TenantRole>;

/// What an admin of the tenant itself may do and nobody else: a platform admin reads a tenant's links to channels, and
/// does not make or remove them.
///
/// # Errors
/// Why not.
pub const fn manages(membership: Membership) -> Result<(), Denied> {
    match membership {
        Some(TenantRole::Admin) => Ok(()),
        Some(TenantRole::Member) => Err(Denied::NotAnAdmin),
        None => Err(Denied::NotAMember),
    }
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// See a conversation, or a tenant's list.
    Read,
    /// Write a message, make or reset a conversation.
    Write,
    /// What only a tenant admin or a platform admin may do.
    Administer,
}

/// Refused: `forbidden`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Not in this tenant.
    #[error("You are not a member of this tenant.")]
    NotAMember,
    /// Another person's conversation in one's own tenant.
    #[error("This conversation belongs to another user.")]
    NotYours,
    /// An administrator's business.
    #[error("Only an administrator may do this.")]
    NotAnAdmin,
}

/// May the caller do this in a tenant?
///
/// # Errors
/// Why not.
pub fn in_tenant(caller: &Principal, membership: Membership, access: Access) -> Result<(), Denied> {
    match (access, membership) {
        (Access::Administer, Some(TenantRole::Admin)) | (Access::Read | Access::Write, Some(_)) => Ok(()),
        (Access::Read | Access::Administer, _) if caller.is_platform_admin() => Ok(()),
        (Access::Administer, Some(TenantRole::Member)) => Err(Denied::NotAnAdmin),
        (_, None) => Err(Denied::NotAMember),
    }
}

/// May the caller do this with a conversation of a tenant he was let into? `human`: a human has it, and whoever
/// administers the tenant may read it.
///
/// # Errors
/// Why not.
pub fn with_conversation(
    caller: &Principal,
    membership: Membership,
    conversation: &Conversation,
    human: bool,
    access: Access,
) -> Result<(), Denied> {
    in_tenant(caller, membership, access)?;
    let own = conversation.user_id == Some(caller.user_id);
    let reads = access == Access::Read;
    let operates = human && membership == Some(TenantRole::Admin);
    if own || (reads && (caller.is_platform_admin() || operates)) { Ok(()) } else { Err(Denied::NotYours) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{AgentId, ConversationId};
    use uuid::Uuid;

    fn principal(role: Role) -> Principal {
        Principal { user_id: UserId(Uuid::from_u128(1)), role, tenant_id: None, expires_at: 0 }
    }

    fn conversation(user: u128) -> Conversation {
        Conversation {
            id: ConversationId(Uuid::from_u128(7)),
            tenant_id: TenantId(Uuid::from_u128(8)),
            agent_id: AgentId(Uuid::from_u128(9)),
            user_id: Some(UserId(Uuid::from_u128(user))),
            session_id: None,
        }
    }

    /// proves CHAT-04
    #[test]
    fn the_rbac_table_holds_row_by_row() {
        use Access::{Administer, Read, Write};
        let rows = [
            (Role::TenantMember, None, Read, Err(Denied::NotAMember)),
            (Role::TenantAdmin, None, Administer, Err(Denied::NotAMember)),
            (Role::TenantAdmin, Some(TenantRole::Member), Administer, Err(Denied::NotAnAdmin)),
            (Role::TenantMember, Some(TenantRole::Admin), Administer, Ok(())),
            (Role::TenantMember, Some(TenantRole::Member), Write, Ok(())),
            (Role::PlatformAdmin, None, Read, Ok(())),
            (Role::PlatformAdmin, None, Administer, Ok(())),
            (Role::PlatformAdmin, None, Write, Err(Denied::NotAMember)),
            (Role::PlatformAdmin, Some(TenantRole::Member), Write, Ok(())),
        ];
        for (role, membership, access, verdict) in rows {
            assert_eq!(
                in_tenant(&principal(role), membership, access),
                verdict,
                "{role:?} {membership:?} {access:?}"
            );
        }
    }

    #[test]
    fn only_an_admin_of_the_tenant_itself_manages_it() {
        assert_eq!(manages(Some(TenantRole::Admin)), Ok(()));
        assert_eq!(manages(Some(TenantRole::Member)), Err(Denied::NotAnAdmin));
        assert_eq!(manages(None), Err(Denied::NotAMember));
    }

    /// proves CHAT-04
    #[test]
    fn a_conversation_is_its_owners_and_a_platform_admins_to_read() {
        let member = principal(Role::TenantMember);
        let here = Some(TenantRole::Member);
        assert_eq!(with_conversation(&member, here, &conversation(1), false, Access::Write), Ok(()));
        assert_eq!(
            with_conversation(&member, here, &conversation(2), false, Access::Read),
            Err(Denied::NotYours)
        );
        let admin = principal(Role::PlatformAdmin);
        assert_eq!(with_conversation(&admin, None, &conversation(2), false, Access::Read), Ok(()));
        assert_eq!(
            with_conversation(&admin, here, &conversation(2), false, Access::Write),
            Err(Denied::NotYours)
        );
    }

    /// proves CHAT-04, AGNT-06
    #[test]
    fn a_tenant_admin_reads_what_a_human_has_and_writes_none_of_it() {
        let admin = principal(Role::TenantAdmin);
        let (here, member) = (Some(TenantRole::Admin), Some(TenantRole::Member));
        assert_eq!(with_conversation(&admin, here, &conversation(2), true, Access::Read), Ok(()));
        assert_eq!(
            with_conversation(&admin, here, &conversation(2), false, Access::Read),
            Err(Denied::NotYours)
        );
        assert_eq!(
            with_conversation(&admin, here, &conversation(2), true, Access::Write),
            Err(Denied::NotYours)
        );
        assert_eq!(
            with_conversation(&admin, member, &conversation(2), true, Access::Read),
            Err(Denied::NotYours)
        );
    }
}
