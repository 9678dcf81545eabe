//! Answering one message: what is asked, what follows from how the asking ended. Trying again after a failure is
//! always under a new `message_id`. Nothing is acknowledged here.

use std::time::Duration;

use konstruct_domain::{MessageId, Seq};
use konstruct_ports::{ModelError, ModelRequest};
use konstruct_postgres::turns::{TurnRow, Work};
use konstruct_protocol::{ErrorCode, Event};
use tokio::time::{Instant, sleep};

use super::asking::{Asked, until_cut};
use super::end::Shown;
use super::prompt::{self, Remembered};
use super::{Held, Turned};
use crate::delivery::shown::shown;
use crate::error::Error;
use crate::failpoint::reach;
use crate::patience::Patience;

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
            let (id, text) =
                shown_before.unwrap_or_else(|| (MessageId(self.agent.ids.new_id()), String::new()));
            return self.end_stopped(turn, id, text, None).await;
        }
        if let Some((void, _)) = shown_before
            && self.discard(void).await? == Shown::GiveUp
        {
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
            reach("answer.billed").await;
            if asking.first_seq.is_some() && self.discard(asking.answer_id).await? == Shown::GiveUp {
                return Ok(Turned::GiveUp);
            }
            let count =
                || async { self.agent.db.begin(self.tenant).await?.count_failure(self.work(turn)).await };
            let counted = Patience::of(super::OUTAGE).retry(count).await?;
            reach("answer.failure_counted").await;
            let Some(failures) = counted else {
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

    pub(super) const fn work(&self, turn: &TurnRow) -> Work {
        Work { guard: self.leased.guard, turn: turn.id }
    }

    /// The last asking's answer and what the log has shown of it; `None`: nothing, or it was voided.
    async fn shown_before(&self, turn: &TurnRow) -> Result<Option<(MessageId, String)>, Error> {
        let Some(answer) = turn.answer_id else {
            return Ok(None);
        };
        let (redis, thread) = (&self.agent.connections.redis, self.conversation());
        let read = || redis.frames_after(self.tenant, thread, Seq(0), usize::MAX >> 1);
        let log = Patience::of(super::OUTAGE).retry(read).await?;
        Ok(shown(&log, answer).filter(|text| !text.is_empty()).map(|text| (answer, text)))
    }

    async fn discard(&mut self, message_id: MessageId) -> Result<Shown, Error> {
        self.show(vec![Event::Discard { message_id }], None, None).await
    }
}

fn pause_after(failure: &ModelError, failures: i32) -> Duration {
    let backoff = Duration::from_millis(500) * 2_u32.saturating_pow(u32::try_from(failures - 1).unwrap_or(0));
    match failure {
        ModelError::Retryable { retry_after: Some(asked), .. } => backoff.max(*asked),
        _ => backoff,
    }
}
