//! Messages: storing a person's, reading the history, and what a prompt needs of it. Nothing is queued here.

use konstruct_domain::access::Membership;
use konstruct_domain::{Content, ConversationId, Epoch, MessageId, TraceId, UserId};
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::conversations::{ConversationRow, FIND, MEMBER, conversation_row};
use crate::error::DbError;
use crate::members::tenant_role;
use crate::row::{closed, get};
use crate::tenant_tx::TenantTx;
use crate::turns::trace;

/// A message of a person, to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewMessage<'a> {
    /// Its id.
    pub id: MessageId,
    /// Where it belongs.
    pub conversation: ConversationId,
    /// Who wrote it.
    pub user: UserId,
    /// What.
    pub content: &'a Content,
    /// The trace it is accepted in.
    pub trace: TraceId,
}

/// What came of storing a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// It is stored, now or before.
    Yes(StoredMessage),
    /// The writer is no member of the tenant (any more).
    NotAMember,
    /// The tenant has no such conversation.
    NoConversation,
    /// The conversation is another person's.
    NotYours,
    /// The id is another conversation's message's, or an answer's.
    IdTaken,
}

/// A message that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredMessage {
    /// It was there before.
    pub duplicate: bool,
    /// The epoch of its turn.
    pub epoch: Epoch,
    /// Its turn has ended: nothing is to be queued.
    pub ended: bool,
    /// The trace its first copy was accepted in; `None`: before there was one.
    pub trace: Option<TraceId>,
}

/// A message of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRow {
    /// Its id.
    pub id: MessageId,
    /// Whether a person wrote it.
    pub from_user: bool,
    /// What.
    pub content: String,
    /// When it was stored.
    pub created_at: OffsetDateTime,
    /// What it answers.
    pub in_reply_to: Option<MessageId>,
    /// Whether the person stopped it.
    pub stopped: bool,
    /// A human replied.
    pub by_human: bool,
    /// The code with which its turn ended without an answer.
    pub error: Option<String>,
}

/// A page of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage {
    /// The reader's membership.
    pub membership: Membership,
    /// The conversation; `None`: the tenant has no such one.
    pub conversation: Option<ConversationRow>,
    /// The messages, newest first.
    pub messages: Vec<MessageRow>,
    /// `before` names no message of the conversation.
    pub before_unknown: bool,
}

/// How a message's turn ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnOutcome {
    /// With an answer.
    Answered(MessageId, String),
    /// Without one: an error, or the message became context only.
    WithoutAnswer,
    /// Not yet.
    Open,
}

impl TenantTx {
    /// Stores a message and its turn, once. While a human has the conversation the turn is stored as ended and
    /// delivered.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn store_message(self, message: NewMessage<'_>) -> Result<Stored, DbError> {
        const LOCK: &str = "SELECT user_id FROM web_conversations WHERE id = $1 FOR NO KEY UPDATE";
        // Behind the lock, in a statement of its own: it sees what a racing copy committed.
        const STORE: &str = "
            WITH fresh AS (
                SELECT c.id FROM web_conversations c
                WHERE c.id = $1 AND c.user_id = $2
                  AND EXISTS (SELECT 1 FROM tenant_members WHERE user_id = $2)
                  AND NOT EXISTS (SELECT 1 FROM turns WHERE id = $3)
                  AND NOT EXISTS (SELECT 1 FROM web_conversation_messages WHERE id = $3)
            ), numbered AS (
                UPDATE web_conversations c SET last_position = last_position + 1, updated_at = now()
                FROM fresh WHERE c.id = fresh.id
                RETURNING c.tenant_id, c.id, c.last_position, c.epoch, c.status = 'human' AS human
            ), stored AS (
                INSERT INTO web_conversation_messages (tenant_id, id, conversation_id, position, role, content)
                SELECT tenant_id, $3::uuid, id, last_position, 'user', $4::text FROM numbered
                ON CONFLICT DO NOTHING RETURNING id
            )
            INSERT INTO turns (tenant_id, id, conversation_id, position, epoch, state, ended_at, delivered_at, trace_id)
            SELECT n.tenant_id, $3::uuid, n.id, n.last_position, n.epoch, CASE WHEN n.human THEN 'ended' ELSE 'open' END,
                CASE WHEN n.human THEN now() END, CASE WHEN n.human THEN now() END, $5::uuid
            FROM numbered n, stored
            ON CONFLICT DO NOTHING RETURNING id";
        const LOOK: &str = "SELECT conversation_id, epoch, state, trace_id FROM turns WHERE id = $1";
        let (conversation, id, user) = (message.conversation.0, message.id.0, message.user);
        let [members, locked, stored, turns] = self
            .run([
                (MEMBER, &[&user.0]),
                (LOCK, &[&conversation]),
                (STORE, &[&conversation, &user.0, &id, &message.content.as_str(), &message.trace.uuid()]),
                (LOOK, &[&id]),
            ])
            .await?;
        if members.is_empty() {
            return Ok(Stored::NotAMember);
        }
        match locked.first() {
            None => return Ok(Stored::NoConversation),
            Some(row) if get::<Option<Uuid>>(row, "user_id")? != Some(user.0) => return Ok(Stored::NotYours),
            Some(_) => {}
        }
        stored_as(turns.first(), conversation, stored.is_empty())
    }

    /// The latest `limit` messages of a conversation before one of them.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn history(
        self,
        conversation: ConversationId,
        user: UserId,
        before: Option<MessageId>,
        limit: i64,
    ) -> Result<HistoryPage, DbError> {
        const BEFORE: &str = "SELECT 1 FROM web_conversation_messages WHERE id = $2 AND conversation_id = $1";
        const PAGE: &str = "
            SELECT id, role, content, created_at, in_reply_to, stopped, by, error FROM web_conversation_messages
            WHERE conversation_id = $1 AND ($2::uuid IS NULL OR position <
                (SELECT position FROM web_conversation_messages WHERE id = $2 AND conversation_id = $1))
            ORDER BY position DESC LIMIT $3";
        let before: Option<Uuid> = before.map(|m| m.0);
        let [members, found, known, page] = self
            .run([
                (MEMBER, &[&user.0]),
                (FIND, &[&conversation.0]),
                (BEFORE, &[&conversation.0, &before]),
                (PAGE, &[&conversation.0, &before, &limit]),
            ])
            .await?;
        Ok(HistoryPage {
            membership: members.first().map(|row| closed(row, "role", tenant_role)).transpose()?,
            conversation: found.first().map(conversation_row).transpose()?,
            messages: page.iter().map(message_row).collect::<Result<_, _>>()?,
            before_unknown: before.is_some() && known.is_empty(),
        })
    }

    /// How a message's turn ended.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn turn_outcome(self, message: MessageId) -> Result<TurnOutcome, DbError> {
        const SQL: &str = "
            SELECT t.state, a.id, a.content FROM turns t
            LEFT JOIN web_conversation_messages a ON a.in_reply_to = t.id WHERE t.id = $1";
        let rows = self.query(SQL, &[&message.0]).await?;
        let Some(row) = rows.first() else {
            return Ok(TurnOutcome::WithoutAnswer);
        };
        if get::<&str>(row, "state")? != "ended" {
            return Ok(TurnOutcome::Open);
        }
        Ok(match get::<Option<Uuid>>(row, "id")? {
            Some(id) => TurnOutcome::Answered(MessageId(id), get(row, "content")?),
            None => TurnOutcome::WithoutAnswer,
        })
    }
}

/// What a message's turn says of storing it.
pub(crate) fn stored_as(turn: Option<&Row>, conversation: Uuid, duplicate: bool) -> Result<Stored, DbError> {
    match turn {
        Some(turn) if get::<Uuid>(turn, "conversation_id")? == conversation => {
            Ok(Stored::Yes(StoredMessage {
                duplicate,
                epoch: Epoch(get(turn, "epoch")?),
                ended: get::<&str>(turn, "state")? == "ended",
                trace: trace(turn)?,
            }))
        }
        _ => Ok(Stored::IdTaken),
    }
}

fn message_row(row: &Row) -> Result<MessageRow, DbError> {
    Ok(MessageRow {
        id: MessageId(get(row, "id")?),
        from_user: get::<&str>(row, "role")? == "user",
        content: get(row, "content")?,
        created_at: get(row, "created_at")?,
        in_reply_to: get::<Option<Uuid>>(row, "in_reply_to")?.map(MessageId),
        stopped: get(row, "stopped")?,
        by_human: get::<Option<&str>>(row, "by")?.is_some(),
        error: get(row, "error")?,
    })
}
