//! Asking the model once and showing what it writes as it writes. Dropping its stream hangs up. Nothing is ended
//! here.

use std::time::Duration;

use konstruct_domain::{Epoch, MessageId, Seq};
use konstruct_ports::{ModelError, ModelRequest, ModelStream};
use konstruct_postgres::turns::TurnRow;
use konstruct_protocol::Event;
use konstruct_protocol::event::pieces;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::Held;
use super::end::Shown;
use super::progress::{Next, PIECE_EVERY, Progress};
use crate::delivery::poster::Signals;
use crate::error::Error;
use crate::failpoint::reach;
use crate::patience::Patience;

/// The one step of an answer without tools.
pub(super) const STEP: i32 = 0;

/// One asking of the model.
pub(super) struct Asking {
    pub(super) answer_id: MessageId,
    pub(super) number: i32,
    pub(super) model: String,
    pub(super) began: Instant,
    /// First `seq` of the answer, once a piece was shown.
    pub(super) first_seq: Option<Seq>,
    pub(super) progress: Progress,
}

/// How an asking ended.
pub(super) enum Asked {
    Whole,
    Stopped,
    Failed(ModelError),
    GiveUp,
}

impl Held<'_> {
    /// Journals that the model is about to be asked, under a new answer id. `None`: fenced off.
    pub(super) async fn begin(
        &mut self,
        turn: &TurnRow,
        request: &ModelRequest,
    ) -> Result<Option<Asking>, Error> {
        let answer_id = MessageId(self.agent.ids.new_id());
        let work = self.work(turn);
        let begin = || async {
            let tx = self.agent.db.begin(self.tenant).await?;
            tx.begin_model_step(work, STEP, answer_id, &request.model, turn.deaths).await
        };
        let number = Patience::of(super::OUTAGE).retry(begin).await?;
        reach("asking.begun").await;
        let asked = Event::ModelCall { model: request.model.clone(), timestamp: self.timestamp() };
        if number.is_some() && self.show(vec![asked], None, None).await? == Shown::GiveUp {
            return Ok(None);
        }
        Ok(number.map(|number| Asking {
            answer_id,
            number,
            model: request.model.clone(),
            began: Instant::now(),
            first_seq: None,
            progress: Progress::default(),
        }))
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
        let stream = tokio::select! {
            stream = agent.model.ask(request) => stream,
            cut = until_cut(&mut signals, turn.id, epoch) => return Ok(cut),
            () = sleep(silence) => return Ok(Asked::Failed(silent())),
        };
        reach("asking.asked").await;
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
            let nothing_yet = asking.progress.shown.is_empty();
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
                Some(Ok(None)) => return Ok(Asked::Whole),
                Some(Err(failure)) => return Ok(Asked::Failed(failure)),
            };
            let done = matches!(next, Next::Done(_));
            reach("asking.heard").await;
            match next {
                Next::Unoffered => return Ok(Asked::Failed(unoffered())),
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
            if done {
                return Ok(Asked::Whole);
            }
        }
    }

    /// Logs what is pending as pieces. A cancel mark refuses them: that is the cut.
    async fn show_pending(&mut self, turn: &TurnRow, asking: &mut Asking) -> Result<Shown, Error> {
        let message_id = asking.answer_id;
        let events: Vec<Event> = pieces(&asking.progress.pending)
            .map(|text| Event::Piece { message_id, text: text.to_owned() })
            .collect();
        if events.is_empty() {
            return Ok(Shown::From(self.writer.known()));
        }
        let shown = self.show(events, Some(turn.id), asking.first_seq).await?;
        if let Shown::From(first) = shown {
            asking.first_seq.get_or_insert(first);
            asking.progress.pending_shown();
            self.show_reply(&asking.progress.shown);
        }
        Ok(shown)
    }

    /// RFC 3339, UTC, milliseconds.
    pub(super) fn timestamp(&self) -> String {
        let now = self.agent.clock.now();
        let milliseconds = now.replace_millisecond(now.millisecond()).unwrap_or(now);
        let text = milliseconds.format(&Rfc3339).unwrap_or_default();
        // RFC 3339 leaves out a fraction of zero and trailing zeros; the protocol has always three digits.
        let (seconds, fraction) =
            text.trim_end_matches('Z').split_once('.').unwrap_or((text.trim_end_matches('Z'), ""));
        format!("{seconds}.{fraction:0<3}Z")
    }
}

/// Returns when the answer to this message is to be cut off, and how.
pub(super) async fn until_cut(
    signals: &mut watch::Receiver<Signals>,
    message: MessageId,
    epoch: Epoch,
) -> Asked {
    let superseded = |signals: &Signals| signals.epoch.is_some_and(|now| now > epoch);
    match signals.wait_for(|s| superseded(s) || s.cancelled == Some(message)).await {
        Ok(signals) if superseded(&signals) => Asked::GiveUp,
        Ok(_) => Asked::Stopped,
        // The poster is gone, and with it who looks: the log's gate still does.
        Err(_) => std::future::pending().await,
    }
}

fn silent() -> ModelError {
    ModelError::Retryable { reason: "the model was silent for too long".to_owned(), retry_after: None }
}

fn unoffered() -> ModelError {
    ModelError::Fatal { reason: "the model asked for a tool that it was not offered".to_owned() }
}
