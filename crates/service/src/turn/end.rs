//! The end of a turn: stored first, then brought to people, once. What was stored is not changed any more.

use konstruct_domain::{MessageId, Seq};
use konstruct_ports::ModelRequest;
use konstruct_postgres::turns::{AnswerToStore, Ended, TurnRow};
use konstruct_postgres::usage::Usage;
use konstruct_protocol::event::CountedTokens;
use konstruct_protocol::frame::frameable;
use konstruct_protocol::{ErrorCode, Event};
use konstruct_redis::frame_log::Append;
use serde_json::json;

use super::asking::Asking;
use super::course::Course;
use super::{Held, OUTAGE, Turned};
use crate::delivery::Write;
use crate::delivery::shown::ends;
use crate::error::Error;
use crate::failpoint::reach;
use crate::hand_over::KnownLog;
use crate::patience::Patience;
use crate::reset::sentence;

/// The frame that ends a turn; `None`: it ends in silence.
#[must_use]
pub fn final_event(turn: MessageId, ended: &Ended) -> Option<Event> {
    match ended {
        Ended::Answer { id, text, stopped } => Some(Event::Answer {
            message_id: *id,
            in_reply_to: turn,
            text: frameable(text),
            stopped: *stopped,
        }),
        Ended::Error(code) => {
            let code = ErrorCode::parse(code).unwrap_or(ErrorCode::AgentFailed);
            Some(Event::Failed { code, error: sentence(code).to_owned(), id: turn })
        }
        Ended::Reply { text } => Some(Event::Reply { message_id: turn, text: frameable(text) }),
        Ended::Silent => None,
    }
}

/// How a turn ends with an answer.
pub(super) struct End {
    pub(super) id: MessageId,
    pub(super) text: String,
    pub(super) stopped: bool,
    pub(super) usage: Option<Usage>,
}

impl Held<'_> {
    /// The model is done.
    pub(super) async fn show_model_response(&mut self, asking: &Asking) -> Result<Shown, Error> {
        let counted = asking.progress.usage;
        let answered = Event::ModelResponse {
            model: asking.model.clone(),
            usage: CountedTokens {
                prompt_tokens: counted.map(|u| u.prompt_tokens),
                completion_tokens: counted.map(|u| u.completion_tokens),
                total_tokens: counted.map(|u| u.total_tokens),
            },
            duration_ms: u64::try_from(asking.began.elapsed().as_millis()).ok(),
            timestamp: self.timestamp(),
        };
        self.show(vec![answered], None, asking.first_seq).await
    }

    /// Ends a turn whose answer is whole.
    pub(super) async fn end_whole(
        &mut self,
        turn: &TurnRow,
        course: Course,
        request: &ModelRequest,
        asking: Asking,
    ) -> Result<Turned, Error> {
        let usage = self.usage(turn, request, &asking);
        let text = asking.before + &asking.progress.shown;
        let end = End { id: asking.answer_id, text, stopped: false, usage: Some(usage) };
        self.end(turn, course, end).await
    }

    /// Ends a turn that a person stopped in mid-asking, with what was shown of it.
    pub(super) async fn end_stopped(
        &mut self,
        turn: &TurnRow,
        course: Course,
        request: &ModelRequest,
        asking: Asking,
    ) -> Result<Turned, Error> {
        let usage = asking.reached.then(|| self.usage(turn, request, &asking));
        let text = asking.before + &asking.progress.shown;
        let end = End { id: asking.answer_id, text, stopped: true, usage };
        self.end(turn, course, end).await
    }

    /// Stores the answer, then shows its end. Where its tools asked for a human, a human has the conversation then.
    pub(super) async fn end(&mut self, turn: &TurnRow, course: Course, end: End) -> Result<Turned, Error> {
        let (work, to_human) = (self.work(turn), course.hands_over());
        let answer = AnswerToStore {
            id: end.id,
            text: &end.text,
            stopped: end.stopped,
            step_result: json!({ "answer_id": end.id }),
            to_human,
        };
        let store = || async {
            self.agent.db.begin(self.tenant).await?.end_with_answer(work, &answer, end.usage.as_ref()).await
        };
        let ended = Patience::of(OUTAGE).retry(store).await?;
        reach("end.stored").await;
        if let Some(usage) = &end.usage {
            self.tally.used(usage);
        }
        if !ended {
            return Ok(Turned::GiveUp);
        }
        self.tally.ended(if end.stopped { "stopped" } else { "answered" }, None);
        let End { id, text, stopped, .. } = end;
        let turned = self.announce_end(turn, &Ended::Answer { id, text: text.clone(), stopped }).await?;
        self.remember(turn, course, text).await;
        self.hand_over_after(turn, turned, to_human).await
    }

    /// Ends a turn with an error, and hands the conversation to a human if that is wanted.
    pub(super) async fn fail(
        &mut self,
        turn: &TurnRow,
        code: ErrorCode,
        to_human: bool,
    ) -> Result<Turned, Error> {
        let (work, deaths) = (self.work(turn), turn.deaths);
        let end = || async {
            self.agent
                .db
                .begin(self.tenant)
                .await?
                .end_with_error(work, code.as_str(), deaths, to_human)
                .await
        };
        let ended = Patience::of(OUTAGE).retry(end).await?;
        reach("end.failed").await;
        if !ended {
            return Ok(Turned::GiveUp);
        }
        self.tally.ended("failed", Some(code));
        let turned = self.announce_end(turn, &Ended::Error(code.as_str().to_owned())).await?;
        self.hand_over_after(turn, turned, to_human).await
    }

    /// What follows the end of a turn with which a human got the conversation.
    async fn hand_over_after(
        &mut self,
        turn: &TurnRow,
        turned: Turned,
        to_human: bool,
    ) -> Result<Turned, Error> {
        if !to_human || turned != Turned::Ended {
            return Ok(turned);
        }
        self.on_behalf().settle(self.tenant, self.conversation(), Some(turn.id)).await?;
        reach("end.handed_over").await;
        Ok(Turned::HandedOver)
    }

    /// Delivers a turn that had ended before: leaves out what the log has already.
    pub(super) async fn deliver(&mut self, turn: &TurnRow, ended: &Ended) -> Result<Turned, Error> {
        let thread = self.conversation();
        let redis = self.agent.connections.redis.clone();
        let read = || redis.frames_after(self.tenant, thread, Seq(0), usize::MAX >> 1);
        let log = Patience::of(OUTAGE).retry(read).await?;
        // Whoever was to get an end whose pieces are lost may have got it with the log that is gone: all are told of
        // the gap.
        if log.iter().any(|(_, event)| ends(event, turn.id)) || pieces_are_lost(ended, &log) {
            return self.end_reply(turn, ended).await;
        }
        self.announce_end(turn, ended).await
    }

    /// The final frame and the publication.
    pub(super) async fn announce_end(&mut self, turn: &TurnRow, ended: &Ended) -> Result<Turned, Error> {
        if matches!(ended, Ended::Reply { .. }) {
            // Whoever took the reply may be showing it at this moment: under the same name it is logged once.
            if !self.show_human(turn, ended).await? {
                return Ok(Turned::GiveUp);
            }
        } else if let Some(event) = final_event(turn.id, ended)
            && self.show(vec![event], None, None).await? == Shown::GiveUp
        {
            return Ok(Turned::GiveUp);
        }
        reach("end.shown").await;
        let replied = self.end_reply(turn, ended).await?;
        if replied != Turned::Ended {
            return Ok(replied);
        }
        reach("end.replied").await;
        if let Ended::Answer { text, .. } = ended {
            let (tenant, thread) = (self.tenant, self.conversation());
            if let Err(error) = self.agent.connections.redis.publish_response(tenant, thread, text).await {
                tracing::warn!(%error, "an answer could not be published; who waits for it looks by himself");
            }
        }
        Ok(Turned::Ended)
    }

    /// A human's reply, as whoever took it shows it; `false`: a newer epoch.
    async fn show_human(&mut self, turn: &TurnRow, ended: &Ended) -> Result<bool, Error> {
        let log = KnownLog {
            generation: self.leased.generation,
            epoch: self.leased.guard.epoch,
            last_seq: self.writer.known(),
        };
        let (tenant, thread) = (self.tenant, self.conversation());
        let shown = self.on_behalf().show_reply(tenant, thread, log, turn.id, ended).await?;
        if let Some(last) = shown {
            self.writer.saw(last);
        }
        Ok(shown.is_some())
    }

    /// Logs frames and hands them to the poster.
    pub(super) async fn show(
        &mut self,
        events: Vec<Event>,
        unless_stopped: Option<MessageId>,
        keep_from: Option<Seq>,
    ) -> Result<Shown, Error> {
        let append = Append { events: &events, unless_stopped, keep_from };
        match self.writer.write(append).await? {
            Write::Logged { first, live, begun_anew, .. } => {
                if begun_anew {
                    self.poster.begun_anew();
                }
                self.poster.logged(first, events, live);
                Ok(Shown::From(first))
            }
            Write::Stopped => Ok(Shown::Stopped),
            Write::GiveUp => Ok(Shown::GiveUp),
        }
    }
}

/// Whether the log no longer has the pieces that an answer was shown in.
fn pieces_are_lost(ended: &Ended, log: &[(Seq, Event)]) -> bool {
    let Ended::Answer { id, text, .. } = ended else { return false };
    let is_piece = |event: &Event| matches!(event, Event::Piece { message_id, .. } if message_id == id);
    !text.is_empty() && !log.iter().any(|(_, event)| is_piece(event))
}

/// What came of showing frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// They are in the log from here on.
    From(Seq),
    /// The person stopped the answer.
    Stopped,
    /// Another agent, or a newer epoch.
    GiveUp,
}
