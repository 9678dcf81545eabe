//! The agent turn: [`Agent::work`] works a task. It holds the conversation's lease with a fence, takes the turns
//! that are due one at a time in order, journals each step, and acknowledges last. No database connection is held
//! while the model is asked.

mod answer;
mod asking;
mod bill;
mod confirm_in_channel;
mod context;
mod course;
pub mod end;
mod equipment;
pub mod journal;
mod left;
pub mod progress;
pub mod prompt;
mod reply;
mod round;
mod run_tool;
mod summary;
mod time_zone;
pub mod toolbox;
pub(crate) mod tools;
pub mod wish;

pub use equipment::{PROVIDER_KEY, TOOL_SERVER_KEY};

use std::sync::Arc;
use std::time::Duration;

use konstruct_domain::{ConversationId, MessageId, Position, Provider, TenantId};
use konstruct_ports::{Clock, Ids, LanguageModel, TaskQueue, ToolHost};
use konstruct_postgres::TenantPool;
use konstruct_postgres::lease::{Guard, LeaseTry, Leased};
use konstruct_postgres::turns::{Ended, TurnRow};
use konstruct_protocol::Task;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::connections::Connections;
use crate::delivery::{Gate, LogWriter, Poster};
use crate::error::Error;
use crate::failpoint::reach;
use crate::hand_over::OnBehalf;
use crate::outgoing::Outgoing;
use crate::patience::Patience;

/// An outage of ours never ends a turn: it is waited out inside the invocation for so long.
const OUTAGE: Duration = Duration::from_secs(120);
/// A turn is begun only with so much time left in the invocation.
const FIRST_TURN_NEEDS: Duration = Duration::from_secs(120);
/// And a further one: an answer of 16,000 tokens takes minutes, and a fresh invocation has them.
const FURTHER_TURN_NEEDS: Duration = Duration::from_secs(600);
/// Between two tries to renew a lease while Postgres is away.
const RENEW_TRY: Duration = Duration::from_millis(100);
/// After an outage the record comes back so much later.
const AFTER_OUTAGE: Duration = Duration::from_secs(30);

/// Limits of a turn, from configuration.
#[derive(Debug, Clone)]
pub struct TurnLimits {
    /// The conversation's lease (delivery.md section 3); renewed every third of it.
    pub lease: Duration,
    /// The model of agents that name none, and who serves the models that are named without a provider.
    pub default_model: String,
    /// As above.
    pub default_provider: Provider,
    /// Messages of memory in a prompt (AGNT-03).
    pub memory_messages: usize,
    /// Tokens of a prompt, as we estimate them.
    pub prompt_tokens_max: usize,
    /// Tokens of an answer.
    pub answer_tokens_max: u32,
    /// Failed calls of the model after which a turn ends in `agent_failed`.
    pub failures_max: i32,
    /// Invocations that died at work on a turn after which it ends in `agent_failed`.
    pub deaths_max: i32,
    /// When the model never answers, a turn ends within this.
    pub model_silence: Duration,
    /// How often the model may call tools in one turn; then it must write.
    pub rounds_max: usize,
    /// How long a tool may take.
    pub tool_time: Duration,
    /// How long a server may take to tell what it offers.
    pub tool_list: Duration,
    /// Most bytes of a tool's result.
    pub tool_result_bytes: usize,
    /// How long a call waits for a yes (AGNT-05).
    pub confirmation: Duration,
}

impl Default for TurnLimits {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            default_model: String::new(),
            default_provider: Provider::OpenAi,
            memory_messages: 40,
            prompt_tokens_max: 64_000,
            answer_tokens_max: 16_384,
            failures_max: 3,
            deaths_max: 5,
            model_silence: Duration::from_secs(90),
            rounds_max: 12,
            tool_time: Duration::from_secs(30),
            tool_list: Duration::from_secs(5),
            tool_result_bytes: 64 * 1024,
            confirmation: Duration::from_secs(900),
        }
    }
}

/// Why a lease is no longer ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeaseLost {
    ToAnother,
    ToAnOutage,
}

/// The agent: works tasks.
#[derive(Clone)]
pub struct Agent {
    /// The journal.
    pub db: TenantPool,
    /// The frame log and who is connected.
    pub connections: Connections,
    /// Keeps the record invisible.
    pub queue: Arc<dyn TaskQueue>,
    /// Who answers.
    pub model: Arc<dyn LanguageModel>,
    /// Tools that reach outside.
    pub tools: Arc<dyn ToolHost>,
    /// Frames' timestamps, the prompt's date.
    pub clock: Arc<dyn Clock>,
    /// Ids of answers.
    pub ids: Arc<dyn Ids>,
    /// Channels whose answers go into threads elsewhere.
    pub outgoing: Outgoing,
    /// Limits.
    pub limits: TurnLimits,
}

/// The queue record that woke the agent.
#[derive(Debug, Clone)]
pub struct Record {
    /// SQS's handle of it.
    pub receipt_handle: String,
    /// The janitor's: any turn of the conversation is due.
    pub rescue: bool,
    /// When the invocation ends.
    pub deadline: Instant,
}

/// What becomes of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Acknowledge it.
    Done,
    /// It comes back after so long.
    Again(Duration),
}

/// A conversation whose lease this agent holds.
pub(crate) struct Held<'a> {
    pub(crate) agent: &'a Agent,
    pub(crate) tenant: TenantId,
    pub(crate) leased: Leased,
    pub(crate) writer: LogWriter,
    pub(crate) poster: Poster,
    /// The message whose answer was to be stopped when the lease was taken.
    pub(crate) cancelled: Option<MessageId>,
    /// The present turn's answer on its way into a channel's thread.
    reply: Option<reply::Reply>,
    /// Up to where the conversation's summary goes, once it was read.
    summary_until: Option<Position>,
}

/// What became of one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turned {
    /// It has ended and its end is in the log.
    Ended,
    /// It waits for a person: messages behind it go on.
    Parked,
    /// It has ended, its end is in the log, and a human has the conversation.
    HandedOver,
    /// Another agent, or a newer epoch: nothing more is written.
    GiveUp,
    /// It has ended, and its channel takes the end after so long.
    Later(Duration),
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Agent {
    /// Works a task: answers the conversation's messages up to the task's own.
    pub async fn work(&self, task: &Task, record: &Record) -> Disposition {
        let (tenant, thread) = (task.message.tenant_id, task.message.thread_id);
        let up_to = (!record.rescue).then_some(task.message.id);
        let take = Patience::of(OUTAGE).retry(|| async {
            self.db.begin(tenant).await?.take_lease(thread, up_to, self.limits.lease).await
        });
        let taken = self.hidden_while(record, take).await;
        reach("turn.leased").await;
        match taken {
            Ok(LeaseTry::Taken(leased, next)) => self.hold(tenant, leased, next, up_to, record).await,
            Ok(LeaseTry::Busy(left)) => Disposition::Again(left),
            Ok(LeaseTry::NoConversation) => {
                tracing::warn!("a task names a conversation that is not there and was dropped");
                Disposition::Done
            }
            Err(error) => {
                tracing::error!(%error, "the lease could not be asked for");
                Disposition::Again(AFTER_OUTAGE)
            }
        }
    }

    /// Hides the record, for a lease's time at a time, until the work is done.
    async fn hidden_while<T>(&self, record: &Record, work: impl Future<Output = T>) -> T {
        let over = Notify::new();
        let hide = async {
            loop {
                self.hide(record).await;
                tokio::select! {
                    () = over.notified() => return,
                    () = sleep(self.limits.lease / 3) => {}
                }
            }
        };
        let work = async {
            let done = work.await;
            over.notify_one();
            done
        };
        tokio::join!(hide, work).1
    }

    /// The record comes back when the lease ends, should this invocation die.
    async fn hide(&self, record: &Record) {
        // SQS knows no shorter visibility than a second.
        let seconds = i32::try_from(self.limits.lease.as_secs().max(1)).unwrap_or(30);
        if let Err(error) = self.queue.set_visibility(&record.receipt_handle, seconds).await {
            tracing::warn!(%error, "the record's visibility could not be set");
        }
    }

    /// Works under the lease, and keeps it meanwhile.
    async fn hold(
        &self,
        tenant: TenantId,
        leased: Leased,
        next: Option<Box<TurnRow>>,
        up_to: Option<MessageId>,
        record: &Record,
    ) -> Disposition {
        let guard = leased.guard;
        let identity = LogWriter::agent(leased.generation, guard.fence, guard.epoch, leased.last_seq);
        let holder = identity.name.clone();
        let redis = self.connections.redis.clone();
        let mut writer = LogWriter::new(redis, self.db.clone(), tenant, guard.conversation, identity);
        let lost = async |lease: LeaseLost| {
            tracing::error!(?lease, "the lease could not be kept");
            match lease {
                LeaseLost::ToAnother => Disposition::Again(Duration::ZERO),
                LeaseLost::ToAnOutage => Disposition::Again(AFTER_OUTAGE),
            }
        };
        let gate = tokio::select! {
            gate = writer.open_gate() => gate,
            lease = self.keep_lease(tenant, guard, record) => return lost(lease).await,
        };
        reach("turn.gate").await;
        let disposition = match gate {
            Ok(Gate::Open { cancelled, .. }) => {
                let poster = Poster::start(self.connections.clone(), tenant, guard.conversation, holder);
                let mut held = Held {
                    agent: self,
                    tenant,
                    leased,
                    writer,
                    poster,
                    cancelled,
                    reply: None,
                    summary_until: None,
                };
                let worked = tokio::select! {
                    worked = held.turns(next, up_to, record.deadline) => worked,
                    lease = self.keep_lease(tenant, guard, record) => Ok(lost(lease).await),
                };
                held.poster.finish().await;
                worked
            }
            Ok(Gate::Shut) => Ok(Disposition::Again(Duration::ZERO)),
            Err(error) => Err(error),
        };
        reach("turn.finished").await;
        let release = || async { self.db.begin(tenant).await?.release_lease(guard).await };
        if let Err(error) = Patience::of(Duration::from_secs(2)).retry(release).await {
            tracing::warn!(%error, "the lease runs out by itself");
        }
        reach("turn.released").await;
        disposition.unwrap_or_else(|error| {
            tracing::error!(%error, "the turn could not go on");
            Disposition::Again(AFTER_OUTAGE)
        })
    }

    /// Renews lease and record every third of the lease; returns when it could not for two thirds.
    async fn keep_lease(&self, tenant: TenantId, guard: Guard, record: &Record) -> LeaseLost {
        let mut renewed_at = Instant::now();
        let mut pause = self.limits.lease / 3;
        loop {
            sleep(pause).await;
            let left = (self.limits.lease * 2 / 3).saturating_sub(renewed_at.elapsed());
            let renew = async { self.db.begin(tenant).await?.renew_lease(guard, self.limits.lease).await };
            let (renewed, ()) =
                tokio::join!(tokio::time::timeout(left.max(RENEW_TRY), renew), self.hide(record));
            match renewed {
                Ok(Ok(true)) => {
                    renewed_at = Instant::now();
                    pause = self.limits.lease / 3;
                }
                Ok(Ok(false)) => return LeaseLost::ToAnother,
                failed => {
                    if let Ok(Err(error)) = failed {
                        tracing::warn!(%error, "the lease could not be renewed");
                    }
                    if renewed_at.elapsed() >= self.limits.lease * 2 / 3 {
                        return LeaseLost::ToAnOutage;
                    }
                    pause = RENEW_TRY;
                }
            }
        }
    }
}

impl Held<'_> {
    /// One turn after another, oldest first, until none is due.
    async fn turns(
        &mut self,
        mut next: Option<Box<TurnRow>>,
        up_to: Option<MessageId>,
        deadline: Instant,
    ) -> Result<Disposition, Error> {
        let mut needs = FIRST_TURN_NEEDS;
        while let Some(turn) = next {
            if deadline.saturating_duration_since(Instant::now()) < needs {
                return Ok(Disposition::Again(Duration::ZERO));
            }
            needs = FURTHER_TURN_NEEDS;
            self.begin_reply(&turn).await?;
            let turned = if turn.epoch < self.leased.guard.epoch && !is_reply(&turn) {
                self.finish_left(&turn).await?
            } else if let Some(ended) = turn.ended.clone() {
                self.deliver(&turn, &ended).await?
            } else {
                self.answer(&turn).await?
            };
            match turned {
                Turned::Ended | Turned::HandedOver => {}
                Turned::Parked => {
                    next = self.next_turn(up_to).await?.map(Box::new);
                    continue;
                }
                Turned::GiveUp => return Ok(Disposition::Again(Duration::ZERO)),
                Turned::Later(wait) => return Ok(Disposition::Again(wait)),
            }
            next = self.delivered(&turn, up_to).await?.map(Box::new);
            if turned == Turned::HandedOver {
                // What came in between is nobody's to answer, and what is due of it is due under the new epoch.
                let due = next.is_some();
                return Ok(if due { Disposition::Again(Duration::ZERO) } else { Disposition::Done });
            }
            if next.is_none() && turned == Turned::Ended {
                self.summarise(&turn).await;
            }
        }
        Ok(Disposition::Done)
    }

    /// The oldest turn that is due.
    async fn next_turn(&self, up_to: Option<MessageId>) -> Result<Option<TurnRow>, Error> {
        let thread = self.conversation();
        let look = || async { self.agent.db.begin(self.tenant).await?.next_turn(thread, up_to).await };
        Patience::of(OUTAGE).retry(look).await
    }

    /// Notes the delivery, once everything is posted; the next turn.
    async fn delivered(&self, turn: &TurnRow, up_to: Option<MessageId>) -> Result<Option<TurnRow>, Error> {
        let last = self.writer.known();
        self.poster.posted_to(last).await;
        reach("turn.posted").await;
        let (thread, id) = (self.conversation(), turn.id);
        let note =
            || async { self.agent.db.begin(self.tenant).await?.delivered(thread, id, last, up_to).await };
        let next = Patience::of(OUTAGE).retry(note).await;
        reach("turn.delivered").await;
        next
    }

    pub(crate) const fn conversation(&self) -> ConversationId {
        self.leased.guard.conversation
    }

    /// Now, as frames tell it.
    fn timestamp(&self) -> String {
        timestamp(self.agent.clock.now())
    }

    fn on_behalf(&self) -> OnBehalf<'_> {
        OnBehalf {
            db: self.agent.db.clone(),
            connections: self.agent.connections.clone(),
            ids: self.agent.ids.as_ref(),
            clock: self.agent.clock.as_ref(),
            wake: None,
        }
    }
}

/// A human's reply is delivered under any epoch: nobody ends it on anybody's behalf.
fn is_reply(turn: &TurnRow) -> bool {
    matches!(turn.ended, Some(Ended::Reply { .. }))
}

/// RFC 3339, UTC, milliseconds.
pub(crate) fn timestamp(at: OffsetDateTime) -> String {
    let milliseconds = at.replace_millisecond(at.millisecond()).unwrap_or(at);
    let text = milliseconds.to_offset(UtcOffset::UTC).format(&Rfc3339).unwrap_or_default();
    // RFC 3339 leaves out a fraction of zero and trailing zeros; the protocol has always three digits.
    let (seconds, fraction) =
        text.trim_end_matches('Z').split_once('.').unwrap_or((text.trim_end_matches('Z'), ""));
    format!("{seconds}.{fraction:0<3}Z")
}
