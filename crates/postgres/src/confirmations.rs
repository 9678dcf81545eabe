//! Calls that wait for a yes (AGNT-05): one UPDATE decides, and the same transaction opens the turn again. Who asks is
//! checked here, against the person the call was bound to.

use konstruct_domain::{ConversationId, Epoch, MessageId, TraceId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::DbError;
use crate::row::get;
use crate::steps::Decision;
use crate::tenant_tx::TenantTx;

/// Who decides what.
#[derive(Debug, Clone, Copy)]
pub struct Ruling<'a> {
    /// In which conversation.
    pub conversation: ConversationId,
    /// Who.
    pub person: &'a str,
    /// Which call; `None`: the oldest that waits for this person.
    pub call_id: Option<&'a str>,
    /// What.
    pub decision: Decision,
    /// The message that says so, where it is one.
    pub message: Option<MessageId>,
}

/// A call that was decided, and the turn that goes on; beside it, whether a copy of the same message had decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The person's message whose turn goes on.
    pub turn: MessageId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The call.
    pub call_id: String,
    /// The trace its message was accepted in; `None`: before there was one.
    pub trace: Option<TraceId>,
}

/// Decides and opens the turn again, under the conversation's lock.
const LOCK: &str = "SELECT 1 FROM web_conversations WHERE id = $1 FOR NO KEY UPDATE";

impl TenantTx {
    /// Decides a call that waits, once; `None`: none waits for this person, or it is decided or has expired. A message
    /// decides one call at most, and none where it is stored as a message.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn decide(self, ruling: Ruling<'_>) -> Result<Option<(Decided, bool)>, DbError> {
        const DECIDE: &str = "
            WITH before AS (
                SELECT s.turn_id, s.call_id FROM turn_steps s JOIN turns t ON t.id = s.turn_id
                WHERE t.conversation_id = $1 AND s.decided_by = $5::uuid
            ), one AS (
                SELECT s.turn_id, s.number FROM turn_steps s JOIN turns t ON t.id = s.turn_id
                JOIN web_conversations c ON c.id = t.conversation_id
                WHERE NOT EXISTS (SELECT 1 FROM before) AND NOT EXISTS (SELECT 1 FROM turns WHERE id = $5::uuid)
                  AND t.conversation_id = $1 AND t.epoch = c.epoch AND t.state <> 'ended'
                  AND s.state = 'waiting' AND s.decision IS NULL AND s.expires_at > now()
                  AND s.person = $2 AND ($3::text IS NULL OR s.call_id = $3)
                ORDER BY t.position, s.number LIMIT 1
            ), decided AS (
                UPDATE turn_steps s SET decision = $4, decided_at = now(), decided_by = $5::uuid
                FROM one WHERE s.turn_id = one.turn_id AND s.number = one.number
                  AND s.decision IS NULL AND s.expires_at > now()
                RETURNING s.turn_id, s.call_id
            ), opened AS (
                UPDATE turns t SET state = 'open' FROM decided WHERE t.id = decided.turn_id AND t.state = 'waiting'
            )
            SELECT d.turn_id, d.call_id, t.epoch, t.trace_id, d.again FROM (
                SELECT turn_id, call_id, false AS again FROM decided
                UNION ALL SELECT turn_id, call_id, true FROM before) d
            JOIN turns t ON t.id = d.turn_id";
        let conversation = ruling.conversation.0;
        let message: Option<Uuid> = ruling.message.map(|m| m.0);
        let [_, decided] = self
            .run([
                (LOCK, &[&conversation]),
                (
                    DECIDE,
                    &[&conversation, &ruling.person, &ruling.call_id, &ruling.decision.as_str(), &message],
                ),
            ])
            .await?;
        let Some(row) = decided.first() else { return Ok(None) };
        Ok(Some((decided_row(row)?, get(row, "again")?)))
    }

    /// Ends every confirmation of a conversation that nobody gave in time; the turns that go on.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn expire_confirmations(self, conversation: ConversationId) -> Result<Vec<Decided>, DbError> {
        const EXPIRE: &str = "
            WITH decided AS (
                UPDATE turn_steps s SET decision = 'expired', decided_at = now()
                FROM turns t WHERE t.id = s.turn_id AND t.conversation_id = $1 AND t.state <> 'ended'
                  AND s.state = 'waiting' AND s.decision IS NULL AND s.expires_at <= now()
                RETURNING s.turn_id, s.call_id
            ), opened AS (
                UPDATE turns t SET state = 'open' FROM decided WHERE t.id = decided.turn_id AND t.state = 'waiting'
            )
            SELECT d.turn_id, d.call_id, t.epoch, t.trace_id FROM decided d JOIN turns t ON t.id = d.turn_id";
        let [_, decided] = self.run([(LOCK, &[&conversation.0]), (EXPIRE, &[&conversation.0])]).await?;
        decided.iter().map(decided_row).collect()
    }

    /// Cancels every call of a conversation that waits for this person; the turns that go on, to end.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn cancel_confirmations(
        self,
        conversation: ConversationId,
        person: &str,
    ) -> Result<Vec<Decided>, DbError> {
        const CANCEL: &str = "
            WITH decided AS (
                UPDATE turn_steps s SET decision = 'cancelled', decided_at = now()
                FROM turns t WHERE t.id = s.turn_id AND t.conversation_id = $1 AND t.state = 'waiting'
                  AND s.state = 'waiting' AND s.decision IS NULL AND s.person = $2
                  AND NOT EXISTS (SELECT 1 FROM turns o WHERE o.conversation_id = $1 AND o.delivered_at IS NULL
                      AND o.state <> 'waiting')
                RETURNING s.turn_id, s.call_id
            ), opened AS (
                UPDATE turns t SET state = 'open' FROM decided WHERE t.id = decided.turn_id
            )
            SELECT d.turn_id, d.call_id, t.epoch, t.trace_id FROM decided d JOIN turns t ON t.id = d.turn_id";
        let [_, decided] =
            self.run([(LOCK, &[&conversation.0]), (CANCEL, &[&conversation.0, &person])]).await?;
        decided.iter().map(decided_row).collect()
    }
}

fn decided_row(row: &Row) -> Result<Decided, DbError> {
    Ok(Decided {
        turn: MessageId(get(row, "turn_id")?),
        epoch: Epoch(get(row, "epoch")?),
        call_id: get(row, "call_id")?,
        trace: crate::turns::trace(row)?,
    })
}
