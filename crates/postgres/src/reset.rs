//! Raising a conversation's epoch, and ending turns of an older one on the agent's behalf (delivery.md section 5).
//! Frames are not written here.

use konstruct_domain::{ConversationId, Epoch, Generation, MessageId, Seq};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::DbError;
use crate::row::get;
use crate::tenant_tx::TenantTx;
use crate::turns::Ended;

/// A conversation whose epoch was raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    /// The new epoch.
    pub epoch: Epoch,
    /// The log's generation.
    pub generation: Option<Generation>,
    /// The highest `seq` that Postgres knows.
    pub last_seq: Seq,
    /// Turns that had begun, or ended and were not delivered, oldest first.
    pub left: Vec<LeftTurn>,
}

/// A turn of an older epoch that is to be ended or delivered on the agent's behalf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftTurn {
    /// The person's message.
    pub id: MessageId,
    /// `message_id` of the answer, if it was begun.
    pub answer_id: Option<MessageId>,
    /// How it ended, if it did.
    pub ended: Option<Ended>,
}

const LEFT: &str = "
    SELECT t.id, t.answer_id, t.state, q.error, w.id AS stored_id, w.content AS answer, w.stopped
    FROM turns t
    LEFT JOIN web_conversation_messages q ON q.id = t.id
    LEFT JOIN web_conversation_messages w ON w.in_reply_to = t.id
    WHERE t.conversation_id = $1 AND t.delivered_at IS NULL
    ORDER BY t.position";

impl TenantTx {
    /// Raises the epoch and ends every open turn that has not begun, without an answer: its message is context from
    /// now on. `None`: there is no such conversation.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn raise_epoch(self, conversation: ConversationId) -> Result<Option<Raised>, DbError> {
        const RAISE: &str = "
            UPDATE web_conversations SET epoch = epoch + 1, updated_at = now() WHERE id = $1
            RETURNING epoch, log_generation, last_seq";
        const END: &str = "
            UPDATE turns SET state = 'ended', ended_at = now(), delivered_at = now(), in_progress = false
            WHERE conversation_id = $1 AND state = 'open' AND began_at IS NULL";
        let [raised, _, left] = self
            .run([(RAISE, &[&conversation.0]), (END, &[&conversation.0]), (LEFT, &[&conversation.0])])
            .await?;
        let Some(row) = raised.first() else {
            return Ok(None);
        };
        Ok(Some(Raised {
            epoch: Epoch(get(row, "epoch")?),
            generation: get::<Option<i64>>(row, "log_generation")?.map(Generation),
            last_seq: Seq(get(row, "last_seq")?),
            left: left.iter().map(left_turn).collect::<Result<_, _>>()?,
        }))
    }

    /// Ends a turn on the agent's behalf with what was shown of its answer, `stopped`; `false`: it had ended.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn end_on_behalf(
        self,
        conversation: ConversationId,
        turn: MessageId,
        answer_id: MessageId,
        text: &str,
    ) -> Result<bool, DbError> {
        const LOCK: &str = "SELECT 1 FROM web_conversations WHERE id = $1 FOR NO KEY UPDATE";
        const END: &str = "
            WITH ended AS (
                UPDATE turns t SET state = 'ended', ended_at = now(), in_progress = false, answer_id = $3
                FROM web_conversations c
                WHERE t.id = $2 AND t.state <> 'ended' AND c.id = $1 AND t.epoch < c.epoch
                RETURNING t.id
            ), numbered AS (
                UPDATE web_conversations SET last_position = last_position + 1, updated_at = now()
                WHERE id = $1 AND EXISTS (SELECT 1 FROM ended)
                RETURNING tenant_id, last_position
            )
            INSERT INTO web_conversation_messages
                (tenant_id, id, conversation_id, position, role, content, in_reply_to, stopped)
            SELECT tenant_id, $3::uuid, $1, last_position, 'assistant', $4::text, $2, true FROM numbered
            ON CONFLICT DO NOTHING
            RETURNING id";
        let [_, ended] = self
            .run([(LOCK, &[&conversation.0]), (END, &[&conversation.0, &turn.0, &answer_id.0, &text])])
            .await?;
        Ok(!ended.is_empty())
    }

    /// Deletes messages and steps of a conversation, if its epoch is still this one. The turns stay, ids only.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn delete_messages(self, conversation: ConversationId, epoch: Epoch) -> Result<(), DbError> {
        const LOCK: &str = "SELECT 1 FROM web_conversations WHERE id = $1 FOR NO KEY UPDATE";
        const STEPS: &str = "
            DELETE FROM turn_steps s USING turns t, web_conversations c
            WHERE s.turn_id = t.id AND t.conversation_id = $1 AND c.id = $1 AND t.epoch < $2 AND c.epoch = $2";
        // Messages that came behind the reset belong to turns of its epoch and stay.
        const MESSAGES: &str = "
            DELETE FROM web_conversation_messages m USING web_conversations c
            WHERE m.conversation_id = $1 AND c.id = $1 AND c.epoch = $2 AND NOT EXISTS (
                SELECT 1 FROM turns t WHERE t.id IN (m.id, m.in_reply_to) AND t.epoch >= $2)";
        let (id, epoch) = (conversation.0, epoch.0);
        self.run([(LOCK, &[&id]), (STEPS, &[&id, &epoch]), (MESSAGES, &[&id, &epoch])]).await?;
        Ok(())
    }
}

fn left_turn(row: &Row) -> Result<LeftTurn, DbError> {
    Ok(LeftTurn {
        id: MessageId(get(row, "id")?),
        answer_id: get::<Option<Uuid>>(row, "answer_id")?.map(MessageId),
        ended: if get::<&str>(row, "state")? == "ended" { Some(crate::turns::ended(row)?) } else { None },
    })
}
