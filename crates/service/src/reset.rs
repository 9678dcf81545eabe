//! Resetting a conversation, and ending what an older epoch left behind (delivery.md section 5): an answer under
//! way ends as `stopped` with what was shown of it. The conversation and its numbers stay.

use konstruct_domain::{ConversationId, Epoch, Generation, MessageId, Seq, TenantId};
use konstruct_ports::Ids;
use konstruct_postgres::TenantPool;
use konstruct_postgres::conversations::ConversationRow;
use konstruct_postgres::reset::LeftTurn;
use konstruct_postgres::turns::Ended;
use konstruct_protocol::ErrorCode;
use konstruct_redis::Key;

use crate::connections::Connections;
use crate::delivery::shown::{ends, shown};
use crate::delivery::{LogWriter, once};
use crate::error::Error;
use crate::failpoint::reach;
use crate::turn::end::final_event;

/// What ending on somebody's behalf needs.
#[derive(Clone)]
pub struct OnBehalf<'a> {
    /// The journal.
    pub db: TenantPool,
    /// The log and who is connected.
    pub connections: Connections,
    /// Names of writers and answers.
    pub ids: &'a dyn Ids,
}

impl std::fmt::Debug for OnBehalf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnBehalf")
    }
}

/// A log as Postgres speaks of it.
#[derive(Debug, Clone, Copy)]
pub struct KnownLog {
    /// Its generation.
    pub generation: Option<Generation>,
    /// The epoch that holds.
    pub epoch: Epoch,
    /// The highest `seq` that Postgres knows.
    pub last_seq: Seq,
}

impl OnBehalf<'_> {
    /// Resets a conversation: stops an answer under way, then messages, frame log and memory are gone.
    ///
    /// # Errors
    /// Something is away; the reset may be asked for again.
    pub async fn reset(&self, row: &ConversationRow) -> Result<(), Error> {
        let (tenant, conversation) = (row.conversation.tenant_id, row.conversation.id);
        let redis = &self.connections.redis;
        redis.check().await?;
        let Some(raised) = self.db.begin(tenant).await?.raise_epoch(conversation).await? else {
            return Err(Error::not_found("conversation"));
        };
        reach("reset.epoch_raised").await;
        redis.raise_log_epoch(tenant, conversation, raised.epoch).await?;
        reach("reset.log_raised").await;
        let log = KnownLog { generation: raised.generation, epoch: raised.epoch, last_seq: raised.last_seq };
        for left in &raised.left {
            self.finish(tenant, conversation, log, left).await?;
        }
        self.db.begin(tenant).await?.delete_messages(conversation, raised.epoch).await?;
        reach("reset.deleted").await;
        redis.empty_log(tenant, conversation).await?;
        reach("reset.emptied").await;
        let memory = Key::memory(tenant, row.conversation.agent_id, row.conversation.user_id, conversation);
        Ok(redis.forget(&memory).await?)
    }

    /// Ends and delivers a turn that an older epoch left behind; `false`: another is at it.
    ///
    /// # Errors
    /// Something is away.
    pub async fn finish(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        log: KnownLog,
        left: &LeftTurn,
    ) -> Result<bool, Error> {
        let ended = match &left.ended {
            Some(ended) => ended.clone(),
            None => {
                let shown = match left.answer_id {
                    Some(id) => self.shown(tenant, conversation, id).await?.map(|text| (id, text)),
                    None => None,
                };
                let (id, text) = shown.unwrap_or_else(|| (MessageId(self.ids.new_id()), String::new()));
                let tx = self.db.begin(tenant).await?;
                let ended = tx.end_on_behalf(conversation, left.id, id, &text).await?;
                reach("left.ended").await;
                if !ended {
                    tracing::info!(turn_id = %left.id, "a left turn was ended by another");
                    return Ok(false);
                }
                Ended::Answer { id, text, stopped: true }
            }
        };
        let mut last = log.last_seq;
        if let Some(event) = final_event(left.id, &ended)
            && !self.has_end(tenant, conversation, left.id).await?
        {
            // The writer is named after the turn: whoever else appends its end appends the same number of the same
            // writer, and the log takes it once.
            let name = format!("e{}", left.id.0.simple());
            let holder = format!("w{}", self.ids.new_id().simple());
            let identity = LogWriter::other(log.generation, log.epoch, name, log.last_seq);
            let redis = self.connections.redis.clone();
            let mut writer = LogWriter::new(redis, self.db.clone(), tenant, conversation, identity);
            once::append_and_post(&self.connections, &mut writer, holder, vec![event]).await?;
            last = writer.known();
        }
        reach("left.shown").await;
        self.db.begin(tenant).await?.delivered(conversation, left.id, last, None).await?;
        reach("left.delivered").await;
        if let Ended::Answer { text, .. } = &ended {
            self.connections.redis.publish_response(tenant, conversation, text).await?;
        }
        Ok(true)
    }

    /// What the log has shown of an answer; `None`: its pieces were voided, and its id with them.
    async fn shown(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        answer: MessageId,
    ) -> Result<Option<String>, Error> {
        let log = self.connections.redis.frames_after(tenant, conversation, Seq(0), usize::MAX >> 1).await?;
        Ok(shown(&log, answer))
    }

    /// Whether the log has the end of a turn already.
    async fn has_end(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        turn: MessageId,
    ) -> Result<bool, Error> {
        let frames =
            self.connections.redis.frames_after(tenant, conversation, Seq(0), usize::MAX >> 1).await?;
        Ok(frames.iter().any(|(_, event)| ends(event, turn)))
    }
}

/// The sentence that goes with a code that ends a turn.
#[must_use]
pub const fn sentence(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::AgentUnavailable => "This agent is not active at the moment.",
        ErrorCode::BudgetSpent => "The token budget of this month is spent.",
        _ => "The agent could not answer this message. Please try again.",
    }
}
