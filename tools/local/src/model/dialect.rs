//! The two wires an answer can be told on: OpenAI's and Anthropic's.
//! What is said, and when, is decided elsewhere.

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::calls::Call;
use super::{anthropic, completion};

/// The wire of one answer.
#[derive(Debug, Clone)]
pub enum Dialect {
    /// `POST /v1/chat/completions`.
    OpenAi(completion::Head),
    /// `POST /v1/messages`.
    Anthropic(anthropic::Head),
}

impl Dialect {
    /// What a stream of text begins with, before anything is said.
    pub fn begin(&self, call: &Call) -> Bytes {
        match self {
            Self::OpenAi(head) => head.begin(call),
            Self::Anthropic(head) => head.begin(call),
        }
    }

    /// A piece of text.
    pub fn piece(&self, call: &Call, text: &str) -> Bytes {
        match self {
            Self::OpenAi(head) => head.piece(call, text),
            Self::Anthropic(head) => head.piece(text),
        }
    }

    /// What a stream of text ends with.
    pub fn end(&self, call: &Call) -> Vec<Bytes> {
        match self {
            Self::OpenAi(head) => head.end(call, "stop"),
            Self::Anthropic(head) => head.end(call, "end_turn"),
        }
    }

    /// A whole stream that calls a tool; its tokens are counted on the way.
    pub fn tool(&self, call: &mut Call, name: &str, arguments: &str) -> Vec<Bytes> {
        match self {
            Self::OpenAi(head) => head.tool(call, name, arguments),
            Self::Anthropic(head) => head.tool(call, name, arguments),
        }
    }

    /// A whole answer that says something.
    pub fn whole_text(&self, call: &Call, text: &str) -> Value {
        match self {
            Self::OpenAi(head) => head.whole_text(call, text),
            Self::Anthropic(head) => head.whole_text(call, text),
        }
    }

    /// A whole answer that calls a tool.
    pub fn whole_tool(&self, call: &Call, name: &str, arguments: &str) -> Value {
        match self {
            Self::OpenAi(head) => head.whole_tool(call, name, arguments),
            Self::Anthropic(head) => head.whole_tool(call, name, arguments),
        }
    }

    /// The body of an error.
    pub fn refusal(&self, status: StatusCode) -> Value {
        match self {
            Self::OpenAi(_) => completion::refusal(status),
            Self::Anthropic(_) => anthropic::refusal(status),
        }
    }
}
