//! The request's body. It holds nothing that is not in the request, so that equal requests are equal bytes
//! (providers cache prompts by prefix).

use std::borrow::Cow;

use konstruct_ports::{ModelRequest, PromptMessage, ToolCall, ToolSpec};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::replay;

/// What the limit on the answer is called. Compatible servers know `max_tokens` only; OpenAI's reasoning models
/// refuse it (contracts.md 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LimitName {
    /// `max_tokens`.
    MaxTokens,
    /// `max_completion_tokens`.
    MaxCompletionTokens,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    stream: bool,
    stream_options: StreamOptions,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum Message<'a> {
    System {
        content: &'a str,
    },
    User {
        content: &'a str,
    },
    Assistant {
        content: Option<&'a str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Call<'a>>,
    },
    Tool {
        tool_call_id: Cow<'a, str>,
        content: &'a str,
    },
}

#[derive(Serialize)]
struct Call<'a> {
    id: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Called<'a>,
}

#[derive(Serialize)]
struct Called<'a> {
    name: Cow<'a, str>,
    arguments: &'a str,
}

#[derive(Serialize)]
struct Tool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Map<String, Value>,
}

impl<'a> From<&'a PromptMessage> for Message<'a> {
    fn from(message: &'a PromptMessage) -> Self {
        match message {
            PromptMessage::System(content) => Self::System { content },
            PromptMessage::User(content) => Self::User { content },
            PromptMessage::Assistant { text, calls } => Self::Assistant {
                // Null where it only called: some servers take an empty text for an answer.
                content: (!text.is_empty() || calls.is_empty()).then_some(text),
                tool_calls: calls.iter().map(Call::from).collect(),
            },
            PromptMessage::ToolResult { call_id, result } => {
                Self::Tool { tool_call_id: replay::id(call_id), content: result }
            }
        }
    }
}

impl<'a> From<&'a ToolCall> for Call<'a> {
    fn from(call: &'a ToolCall) -> Self {
        let (name, arguments) = (replay::name(&call.name), replay::arguments(&call.arguments));
        Self { id: replay::id(&call.id), kind: "function", function: Called { name, arguments } }
    }
}

impl<'a> From<&'a ToolSpec> for Tool<'a> {
    fn from(ToolSpec { name, description, parameters }: &'a ToolSpec) -> Self {
        Self { kind: "function", function: Function { name, description, parameters } }
    }
}

/// The JSON body.
pub(super) fn body(request: &ModelRequest, name: LimitName) -> Vec<u8> {
    let limit = |wanted| (name == wanted).then_some(request.tokens_max);
    let body = Body {
        model: &request.route.model,
        messages: request.messages.iter().map(Message::from).collect(),
        tools: request.tools.iter().map(Tool::from).collect(),
        max_tokens: limit(LimitName::MaxTokens),
        max_completion_tokens: limit(LimitName::MaxCompletionTokens),
        stream: true,
        stream_options: StreamOptions { include_usage: true },
    };
    // Strings, numbers and JSON in a Vec: writing them cannot fail.
    serde_json::to_vec(&body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use konstruct_domain::Provider;
    use konstruct_ports::Route;
    use serde_json::json;

    use super::*;

    fn request(messages: Vec<PromptMessage>, tools: Vec<ToolSpec>) -> ModelRequest {
        let route = Route { provider: Provider::OpenAi, model: "m".to_owned(), key: None };
        ModelRequest { route, messages, tools, tokens_max: 7 }
    }

    fn sent(request: &ModelRequest, name: LimitName) -> Value {
        serde_json::from_slice(&body(request, name)).unwrap()
    }

    #[test]
    fn a_request_streams_with_usage_and_one_limit() {
        let request = request(
            vec![
                PromptMessage::System("be kind".to_owned()),
                PromptMessage::User("hi \"you\"".to_owned()),
                PromptMessage::Assistant { text: "hello".to_owned(), calls: Vec::new() },
            ],
            Vec::new(),
        );
        assert_eq!(
            sent(&request, LimitName::MaxTokens),
            json!({"model": "m", "max_tokens": 7, "stream": true, "stream_options": {"include_usage": true},
                "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi \"you\""},
                    {"role": "assistant", "content": "hello"}]})
        );
        let sent = sent(&request, LimitName::MaxCompletionTokens);
        assert_eq!((sent.get("max_tokens"), &sent["max_completion_tokens"]), (None, &json!(7)));
    }

    /// proves AGNT-04
    #[test]
    fn tools_are_offered_and_calls_and_results_are_told_again() {
        let call = |id: &str, arguments: &str| ToolCall {
            id: id.to_owned(),
            name: "f".to_owned(),
            arguments: arguments.to_owned(),
        };
        let result = |id: &str| PromptMessage::ToolResult { call_id: id.to_owned(), result: "r".to_owned() };
        let parameters = json!({"type": "object", "properties": {}}).as_object().cloned().unwrap();
        let tool = ToolSpec { name: "f".to_owned(), description: "does f".to_owned(), parameters };
        let calls = vec![call("a", "{\"x\":1}"), call("b", "x = 1")];
        let messages = vec![
            PromptMessage::Assistant { text: String::new(), calls },
            result("a"),
            result("b"),
            PromptMessage::Assistant { text: "t".to_owned(), calls: vec![call("c", "")] },
        ];
        let told = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}});
        let sent = sent(&request(messages, vec![tool]), LimitName::MaxTokens);
        assert_eq!(
            sent["messages"],
            json!([{"role": "assistant", "content": null, "tool_calls": [told("a", "{\"x\":1}"), told("b", "{}")]},
                {"role": "tool", "tool_call_id": "a", "content": "r"}, {"role": "tool", "tool_call_id": "b", "content": "r"},
                {"role": "assistant", "content": "t", "tool_calls": [told("c", "{}")]}])
        );
        assert_eq!(
            sent["tools"],
            json!([{"type": "function", "function": {"name": "f", "description": "does f",
                "parameters": {"type": "object", "properties": {}}}}])
        );
    }
}
