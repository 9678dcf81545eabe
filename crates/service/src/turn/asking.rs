//! Asking the model once and showing what it writes as it writes. Dropping its stream hangs up. Nothing is ended
//! here.

use std::time::Duration;

use konstruct_domain::{Epoch, MessageId, Seq};
use konstruct_ports::{ModelError, ModelRequest, ModelStream, StopReason};
use konstruct_postgres::steps::{ModelStep, ModelStepTry};
use konstruct_postgres::turns::TurnRow;
use konstruct_protocol::Event;
use konstruct_protocol::event::pieces;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::course::Course;
use super::end::Shown;
use super::progress::{Next, PIECE_EVERY, Progress};
use super::round::{asked, glue_of};
use super::{Held, OUTAGE, prompt};
use crate::delivery::poster::Signals;
use crate::error::Error;
use crate::failpoint::reach;
use crate::patience::Patience;

/// A budget that leaves an answer fewer tokens than this is spent.
const ANSWER_TOKENS_MIN: i64 = 64;

/// One asking of a model.
pub(super) struct Asking {
    pub(super) answer_id: MessageId,
    /// The step it is for, and the how-manieth it is of this step.
    pub(super) step: i32,
    pub(super) number: i32,
    pub(super) model: String,
    pub(super) began: Instant,
    /// Whether the model may have been at work for it.
    pub(super) reached: bool,
    /// What the answer's steps before it wrote.
    pub(super) before: String,
    /// First `seq` of the answer, once a piece was shown.
    pub(super) first_seq: Option<Seq>,
    pub(super) progress: Progress,
}

/// What came of beginning to ask.
pub(super) enum Begun {
    Yes(Box<Asking>),
    BudgetSpent,
    Stopped,
    GiveUp,
}

/// How an asking ended.
pub(super) enum Asked {
    Whole(StopReason),
    Stopped,
    Failed(ModelError),
    GiveUp,
}

impl Held<'_> {
    /// Journals that a model is about to be asked; what is left of an asking before it is voided first, and the
    /// journal's text is shown again under a new id.
    pub(super) async fn begin(
        &mut self,
        turn: &TurnRow,
        course: &mut Course,
        request: &mut ModelRequest,
        step: i32,
    ) -> Result<Begun, Error> {
        if course.answer_id.is_none()
            && let Some(void) = course.shown_id(turn)
        {
            if self.discard(void).await? == Shown::GiveUp {
                return Ok(Begun::GiveUp);
            }
            course.seen.pieces = None;
        }
        let answer_id = course.answer_id.unwrap_or_else(|| MessageId(self.agent.ids.new_id()));
        let prompt_tokens = prompt::size(&request.messages, &request.tools);
        let step_row = ModelStep {
            number: step,
            answer_id,
            model: &request.route.model,
            prompt_tokens: i64::try_from(prompt_tokens).unwrap_or(i64::MAX),
            tokens_max: self.agent.limits.answer_tokens_max.into(),
            tokens_min: ANSWER_TOKENS_MIN,
            deaths: turn.deaths,
        };
        let work = self.work(turn);
        let begin =
            || async { self.agent.db.begin(self.tenant).await?.begin_model_step(work, step_row).await };
        let number = match Patience::of(OUTAGE).retry(begin).await? {
            ModelStepTry::Begun { asking, tokens_max } => {
                request.tokens_max = u32::try_from(tokens_max).unwrap_or(request.tokens_max);
                asking
            }
            ModelStepTry::BudgetSpent => return Ok(Begun::BudgetSpent),
            ModelStepTry::Fenced => return Ok(Begun::GiveUp),
        };
        reach("asking.begun").await;
        course.journal.note(asked(step, number, &request.route.model));
        let event = Event::ModelCall { model: request.route.model.clone(), timestamp: self.timestamp() };
        if self.show(vec![event], None, course.first_seq).await? == Shown::GiveUp {
            return Ok(Begun::GiveUp);
        }
        if course.answer_id.is_none() {
            match self.show_journaled(turn, course, answer_id).await? {
                Shown::From(_) => {}
                Shown::Stopped => return Ok(Begun::Stopped),
                Shown::GiveUp => return Ok(Begun::GiveUp),
            }
            course.answer_id = Some(answer_id);
        }
        tracing::info!(
            provider = request.route.provider.as_str(),
            model = request.route.model,
            step,
            asking = number,
            "model asked"
        );
        Ok(Begun::Yes(Box::new(Asking {
            answer_id,
            step,
            number,
            model: request.route.model.clone(),
            began: Instant::now(),
            reached: false,
            before: course.journal.text(),
            first_seq: course.first_seq,
            progress: Progress { glue: glue_of(course), ..Progress::default() },
        })))
    }

    /// Asks once and shows what comes. Dropping the stream hangs up.
    pub(super) async fn ask(
        &mut self,
        turn: &TurnRow,
        request: &ModelRequest,
        asking: &mut Asking,
        silence: Duration,
    ) -> Result<Asked, Error> {
        let mut signals = self.poster.signals();
        let epoch = self.leased.guard.epoch;
        let agent = self.agent;
        asking.reached = true;
        let stream = tokio::select! {
            stream = agent.model.ask(request) => stream,
            cut = until_cut(&mut signals, turn.id, epoch) => return Ok(cut),
            () = sleep(silence) => return Ok(Asked::Failed(silent())),
        };
        reach("asking.asked").await;
        asking.reached = matches!(&stream, Ok(_) | Err(ModelError::TimedOut { .. }));
        match stream {
            Ok(stream) => self.read(turn, stream, asking, silence).await,
            Err(failure) => Ok(Asked::Failed(failure)),
        }
    }

    async fn read(
        &mut self,
        turn: &TurnRow,
        mut stream: Box<dyn ModelStream>,
        asking: &mut Asking,
        silence: Duration,
    ) -> Result<Asked, Error> {
        let mut signals = self.poster.signals();
        let epoch = self.leased.guard.epoch;
        let mut show_at: Option<Instant> = None;
        let mut last_shown = Instant::now();
        loop {
            let nothing_yet = asking.progress.shown.is_empty() && asking.progress.calls.is_empty();
            let silent_until = asking.began + silence;
            let event = tokio::select! {
                biased;
                () = sleep_until(show_at.unwrap_or(last_shown)), if show_at.is_some() => None,
                event = stream.next() => Some(event),
                cut = until_cut(&mut signals, turn.id, epoch) => return Ok(cut),
                () = sleep_until(silent_until), if nothing_yet => return Ok(Asked::Failed(silent())),
            };
            let next = match event {
                None => Next::ShowNow,
                Some(Ok(Some(event))) => asking.progress.absorb(event),
                Some(Ok(None)) => return Ok(Asked::Whole(StopReason::End)),
                Some(Err(failure)) => return Ok(Asked::Failed(failure)),
            };
            let done = if let Next::Done(reason) = next { Some(reason) } else { None };
            reach("asking.heard").await;
            match next {
                Next::ShowSoon if show_at.is_none() => show_at = Some(last_shown + PIECE_EVERY),
                Next::ShowNow | Next::Done(_) => {
                    show_at = None;
                    match self.show_pending(turn, asking).await? {
                        Shown::From(_) => last_shown = Instant::now(),
                        Shown::Stopped => return Ok(Asked::Stopped),
                        Shown::GiveUp => return Ok(Asked::GiveUp),
                    }
                }
                Next::ShowSoon | Next::ReadOn => {}
            }
            if let Some(reason) = done {
                return Ok(Asked::Whole(reason));
            }
        }
    }

    /// Logs what is pending as pieces. A cancel mark refuses them: that is the cut.
    pub(super) async fn show_pending(&mut self, turn: &TurnRow, asking: &mut Asking) -> Result<Shown, Error> {
        let message_id = asking.answer_id;
        let events: Vec<Event> = pieces(&asking.progress.pending)
            .map(|text| Event::Piece { message_id, text: text.to_owned() })
            .collect();
        if events.is_empty() {
            return Ok(Shown::From(self.writer.known()));
        }
        let shown = self.show(events, Some(turn.id), asking.first_seq).await?;
        if let Shown::From(first) = shown {
            if asking.first_seq.is_none() {
                self.tally.spoke();
            }
            asking.first_seq.get_or_insert(first);
            asking.progress.pending_shown();
            self.show_reply(&(asking.before.clone() + &asking.progress.shown));
        }
        Ok(shown)
    }
}

/// Returns when the answer to this message is to be cut off, and how.
pub(super) async fn until_cut(
    signals: &mut watch::Receiver<Signals>,
    message: MessageId,
    epoch: Epoch,
) -> Asked {
    let superseded = |signals: &Signals| signals.epoch.is_some_and(|now| now > epoch);
    let signalled = signals.wait_for(|s| superseded(s) || s.cancelled == Some(message)).await;
    match signalled.map(|signals| superseded(&signals)) {
        Ok(true) => Asked::GiveUp,
        Ok(false) => Asked::Stopped,
        // The poster is gone, and with it who looks: the log's gate still does.
        Err(_) => std::future::pending().await,
    }
}

fn silent() -> ModelError {
    ModelError::TimedOut { reason: "the model was silent for too long".to_owned() }
}
