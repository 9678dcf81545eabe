//! The JSON of answers: chunks of a stream and whole completions, as OpenAI writes them.
//! Its form is the wire's; what is said is decided elsewhere.

use bytes::Bytes;
use serde_json::{Value, json};

/// What all parts of one answer have in common.
#[derive(Debug, Clone)]
pub struct Head {
    id: String,
    created: u64,
    model: String,
    usage: bool,
}

impl Head {
    /// The head of a new answer; `usage`: whether the stream ends with it.
    pub fn new(model: &str, usage: bool) -> Self {
        let id = format!("chatcmpl-{}", crate::ids::uuid().simple());
        Self { id, created: crate::clock::now_ms() / 1000, model: model.to_string(), usage }
    }

    /// A chunk with a piece of the message, or its end.
    pub fn chunk(&self, delta: &Value, finish: Option<&str>) -> Bytes {
        self.event(
            &json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]),
            Value::Null,
        )
    }

    /// The chunk with the usage, where it was asked for.
    pub fn usage(&self, prompt: u64, completion: u64) -> Option<Bytes> {
        self.usage.then(|| self.event(&json!([]), usage(prompt, completion)))
    }

    fn event(&self, choices: &Value, usage: Value) -> Bytes {
        let mut chunk = json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
            "choices": choices,
        });
        if let (true, Some(chunk)) = (self.usage, chunk.as_object_mut()) {
            chunk.insert("usage".into(), usage);
        }
        Bytes::from(format!("data: {chunk}\n\n"))
    }

    /// A whole completion.
    pub fn whole(&self, message: &Value, finish: &str, prompt: u64, completion: u64) -> Value {
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
            "usage": usage(prompt, completion),
        })
    }
}

fn usage(prompt: u64, completion: u64) -> Value {
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}

/// The last event of a stream.
pub const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// A tool call; a fresh id each time.
pub fn tool_call(name: &str, arguments: &str) -> Value {
    let id = format!("call_{}", crate::ids::uuid().simple());
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}
