//! The JSON of answers as OpenAI writes them: chunks of a stream and whole completions.
//! Its form is the wire's; what is said is decided elsewhere.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::calls::Call;
use super::pieces::Pieces;

/// What all parts of one answer have in common.
#[derive(Debug, Clone)]
pub struct Head {
    id: String,
    created: u64,
    model: String,
    usage: bool,
}

impl Head {
    /// The head of a new answer; `usage`: whether each chunk tells it, as far as it has come (as xAI's servers do), and
    /// a last one nothing else.
    pub fn new(model: &str, usage: bool) -> Self {
        let id = format!("chatcmpl-{}", crate::ids::uuid().simple());
        Self { id, created: crate::clock::now_ms() / 1000, model: model.to_string(), usage }
    }

    /// The chunk with the role.
    pub fn begin(&self, call: &Call) -> Bytes {
        self.chunk(call, &json!({"role": "assistant", "content": ""}), None)
    }

    /// A chunk with a piece of the text.
    pub fn piece(&self, call: &Call, text: &str) -> Bytes {
        self.chunk(call, &json!({"content": text}), None)
    }

    /// The chunks behind the last piece.
    pub fn end(&self, call: &Call, finish: &str) -> Vec<Bytes> {
        let mut events = vec![self.chunk(call, &json!({}), Some(finish))];
        events.extend(self.usage.then(|| self.event(call, &json!([]))));
        events.push(DONE);
        events
    }

    /// The chunks of a tool call.
    pub fn tool(&self, call: &mut Call, name: &str, arguments: &str) -> Vec<Bytes> {
        let mut first = tool_call(name, "");
        if let Some(members) = first.as_object_mut() {
            members.insert("index".into(), 0.into());
        }
        call.completion_tokens = 1;
        let first = json!({"role": "assistant", "content": null, "tool_calls": [first]});
        let mut events = vec![self.chunk(call, &first, None)];
        for piece in Pieces::text(arguments) {
            call.completion_tokens += 1;
            let part = json!({"index": 0, "function": {"arguments": piece}});
            events.push(self.chunk(call, &json!({"tool_calls": [part]}), None));
        }
        events.extend(self.end(call, "tool_calls"));
        events
    }

    fn chunk(&self, call: &Call, delta: &Value, finish: Option<&str>) -> Bytes {
        self.event(call, &json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]))
    }

    fn event(&self, call: &Call, choices: &Value) -> Bytes {
        let mut chunk = json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
            "choices": choices,
        });
        if let (true, Some(chunk)) = (self.usage, chunk.as_object_mut()) {
            chunk.insert("usage".into(), usage(call));
        }
        Bytes::from(format!("data: {chunk}\n\n"))
    }

    /// A whole completion that says something.
    pub fn whole_text(&self, call: &Call, text: &str) -> Value {
        self.whole(call, &json!({"role": "assistant", "content": text}), "stop")
    }

    /// A whole completion that calls a tool.
    pub fn whole_tool(&self, call: &Call, name: &str, arguments: &str) -> Value {
        let calls = json!([tool_call(name, arguments)]);
        self.whole(call, &json!({"role": "assistant", "content": null, "tool_calls": calls}), "tool_calls")
    }

    fn whole(&self, call: &Call, message: &Value, finish: &str) -> Value {
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
            "usage": usage(call),
        })
    }
}

fn usage(call: &Call) -> Value {
    let (prompt, completion) = (call.prompt_tokens, call.completion_tokens);
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}

/// The last event of a stream.
const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// A tool call; a fresh id each time.
fn tool_call(name: &str, arguments: &str) -> Value {
    let id = format!("call_{}", crate::ids::uuid().simple());
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

/// The body of an error.
pub fn refusal(status: StatusCode) -> Value {
    let kind = if status.is_client_error() { "invalid_request_error" } else { "server_error" };
    json!({"error": {"message": "refused on purpose", "type": kind, "param": null, "code": null}})
}
