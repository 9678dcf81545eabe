//! A request to the model, as far as it matters here.
//! Fields it does not know are no error: every product sends some.

use serde_json::{Value, json};

/// What is asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The model's name.
    pub model: String,
    /// The messages as they came.
    pub messages: Vec<Value>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether the stream is to tell the usage.
    pub usage: bool,
}

impl Asked {
    /// Reads a request; none: it is not one.
    pub fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let flag = |pointer: &str| body.pointer(pointer).and_then(Value::as_bool).unwrap_or(false);
        Some(Self {
            model: body.get("model").and_then(Value::as_str).unwrap_or("development").to_string(),
            messages: body.get("messages")?.as_array()?.clone(),
            stream: flag("/stream"),
            usage: flag("/stream_options/include_usage"),
        })
    }

    /// The last user message.
    pub fn last_user(&self) -> String {
        self.messages.iter().rev().find(|message| role(message) == "user").map(content).unwrap_or_default()
    }

    /// What tools answered since the last user message.
    pub fn tool_results(&self) -> Option<String> {
        let since = self.messages.iter().rposition(|message| role(message) == "user").map_or(0, |at| at + 1);
        let results: Vec<String> =
            self.messages.iter().skip(since).filter(|message| role(message) == "tool").map(content).collect();
        (!results.is_empty()).then(|| results.join("\n"))
    }

    /// The system prompt.
    pub fn system(&self) -> String {
        let prompts = self.messages.iter().filter(|message| matches!(role(message), "system" | "developer"));
        prompts.map(content).collect::<Vec<_>>().join("\n\n")
    }

    /// All messages, each content cut to 500 characters, as JSON.
    pub fn history(&self) -> String {
        let cut = self.messages.iter().map(|message| {
            let mut message = message.clone();
            let text: String = content(&message).chars().take(500).collect();
            if let Some(members) = message.as_object_mut() {
                members.insert("content".into(), json!(text));
            }
            message
        });
        Value::Array(cut.collect()).to_string()
    }

    /// How many tokens the prompt counts: its words.
    pub fn prompt_tokens(&self) -> u64 {
        let words: usize =
            self.messages.iter().map(|message| content(message).split_whitespace().count()).sum();
        words.max(1) as u64
    }
}

fn role(message: &Value) -> &str {
    message.get("role").and_then(Value::as_str).unwrap_or_default()
}

/// The text of a message, whether it is one or in parts.
fn content(message: &Value) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect(),
        _ => String::new(),
    }
}
