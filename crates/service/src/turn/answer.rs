//! Answering one message: what the journal says is to be done is done, one step at a time, until the answer is whole.
//! Nothing is acknowledged here.

use konstruct_domain::{MessageId, Seq};
use konstruct_postgres::steps::Decision;
use konstruct_postgres::turns::{TurnRow, Work};
use konstruct_protocol::{ErrorCode, Event};
use tokio::time::Instant;

use super::course::{Course, Seen};
use super::end::{End, Shown};
use super::journal::{Journal, Todo};
use super::round::Round;
use super::tools::{Call, Called, DENIED, INTERRUPTED};
use super::wish::HANDED_OVER;
use super::{Held, OUTAGE, Turned};
use crate::error::Error;
use crate::failpoint::reach;
use crate::patience::Patience;

impl Held<'_> {
    pub(super) async fn answer(&mut self, turn: &TurnRow) -> Result<Turned, Error> {
        let Some(question) = turn.question.clone() else {
            return self.fail(turn, ErrorCode::AgentFailed, false).await;
        };
        if !turn.agent.is_active {
            return self.fail(turn, ErrorCode::AgentUnavailable, false).await;
        }
        let mut course = self.course(turn, question).await?;
        self.bill_the_dead(turn, &course).await?;
        if course.is_wish() {
            return self.hand_over_at_once(turn, course).await;
        }
        if self.show_last_result(&mut course).await? == Called::GiveUp {
            return Ok(Turned::GiveUp);
        }
        loop {
            let stopped = self.is_stopped(turn, &course).await;
            let called = match course.journal.next() {
                // What was interrupted is closed before a stop ends the turn: each call has its result.
                Todo::Interrupted(number, call) => {
                    self.close_call(&mut course, Call { turn, number, call: &call }, INTERRUPTED).await?
                }
                Todo::Wait(number, call, _) if stopped => {
                    self.close_call(&mut course, Call { turn, number, call: &call }, DENIED).await?
                }
                Todo::Decided(number, call, hash, decision) => {
                    let decision = if stopped { Decision::Cancelled } else { decision };
                    let at = Call { turn, number, call: &call };
                    let called = self.carry_out(&mut course, at, &hash, decision).await?;
                    if called == Called::Answered && decision == Decision::Cancelled {
                        return self.stop_here(turn, course).await;
                    }
                    called
                }
                _ if stopped => return self.stop_here(turn, course).await,
                Todo::Ask(number) => match self.round(turn, &mut course, number).await? {
                    Round::Called => continue,
                    Round::Answered(request, asking) => {
                        return self.end_whole(turn, course, &request, *asking).await;
                    }
                    Round::Cut(request, asking) => {
                        return self.end_stopped(turn, course, &request, *asking).await;
                    }
                    Round::Stopped => return self.stop_here(turn, course).await,
                    Round::Ended(turned) => return Ok(turned),
                },
                Todo::Begin(number, call) => {
                    self.begin_call(&mut course, Call { turn, number, call: &call }).await?
                }
                Todo::Wait(_, call, expires_at) => {
                    self.wait_for_decision(turn, &mut course, &call, &expires_at).await?
                }
                // The last answer called nothing, so its turn has ended with it.
                Todo::End => return Err(Error::Bug("a turn has its answer and no end".to_owned())),
            };
            match called {
                Called::Answered => {}
                Called::Waits => return Ok(Turned::Parked),
                Called::GiveUp => return Ok(Turned::GiveUp),
            }
        }
    }

    /// What there is of a turn: nothing, or what whoever died left.
    async fn course(&mut self, turn: &TurnRow, question: String) -> Result<Course, Error> {
        let (said, kit) = tokio::try_join!(self.memory(turn), self.agent.equipment(self.tenant, turn))?;
        self.summary_until = Some(kit.summary_until);
        let mut course = Course {
            question,
            said,
            kit,
            journal: Journal::default(),
            answer_id: None,
            first_seq: None,
            seen: Seen::default(),
            failures: turn.failures,
            heard: Instant::now(),
            waited: false,
        };
        let Some(answer_id) = turn.answer_id else { return Ok(course) };
        self.read_journal(turn, &mut course).await?;
        let (redis, thread) = (&self.agent.connections.redis, self.conversation());
        let read = || redis.frames_after(self.tenant, thread, Seq(0), usize::MAX >> 1);
        let log = Patience::of(OUTAGE).retry(read).await?;
        course.seen = Seen::read(&log, answer_id);
        course.waited = course.journal.rounds() > 0;
        if course.waited
            && let Err(error) = redis.forget(&self.memory_key(turn)).await
        {
            // Messages behind it may have been answered while it waited: what they remember lacks its answer.
            tracing::warn!(%error, "memory could not be forgotten");
        }
        // What is journaled is shown under this id, whole: then the answer goes on under it.
        if course.journal.rounds() > 0
            && !course.journal.is_asking()
            && course.seen.pieces.as_ref() == Some(&course.journal.text())
        {
            course.answer_id = Some(answer_id);
            course.first_seq = course.seen.first_piece;
        }
        Ok(course)
    }

    /// Whether a person stopped this answer. Behind a step the mark itself is read: the signal is up to 100 ms old.
    async fn is_stopped(&self, turn: &TurnRow, course: &Course) -> bool {
        if self.cancelled == Some(turn.id) || course.journal.rounds() == 0 {
            return self.cancelled == Some(turn.id);
        }
        let redis = &self.agent.connections.redis;
        match redis.cancelled(self.tenant, self.conversation()).await {
            Ok(cancelled) => cancelled == Some(turn.id),
            // The log's gate still looks.
            Err(_) => false,
        }
    }

    /// Who plainly asks for a human gets one, whatever the models do.
    async fn hand_over_at_once(&mut self, turn: &TurnRow, course: Course) -> Result<Turned, Error> {
        if let Some(void) = course.shown_id(turn)
            && self.discard(void).await? == Shown::GiveUp
        {
            return Ok(Turned::GiveUp);
        }
        let (id, work) = (MessageId(self.agent.ids.new_id()), self.work(turn));
        let begin =
            || async { self.agent.db.begin(self.tenant).await?.begin_answer(work, id, turn.deaths).await };
        if !Patience::of(OUTAGE).retry(begin).await? {
            return Ok(Turned::GiveUp);
        }
        reach("wish.begun").await;
        let piece = Event::Piece { message_id: id, text: HANDED_OVER.to_owned() };
        match self.show(vec![piece], Some(turn.id), None).await? {
            Shown::From(_) => {}
            Shown::Stopped => return self.stop_here(turn, course).await,
            Shown::GiveUp => return Ok(Turned::GiveUp),
        }
        let end = End { id, text: HANDED_OVER.to_owned(), stopped: false, usage: None };
        self.end(turn, course, end).await
    }

    /// Ends a stopped turn between two steps: what the log has of the answer is the answer.
    async fn stop_here(&mut self, turn: &TurnRow, course: Course) -> Result<Turned, Error> {
        let known = course.answer_id.or(turn.answer_id.filter(|_| course.seen.pieces.is_some()));
        let text = match (course.answer_id, &course.seen.pieces) {
            (Some(_), _) => course.journal.text(),
            (None, Some(pieces)) => pieces.clone(),
            (None, None) => String::new(),
        };
        let id = known.unwrap_or_else(|| MessageId(self.agent.ids.new_id()));
        let end = End { id, text, stopped: true, usage: None };
        self.end(turn, course, end).await
    }

    pub(super) const fn work(&self, turn: &TurnRow) -> Work {
        Work { guard: self.leased.guard, turn: turn.id }
    }

    pub(super) async fn discard(&mut self, message_id: MessageId) -> Result<Shown, Error> {
        self.show(vec![Event::Discard { message_id }], None, None).await
    }
}
