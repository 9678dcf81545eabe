//! The list of calls for `/_recorder/calls`.
//! A call is listed once, when it is over, and never changed or taken away.

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Value, json};

use crate::clock::{now_ms, rfc3339};

use super::answer::Answer;
use super::arguments::Told;
use super::script::Script;
use super::{Channel, Recorder};

/// All calls that are over, each as its JSON, in the order they ended.
#[derive(Debug, Default)]
pub struct Calls(Vec<(Channel, String)>);

impl Calls {
    /// The calls of one channel, or of all, as a JSON array.
    pub fn as_json(&self, wanted: Option<Channel>) -> String {
        let listed: Vec<_> = (self.0.iter())
            .filter(|(channel, _)| wanted.is_none_or(|wanted| wanted == *channel))
            .map(|(_, call)| call.as_str())
            .collect();
        format!("[{}]", listed.join(","))
    }
}

/// One call under way; it is listed when it ends or is dropped.
#[derive(Debug)]
pub struct Call {
    recorder: Arc<Recorder>,
    channel: Channel,
    at: String,
    method: String,
    token: String,
    arguments: Value,
    listed: bool,
}

impl Call {
    /// A call that has just arrived.
    pub fn arrived(recorder: &Arc<Recorder>, channel: Channel, method: String, token: String) -> Self {
        let at = rfc3339(now_ms());
        Self { recorder: recorder.clone(), channel, at, method, token, arguments: json!({}), listed: false }
    }

    /// What was called.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Its body has come.
    pub fn told(&mut self, told: &Told) {
        self.arguments = told.arguments.as_json();
        if self.token.is_empty() {
            // Where there is no header, Slack takes the token from the arguments.
            self.token = told.arguments.text("token").unwrap_or_default();
        }
    }

    /// It has its effect, unless the script forbids it, and is listed in the same step.
    pub fn end(mut self, told: &Told, script: &Script) -> Response {
        let recorder = self.recorder.clone();
        let mut books = recorder.books();
        let answer = match (Answer::scripted(self.channel, script), &told.refused) {
            (Some(answer), _) => {
                if let (Channel::Slack, Some(error)) = (self.channel, &script.error) {
                    books.slack.was_told(error, &told.arguments);
                }
                answer
            }
            (None, Some(error)) => Answer::refusal(error),
            (None, None) => books.answer(self.channel, &self.method, &told.arguments),
        };
        self.list(&mut books.calls, answer.status, &answer.body);
        answer.into_response(script.retry_after)
    }

    fn list(&mut self, calls: &mut Calls, status: u16, response: &Value) {
        self.listed = true;
        let call = json!({
            "channel": self.channel.name(), "at": self.at, "method": self.method, "args": self.arguments,
            "token": self.token, "status": status, "response": response,
        });
        calls.0.push((self.channel, call.to_string()));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.listed {
            let recorder = self.recorder.clone();
            self.list(&mut recorder.books().calls, 0, &Value::Null);
        }
    }
}
