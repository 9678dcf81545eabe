//! The request's body. It holds nothing that is not in the request, so that equal requests are equal bytes
//! (providers cache prompts by prefix).

use std::borrow::Cow;

use konstruct_ports::ModelRequest;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::replay;
use crate::sides::{Part, Sides, Spoken};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    stream: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text { text: &'a str },
    ToolUse { id: Cow<'a, str>, name: Cow<'a, str>, input: &'a RawValue },
    ToolResult { tool_use_id: Cow<'a, str>, content: &'a str },
}

#[derive(Serialize)]
struct Tool<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    input_schema: Cow<'a, Map<String, Value>>,
}

impl<'a> From<Spoken<'a>> for Message<'a> {
    fn from(spoken: Spoken<'a>) -> Self {
        let role = if spoken.by_model { "assistant" } else { "user" };
        Self { role, content: spoken.parts.into_iter().map(Block::from).collect() }
    }
}

impl<'a> From<Part<'a>> for Block<'a> {
    fn from(part: Part<'a>) -> Self {
        match part {
            Part::Text(text) => Self::Text { text },
            Part::Call(call) => Self::ToolUse {
                id: replay::plain_id(&call.id),
                name: replay::name(&call.name),
                input: replay::raw_arguments(&call.arguments),
            },
            Part::Result { call_id, result } => {
                Self::ToolResult { tool_use_id: replay::plain_id(call_id), content: result }
            }
        }
    }
}

/// The tools, or the names of those that were withdrawn, which must not be called again.
fn tools(request: &ModelRequest) -> (Vec<Tool<'_>>, Option<Value>) {
    let withdrawn: Vec<Tool<'_>> = replay::withdrawn(request)
        .into_iter()
        .map(|name| {
            let any = Map::from_iter([("type".to_owned(), Value::from("object"))]);
            Tool { name, description: "", input_schema: Cow::Owned(any) }
        })
        .collect();
    if !withdrawn.is_empty() {
        return (withdrawn, Some(json!({ "type": "none" })));
    }
    let offered = request.tools.iter().map(|tool| Tool {
        name: Cow::Borrowed(&*tool.name),
        description: &tool.description,
        input_schema: Cow::Borrowed(&tool.parameters),
    });
    (offered.collect(), None)
}

/// The JSON body.
pub(super) fn body(request: &ModelRequest) -> Vec<u8> {
    let Sides { system, spoken } = Sides::of(&request.messages);
    let (tools, tool_choice) = tools(request);
    let body = Body {
        model: &request.route.model,
        max_tokens: request.tokens_max,
        system: (!system.is_empty()).then(|| system.join("\n\n")),
        messages: spoken.into_iter().map(Message::from).collect(),
        tools,
        tool_choice,
        stream: true,
    };
    // Strings, numbers and JSON in a Vec: writing them cannot fail.
    serde_json::to_vec(&body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use konstruct_domain::Provider;
    use konstruct_ports::{PromptMessage, Route, ToolCall, ToolSpec};

    use super::*;

    fn sent(messages: Vec<PromptMessage>, tools: Vec<ToolSpec>) -> Value {
        let route = Route { provider: Provider::Anthropic, model: "m".to_owned(), key: None };
        let request = ModelRequest { route, messages, tools, tokens_max: 7 };
        serde_json::from_slice(&body(&request)).unwrap()
    }

    fn user(text: &str) -> PromptMessage {
        PromptMessage::User(text.to_owned())
    }

    fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
        ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
    }

    fn result(id: &str, result: &str) -> PromptMessage {
        PromptMessage::ToolResult { call_id: id.to_owned(), result: result.to_owned() }
    }

    fn text(text: &str) -> Value {
        json!({"type": "text", "text": text})
    }

    #[test]
    fn a_request_streams_with_its_system_apart_and_its_sides_in_turn() {
        let messages = vec![
            PromptMessage::System("be kind".to_owned()),
            user("hi"),
            user("\"you\""),
            PromptMessage::Assistant { text: "hello".to_owned(), calls: Vec::new() },
            user("?"),
        ];
        assert_eq!(
            sent(messages, Vec::new()),
            json!({"model": "m", "max_tokens": 7, "system": "be kind", "stream": true, "messages": [
                {"role": "user", "content": [text("hi"), text("\"you\"")]},
                {"role": "assistant", "content": [text("hello")]},
                {"role": "user", "content": [text("?")]}]})
        );
        assert_eq!(
            sent(vec![user("hi")], Vec::new()),
            json!({"model": "m", "max_tokens": 7, "stream": true,
                "messages": [{"role": "user", "content": [text("hi")]}]})
        );
    }

    /// proves AGNT-04
    #[test]
    fn all_results_of_one_asking_are_in_the_next_message_of_the_user() {
        let parameters = json!({"type": "object", "properties": {}}).as_object().cloned().unwrap();
        let tool = ToolSpec { name: "f".to_owned(), description: "does f".to_owned(), parameters };
        let calls =
            vec![call("toolu_1", "f", "{\"x\": 1.50}"), call("functions.f:1", "no such tool", "x = 1")];
        let messages = vec![
            user("hi"),
            PromptMessage::Assistant { text: "Let me see.".to_owned(), calls },
            result("toolu_1", "r"),
            result("functions.f:1", ""),
            user("and?"),
        ];
        let sent = sent(messages, vec![tool]);
        let id = sent["messages"][1]["content"][2]["id"].as_str().unwrap().to_owned();
        assert!(id.starts_with("call_"), "{id}");
        assert_eq!(
            sent["messages"].as_array().unwrap()[1..],
            [
                json!({"role": "assistant", "content": [text("Let me see."),
                    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1.50}},
                    {"type": "tool_use", "id": id, "name": "no_such_tool", "input": {}}]}),
                json!({"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "r"},
                    {"type": "tool_result", "tool_use_id": id, "content": ""}, text("and?")]})
            ]
        );
        assert_eq!(
            sent["tools"],
            json!([{"name": "f", "description": "does f", "input_schema": {"type": "object", "properties": {}}}])
        );
        assert_eq!(sent.get("tool_choice"), None);
    }

    #[test]
    fn tools_that_were_withdrawn_are_declared_and_forbidden() {
        let calls = vec![call("a", "f", "{}"), call("b", "f", "{}")];
        let messages = vec![
            user("hi"),
            PromptMessage::Assistant { text: String::new(), calls },
            result("a", "r"),
            result("b", "r"),
        ];
        let sent = sent(messages, Vec::new());
        assert_eq!(sent["tools"], json!([{"name": "f", "input_schema": {"type": "object"}}]));
        assert_eq!(sent["tool_choice"], json!({"type": "none"}));
    }
}
