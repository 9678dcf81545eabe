//! Turns and their journal. Every write of an agent is checked against its fence and epoch; one that is behind
//! writes nothing and is told so.

use std::collections::BTreeMap;

use konstruct_domain::{
    Agent, AgentId, Channel, Content, ConversationId, Epoch, MessageId, Position, Seq, TenantId, UserId,
};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::DbError;
use crate::hand_over::{END_UNBEGUN, SILENCE_UNBEGUN};
use crate::lease::Guard;
use crate::row::{closed, get};
use crate::tenant_tx::TenantTx;
use crate::usage::Usage;

/// A turn that is to be worked on.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnRow {
    /// The person's message.
    pub id: MessageId,
    /// Where it belongs.
    pub conversation: ConversationId,
    /// Its place.
    pub position: Position,
    /// The epoch it was accepted under.
    pub epoch: Epoch,
    /// How it ended, if it did: then it is only to be delivered.
    pub ended: Option<Ended>,
    /// `message_id` of the answer, once it was begun.
    pub answer_id: Option<MessageId>,
    /// Failed calls of the model so far.
    pub failures: i32,
    /// Invocations that died at work on it, this row's reading included.
    pub deaths: i32,
    /// The message's text; `None`: a reset deleted it.
    pub question: Option<String>,
    /// The person's message before it.
    pub previous: Option<MessageId>,
    /// Who is to answer.
    pub agent: Agent,
    /// Where the message came from.
    pub channel: Channel,
    /// What answering it on that channel takes; empty on the web.
    pub channel_metadata: BTreeMap<String, String>,
    /// What the answer has posted on that channel, JSON; `None`: nothing.
    pub channel_posts: Option<String>,
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// With this answer.
    Answer {
        /// Its id.
        id: MessageId,
        /// Its text.
        text: String,
        /// Whether the person stopped it.
        stopped: bool,
    },
    /// With this error.
    Error(String),
    /// It is a human's reply, and only to be delivered.
    Reply {
        /// Its text.
        text: String,
    },
    /// With neither: its message is context only.
    Silent,
}

/// Whose turn a journal entry is about, and as whom it is written.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// What the write is checked against.
    pub guard: Guard,
    /// The person's message.
    pub turn: MessageId,
}

pub(crate) const NEXT_TURN: &str = "
    SELECT t.id, t.conversation_id, t.position, t.epoch, t.state, t.answer_id, t.failures, t.attempts, t.in_progress,
        t.channel_metadata, t.channel_posts, c.channel,
        q.content AS question, q.error, q.by, w.id AS stored_id, w.content AS answer, w.stopped,
        (SELECT p.id FROM web_conversation_messages p
         WHERE p.conversation_id = $1 AND p.role = 'user' AND p.position < t.position
         ORDER BY p.position DESC LIMIT 1) AS previous,
        a.tenant_id AS agent_tenant_id, a.id AS agent_id, a.name, a.role, a.persona, a.instructions, a.language,
        a.model, a.is_active AND EXISTS (SELECT 1 FROM tenants WHERE is_active) AS is_active
    FROM turns t
    JOIN web_conversations c ON c.id = t.conversation_id
    JOIN agents a ON a.id = c.agent_id
    LEFT JOIN web_conversation_messages q ON q.id = t.id
    LEFT JOIN web_conversation_messages w ON w.in_reply_to = t.id
    WHERE t.conversation_id = $1 AND t.delivered_at IS NULL AND t.state <> 'waiting'
      AND ($2::uuid IS NULL OR t.position <= (SELECT position FROM turns WHERE id = $2))
    ORDER BY t.position LIMIT 1";

/// Locks the conversation's row if fence and epoch still hold. What follows in the transaction asks again: with
/// the row locked the answer cannot change.
pub(crate) const LOCK: &str = "
    SELECT 1 FROM web_conversations WHERE id = $1 AND fence = $2 AND epoch = $3 FOR NO KEY UPDATE";

impl TenantTx {
    /// The oldest turn that is open, or ended and not delivered, with a position up to that of `up_to`.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn next_turn(
        self,
        conversation: ConversationId,
        up_to: Option<MessageId>,
    ) -> Result<Option<TurnRow>, DbError> {
        let up_to: Option<Uuid> = up_to.map(|m| m.0);
        let rows = self.query(NEXT_TURN, &[&conversation.0, &up_to]).await?;
        rows.first().map(turn_row).transpose()
    }

    /// Journals the id of an answer that no model writes, before its first piece; `false`: fenced off.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn begin_answer(self, work: Work, answer_id: MessageId, deaths: i32) -> Result<bool, DbError> {
        const SQL: &str = "
            UPDATE turns SET answer_id = $5, attempts = $6, in_progress = true, began_at = coalesce(began_at, now())
            WHERE id = $4 AND state = 'open' AND EXISTS
                (SELECT 1 FROM web_conversations WHERE id = $1 AND fence = $2 AND epoch = $3)
            RETURNING id";
        let (conversation, fence, epoch) = work.guard.values();
        let [_, begun] = self
            .run([
                (LOCK, &[&conversation, &fence, &epoch]),
                (SQL, &[&conversation, &fence, &epoch, &work.turn.0, &answer_id.0, &deaths]),
            ])
            .await?;
        Ok(!begun.is_empty())
    }

    /// Counts a failed call of the model; how many there were by now. `None`: fenced off.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn count_failure(self, work: Work, step: i32, asking: i32) -> Result<Option<i32>, DbError> {
        const SQL: &str = "
            UPDATE turns SET failures = failures + 1 WHERE id = $4 AND state = 'open' AND EXISTS
                (SELECT 1 FROM web_conversations WHERE id = $1 AND fence = $2 AND epoch = $3)
            RETURNING failures";
        let (conversation, fence, epoch) = work.guard.values();
        let turn = work.turn.0;
        let [_, rows, _] = self
            .run([
                (LOCK, &[&conversation, &fence, &epoch]),
                (SQL, &[&conversation, &fence, &epoch, &turn]),
                (crate::usage::SETTLE, &[&turn, &step, &asking]),
            ])
            .await?;
        rows.first().map(|row| get(row, "failures")).transpose()
    }

    /// Ends a turn with an answer: answer, step, usage and end in one transaction. `false`: fenced off, a newer
    /// epoch, or ended already; then nothing but the usage was written.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn end_with_answer(
        self,
        work: Work,
        answer: &AnswerToStore<'_>,
        usage: Option<&Usage>,
    ) -> Result<bool, DbError> {
        const END: &str = "
            WITH ended AS (
                UPDATE turns SET state = 'ended', ended_at = now(), in_progress = false
                WHERE id = $4 AND state = 'open' AND EXISTS
                    (SELECT 1 FROM web_conversations WHERE id = $1 AND fence = $2 AND epoch = $3)
                RETURNING id
            ), numbered AS (
                UPDATE web_conversations SET last_position = last_position + 1, updated_at = now(),
                    epoch = epoch + CASE WHEN $9::boolean THEN 1 ELSE 0 END,
                    status = CASE WHEN $9::boolean THEN 'human' ELSE status END,
                    handed_over = CASE WHEN $9::boolean THEN epoch + 1 ELSE handed_over END
                WHERE id = $1 AND EXISTS (SELECT 1 FROM ended)
                RETURNING tenant_id, last_position
            ), finished AS (
                UPDATE turn_steps SET state = 'done', completed_at = now(), reserved = 0,
                    result = CASE kind WHEN 'model' THEN $8 ELSE jsonb_build_object('result', 'not run: denied', 'duration_ms', 0) END
                WHERE turn_id = $4 AND state <> 'done' AND EXISTS (SELECT 1 FROM ended)
            )
            INSERT INTO web_conversation_messages
                (tenant_id, id, conversation_id, position, role, content, in_reply_to, stopped)
            SELECT tenant_id, $5::uuid, $1, last_position, 'assistant', $6::text, $4, $7::boolean FROM numbered
            RETURNING id";
        let (conversation, fence, epoch) =
            (work.guard.conversation.0, work.guard.fence.0, work.guard.epoch.0);
        let usage = usage.map(|u| u.values(work.turn));
        let settled = usage.as_ref().map_or((-1, 0), crate::usage::UsageValues::step_and_asking);
        let tenant = self.tenant;
        let [_, ended, _, _, _, _] = self
            .run([
                (LOCK, &[&conversation, &fence, &epoch]),
                (
                    END,
                    &[
                        &conversation,
                        &fence,
                        &epoch,
                        &work.turn.0,
                        &answer.id.0,
                        &answer.text,
                        &answer.stopped,
                        &answer.step_result,
                        &answer.to_human,
                    ],
                ),
                (END_UNBEGUN, &[&conversation]),
                (SILENCE_UNBEGUN, &[&conversation]),
                (crate::usage::RECORD, &crate::usage::params(&tenant, usage.as_ref())),
                (crate::usage::SETTLE, &[&work.turn.0, &settled.0, &settled.1]),
            ])
            .await?;
        Ok(!ended.is_empty())
    }

    /// Ends a turn without an answer, with an error code, and hands the conversation to a human if that is wanted;
    /// `false`: fenced off or ended already.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn end_with_error(
        self,
        work: Work,
        code: &str,
        deaths: i32,
        to_human: bool,
    ) -> Result<bool, DbError> {
        const END: &str = "
            WITH ended AS (
                UPDATE turns SET state = 'ended', ended_at = now(), in_progress = false, attempts = $6
                WHERE id = $4 AND state = 'open' AND EXISTS
                    (SELECT 1 FROM web_conversations WHERE id = $1 AND fence = $2 AND epoch = $3)
                RETURNING id
            ), told AS (
                UPDATE web_conversation_messages m SET error = $5 FROM ended WHERE m.id = ended.id
            ), handed AS (
                UPDATE web_conversations SET epoch = epoch + 1, status = 'human', handed_over = epoch + 1
                WHERE id = $1 AND $7::boolean AND EXISTS (SELECT 1 FROM ended)
            ), closed AS (
                UPDATE turn_steps s SET state = 'done', completed_at = now(), reserved = 0, result = CASE s.kind
                    WHEN 'model' THEN s.result
                    ELSE jsonb_build_object('result', 'not run: denied', 'duration_ms', 0) END
                FROM ended WHERE s.turn_id = ended.id AND s.state <> 'done'
            )
            SELECT id FROM ended";
        let (conversation, fence, epoch) =
            (work.guard.conversation.0, work.guard.fence.0, work.guard.epoch.0);
        let [_, ended, _, _] = self
            .run([
                (LOCK, &[&conversation, &fence, &epoch]),
                (END, &[&conversation, &fence, &epoch, &work.turn.0, &code, &deaths, &to_human]),
                (END_UNBEGUN, &[&conversation]),
                (SILENCE_UNBEGUN, &[&conversation]),
            ])
            .await?;
        Ok(!ended.is_empty())
    }

    /// Notes that a turn's end was delivered and how far the log got; then the next turn to work on.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn delivered(
        self,
        conversation: ConversationId,
        turn: MessageId,
        last_seq: Seq,
        up_to: Option<MessageId>,
    ) -> Result<Option<TurnRow>, DbError> {
        const DELIVERED: &str = "
            UPDATE turns SET delivered_at = coalesce(delivered_at, now()) WHERE id = $1 AND state = 'ended'";
        const REACHED: &str = "UPDATE web_conversations SET last_seq = greatest(last_seq, $2) WHERE id = $1";
        let up_to: Option<Uuid> = up_to.map(|m| m.0);
        // The conversation's row first, as everywhere: else two transactions could wait for each other.
        let [_, _, next] = self
            .run([
                (REACHED, &[&conversation.0, &last_seq.0]),
                (DELIVERED, &[&turn.0]),
                (NEXT_TURN, &[&conversation.0, &up_to]),
            ])
            .await?;
        next.first().map(turn_row).transpose()
    }
}

/// What may have been shown of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missable {
    /// A turn is open, waiting or undelivered.
    pub due: bool,
    /// A turn has begun or ended: only then can a frame have been numbered.
    pub shown: bool,
}

/// A message as a task carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundRow {
    /// Who wrote it; `None` off the web.
    pub user_id: Option<UserId>,
    /// What was written.
    pub content: Content,
    /// Where it came from.
    pub channel: Channel,
    /// What answering it on that channel takes; empty on the web.
    pub channel_metadata: BTreeMap<String, String>,
}

impl TenantTx {
    /// What a connection that comes back may have missed.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn missable(self, conversation: ConversationId) -> Result<Missable, DbError> {
        const SQL: &str = "
            SELECT EXISTS (SELECT 1 FROM turns WHERE conversation_id = $1 AND delivered_at IS NULL) AS due,
                EXISTS (SELECT 1 FROM turns WHERE conversation_id = $1
                    AND (began_at IS NOT NULL OR ended_at IS NOT NULL)) AS shown";
        let rows = self.query(SQL, &[&conversation.0]).await?;
        let row = rows.first().ok_or_else(|| DbError::Configuration("EXISTS has no row".to_owned()))?;
        Ok(Missable { due: get(row, "due")?, shown: get(row, "shown")? })
    }

    /// What a person's `cancel` is for.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn turn_to_stop(self, conversation: ConversationId, user: UserId) -> Result<ToStop, DbError> {
        const SQL: &str = "
            SELECT EXISTS (SELECT 1 FROM tenant_members WHERE user_id = $2) AS member, t.id, t.state
            FROM (VALUES (1)) AS always LEFT JOIN LATERAL (
                SELECT id, state FROM turns
                WHERE conversation_id = $1 AND delivered_at IS NULL AND state <> 'waiting'
                ORDER BY state = 'ended' DESC, in_progress DESC, position LIMIT 1) t ON true";
        let rows = self.query(SQL, &[&conversation.0, &user.0]).await?;
        let Some(row) = rows.first() else { return Ok(ToStop::Nothing) };
        if !get::<bool>(row, "member")? {
            return Ok(ToStop::NotAMember);
        }
        let open = get::<Option<&str>>(row, "state")? == Some("open");
        let id = get::<Option<Uuid>>(row, "id")?.map(MessageId);
        Ok(id.filter(|_| open).map_or(ToStop::Nothing, ToStop::Turn))
    }

    /// A person's message, to be queued again; `None`: a reset deleted it.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn inbound(self, message: MessageId) -> Result<Option<InboundRow>, DbError> {
        const SQL: &str = "
            SELECT m.content, c.user_id, c.channel, t.channel_metadata FROM turns t
            JOIN web_conversations c ON c.id = t.conversation_id
            LEFT JOIN web_conversation_messages m ON m.id = t.id WHERE t.id = $1";
        let rows = self.query(SQL, &[&message.0]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let user_id = get::<Option<Uuid>>(row, "user_id")?.map(UserId);
        // The agent reads the text from Postgres: one that a reset deleted needs only to be met.
        let text = get::<Option<String>>(row, "content")?.unwrap_or_default();
        let content = Content::parse(&text).or_else(|_| Content::parse("(deleted)"));
        let channel = closed(row, "channel", Channel::parse)?;
        let channel_metadata = metadata(row)?;
        Ok(content.ok().map(|content| InboundRow { user_id, content, channel, channel_metadata }))
    }
}

/// What a person's `cancel` is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToStop {
    /// The person is no member of the tenant any more.
    NotAMember,
    /// Nothing is being written, or what was is about to be delivered.
    Nothing,
    /// The turn at work.
    Turn(MessageId),
}

/// An answer, to be stored at the end of its turn.
#[derive(Debug, Clone)]
pub struct AnswerToStore<'a> {
    /// Its id.
    pub id: MessageId,
    /// Its text.
    pub text: &'a str,
    /// Whether the person stopped it.
    pub stopped: bool,
    /// What is journaled of the step.
    pub step_result: Value,
    /// Whether a human has the conversation from here on.
    pub to_human: bool,
}

pub(crate) fn turn_row(row: &Row) -> Result<TurnRow, DbError> {
    let in_progress: bool = get(row, "in_progress")?;
    Ok(TurnRow {
        id: MessageId(get(row, "id")?),
        conversation: ConversationId(get(row, "conversation_id")?),
        position: Position(get(row, "position")?),
        epoch: Epoch(get(row, "epoch")?),
        ended: if get::<&str>(row, "state")? == "ended" { Some(ended(row)?) } else { None },
        answer_id: get::<Option<Uuid>>(row, "answer_id")?.map(MessageId),
        failures: get(row, "failures")?,
        deaths: get::<i32>(row, "attempts")? + i32::from(in_progress),
        question: get(row, "question")?,
        previous: get::<Option<Uuid>>(row, "previous")?.map(MessageId),
        agent: Agent {
            id: AgentId(get(row, "agent_id")?),
            tenant_id: TenantId(get(row, "agent_tenant_id")?),
            name: get(row, "name")?,
            role: get(row, "role")?,
            persona: get(row, "persona")?,
            instructions: get(row, "instructions")?,
            language: get(row, "language")?,
            model: get(row, "model")?,
            is_active: get(row, "is_active")?,
        },
        channel: closed(row, "channel", Channel::parse)?,
        channel_metadata: metadata(row)?,
        channel_posts: Some(get::<Value>(row, "channel_posts")?)
            .filter(|posts| posts.as_object().is_some_and(|posts| !posts.is_empty()))
            .map(|posts| posts.to_string()),
    })
}

pub(crate) fn metadata(row: &Row) -> Result<BTreeMap<String, String>, DbError> {
    serde_json::from_value(get(row, "channel_metadata")?)
        .map_err(|_| DbError::Configuration("channel_metadata is no map of texts".to_owned()))
}

pub(crate) fn ended(row: &Row) -> Result<Ended, DbError> {
    if get::<Option<&str>>(row, "by")? == Some("human") {
        return Ok(Ended::Reply { text: get(row, "question")? });
    }
    if let Some(id) = get::<Option<Uuid>>(row, "stored_id")? {
        let (text, stopped) = (get(row, "answer")?, get(row, "stopped")?);
        return Ok(Ended::Answer { id: MessageId(id), text, stopped });
    }
    Ok(get::<Option<String>>(row, "error")?.map_or(Ended::Silent, Ended::Error))
}
