//! Answering one message: ask the model, show what it writes as it writes, store the answer. Trying again after a
//! failure is always under a new `message_id`. Nothing is acknowledged here.

use std::time::Duration;

use konstruct_domain::{Epoch, MessageId, Seq};
use konstruct_ports::{ModelError, ModelRequest, ModelStream};
use konstruct_postgres::turns::{AnswerToStore, Ended, TurnRow, Work};
use konstruct_postgres::usage::Usage;
use konstruct_protocol::event::{CountedTokens, pieces};
use konstruct_protocol::{ErrorCode, Event};
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::end::Shown;
use super::progress::{Next, PIECE_EVERY, Progress, estimated_tokens};
use super::prompt::{self, Remembered};
use super::{Held, Turned};
use crate::delivery::poster::Signals;
use crate::error::Error;
use crate::patience::Patience;

/// The one step of an answer without tools.
const STEP: i32 = 0;

/// One asking of the model.
struct Asking {
    answer_id: MessageId,
    number: i32,
    model: String,
    began: Instant,
    /// First `seq` of the answer, once a piece was shown.
    first_seq: Option<Seq>,
    progress: Progress,
}

/// How an asking ended.
enum Asked {
    Whole,
    Stopped,
    Failed(ModelError),
    GiveUp,
}

impl Held<'_> {
    pub(super) async fn answer(&mut self, turn: &TurnRow) -> Result<Turned, Error> {
        let Some(question) = turn.question.clone() else {
            return self.fail(turn, ErrorCode::AgentFailed).await;
        };
        if !turn.agent.is_active {
            return self.fail(turn, ErrorCode::AgentUnavailable).await;
        }
        let shown_before = self.shown_before(turn).await?;
        if self.cancelled == Some(turn.id) {
            let id = turn.answer_id.unwrap_or(MessageId(self.agent.ids.new_id()));
            return self.end_stopped(turn, id, shown_before, None).await;
        }
        if !shown_before.is_empty() && self.discard(turn.answer_id).await? == Shown::GiveUp {
            return Ok(Turned::GiveUp);
        }
        if turn.failures >= self.agent.limits.failures_max || turn.deaths >= self.agent.limits.deaths_max {
            return self.fail(turn, ErrorCode::AgentFailed).await;
        }
        let memory = self.memory(turn).await?;
        self.ask_until_answered(turn, memory, question).await
    }

    /// Asks until the model answers, or its failures are too many, or it was silent for too long.
    async fn ask_until_answered(
        &mut self,
        turn: &TurnRow,
        memory: Vec<Remembered>,
        question: String,
    ) -> Result<Turned, Error> {
        let limits = self.agent.limits.clone();
        let model = turn.agent.model.clone().unwrap_or(limits.default_model);
        let today = self.agent.clock.now().date();
        let messages = prompt::build(&turn.agent, today, &memory, &question, limits.prompt_tokens_max);
        let request = ModelRequest { model, messages, tokens_max: limits.answer_tokens_max };
        // Silence counts from the last sign of life: a model that wrote for minutes was not silent.
        let mut heard = Instant::now();
        loop {
            let Some(mut asking) = self.begin(turn, &request).await? else {
                return Ok(Turned::GiveUp);
            };
            let silence = limits.model_silence.saturating_sub(heard.elapsed());
            let failure = match self.ask(turn, &request, &mut asking, silence).await? {
                Asked::GiveUp => {
                    self.bill(turn, &request, &asking).await?;
                    return Ok(Turned::GiveUp);
                }
                Asked::Whole => {
                    let remembered = (question, Some(asking.progress.shown.clone()));
                    let turned = self.end_whole(turn, &request, asking).await?;
                    self.remember(turn, memory, remembered).await;
                    return Ok(turned);
                }
                Asked::Stopped => {
                    let usage = self.usage(turn, &request, &asking);
                    let text = asking.progress.shown.clone();
                    let remembered = (question, Some(text.clone()));
                    let turned = self.end_stopped(turn, asking.answer_id, text, Some(usage)).await?;
                    self.remember(turn, memory, remembered).await;
                    return Ok(turned);
                }
                Asked::Failed(failure) => failure,
            };
            tracing::warn!(error = %failure, turn_id = %turn.id, "the model failed");
            self.bill(turn, &request, &asking).await?;
            if asking.first_seq.is_some() && self.discard(Some(asking.answer_id)).await? == Shown::GiveUp {
                return Ok(Turned::GiveUp);
            }
            let count =
                || async { self.agent.db.begin(self.tenant).await?.count_failure(self.work(turn)).await };
            let Some(failures) = Patience::of(super::OUTAGE).retry(count).await? else {
                return Ok(Turned::GiveUp);
            };
            let pause = pause_after(&failure, failures);
            if asking.first_seq.is_some() {
                heard = Instant::now();
            }
            let over = heard.elapsed().saturating_add(pause) >= limits.model_silence;
            if !failure.is_retryable() || failures >= limits.failures_max || over {
                return self.fail(turn, ErrorCode::AgentFailed).await;
            }
            match self.pause(turn, pause).await {
                Some(Asked::GiveUp) => return Ok(Turned::GiveUp),
                Some(_) => {
                    let id = MessageId(self.agent.ids.new_id());
                    return self.end_stopped(turn, id, String::new(), None).await;
                }
                None => {}
            }
        }
    }

    /// Waits before the next try; how the answer was cut off meanwhile, if it was.
    async fn pause(&self, turn: &TurnRow, pause: Duration) -> Option<Asked> {
        let mut signals = self.poster.signals();
        tokio::select! {
            () = sleep(pause) => None,
            cut = until_cut(&mut signals, turn.id, self.leased.guard.epoch) => Some(cut),
        }
    }

    const fn work(&self, turn: &TurnRow) -> Work {
        Work { guard: self.leased.guard, turn: turn.id }
    }

    /// What the log has shown of this turn's last answer and not voided.
    async fn shown_before(&self, turn: &TurnRow) -> Result<String, Error> {
        let Some(answer) = turn.answer_id else {
            return Ok(String::new());
        };
        let thread = self.conversation();
        let redis = &self.agent.connections.redis;
        let read = || redis.frames_after(self.tenant, thread, Seq(0), usize::MAX >> 1);
        let mut shown = String::new();
        for (_, event) in Patience::of(super::OUTAGE).retry(read).await? {
            match event {
                Event::Piece { message_id, text } if message_id == answer => shown.push_str(&text),
                Event::Discard { message_id } if message_id == answer => shown.clear(),
                _ => {}
            }
        }
        Ok(shown)
    }

    async fn discard(&mut self, answer: Option<MessageId>) -> Result<Shown, Error> {
        match answer {
            Some(message_id) => self.show(vec![Event::Discard { message_id }], None, None).await,
            None => Ok(Shown::From(self.writer.known())),
        }
    }

    /// Journals that the model is about to be asked, under a new answer id. `None`: fenced off.
    async fn begin(&mut self, turn: &TurnRow, request: &ModelRequest) -> Result<Option<Asking>, Error> {
        let answer_id = MessageId(self.agent.ids.new_id());
        let work = self.work(turn);
        let begin = || async {
            let tx = self.agent.db.begin(self.tenant).await?;
            tx.begin_model_step(work, STEP, answer_id, &request.model, turn.deaths).await
        };
        let number = Patience::of(super::OUTAGE).retry(begin).await?;
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
    async fn ask(
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
        }
        Ok(shown)
    }

    async fn end_whole(
        &mut self,
        turn: &TurnRow,
        request: &ModelRequest,
        asking: Asking,
    ) -> Result<Turned, Error> {
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
        if self.show(vec![answered], None, asking.first_seq).await? == Shown::GiveUp {
            self.bill(turn, request, &asking).await?;
            return Ok(Turned::GiveUp);
        }
        let usage = self.usage(turn, request, &asking);
        self.end(turn, asking.answer_id, asking.progress.shown, false, Some(usage)).await
    }

    async fn end_stopped(
        &mut self,
        turn: &TurnRow,
        id: MessageId,
        text: String,
        usage: Option<Usage>,
    ) -> Result<Turned, Error> {
        self.end(turn, id, text, true, usage).await
    }

    /// Stores the answer, then shows its end.
    async fn end(
        &mut self,
        turn: &TurnRow,
        id: MessageId,
        text: String,
        stopped: bool,
        usage: Option<Usage>,
    ) -> Result<Turned, Error> {
        let work = self.work(turn);
        let answer =
            AnswerToStore { id, text: &text, stopped, step: STEP, step_result: json!({ "answer_id": id }) };
        let end = || async {
            self.agent.db.begin(self.tenant).await?.end_with_answer(work, &answer, usage.as_ref()).await
        };
        if !Patience::of(super::OUTAGE).retry(end).await? {
            return Ok(Turned::GiveUp);
        }
        self.announce_end(turn, &Ended::Answer { id, text, stopped }).await
    }

    /// Ends a turn with an error.
    async fn fail(&mut self, turn: &TurnRow, code: ErrorCode) -> Result<Turned, Error> {
        let work = self.work(turn);
        let end =
            || async { self.agent.db.begin(self.tenant).await?.end_with_error(work, code.as_str()).await };
        if !Patience::of(super::OUTAGE).retry(end).await? {
            return Ok(Turned::GiveUp);
        }
        self.announce_end(turn, &Ended::Error(code.as_str().to_owned())).await
    }

    /// Books what a failed asking used.
    async fn bill(&self, turn: &TurnRow, request: &ModelRequest, asking: &Asking) -> Result<(), Error> {
        if asking.progress.usage.is_none() && asking.progress.shown.is_empty() {
            return Ok(());
        }
        let usage = self.usage(turn, request, asking);
        let book = || async { self.agent.db.begin(self.tenant).await?.record_usage(turn.id, &usage).await };
        Patience::of(super::OUTAGE).retry(book).await
    }

    /// The provider's count, else our estimate.
    fn usage(&self, turn: &TurnRow, request: &ModelRequest, asking: &Asking) -> Usage {
        let estimate = || {
            let prompt: usize = request.messages.iter().map(|m| estimated_tokens(&m.content)).sum();
            let completion = estimated_tokens(&asking.progress.shown);
            (prompt as i64, completion as i64, (prompt + completion) as i64)
        };
        let counted = asking
            .progress
            .usage
            .map(|u| (i64::from(u.prompt_tokens), i64::from(u.completion_tokens), i64::from(u.total_tokens)));
        let (prompt_tokens, completion_tokens, total_tokens) = counted.unwrap_or_else(estimate);
        Usage {
            id: self.agent.ids.new_id(),
            agent: turn.agent.id,
            step: STEP,
            asking: asking.number,
            model: asking.model.clone(),
            prompt_tokens,
            completion_tokens,
            total_tokens,
            estimated: counted.is_none(),
        }
    }

    /// RFC 3339, UTC, milliseconds.
    fn timestamp(&self) -> String {
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
async fn until_cut(signals: &mut watch::Receiver<Signals>, message: MessageId, epoch: Epoch) -> Asked {
    let superseded = |signals: &Signals| signals.epoch.is_some_and(|now| now > epoch);
    match signals.wait_for(|s| superseded(s) || s.cancelled == Some(message)).await {
        Ok(signals) if superseded(&signals) => Asked::GiveUp,
        Ok(_) => Asked::Stopped,
        // The poster is gone, and with it who looks: the log's gate still does.
        Err(_) => std::future::pending().await,
    }
}

fn pause_after(failure: &ModelError, failures: i32) -> Duration {
    let backoff = Duration::from_millis(500) * 2_u32.saturating_pow(u32::try_from(failures - 1).unwrap_or(0));
    match failure {
        ModelError::Retryable { retry_after: Some(asked), .. } => backoff.max(*asked),
        _ => backoff,
    }
}

fn silent() -> ModelError {
    ModelError::Retryable { reason: "the model was silent for too long".to_owned(), retry_after: None }
}

fn unoffered() -> ModelError {
    ModelError::Fatal { reason: "the model asked for a tool that it was not offered".to_owned() }
}
