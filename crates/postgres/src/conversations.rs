//! Conversations: finding, opening and listing them. Who may do so is not decided here.

use konstruct_domain::access::Membership;
use konstruct_domain::{
    AgentId, Conversation, ConversationId, Epoch, Generation, Seq, SessionId, TenantId, UserId,
};
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::DbError;
use crate::members::tenant_role;
use crate::row::{closed, get};
use crate::tenant_tx::TenantTx;

/// A conversation as its row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationRow {
    /// Whose it is, and with whom.
    pub conversation: Conversation,
    /// The agent's name.
    pub agent_name: String,
    /// Whether a human has it.
    pub human: bool,
    /// Its epoch.
    pub epoch: Epoch,
    /// `None` until a first frame log is begun.
    pub generation: Option<Generation>,
    /// The highest `seq` that was surely handed out.
    pub last_seq: Seq,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When something was last said in it.
    pub updated_at: OffsetDateTime,
}

/// A line of a list of conversations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryRow {
    /// Whose it is, and with whom.
    pub conversation: Conversation,
    /// The agent's name.
    pub agent_name: String,
    /// Sorts the list, newest first.
    pub updated_at: OffsetDateTime,
    /// The beginning of the last message.
    pub preview: Option<String>,
}

/// Where a page of a list begins: behind this line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListCursor {
    /// `updated_at` of the last line of the page before.
    pub updated_at: OffsetDateTime,
    /// Its id.
    pub id: ConversationId,
}

/// What came of opening a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The user's membership; without one nothing was made.
    pub membership: Membership,
    /// The conversation and whether it was made just now; `None`: no member, or no such agent.
    pub row: Option<(ConversationRow, bool)>,
}

pub(crate) const FIND: &str = "
    SELECT c.tenant_id, c.id, c.agent_id, c.user_id, c.session_id, c.status, c.epoch, c.log_generation,
        c.last_seq, c.created_at, c.updated_at, a.name AS agent_name
    FROM web_conversations c JOIN agents a ON a.id = c.agent_id WHERE c.id = $1";

pub(crate) const MEMBER: &str = "SELECT role FROM tenant_members WHERE user_id = $1";

impl TenantTx {
    /// The user's membership and a conversation of the tenant.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn conversation(
        self,
        id: ConversationId,
        user: UserId,
    ) -> Result<(Membership, Option<ConversationRow>), DbError> {
        let [members, rows] = self.run([(MEMBER, &[&user.0]), (FIND, &[&id.0])]).await?;
        let membership = members.first().map(|row| closed(row, "role", tenant_role)).transpose()?;
        Ok((membership, rows.first().map(conversation_row).transpose()?))
    }

    /// The user's conversation with an agent (`None`: the default one) under a session (`None`: the empty one),
    /// made under the id `fresh` if it is not there. Two calls that race end in one row.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn open_conversation(
        self,
        fresh: ConversationId,
        user: UserId,
        agent: Option<AgentId>,
        session: Option<&SessionId>,
    ) -> Result<Opened, DbError> {
        const MAKE: &str = "
            INSERT INTO web_conversations (tenant_id, id, agent_id, user_id, session_id)
            SELECT a.tenant_id, $1::uuid, a.id, $2::uuid, $4::text FROM agents a
            WHERE (a.id = $3 OR ($3::uuid IS NULL AND a.is_default))
              AND EXISTS (SELECT 1 FROM tenant_members WHERE user_id = $2)
            ON CONFLICT (tenant_id, agent_id, user_id, session_id) DO NOTHING
            RETURNING id";
        // A statement of its own: it sees what a racing call committed while the INSERT waited for it.
        const GET: &str = "
            SELECT c.tenant_id, c.id, c.agent_id, c.user_id, c.session_id, c.status, c.epoch, c.log_generation,
                c.last_seq, c.created_at, c.updated_at, a.name AS agent_name
            FROM web_conversations c JOIN agents a ON a.id = c.agent_id
            WHERE (a.id = $2 OR ($2::uuid IS NULL AND a.is_default)) AND c.user_id = $1 AND c.session_id = $3
              AND EXISTS (SELECT 1 FROM tenant_members WHERE user_id = $1)";
        let session = session.map_or("", SessionId::as_str);
        let agent: Option<Uuid> = agent.map(|a| a.0);
        let [members, made, rows] = self
            .run([
                (MEMBER, &[&user.0]),
                (MAKE, &[&fresh.0, &user.0, &agent, &session]),
                (GET, &[&user.0, &agent, &session]),
            ])
            .await?;
        let membership = members.first().map(|row| closed(row, "role", tenant_role)).transpose()?;
        let row = rows.first().map(conversation_row).transpose()?;
        Ok(Opened { membership, row: row.map(|row| (row, !made.is_empty())) })
    }

    /// The user's membership, and a page of conversations, newest first: the user's own, or with `all` the tenant's;
    /// those that a human has (`Some(true)`), or the AI, of a tenant admin's whole tenant.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn conversations(
        self,
        user: UserId,
        all: bool,
        human: Option<bool>,
        cursor: Option<ListCursor>,
        limit: i64,
    ) -> Result<(Membership, Vec<SummaryRow>), DbError> {
        const LIST: &str = "
            SELECT c.tenant_id, c.id, c.agent_id, c.user_id, c.session_id, c.updated_at, a.name AS agent_name,
                (SELECT left(m.content, 200) FROM web_conversation_messages m
                 WHERE m.conversation_id = c.id ORDER BY m.position DESC LIMIT 1) AS preview
            FROM web_conversations c JOIN agents a ON a.id = c.agent_id
            WHERE ($1 OR c.user_id = $2 OR ($6::boolean IS NOT NULL AND EXISTS
                  (SELECT 1 FROM tenant_members WHERE user_id = $2 AND role = 'tenant_admin')))
              AND ($6::boolean IS NULL OR (c.status = 'human') = $6)
              AND ($3::timestamptz IS NULL OR (c.updated_at, c.id) < ($3, $4::uuid))
            ORDER BY c.updated_at DESC, c.id DESC LIMIT $5";
        let (at, id) = (cursor.map(|c| c.updated_at), cursor.map(|c| c.id.0));
        let [members, rows] =
            self.run([(MEMBER, &[&user.0]), (LIST, &[&all, &user.0, &at, &id, &limit, &human])]).await?;
        let membership = members.first().map(|row| closed(row, "role", tenant_role)).transpose()?;
        Ok((membership, rows.iter().map(summary_row).collect::<Result<_, _>>()?))
    }
}

pub(crate) fn conversation_row(row: &Row) -> Result<ConversationRow, DbError> {
    Ok(ConversationRow {
        conversation: conversation(row)?,
        agent_name: get(row, "agent_name")?,
        human: get::<&str>(row, "status")? == "human",
        epoch: Epoch(get(row, "epoch")?),
        generation: get::<Option<i64>>(row, "log_generation")?.map(Generation),
        last_seq: Seq(get(row, "last_seq")?),
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
    })
}

pub(crate) fn summary_row(row: &Row) -> Result<SummaryRow, DbError> {
    Ok(SummaryRow {
        conversation: conversation(row)?,
        agent_name: get(row, "agent_name")?,
        updated_at: get(row, "updated_at")?,
        preview: get(row, "preview")?,
    })
}

fn conversation(row: &Row) -> Result<Conversation, DbError> {
    let session: &str = get(row, "session_id")?;
    Ok(Conversation {
        tenant_id: TenantId(get(row, "tenant_id")?),
        id: ConversationId(get(row, "id")?),
        agent_id: AgentId(get(row, "agent_id")?),
        user_id: get::<Option<Uuid>>(row, "user_id")?.map(UserId),
        session_id: session.parse().ok(),
    })
}
