//! Conversations over REST: whose they are, and seeing them. Every finder takes a tenant or finds it first.

use konstruct_domain::access::{Access, in_tenant, with_conversation};
use konstruct_domain::{AgentId, ConversationId, Denied, MessageId, Principal, SessionId, TenantId};
use konstruct_ports::Ids;
use konstruct_postgres::agents::AgentRow;
use konstruct_postgres::conversations::{ConversationRow, ListCursor, SummaryRow};
use konstruct_postgres::messages::MessageRow;
use konstruct_postgres::{PlatformPool, TenantPool};

use crate::error::Error;

/// The tenant in which a caller looks for a conversation: his own; a platform admin's is the conversation's.
///
/// # Errors
/// `not_found`, or Postgres is away.
pub async fn tenant_of(
    db: &TenantPool,
    caller: &Principal,
    conversation: ConversationId,
) -> Result<TenantId, Error> {
    let tenant = if caller.is_platform_admin() {
        tracing::info!(target: "audit", user_id = %caller.user_id, conversation_id = %conversation,
            "a platform admin looks for a conversation");
        db.conversation_tenant(conversation).await?
    } else {
        caller.tenant_id
    };
    tenant.ok_or_else(|| Error::not_found("conversation"))
}

/// A conversation that the caller may read or write.
///
/// # Errors
/// `not_found`, `forbidden`, or Postgres is away.
pub async fn find(
    db: &TenantPool,
    caller: &Principal,
    conversation: ConversationId,
    access: Access,
) -> Result<ConversationRow, Error> {
    let tenant = tenant_of(db, caller, conversation).await?;
    let (membership, row) = db.begin(tenant).await?.conversation(conversation, caller.user_id).await?;
    in_tenant(caller, membership, access)?;
    let row = row.ok_or_else(|| Error::not_found("conversation"))?;
    with_conversation(caller, membership, &row.conversation, row.human, access)?;
    Ok(row)
}

/// The caller's conversation with an agent, made if it is not there (`true`).
///
/// # Errors
/// `forbidden`, `not_found`, or Postgres is away.
pub async fn open(
    db: &TenantPool,
    ids: &dyn Ids,
    caller: &Principal,
    tenant: TenantId,
    agent: AgentId,
    session: Option<&SessionId>,
) -> Result<(ConversationRow, bool), Error> {
    let fresh = ConversationId(ids.new_id());
    let tx = db.begin(tenant).await?;
    let opened = tx.open_conversation(fresh, caller.user_id, Some(agent), session).await?;
    if opened.membership.is_none() {
        return Err(Denied::NotAMember.into());
    }
    opened.row.ok_or_else(|| Error::not_found("agent"))
}

/// Which conversations are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Of a tenant; `None`: of all.
    pub tenant: Option<TenantId>,
    /// Those that a human has (`true`), or the AI.
    pub human: Option<bool>,
    /// Behind this line.
    pub cursor: Option<ListCursor>,
    /// At most so many.
    pub limit: u16,
}

/// A page of conversations, newest first, and whether there are more: the caller's own of a tenant; for a platform
/// admin the tenant's, or all tenants'; for a tenant admin who asks for a status, the tenant's.
///
/// # Errors
/// `forbidden`, or Postgres is away.
pub async fn list(
    db: &TenantPool,
    platform: &PlatformPool,
    caller: &Principal,
    filter: Filter,
) -> Result<(Vec<SummaryRow>, bool), Error> {
    let Filter { tenant, human, cursor, limit } = filter;
    let fetched = i64::from(limit) + 1;
    let mut rows = match tenant {
        Some(tenant) => {
            let all = caller.is_platform_admin();
            let tx = db.begin(tenant).await?;
            let (membership, rows) = tx.conversations(caller.user_id, all, human, cursor, fetched).await?;
            in_tenant(caller, membership, Access::Read)?;
            rows
        }
        None if caller.is_platform_admin() => {
            platform.conversations(caller.user_id, human, cursor, fetched).await?
        }
        None => return Err(Denied::NotAMember.into()),
    };
    let more = rows.len() > usize::from(limit);
    rows.truncate(limit.into());
    Ok((rows, more))
}

/// A page of a conversation's history, oldest first, and whether there is more before it.
///
/// # Errors
/// `forbidden`, `not_found`, or Postgres is away.
pub async fn history(
    db: &TenantPool,
    caller: &Principal,
    conversation: ConversationId,
    before: Option<MessageId>,
    limit: u16,
) -> Result<(Vec<MessageRow>, bool), Error> {
    let tenant = tenant_of(db, caller, conversation).await?;
    let tx = db.begin(tenant).await?;
    let page = tx.history(conversation, caller.user_id, before, i64::from(limit) + 1).await?;
    in_tenant(caller, page.membership, Access::Read)?;
    let row = page.conversation.ok_or_else(|| Error::not_found("conversation"))?;
    with_conversation(caller, page.membership, &row.conversation, row.human, Access::Read)?;
    if page.before_unknown {
        return Err(Error::not_found("message in this conversation"));
    }
    let mut messages = page.messages;
    let more = messages.len() > usize::from(limit);
    messages.truncate(limit.into());
    messages.reverse();
    Ok((messages, more))
}

/// Every agent of a tenant.
///
/// # Errors
/// `forbidden`, or Postgres is away.
pub async fn agents(db: &TenantPool, caller: &Principal, tenant: TenantId) -> Result<Vec<AgentRow>, Error> {
    let (membership, agents) = db.begin(tenant).await?.agents(caller.user_id).await?;
    in_tenant(caller, membership, Access::Read)?;
    Ok(agents)
}
