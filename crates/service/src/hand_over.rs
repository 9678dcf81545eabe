//! Who has a conversation, the AI or a human (AGNT-06), and ending what an older epoch left behind (delivery.md section
//! 5): an answer under way ends as `stopped` with what was shown of it, a call that waits is denied. Every part may be
//! done again, by anybody.

use konstruct_domain::{Channel, ConversationId, Epoch, Generation, MessageId, Seq, TenantId};
use konstruct_ports::{Clock, Ids};
use konstruct_postgres::TenantPool;
use konstruct_postgres::hand_over::Standing;
use konstruct_postgres::reset::{Closing, LeftTurn};
use konstruct_postgres::turns::Ended;
use konstruct_protocol::Event;
use konstruct_protocol::event::Holder;
use tracing::Instrument as _;

use crate::connections::Connections;
use crate::delivery::shown::{ends, shown};
use crate::delivery::{LogWriter, once};
use crate::error::Error;
use crate::failpoint::reach;
use crate::telemetry::of_message;
use crate::turn::end::final_event;
use crate::turn::journal::{Journal, ToolResult};
use crate::turn::timestamp;
use crate::turn::tools::{DENIED, INTERRUPTED, call_event, result_event};
use crate::wake::{Due, Wake};

/// What ending on somebody's behalf needs.
#[derive(Clone)]
pub struct OnBehalf<'a> {
    /// The journal.
    pub db: TenantPool,
    /// The log and who is connected.
    pub connections: Connections,
    /// Names of writers and answers.
    pub ids: &'a dyn Ids,
    /// Frames' timestamps.
    pub clock: &'a dyn Clock,
    /// Wakes the agent where it alone can bring an end to its channel; `None`: the janitor does.
    pub wake: Option<Wake>,
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

impl KnownLog {
    const fn of(standing: &Standing) -> Self {
        Self { generation: standing.generation, epoch: standing.epoch, last_seq: standing.last_seq }
    }
}

impl OnBehalf<'_> {
    /// Hands a conversation to a human, or back. Where it is there already nothing is raised, and what whoever died left
    /// undone is done.
    ///
    /// # Errors
    /// `not_found`; or something is away: it may be asked for again.
    pub async fn hand_over(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        to_human: bool,
    ) -> Result<(), Error> {
        self.connections.redis.check().await?;
        let raise = self.db.begin(tenant).await?.raise_epoch(conversation, Some(to_human));
        let Some((standing, _)) = raise.await? else {
            return Err(Error::not_found("conversation"));
        };
        reach("hand_over.raised").await;
        self.settle_standing(tenant, conversation, &standing, None).await
    }

    /// Does what is left to do of a raised epoch, but for one turn that somebody else is about to deliver.
    pub(crate) async fn settle(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        but: Option<MessageId>,
    ) -> Result<(), Error> {
        match self.db.begin(tenant).await?.standing(conversation).await? {
            Some(standing) => self.settle_standing(tenant, conversation, &standing, but).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn settle_standing(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        standing: &Standing,
        but: Option<MessageId>,
    ) -> Result<(), Error> {
        self.connections.redis.raise_log_epoch(tenant, conversation, standing.epoch).await?;
        reach("hand_over.log_raised").await;
        for left in standing.left.iter().filter(|left| Some(left.id) != but) {
            self.finish(tenant, conversation, standing, left).await?;
        }
        if let Some(epoch) = standing.untold {
            self.tell(tenant, conversation, standing, epoch).await?;
        }
        Ok(())
    }

    /// Tells everybody who has the conversation, once.
    async fn tell(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        standing: &Standing,
        epoch: Epoch,
    ) -> Result<(), Error> {
        let status = if standing.human { Holder::Human } else { Holder::Ai };
        let log = KnownLog::of(standing);
        // Named after the epoch: whoever else tells of it appends the same number of the same writer.
        let name = format!("x{}", epoch.0);
        let event = Event::Escalation { status };
        // A newer epoch tells of itself.
        let Some(last) = self.append(tenant, conversation, log, name, vec![event]).await? else {
            return Ok(());
        };
        self.connections.redis.note_holder(tenant, conversation, standing.human).await?;
        self.db.begin(tenant).await?.hand_over_told(conversation, epoch, last).await?;
        reach("hand_over.told").await;
        Ok(())
    }

    /// Ends and delivers a turn that an older epoch left behind. Off the web the agent brings its end to the channel, and
    /// it is not delivered before.
    async fn finish(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        standing: &Standing,
        left: &LeftTurn,
    ) -> Result<(), Error> {
        let Some((ended, last)) = self.end_left(tenant, conversation, KnownLog::of(standing), left).await?
        else {
            return Ok(());
        };
        if standing.channel != Channel::Web {
            if let Some(wake) = &self.wake {
                let (message, epoch) = (left.id, standing.epoch);
                let due = Due { tenant, conversation, message, epoch, trace: left.trace };
                wake.deliver(due).await?;
            }
            return Ok(());
        }
        self.db.begin(tenant).await?.delivered(conversation, left.id, last, None).await?;
        reach("left.delivered").await;
        if let Ended::Answer { text, .. } = &ended {
            self.connections.redis.publish_response(tenant, conversation, text).await?;
        }
        Ok(())
    }

    /// Ends a turn that an older epoch left behind, and shows its end where the log lacks it; how it ended, and how far
    /// the log got. `None`: another is at it.
    ///
    /// # Errors
    /// Something is away.
    pub(crate) async fn end_left(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        log: KnownLog,
        left: &LeftTurn,
    ) -> Result<Option<(Ended, Seq)>, Error> {
        let span = of_message(tenant, conversation, left.id, left.trace);
        self.end_left_now(tenant, conversation, log, left).instrument(span).await
    }

    async fn end_left_now(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        log: KnownLog,
        left: &LeftTurn,
    ) -> Result<Option<(Ended, Seq)>, Error> {
        let frames =
            self.connections.redis.frames_after(tenant, conversation, Seq(0), usize::MAX >> 1).await?;
        let ended = match &left.ended {
            Some(ended) => ended.clone(),
            None => {
                let text = left.answer_id.and_then(|id| shown(&frames, id).map(|text| (id, text)));
                let (id, text) = text.unwrap_or_else(|| (MessageId(self.ids.new_id()), String::new()));
                let closing = Closing { waiting: DENIED, begun: INTERRUPTED };
                let tx = self.db.begin(tenant).await?;
                let done = tx.end_on_behalf(conversation, left.id, id, &text, closing).await?;
                reach("left.ended").await;
                if !done {
                    tracing::info!("a left turn was ended by another");
                    return Ok(None);
                }
                tracing::info!("a left turn was ended");
                Ended::Answer { id, text, stopped: true }
            }
        };
        let mut last = log.last_seq;
        if let Some(event) = final_event(left.id, &ended)
            && !frames.iter().any(|(_, event)| ends(event, left.id))
        {
            let mut events = self.calls_untold(tenant, left.id, &frames).await?;
            events.push(event);
            // The writer is named after the turn: whoever else appends its end appends the same number of the same
            // writer, and the log takes it once.
            let name = format!("e{}", left.id.0.simple());
            // Where a newer epoch holds by now, whoever raised it delivers this.
            let Some(logged) = self.append(tenant, conversation, log, name, events).await? else {
                return Ok(None);
            };
            last = logged;
        }
        reach("left.shown").await;
        Ok(Some((ended, last)))
    }

    /// What people were not told of a turn's calls: each has its `tool_call`, and each its result.
    async fn calls_untold(
        &self,
        tenant: TenantId,
        turn: MessageId,
        frames: &[(Seq, Event)],
    ) -> Result<Vec<Event>, Error> {
        let journal = Journal::read(self.db.begin(tenant).await?.steps(turn).await?, timestamp);
        let told = |like: &dyn Fn(&Event) -> bool| frames.iter().any(|(_, event)| like(event));
        let mut events = Vec::new();
        for (call, result) in journal.results() {
            let called = |event: &Event| matches!(event, Event::ToolCall { tool_call_id, .. } if *tool_call_id == call.id);
            if !told(&called) {
                events.push(call_event(call, timestamp(self.clock.now())));
            }
            let answered = |event: &Event| matches!(event, Event::ToolResult { tool_call_id, .. } if *tool_call_id == call.id);
            if !told(&answered) {
                let result = ToolResult { result: result.to_owned(), duration_ms: 0 };
                events.push(result_event(call, &result, timestamp(self.clock.now())));
            }
        }
        Ok(events)
    }

    /// Appends and sees to it that it is posted; how far the log got. `None`: a newer epoch, nothing was written.
    async fn append(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        log: KnownLog,
        name: String,
        events: Vec<Event>,
    ) -> Result<Option<Seq>, Error> {
        let holder = format!("w{}", self.ids.new_id().simple());
        let identity = LogWriter::other(log.generation, log.epoch, name, log.last_seq);
        let redis = self.connections.redis.clone();
        let mut writer = LogWriter::new(redis, self.db.clone(), tenant, conversation, identity);
        let logged = once::append_and_post(&self.connections, &mut writer, holder, events).await?;
        Ok(logged.then(|| writer.known()))
    }

    /// Appends a human's reply and sees to it that it is posted; how far the log got. `None`: a newer epoch.
    pub(crate) async fn show_reply(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        log: KnownLog,
        reply: MessageId,
        ended: &Ended,
    ) -> Result<Option<Seq>, Error> {
        let frames =
            self.connections.redis.frames_after(tenant, conversation, Seq(0), usize::MAX >> 1).await?;
        let events: Vec<Event> = final_event(reply, ended).into_iter().collect();
        if frames.iter().any(|(_, event)| ends(event, reply)) {
            return Ok(Some(log.last_seq));
        }
        self.append(tenant, conversation, log, format!("e{}", reply.0.simple()), events).await
    }
}
