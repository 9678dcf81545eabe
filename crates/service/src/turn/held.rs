//! Turns under a lease: one after another, oldest first, each in the span of its own message. What a turn does is not
//! said here.

use std::time::Duration;

use konstruct_domain::{ConversationId, MessageId};
use konstruct_postgres::turns::TurnRow;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::tally::Tally;
use super::{Disposition, Held, OUTAGE, Record, Turned, is_reply, timestamp};
use crate::error::Error;
use crate::failpoint::reach;
use crate::hand_over::OnBehalf;
use crate::patience::Patience;
use crate::telemetry::of_message;

/// A turn is begun only with so much time left in the invocation.
const FIRST_TURN_NEEDS: Duration = Duration::from_secs(120);
/// And a further one: an answer of 16,000 tokens takes minutes, and a fresh invocation has them.
const FURTHER_TURN_NEEDS: Duration = Duration::from_secs(600);

/// What follows a turn.
enum After {
    /// The next one, if one is due.
    Turn(Option<Box<TurnRow>>),
    /// The record is done, or comes back.
    Over(Disposition),
}

impl Held<'_> {
    /// One turn after another, oldest first, until none is due.
    pub(super) async fn turns(
        &mut self,
        mut next: Option<Box<TurnRow>>,
        up_to: Option<MessageId>,
        record: &Record,
    ) -> Result<Disposition, Error> {
        let mut needs = FIRST_TURN_NEEDS;
        while let Some(turn) = next {
            if record.deadline.saturating_duration_since(Instant::now()) < needs {
                return Ok(Disposition::Again(Duration::ZERO));
            }
            needs = FURTHER_TURN_NEEDS;
            self.trace = turn.trace.unwrap_or(record.trace);
            self.tally = Tally::new();
            self.poster.works_on(turn.id, self.trace);
            let span = of_message(self.tenant, self.conversation(), turn.id, Some(self.trace));
            match self.one_turn(&turn, up_to).instrument(span).await? {
                After::Turn(following) => next = following,
                After::Over(disposition) => return Ok(disposition),
            }
        }
        Ok(Disposition::Done)
    }

    /// Works on a turn and brings its end to people.
    async fn one_turn(&mut self, turn: &TurnRow, up_to: Option<MessageId>) -> Result<After, Error> {
        let left = turn.epoch < self.leased.guard.epoch && !is_reply(turn);
        let work = match (&turn.ended, left) {
            (_, true) => "left behind",
            (Some(_), false) => "deliver",
            (None, false) => "answer",
        };
        tracing::info!(work, channel = turn.channel.as_str(), deaths = turn.deaths, "turn begun");
        self.begin_reply(turn).await?;
        let turned = if left {
            self.finish_left(turn).await?
        } else if let Some(ended) = turn.ended.clone() {
            self.deliver(turn, &ended).await?
        } else {
            let answered = self.answer(turn).await;
            self.tally.left(answered.as_ref().map_or("error", |turned| turned.as_str()));
            answered?
        };
        match turned {
            Turned::Ended | Turned::HandedOver => {}
            Turned::Parked => return Ok(After::Turn(self.next_turn(up_to).await?.map(Box::new))),
            Turned::GiveUp => return Ok(After::Over(Disposition::Again(Duration::ZERO))),
            Turned::Later(wait) => return Ok(After::Over(Disposition::Again(wait))),
        }
        let next = self.delivered(turn, up_to).await?.map(Box::new);
        if turned == Turned::HandedOver {
            // What came in between is nobody's to answer, and what is due of it is due under the new epoch.
            let due = next.is_some();
            let over = if due { Disposition::Again(Duration::ZERO) } else { Disposition::Done };
            return Ok(After::Over(over));
        }
        if next.is_none() {
            self.summarise(turn).await;
        }
        Ok(After::Turn(next))
    }

    /// The oldest turn that is due.
    async fn next_turn(&self, up_to: Option<MessageId>) -> Result<Option<TurnRow>, Error> {
        let thread = self.conversation();
        let look = || async { self.agent.db.begin(self.tenant).await?.next_turn(thread, up_to).await };
        Patience::of(OUTAGE).retry(look).await
    }

    /// Notes the delivery, once everything is posted; the next turn.
    async fn delivered(
        &mut self,
        turn: &TurnRow,
        up_to: Option<MessageId>,
    ) -> Result<Option<TurnRow>, Error> {
        let last = self.writer.known();
        let posts = self.poster.posted_to(last).await;
        let before = std::mem::replace(&mut self.posts, posts);
        tracing::info!(posts = posts.sent - before.sent, failed = posts.failed - before.failed, "delivered");
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
    pub(super) fn timestamp(&self) -> String {
        timestamp(self.agent.clock.now())
    }

    pub(super) fn on_behalf(&self) -> OnBehalf<'_> {
        OnBehalf {
            db: self.agent.db.clone(),
            connections: self.agent.connections.clone(),
            ids: self.agent.ids.as_ref(),
            clock: self.agent.clock.as_ref(),
            wake: None,
        }
    }
}
