//! A turn's tool calls: journaled, shown, run at most once, answered. A call that asks a person first parks the turn;
//! what the person decided is read from the journal, never from what the model says.

use konstruct_domain::Channel;
use konstruct_ports::ToolCall;
use konstruct_postgres::confirmations::Ruling;
use konstruct_postgres::steps::{Decision, Parked, ToolBegins, ToolStep, ToolStepTry};
use konstruct_postgres::turns::TurnRow;
use konstruct_protocol::Event;
use konstruct_protocol::frame::frameable;
use serde_json::{Map, Value};

use super::course::Course;
use super::end::Shown;
use super::journal::{CallState, NOT_RUN, ToolRequest, ToolResult};
use super::toolbox::{Confirmation, Toolbox, Verdict, arguments, arguments_hash};
use super::{Held, OUTAGE, timestamp};
use crate::error::Error;
use crate::failpoint::reach;
use crate::patience::Patience;

/// What stands for the result of a call that nobody can know of.
pub(crate) const INTERRUPTED: &str = "interrupted: it is not known whether the tool ran";
/// What stands for the result of a call that a person refused.
pub(crate) const DENIED: &str = "not run: denied";
const EXPIRED: &str = "not run: expired";

/// A call in its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) turn: &'a TurnRow,
    /// The step's number.
    pub(super) number: i32,
    pub(super) call: &'a ToolCall,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Called {
    /// It has its result: the turn goes on.
    Answered,
    /// It waits for a person.
    Waits,
    /// Another agent, or a newer epoch.
    GiveUp,
}

impl Held<'_> {
    /// Begins a call: runs it, asks a person, or does not run it.
    pub(super) async fn begin_call(&mut self, course: &mut Course, at: Call<'_>) -> Result<Called, Error> {
        let Call { turn, number, call } = at;
        let toolbox = course.kit.toolbox.clone();
        match self.judge(&toolbox, call) {
            Verdict::NotRun(why) => {
                let result = ToolResult { result: why, duration_ms: 0 };
                self.answer_unrun(course, at, result).await
            }
            Verdict::Run(tool, arguments, Confirmation::NotNeeded) => {
                match self.journal_call(at, ToolBegins::Running).await? {
                    ToolStepTry::Inserted(_) => {}
                    ToolStepTry::WasThere | ToolStepTry::Fenced => return Ok(Called::GiveUp),
                }
                course.journal.note_call(number, call, CallState::Begun);
                reach("tool.begun").await;
                if self.show_call(course, call).await? == Shown::GiveUp {
                    return Ok(Called::GiveUp);
                }
                self.run_call(course, at, tool, &arguments).await
            }
            Verdict::Run(tool, arguments, Confirmation::Needed) => {
                let hash = arguments_hash(&tool.spec.name, &arguments);
                let person = self.person(turn);
                let begins = ToolBegins::Waiting {
                    person: &person,
                    arguments_hash: &hash,
                    seconds: self.agent.limits.confirmation.as_secs_f64(),
                };
                let ToolStepTry::Inserted(Some(expires_at)) = self.journal_call(at, begins).await? else {
                    return Ok(Called::GiveUp);
                };
                let expires_at = timestamp(expires_at);
                let state = CallState::Waiting {
                    arguments_hash: hash,
                    expires_at: expires_at.clone(),
                    decision: None,
                };
                course.journal.note_call(number, call, state);
                reach("tool.waits").await;
                self.wait_for_decision(turn, course, call, &expires_at).await
            }
        }
    }

    /// Whether a call may run, and with which arguments.
    fn judge<'t>(&self, toolbox: &'t Toolbox, call: &ToolCall) -> Verdict<'t> {
        toolbox.judge(call, |schema, arguments| self.agent.tools.check(schema, arguments))
    }

    /// Who may decide this turn's calls: the person who wrote.
    fn person(&self, turn: &TurnRow) -> String {
        match turn.channel {
            Channel::Web => self.leased.user_id.map(|user| user.to_string()).unwrap_or_default(),
            _ => turn.channel_metadata.get("user_id").cloned().unwrap_or_default(),
        }
    }

    /// Asks the person and parks the turn. [`Called::Answered`]: somebody decided meanwhile.
    pub(super) async fn wait_for_decision(
        &mut self,
        turn: &TurnRow,
        course: &mut Course,
        call: &ToolCall,
        expires_at: &str,
    ) -> Result<Called, Error> {
        if self.show_call(course, call).await? == Shown::GiveUp {
            return Ok(Called::GiveUp);
        }
        if course.seen.confirms.insert(call.id.clone()) {
            let event = Event::ToolConfirm {
                tool_call_id: call.id.clone(),
                tool_name: call.name.clone(),
                arguments: shown_arguments(call),
                expires_at: expires_at.to_owned(),
            };
            if self.show(vec![event], None, course.first_seq).await? == Shown::GiveUp {
                return Ok(Called::GiveUp);
            }
        }
        reach("tool.asked").await;
        let (redis, thread) = (&self.agent.connections.redis, self.conversation());
        if let Err(error) = redis.point_to_call(self.tenant, thread, &call.id).await {
            tracing::warn!(%error, "a call that waits is not pointed to");
        }
        self.ask_in_channel(turn, course, call).await?;
        let last = self.writer.known();
        self.poster.posted_to(last).await;
        let work = self.work(turn);
        let park = || async { self.agent.db.begin(self.tenant).await?.park(work, last).await };
        let parked = Patience::of(OUTAGE).retry(park).await?;
        reach("tool.parked").await;
        match parked {
            Parked::Yes => {
                tracing::info!("a call waits for a yes");
                self.parked(turn, course, call).await
            }
            Parked::Fenced => Ok(Called::GiveUp),
            // Its channel's journal went on without us: the next invocation begins with what is there.
            Parked::Decided if turn.channel != Channel::Web => Ok(Called::GiveUp),
            Parked::Decided => {
                self.read_journal(turn, course).await?;
                Ok(Called::Answered)
            }
        }
    }

    /// A stop that came while the turn was parked marked a turn at work, and found none: it is carried out here.
    async fn parked(
        &mut self,
        turn: &TurnRow,
        course: &mut Course,
        call: &ToolCall,
    ) -> Result<Called, Error> {
        let thread = self.conversation();
        let mark = self.agent.connections.redis.cancelled(self.tenant, thread).await;
        if mark.ok().flatten() != Some(turn.id) {
            return Ok(Called::Waits);
        }
        let person = self.person(turn);
        let ruling = Ruling {
            conversation: thread,
            person: &person,
            call_id: Some(&call.id),
            decision: Decision::Cancelled,
            message: None,
        };
        let cancel = async { self.agent.db.begin(self.tenant).await?.decide(ruling).await };
        // Decided by another in between, or now: either way the turn is open again, and goes on.
        cancel.await?;
        if turn.channel != Channel::Web {
            return Ok(Called::GiveUp);
        }
        self.read_journal(turn, course).await?;
        Ok(Called::Answered)
    }

    /// Does what a person decided. What is run is what was asked about: its arguments, and still granted.
    pub(super) async fn carry_out(
        &mut self,
        course: &mut Course,
        at: Call<'_>,
        hash: &str,
        decision: Decision,
    ) -> Result<Called, Error> {
        let Call { turn, number, call } = at;
        let (redis, thread) = (&self.agent.connections.redis, self.conversation());
        if let Err(error) = redis.forget_call(self.tenant, thread, &call.id).await {
            tracing::warn!(%error, "a call that waits no longer is still pointed to");
        }
        let toolbox = course.kit.toolbox.clone();
        let not_run = match (decision, self.judge(&toolbox, call)) {
            (Decision::Approved, Verdict::Run(tool, arguments, _)) => {
                if arguments_hash(&tool.spec.name, &arguments) == hash {
                    let claim = || async {
                        self.agent.db.begin(self.tenant).await?.claim_tool_step(self.work(turn), number).await
                    };
                    if !Patience::of(OUTAGE).retry(claim).await? {
                        return Ok(Called::GiveUp);
                    }
                    course.journal.note_call(number, call, CallState::Begun);
                    reach("tool.claimed").await;
                    return self.run_call(course, at, tool, &arguments).await;
                }
                format!("{NOT_RUN}invalid arguments: they are not those that were agreed to")
            }
            (Decision::Approved, Verdict::NotRun(why)) => why,
            (Decision::Denied | Decision::Cancelled, _) => DENIED.to_owned(),
            (Decision::Expired, _) => EXPIRED.to_owned(),
        };
        tracing::info!(decision = decision.as_str(), "a call was not run");
        let result = ToolResult { result: not_run, duration_ms: 0 };
        self.finish_call(course, at, result).await
    }

    /// Closes a call that is journaled and is not run, or not again: what stands for its result is given.
    pub(super) async fn close_call(
        &mut self,
        course: &mut Course,
        at: Call<'_>,
        instead: &str,
    ) -> Result<Called, Error> {
        if self.show_call(course, at.call).await? == Shown::GiveUp {
            return Ok(Called::GiveUp);
        }
        self.finish_call(course, at, ToolResult { result: instead.to_owned(), duration_ms: 0 }).await
    }

    /// Journals and shows a call that is not run.
    async fn answer_unrun(
        &mut self,
        course: &mut Course,
        at: Call<'_>,
        result: ToolResult,
    ) -> Result<Called, Error> {
        let Call { number, call, .. } = at;
        let json = serde_json::to_value(&result).unwrap_or_default();
        match self.journal_call(at, ToolBegins::Done(&json)).await? {
            ToolStepTry::Inserted(_) => {}
            ToolStepTry::WasThere | ToolStepTry::Fenced => return Ok(Called::GiveUp),
        }
        course.journal.note_call(number, call, CallState::Done(result.result.clone()));
        reach("tool.refused").await;
        tracing::info!("a call was not run");
        if self.show_call(course, call).await? == Shown::GiveUp {
            return Ok(Called::GiveUp);
        }
        self.show_result(course, call, &result).await
    }

    async fn journal_call(&self, at: Call<'_>, begins: ToolBegins<'_>) -> Result<ToolStepTry, Error> {
        let Call { turn, number, call } = at;
        let request = ToolRequest { tool: call.name.clone(), arguments: call.arguments.clone() };
        let request = serde_json::to_value(&request).unwrap_or_default();
        let step = ToolStep { number, call_id: &call.id, request: &request, begins };
        let work = self.work(turn);
        let journal = || async { self.agent.db.begin(self.tenant).await?.begin_tool_step(work, step).await };
        Patience::of(OUTAGE).retry(journal).await
    }

    pub(super) async fn finish_call(
        &mut self,
        course: &mut Course,
        at: Call<'_>,
        result: ToolResult,
    ) -> Result<Called, Error> {
        let Call { turn, number, call } = at;
        let work = self.work(turn);
        let json = serde_json::to_value(&result).unwrap_or_default();
        let finish =
            || async { self.agent.db.begin(self.tenant).await?.finish_tool_step(work, number, &json).await };
        if !Patience::of(OUTAGE).retry(finish).await? {
            return Ok(Called::GiveUp);
        }
        course.journal.note_call(number, call, CallState::Done(result.result.clone()));
        reach("tool.finished").await;
        self.show_result(course, call, &result).await
    }

    /// `tool_call`, once.
    async fn show_call(&mut self, course: &mut Course, call: &ToolCall) -> Result<Shown, Error> {
        if !course.seen.calls.insert(call.id.clone()) {
            return Ok(Shown::From(self.writer.known()));
        }
        self.show(vec![call_event(call, self.timestamp())], None, course.first_seq).await
    }

    /// `tool_result`, once.
    async fn show_result(
        &mut self,
        course: &mut Course,
        call: &ToolCall,
        result: &ToolResult,
    ) -> Result<Called, Error> {
        if !course.seen.results.insert(call.id.clone()) {
            return Ok(Called::Answered);
        }
        let event = result_event(call, result, self.timestamp());
        Ok(match self.show(vec![event], None, course.first_seq).await? {
            Shown::GiveUp => Called::GiveUp,
            Shown::From(_) | Shown::Stopped => Called::Answered,
        })
    }

    /// Shows what whoever died had journaled and may not have shown.
    pub(super) async fn show_last_result(&mut self, course: &mut Course) -> Result<Called, Error> {
        let Some((call, result)) = course.journal.last_result() else { return Ok(Called::Answered) };
        let (call, result) = (call.clone(), ToolResult { result: result.to_owned(), duration_ms: 0 });
        if self.show_call(course, &call).await? == Shown::GiveUp {
            return Ok(Called::GiveUp);
        }
        self.show_result(course, &call, &result).await
    }

    /// What is journaled of this turn by now.
    pub(super) async fn read_journal(&self, turn: &TurnRow, course: &mut Course) -> Result<(), Error> {
        let read = || async { self.agent.db.begin(self.tenant).await?.steps(turn.id).await };
        let rows = Patience::of(OUTAGE).retry(read).await?;
        course.journal = super::journal::Journal::read(rows, timestamp);
        Ok(())
    }

    /// Gives calls ids that the protocol allows and the conversation does not have.
    pub(super) async fn with_ids(&self, calls: Vec<ToolCall>) -> Result<Vec<ToolCall>, Error> {
        let ids: Vec<&str> = calls.iter().map(|call| call.id.as_str()).collect();
        let thread = self.conversation();
        let look = || async { self.agent.db.begin(self.tenant).await?.calls_known(thread, &ids).await };
        let mut known = Patience::of(OUTAGE).retry(look).await?;
        let mut named = Vec::with_capacity(calls.len());
        for mut call in calls {
            let form = (1..=64).contains(&call.id.len())
                && call.id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
            if !form || known.contains(&call.id) {
                call.id = format!("call_{}", self.agent.ids.new_id().simple());
            }
            known.push(call.id.clone());
            call.name = call.name.chars().filter(|c| *c != '\0').take(64).collect();
            call.arguments.retain(|c| c != '\0');
            named.push(call);
        }
        Ok(named)
    }
}

/// What tells people of a call.
pub(crate) fn call_event(call: &ToolCall, timestamp: String) -> Event {
    Event::ToolCall {
        tool_call_id: call.id.clone(),
        tool_name: call.name.clone(),
        arguments: shown_arguments(call),
        timestamp,
    }
}

/// What tells people of a call's result.
pub(crate) fn result_event(call: &ToolCall, result: &ToolResult, timestamp: String) -> Event {
    Event::ToolResult {
        tool_call_id: call.id.clone(),
        tool_name: call.name.clone(),
        result: frameable(&result.result),
        duration_ms: result.duration_ms,
        timestamp,
    }
}

/// Arguments as a frame shows them: `{}` where they are no object; `None` where they are too large for one.
fn shown_arguments(call: &ToolCall) -> Option<Map<String, Value>> {
    let arguments = arguments(&call.arguments).unwrap_or_default();
    frameable(&serde_json::to_string(&arguments).unwrap_or_default())?;
    Some(arguments)
}
