//! What is journaled of a turn, and what is to be done next: pure, so that it can be fuzzed. It decides;
//! [`super::answer`] acts.

use konstruct_ports::{PromptMessage, ToolCall};
use konstruct_postgres::steps::{Decision, StepKind, StepRow, StepState};
use serde::{Deserialize, Serialize};

/// The tool that hands a conversation to a human.
pub const ESCALATE: &str = "escalate_to_human";
/// What a result begins with whose call was not run.
pub const NOT_RUN: &str = "not run: ";

/// A step of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A model was asked, and what came of it is not known.
    Asked {
        /// Its place.
        number: i32,
        /// How often it was asked.
        asking: i32,
        /// The last asking that is paid for, or cost nothing.
        settled: i32,
        /// Which model was asked.
        model: String,
        /// Tokens of its prompt, as estimated.
        prompt_tokens: u32,
    },
    /// A model answered.
    Answered {
        /// Its place.
        number: i32,
        /// What it wrote, as it was shown.
        text: String,
        /// What it called.
        calls: Vec<ToolCall>,
    },
    /// A tool was called.
    Called {
        /// Its place.
        number: i32,
        /// The call.
        call: ToolCall,
        /// How far it is.
        state: CallState,
    },
}

/// How far a tool call is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallState {
    /// It was begun, and whether it ran is not known.
    Begun,
    /// It waits for a person, or a person has decided.
    Waiting {
        /// What its arguments were.
        arguments_hash: String,
        /// Until when, RFC 3339.
        expires_at: String,
        /// What was decided.
        decision: Option<Decision>,
    },
    /// It has its result.
    Done(String),
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Todo {
    /// Ask the model, for this step.
    Ask(i32),
    /// Begin a call, as this step.
    Begin(i32, ToolCall),
    /// A call that was begun by whoever died: it is never run again.
    Interrupted(i32, ToolCall),
    /// A call that waits: ask the person, and park the turn.
    Wait(i32, ToolCall, String),
    /// A call that was decided: run it, or not.
    Decided(i32, ToolCall, String, Decision),
    /// The answer is whole.
    End,
}

/// The result of a model step, as its row keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// What was written, as it was shown.
    pub text: String,
    /// What was called.
    pub calls: Vec<WrittenCall>,
}

/// A tool call, as rows keep it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenCall {
    /// The call's id.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments as the model wrote them.
    pub arguments: String,
}

/// The request of a tool step, as its row keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolRequest {
    /// The tool.
    pub tool: String,
    /// The arguments as the model wrote them.
    pub arguments: String,
}

/// The result of a tool step, as its row keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    /// What the tool answered.
    pub result: String,
    /// How long it took.
    pub duration_ms: u64,
}

/// What is journaled of a turn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    steps: Vec<Step>,
}

impl Journal {
    /// From rows, in order. A row that cannot be read counts as a step without a result.
    #[must_use]
    pub fn read(rows: Vec<StepRow>, expires: impl Fn(time::OffsetDateTime) -> String) -> Self {
        let steps = rows.into_iter().map(|row| match row.kind {
            StepKind::Model => model_step(row),
            StepKind::Tool => tool_step(row, &expires),
        });
        Self { steps: steps.collect() }
    }

    /// What is to be done next.
    #[must_use]
    pub fn next(&self) -> Todo {
        let calls = self.open_calls();
        match self.steps.last() {
            None => Todo::Ask(0),
            Some(Step::Asked { number, .. }) => Todo::Ask(*number),
            Some(Step::Answered { number, calls, .. }) => match calls.first() {
                None => Todo::End,
                Some(call) => Todo::Begin(number + 1, call.clone()),
            },
            Some(Step::Called { number, call, state }) => match state {
                CallState::Begun => Todo::Interrupted(*number, call.clone()),
                CallState::Waiting { expires_at, decision: None, .. } => {
                    Todo::Wait(*number, call.clone(), expires_at.clone())
                }
                CallState::Waiting { arguments_hash, decision: Some(decision), .. } => {
                    Todo::Decided(*number, call.clone(), arguments_hash.clone(), *decision)
                }
                CallState::Done(_) => match calls.first() {
                    Some(call) => Todo::Begin(number + 1, (*call).clone()),
                    None => Todo::Ask(number + 1),
                },
            },
        }
    }

    /// The calls of the last answer that are not begun.
    fn open_calls(&self) -> Vec<&ToolCall> {
        let Some(at) = self.steps.iter().rposition(|step| matches!(step, Step::Answered { .. })) else {
            return Vec::new();
        };
        let begun = self.steps.len() - at - 1;
        match self.steps.get(at) {
            Some(Step::Answered { calls, .. }) => calls.iter().skip(begun).collect(),
            _ => Vec::new(),
        }
    }

    /// A step began, or came to something: it takes the place of what was known of it.
    pub fn note(&mut self, step: Step) {
        let number = step.number();
        self.steps.retain(|known| known.number() != number);
        self.steps.push(step);
    }

    /// The state of a call changed.
    pub fn note_call(&mut self, number: i32, call: &ToolCall, state: CallState) {
        self.note(Step::Called { number, call: call.clone(), state });
    }

    /// What was written in all.
    #[must_use]
    pub fn text(&self) -> String {
        let texts = self.steps.iter().filter_map(|step| match step {
            Step::Answered { text, .. } => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    /// How often a model has answered.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step, Step::Answered { .. })).count()
    }

    /// The asking that died, if its cost is not known.
    #[must_use]
    pub fn unsettled(&self) -> Option<&Step> {
        self.steps.last().filter(|step| match step {
            Step::Asked { asking, settled, .. } => settled < asking,
            Step::Answered { .. } | Step::Called { .. } => false,
        })
    }

    /// Whether nothing was done yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether a model was asked and nothing is known of it.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        matches!(self.steps.last(), Some(Step::Asked { .. }))
    }

    /// Whether a human is to have the conversation when this turn ends.
    #[must_use]
    pub fn escalates(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Called { call, state: CallState::Done(result), .. } => {
                call.name == ESCALATE && !result.starts_with(NOT_RUN)
            }
            _ => false,
        })
    }

    /// What was written and called so far, as a prompt shows it: behind each answer a result for each of its calls.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Vec<PromptMessage>> {
        let mut exchanges: Vec<Vec<PromptMessage>> = Vec::new();
        for step in &self.steps {
            match step {
                Step::Asked { .. } => {}
                Step::Answered { text, calls, .. } => {
                    let text = text.trim_start().to_owned();
                    exchanges.push(vec![PromptMessage::Assistant { text, calls: calls.clone() }]);
                }
                Step::Called { call, state: CallState::Done(result), .. } => {
                    if let Some(exchange) = exchanges.last_mut() {
                        let (call_id, result) = (call.id.clone(), result.clone());
                        exchange.push(PromptMessage::ToolResult { call_id, result });
                    }
                }
                Step::Called { .. } => {}
            }
        }
        exchanges
    }

    /// The calls of the turn that have their results, in order.
    pub fn results(&self) -> impl Iterator<Item = (&ToolCall, &str)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Called { call, state: CallState::Done(result), .. } => Some((call, result.as_str())),
            _ => None,
        })
    }

    /// The last call that has its result, with it; `None`: the last step is none.
    #[must_use]
    pub fn last_result(&self) -> Option<(&ToolCall, &str)> {
        match self.steps.last() {
            Some(Step::Called { call, state: CallState::Done(result), .. }) => Some((call, result)),
            _ => None,
        }
    }
}

impl Step {
    const fn number(&self) -> i32 {
        match self {
            Self::Asked { number, .. } | Self::Answered { number, .. } | Self::Called { number, .. } => {
                *number
            }
        }
    }
}

fn model_step(row: StepRow) -> Step {
    let written = row.result.filter(|_| row.state == StepState::Done);
    match written.and_then(|result| serde_json::from_value::<Written>(result).ok()) {
        Some(Written { text, calls }) => Step::Answered {
            number: row.number,
            text,
            calls: calls.into_iter().map(WrittenCall::into_call).collect(),
        },
        None => {
            let model = row.request.get("model").and_then(serde_json::Value::as_str).unwrap_or_default();
            let (asking, settled) = (row.asking, row.settled);
            let prompt_tokens = row.request.get("prompt_tokens").and_then(serde_json::Value::as_u64);
            let prompt_tokens = u32::try_from(prompt_tokens.unwrap_or(0)).unwrap_or(u32::MAX);
            Step::Asked { number: row.number, asking, settled, model: model.to_owned(), prompt_tokens }
        }
    }
}

fn tool_step(row: StepRow, expires: &impl Fn(time::OffsetDateTime) -> String) -> Step {
    let request = serde_json::from_value::<ToolRequest>(row.request)
        .unwrap_or(ToolRequest { tool: String::new(), arguments: String::new() });
    let id = row.call_id.unwrap_or_default();
    let call = ToolCall { id, name: request.tool, arguments: request.arguments };
    let state = match row.state {
        StepState::Begun => CallState::Begun,
        StepState::Waiting => CallState::Waiting {
            arguments_hash: row.arguments_hash.unwrap_or_default(),
            expires_at: row.expires_at.map(expires).unwrap_or_default(),
            decision: row.decision,
        },
        StepState::Done => {
            let result = row.result.and_then(|result| serde_json::from_value::<ToolResult>(result).ok());
            CallState::Done(result.map(|r| r.result).unwrap_or_default())
        }
    };
    Step::Called { number: row.number, call, state }
}

impl WrittenCall {
    /// From a model's call.
    #[must_use]
    pub fn of(call: &ToolCall) -> Self {
        Self { id: call.id.clone(), name: call.name.clone(), arguments: call.arguments.clone() }
    }

    fn into_call(self) -> ToolCall {
        ToolCall { id: self.id, name: self.name, arguments: self.arguments }
    }
}

#[cfg(test)]
mod tests;
