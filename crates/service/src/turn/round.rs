//! One round with the models: they are asked in the agent's order until one answers. Trying again is always under a new
//! `message_id`. Nothing is ended here but what failed for good.

use std::time::Duration;

use konstruct_domain::MessageId;
use konstruct_ports::{ModelError, ModelRequest, Route, StopReason};
use konstruct_postgres::turns::TurnRow;
use konstruct_protocol::event::pieces;
use konstruct_protocol::{ErrorCode, Event};
use tokio::time::{Instant, sleep};

use super::asking::{Asked, Asking, Begun, until_cut};
use super::course::Course;
use super::end::Shown;
use super::journal::{Step, Written, WrittenCall};
use super::progress::glue;
use super::{Held, OUTAGE, Turned, prompt};
use crate::error::Error;
use crate::failpoint::reach;
use crate::patience::Patience;

/// What stands for an answer that the model refused to give.
const REFUSED: &str = "I cannot help with that.";

/// What came of a round.
pub(super) enum Round {
    /// The model called tools, and that is journaled.
    Called,
    /// The answer is whole.
    Answered(Box<ModelRequest>, Box<Asking>),
    /// The person stopped it in mid-asking.
    Cut(Box<ModelRequest>, Box<Asking>),
    /// The person stopped it between two askings.
    Stopped,
    /// The turn has ended, or is another's.
    Ended(Turned),
}

impl Held<'_> {
    pub(super) async fn round(
        &mut self,
        turn: &TurnRow,
        course: &mut Course,
        number: i32,
    ) -> Result<Round, Error> {
        let limits = self.agent.limits.clone();
        // Silence is the model's alone: what tools took is not.
        course.heard = Instant::now();
        // The last round must write: it is offered nothing to call.
        let may_call = course.journal.rounds() < limits.rounds_max;
        let offered = if may_call { course.kit.toolbox.offered() } else { Vec::new() };
        let messages = prompt::build(prompt::Facts {
            agent: &turn.agent,
            today: self.agent.clock.now().date(),
            channel: turn.channel,
            tools: &offered,
            summary: course.kit.summary_before(turn.position),
            said: &course.said,
            question: &course.question,
            exchanges: &course.journal.exchanges(),
            tokens_max: limits.prompt_tokens_max,
        });
        let route = course.kit.first_route();
        let mut request =
            ModelRequest { route, messages, tools: offered, tokens_max: limits.answer_tokens_max };
        let nobody = course.kit.routes.is_empty();
        if nobody || course.failures >= self.failures_max(course) || turn.deaths >= limits.deaths_max {
            return self.failed(turn, course).await;
        }
        loop {
            request.route = self.pick_route(course).await;
            let mut asking = match self.begin(turn, course, &mut request, number).await? {
                Begun::Yes(asking) => *asking,
                Begun::BudgetSpent => {
                    return self.fail_with(turn, course, ErrorCode::BudgetSpent, false).await;
                }
                Begun::GiveUp => return Ok(Round::Ended(Turned::GiveUp)),
                Begun::Stopped => return Ok(Round::Stopped),
            };
            let silence = limits.model_silence.saturating_sub(course.heard.elapsed());
            let failure = match self.ask(turn, &request, &mut asking, silence).await? {
                Asked::GiveUp => {
                    self.bill(turn, &request, &asking).await?;
                    return Ok(Round::Ended(Turned::GiveUp));
                }
                Asked::Stopped => return Ok(Round::Cut(Box::new(request), Box::new(asking))),
                Asked::Whole(reason) => {
                    self.note_route(course, &request.route, true).await;
                    return self.whole(turn, course, request, asking, (reason, may_call)).await;
                }
                Asked::Failed(failure) => failure,
            };
            if let Some(round) = self.after_failure(turn, course, &request, &asking, &failure).await? {
                return Ok(round);
            }
        }
    }

    /// A model's whole answer: the end, or calls that are journaled.
    async fn whole(
        &mut self,
        turn: &TurnRow,
        course: &mut Course,
        request: ModelRequest,
        mut asking: Asking,
        (reason, may_call): (StopReason, bool),
    ) -> Result<Round, Error> {
        course.heard = Instant::now();
        let calls = if may_call { std::mem::take(&mut asking.progress.calls) } else { Vec::new() };
        let nothing = asking.progress.shown.is_empty() && course.journal.text().is_empty();
        if reason == StopReason::Refused && calls.is_empty() && nothing {
            asking.progress.pending.push_str(REFUSED);
            match self.show_pending(turn, &mut asking).await? {
                Shown::From(_) => {}
                Shown::Stopped => return Ok(Round::Cut(Box::new(request), Box::new(asking))),
                Shown::GiveUp => {
                    self.bill(turn, &request, &asking).await?;
                    return Ok(Round::Ended(Turned::GiveUp));
                }
            }
        }
        if self.show_model_response(&asking).await? == Shown::GiveUp {
            self.bill(turn, &request, &asking).await?;
            return Ok(Round::Ended(Turned::GiveUp));
        }
        if calls.is_empty() {
            return Ok(Round::Answered(Box::new(request), Box::new(asking)));
        }
        let calls = self.with_ids(calls).await?;
        let text = asking.progress.shown.clone();
        let written = Written { text: text.clone(), calls: calls.iter().map(WrittenCall::of).collect() };
        let result = serde_json::to_value(&written).unwrap_or_default();
        let (usage, work, number) = (self.usage(turn, &request, &asking), self.work(turn), asking.step);
        let finish = || async {
            self.agent.db.begin(self.tenant).await?.finish_model_step(work, number, &result, &usage).await
        };
        let finished = Patience::of(OUTAGE).retry(finish).await?;
        self.tally.used(&usage);
        reach("round.journaled").await;
        if !finished {
            return Ok(Round::Ended(Turned::GiveUp));
        }
        course.journal.note(Step::Answered { number, text, calls });
        course.first_seq = asking.first_seq;
        Ok(Round::Called)
    }

    /// Counts a failure and voids what was shown; `None`: the next asking is due.
    async fn after_failure(
        &mut self,
        turn: &TurnRow,
        course: &mut Course,
        request: &ModelRequest,
        asking: &Asking,
        failure: &ModelError,
    ) -> Result<Option<Round>, Error> {
        tracing::warn!(error = %failure, provider = request.route.provider.as_str(),
            model = request.route.model, "the model failed");
        self.bill(turn, request, asking).await?;
        reach("answer.billed").await;
        if failure.is_retryable() {
            self.note_route(course, &request.route, false).await;
        }
        if asking.first_seq.is_some() {
            course.heard = Instant::now();
            if self.discard(asking.answer_id).await? == Shown::GiveUp {
                return Ok(Some(Round::Ended(Turned::GiveUp)));
            }
        }
        course.answer_id = None;
        course.first_seq = None;
        course.seen.pieces = None;
        let (work, step, number) = (self.work(turn), asking.step, asking.number);
        let count =
            || async { self.agent.db.begin(self.tenant).await?.count_failure(work, step, number).await };
        let counted = Patience::of(OUTAGE).retry(count).await?;
        reach("answer.failure_counted").await;
        let Some(failures) = counted else {
            return Ok(Some(Round::Ended(Turned::GiveUp)));
        };
        course.failures = failures;
        let another = course.kit.routes.len() > 1;
        let pause = if another { Duration::ZERO } else { pause_after(failure, failures, self.chance()) };
        let over = course.heard.elapsed().saturating_add(pause) >= self.agent.limits.model_silence;
        // A refusal is for good where there is nobody else to ask.
        let tried_all = usize::try_from(failures).unwrap_or(0) >= course.kit.routes.len();
        let for_good = !failure.is_retryable() && tried_all;
        if for_good || failures >= self.failures_max(course) || over {
            return self.failed(turn, course).await.map(Some);
        }
        let mut signals = self.poster.signals();
        let epoch = self.leased.guard.epoch;
        let cut = tokio::select! {
            () = sleep(pause) => None,
            cut = until_cut(&mut signals, turn.id, epoch) => Some(cut),
        };
        Ok(match cut {
            None => None,
            Some(Asked::GiveUp) => Some(Round::Ended(Turned::GiveUp)),
            Some(_) => Some(Round::Stopped),
        })
    }

    /// The models failed for good: the turn ends, and after too many such ends a human gets the conversation.
    async fn failed(&mut self, turn: &TurnRow, course: &mut Course) -> Result<Round, Error> {
        let row = course.kit.failures_in_a_row + 1;
        let enough = course.kit.failures_until_human.is_some_and(|most| row >= i64::from(most));
        self.fail_with(turn, course, ErrorCode::AgentFailed, enough).await
    }

    /// Ends the turn with an error; what was shown is void. Where its tools asked for a human, a human gets it.
    async fn fail_with(
        &mut self,
        turn: &TurnRow,
        course: &Course,
        code: ErrorCode,
        to_human: bool,
    ) -> Result<Round, Error> {
        if let Some(shown) = course.shown_id(turn)
            && self.discard(shown).await? == Shown::GiveUp
        {
            return Ok(Round::Ended(Turned::GiveUp));
        }
        let to_human = to_human || course.journal.escalates();
        Ok(Round::Ended(self.fail(turn, code, to_human).await?))
    }

    /// Each model of the agent is tried, and one alone three times.
    fn failures_max(&self, course: &Course) -> i32 {
        let routes = i32::try_from(course.kit.routes.len()).unwrap_or(i32::MAX);
        self.agent.limits.failures_max.max(routes)
    }

    /// The model to ask now: each failure moves on to the next; one whose breaker is open is passed over.
    async fn pick_route(&self, course: &Course) -> Route {
        let routes = &course.kit.routes;
        if routes.len() > 1 {
            let start = usize::try_from(course.failures).unwrap_or(0);
            for route in routes.iter().cycle().skip(start % routes.len()).take(routes.len()) {
                let redis = &self.agent.connections.redis;
                let passes = redis.breaker_passes(self.tenant, route.provider, &route.model).await;
                if passes.unwrap_or(true) {
                    return route.clone();
                }
            }
        }
        course.kit.route_after(course.failures)
    }

    async fn note_route(&self, course: &Course, route: &Route, answered: bool) {
        if course.kit.routes.len() < 2 {
            return;
        }
        let redis = &self.agent.connections.redis;
        let note = redis.breaker_note(self.tenant, route.provider, &route.model, answered).await;
        if let Err(error) = note {
            tracing::warn!(%error, "a model's breaker could not be set");
        }
    }

    /// The journal's text again, under a new id.
    pub(super) async fn show_journaled(
        &mut self,
        turn: &TurnRow,
        course: &mut Course,
        message_id: MessageId,
    ) -> Result<Shown, Error> {
        let text = course.journal.text();
        let events: Vec<Event> =
            pieces(&text).map(|text| Event::Piece { message_id, text: text.to_owned() }).collect();
        if events.is_empty() {
            return Ok(Shown::From(self.writer.known()));
        }
        let shown = self.show(events, Some(turn.id), None).await?;
        if let Shown::From(first) = shown {
            course.first_seq = Some(first);
            self.show_reply(&text);
        }
        Ok(shown)
    }

    /// From 0 to 1, at random.
    fn chance(&self) -> f64 {
        f64::from(self.agent.ids.new_id().as_u128() as u16) / f64::from(u16::MAX)
    }
}

/// What stands between the journal's text and what is written next.
pub(super) fn glue_of(course: &Course) -> &'static str {
    glue(&course.journal.text())
}

/// A step that is asked for.
pub(super) fn asked(number: i32, asking: i32, model: &str) -> Step {
    Step::Asked { number, asking, settled: asking - 1, model: model.to_owned(), prompt_tokens: 0 }
}

/// Doubles from half a second, less up to a quarter by chance, so that many who failed together do not come back
/// together; what the provider asks for is granted.
fn pause_after(failure: &ModelError, failures: i32, chance: f64) -> Duration {
    let doubled = Duration::from_millis(500) * 2_u32.saturating_pow(u32::try_from(failures - 1).unwrap_or(0));
    let backoff = doubled.mul_f64(1.0 - 0.25 * chance.clamp(0.0, 1.0));
    match failure {
        ModelError::Retryable { retry_after: Some(asked), .. } => backoff.max(*asked),
        _ => backoff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_with_jitter_and_grants_what_the_provider_asks() {
        let failure = |retry_after| ModelError::Retryable { reason: String::new(), retry_after };
        assert_eq!(pause_after(&failure(None), 1, 0.0), Duration::from_millis(500));
        assert_eq!(pause_after(&failure(None), 2, 1.0), Duration::from_millis(750));
        let asked = Some(Duration::from_secs(7));
        assert_eq!(pause_after(&failure(asked), 1, 0.5), Duration::from_secs(7));
    }
}
