//! Humans' replies in the agent's place (AGNT-06). Each is a message and a turn that has ended and is to be delivered, so
//! that whatever dies, somebody brings it to the person.

use std::collections::BTreeMap;

use konstruct_domain::{Channel, Content, ConversationId, Epoch, Generation, MessageId, Seq, TraceId};
use uuid::Uuid;

use crate::error::DbError;
use crate::row::{closed, get};
use crate::tenant_tx::TenantTx;
use crate::turns::metadata;

/// What came of storing a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyStored {
    /// It is stored, now or before.
    Yes(StoredReply),
    /// The AI has the conversation.
    NotWithAHuman,
    /// The id is another message's.
    IdTaken,
    /// The tenant has no such conversation.
    NoConversation,
}

/// A reply that is stored, and its conversation as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReply {
    /// It is still to be delivered.
    pub due: bool,
    /// Where it goes.
    pub channel: Channel,
    /// What bringing it there takes; empty on the web.
    pub channel_metadata: BTreeMap<String, String>,
    /// The epoch of its turn.
    pub epoch: Epoch,
    /// The log's generation.
    pub generation: Option<Generation>,
    /// The highest `seq` that Postgres knows.
    pub last_seq: Seq,
    /// The trace it was first taken in; `None`: before there was one.
    pub trace: Option<TraceId>,
}

impl TenantTx {
    /// Stores a human's reply, once.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn store_reply(
        self,
        conversation: ConversationId,
        id: MessageId,
        content: &Content,
        trace: TraceId,
    ) -> Result<ReplyStored, DbError> {
        const LOCK: &str = "
            SELECT channel, epoch, log_generation, last_seq FROM web_conversations
            WHERE id = $1 FOR NO KEY UPDATE";
        const STORE: &str = "
            WITH fresh AS (
                SELECT id FROM web_conversations WHERE id = $1 AND status = 'human'
                  AND NOT EXISTS (SELECT 1 FROM turns WHERE id = $2)
                  AND NOT EXISTS (SELECT 1 FROM web_conversation_messages WHERE id = $2)
            ), numbered AS (
                UPDATE web_conversations c SET last_position = last_position + 1, updated_at = now()
                FROM fresh WHERE c.id = fresh.id
                RETURNING c.tenant_id, c.id, c.last_position, c.epoch
            ), stored AS (
                INSERT INTO web_conversation_messages (tenant_id, id, conversation_id, position, role, content, by)
                SELECT tenant_id, $2::uuid, id, last_position, 'assistant', $3::text, 'human' FROM numbered
                ON CONFLICT DO NOTHING RETURNING id
            )
            INSERT INTO turns
                (tenant_id, id, conversation_id, position, epoch, state, ended_at, trace_id, channel_metadata)
            SELECT n.tenant_id, $2::uuid, n.id, n.last_position, n.epoch, 'ended', now(), $4::uuid,
                coalesce((SELECT t.channel_metadata FROM turns t
                          WHERE t.conversation_id = n.id AND t.channel_metadata <> '{}'
                          ORDER BY t.position DESC LIMIT 1), '{}')
            FROM numbered n, stored
            ON CONFLICT DO NOTHING RETURNING id";
        const LOOK: &str = "
            SELECT t.conversation_id, t.epoch, t.delivered_at IS NULL AS due, t.channel_metadata, t.trace_id,
                coalesce(m.by = 'human', false) AS by_human
            FROM turns t LEFT JOIN web_conversation_messages m ON m.id = t.id WHERE t.id = $1";
        const TAKEN: &str = "SELECT 1 FROM web_conversation_messages WHERE id = $1";
        let [locked, taken, _, turns] = self
            .run([
                (LOCK, &[&conversation.0]),
                (TAKEN, &[&id.0]),
                (STORE, &[&conversation.0, &id.0, &content.as_str(), &trace.uuid()]),
                (LOOK, &[&id.0]),
            ])
            .await?;
        let Some(row) = locked.first() else { return Ok(ReplyStored::NoConversation) };
        let Some(turn) = turns.first() else {
            return Ok(if taken.is_empty() { ReplyStored::NotWithAHuman } else { ReplyStored::IdTaken });
        };
        let ours = get::<Uuid>(turn, "conversation_id")? == conversation.0 && get(turn, "by_human")?;
        if !ours {
            return Ok(ReplyStored::IdTaken);
        }
        Ok(ReplyStored::Yes(StoredReply {
            due: get(turn, "due")?,
            channel: closed(row, "channel", Channel::parse)?,
            channel_metadata: metadata(turn)?,
            epoch: Epoch(get(turn, "epoch")?),
            generation: get::<Option<i64>>(row, "log_generation")?.map(Generation),
            last_seq: Seq(get(row, "last_seq")?),
            trace: crate::turns::trace(turn)?,
        }))
    }
}
