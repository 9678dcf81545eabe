//! Notices of an administrator: to a conversation, a tenant, or everyone. A notice is not numbered and not kept.

use konstruct_domain::access::{Access, in_tenant};
use konstruct_domain::{Content, ConversationId, Denied, Principal, TenantId};
use konstruct_postgres::TenantPool;
use konstruct_protocol::frame::frameable;
use konstruct_protocol::{ErrorCode, ServerFrame};

use crate::connections::Connections;
use crate::error::{Error, Refusal};

/// To whom a notice goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audience {
    /// `None`: the caller's tenant; of a platform admin whose token names none: every tenant.
    pub tenant: Option<TenantId>,
    /// `None`: all conversations.
    pub conversation: Option<ConversationId>,
}

/// Sends a notice; how many connections got it.
///
/// # Errors
/// A refusal, or something is away.
pub async fn send(
    db: &TenantPool,
    connections: &Connections,
    caller: &Principal,
    audience: Audience,
    text: &Content,
) -> Result<usize, Error> {
    if frameable(text.as_str()).is_none() {
        return Err(Error::Refused(Refusal {
            field: Some("text"),
            ..Refusal::new(ErrorCode::TooLarge, "The field text does not fit a frame of 32 KB.")
        }));
    }
    let frame = ServerFrame::Notice { text: text.as_str().to_owned() };
    let tenant = match (audience.tenant.or(caller.tenant_id), audience.conversation) {
        (Some(tenant), _) => Some(tenant),
        (None, Some(conversation)) => match db.conversation_tenant(conversation).await? {
            Some(tenant) => Some(tenant),
            None => return Err(Error::not_found("conversation")),
        },
        (None, None) => None,
    };
    let Some(tenant) = tenant else {
        // Only a platform admin's token may name no tenant.
        if !caller.is_platform_admin() {
            return Err(Denied::NotAnAdmin.into());
        }
        return connections.send_to_all(&frame).await;
    };
    let tx = db.begin(tenant).await?;
    match audience.conversation {
        Some(conversation) => {
            let (membership, row) = tx.conversation(conversation, caller.user_id).await?;
            in_tenant(caller, membership, Access::Administer)?;
            row.ok_or_else(|| Error::not_found("conversation"))?;
            connections.send_to_conversation(tenant, conversation, &frame).await
        }
        None => {
            in_tenant(caller, tx.membership(caller.user_id).await?, Access::Administer)?;
            connections.send_to_tenant(tenant, &frame).await
        }
    }
}
