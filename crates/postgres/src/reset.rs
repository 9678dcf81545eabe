//! Ending turns of an older epoch on the agent's behalf (delivery.md section 5), and deleting what was said.
//! Frames are not written here.

use konstruct_domain::{ConversationId, Epoch, MessageId, TraceId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::DbError;
use crate::row::get;
use crate::tenant_tx::TenantTx;
use crate::turns::Ended;

/// A turn of an older epoch that is to be ended or delivered on the agent's behalf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftTurn {
    /// The person's message.
    pub id: MessageId,
    /// `message_id` of the answer, if it was begun.
    pub answer_id: Option<MessageId>,
    /// How it ended, if it did.
    pub ended: Option<Ended>,
    /// The trace it was accepted in; `None`: before there was one.
    pub trace: Option<TraceId>,
}

/// Turns of an older epoch than the conversation's; a human's reply is nobody's to end.
pub(crate) const LEFT: &str = "
    SELECT t.id, t.answer_id, t.state, t.trace_id, q.error, q.content AS question, q.by, w.id AS stored_id, w.content AS answer,
        w.stopped
    FROM turns t
    JOIN web_conversations c ON c.id = t.conversation_id
    LEFT JOIN web_conversation_messages q ON q.id = t.id
    LEFT JOIN web_conversation_messages w ON w.in_reply_to = t.id
    WHERE t.conversation_id = $1 AND t.epoch < c.epoch AND t.delivered_at IS NULL
    ORDER BY t.position";

/// An asking of an agent that holds no lease any more: nobody else will book it.
const BOOK_THE_DEAD: &str = "
    WITH dead AS (
        SELECT s.tenant_id, c.agent_id, s.turn_id, s.number, s.asking, s.request ->> 'model' AS model,
            coalesce((s.request ->> 'prompt_tokens')::bigint, 0) AS prompt_tokens
        FROM turn_steps s JOIN turns t ON t.id = s.turn_id JOIN web_conversations c ON c.id = t.conversation_id
        WHERE c.id = $1 AND t.id = $2 AND t.state <> 'ended' AND t.epoch < c.epoch
          AND s.kind = 'model' AND s.state = 'begun' AND s.settled < s.asking
          AND (c.lease_until IS NULL OR c.lease_until <= now())
    ), booked AS (
        INSERT INTO llm_usage (tenant_id, id, agent_id, turn_id, step, asking, model, prompt_tokens, completion_tokens,
            total_tokens, estimated)
        SELECT tenant_id, gen_random_uuid(), agent_id, turn_id, number, asking, coalesce(model, ''), prompt_tokens,
            $3::bigint, prompt_tokens + $3::bigint, true FROM dead
        ON CONFLICT (tenant_id, turn_id, step, asking) DO NOTHING
        RETURNING tenant_id, total_tokens
    )
    INSERT INTO token_months AS m (tenant_id, month, spent)
    SELECT tenant_id, date_trunc('month', now() AT TIME ZONE 'UTC')::date, total_tokens FROM booked
    ON CONFLICT (tenant_id, month) DO UPDATE SET spent = m.spent + excluded.spent";

/// What stands for the result of a call that is closed.
#[derive(Debug, Clone, Copy)]
pub struct Closing<'a> {
    /// Where it waited for a person.
    pub waiting: &'a str,
    /// Where it had begun.
    pub begun: &'a str,
}

impl TenantTx {
    /// Ends a turn on the agent's behalf with what was shown of its answer, `stopped`, and closes its calls;
    /// `false`: it had ended. What an agent that is dead had asked for is booked as estimated.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn end_on_behalf(
        self,
        conversation: ConversationId,
        turn: MessageId,
        answer_id: MessageId,
        text: &str,
        closing: Closing<'_>,
    ) -> Result<bool, DbError> {
        const LOCK: &str = "SELECT 1 FROM web_conversations WHERE id = $1 FOR NO KEY UPDATE";
        const CLOSE: &str = "
            UPDATE turn_steps s SET state = 'done', completed_at = now(), reserved = 0, result = CASE
                WHEN s.kind = 'model' THEN s.result
                ELSE jsonb_build_object('result', CASE s.state WHEN 'waiting' THEN $3::text ELSE $4::text END,
                    'duration_ms', 0) END
            FROM turns t, web_conversations c
            WHERE s.turn_id = $2 AND s.state <> 'done'
              AND t.id = $2 AND t.state <> 'ended' AND c.id = $1 AND t.epoch < c.epoch";
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
        let completion = i64::try_from(text.len().div_ceil(4)).unwrap_or(i64::MAX);
        let [_, _, _, ended] = self
            .run([
                (LOCK, &[&conversation.0]),
                (BOOK_THE_DEAD, &[&conversation.0, &turn.0, &completion]),
                (CLOSE, &[&conversation.0, &turn.0, &closing.waiting, &closing.begun]),
                (END, &[&conversation.0, &turn.0, &answer_id.0, &text]),
            ])
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
        const SUMMARY: &str = "UPDATE web_conversations SET summary = '', summary_until = last_position WHERE id = $1 AND epoch = $2";
        self.run([
            (LOCK, &[&id]),
            (STEPS, &[&id, &epoch]),
            (MESSAGES, &[&id, &epoch]),
            (SUMMARY, &[&id, &epoch]),
        ])
        .await?;
        Ok(())
    }
}

pub(crate) fn left_turn(row: &Row) -> Result<LeftTurn, DbError> {
    Ok(LeftTurn {
        id: MessageId(get(row, "id")?),
        answer_id: get::<Option<Uuid>>(row, "answer_id")?.map(MessageId),
        ended: if get::<&str>(row, "state")? == "ended" { Some(crate::turns::ended(row)?) } else { None },
        trace: crate::turns::trace(row)?,
    })
}
