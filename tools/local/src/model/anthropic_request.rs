//! A request as Anthropic's API takes it, told in the words of the other one.
//! It must not lose a message: what is counted and told again is what came.

use serde_json::{Map, Value, json};

use super::request::Asked;

impl Asked {
    /// Reads a request to `/v1/messages`; none: it is not one (`max_tokens` is required).
    pub fn read_anthropic(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        body.get("max_tokens")?.as_u64()?;
        let system = body.get("system").map(text).filter(|system| !system.is_empty());
        let mut messages: Vec<Value> = Vec::new();
        messages.extend(system.map(|system| json!({"role": "system", "content": system})));
        for message in body.get("messages")?.as_array()? {
            match message.get("role")?.as_str()? {
                "assistant" => messages.push(assistant(message)),
                "user" => messages.extend(user(message)),
                _ => return None,
            }
        }
        Some(Self {
            model: body.get("model").and_then(Value::as_str).unwrap_or("development").to_string(),
            messages,
            stream: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
            usage: true,
        })
    }
}

/// A user's message: the results of tools in it are messages of their own.
fn user(message: &Value) -> Vec<Value> {
    let blocks = message.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let results = blocks.iter().filter(|block| kind(block) == "tool_result");
    let results = results.map(|block| {
        let result = block.get("content").map(text).unwrap_or_default();
        json!({"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": result})
    });
    let mut all: Vec<Value> = results.collect();
    let said = message.get("content").map(text).unwrap_or_default();
    if all.is_empty() || !said.is_empty() {
        all.push(json!({"role": "user", "content": said}));
    }
    all
}

fn assistant(message: &Value) -> Value {
    let blocks = message.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let calls = blocks.iter().filter(|block| kind(block) == "tool_use").map(|block| {
        let arguments = block.get("input").unwrap_or(&Value::Null).to_string();
        let function = json!({"name": block.get("name"), "arguments": arguments});
        json!({"id": block.get("id"), "type": "function", "function": function})
    });
    let calls: Vec<Value> = calls.collect();
    let mut told = Map::new();
    told.insert("role".into(), "assistant".into());
    told.insert("content".into(), message.get("content").map(text).unwrap_or_default().into());
    if !calls.is_empty() {
        told.insert("tool_calls".into(), calls.into());
    }
    told.into()
}

fn kind(block: &Value) -> &str {
    block.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// The text of a content, whether it is one or in blocks.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks.iter().filter_map(|block| block.get("text")?.as_str()).collect(),
        _ => String::new(),
    }
}
