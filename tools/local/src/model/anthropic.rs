//! The JSON of answers as Anthropic writes them: events of a stream and whole messages.
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
    model: String,
}

impl Head {
    /// The head of a new answer.
    pub fn new(model: &str) -> Self {
        Self { id: format!("msg_{}", crate::ids::uuid().simple()), model: model.to_string() }
    }

    /// The events before the first piece.
    pub fn begin(&self, call: &Call) -> Bytes {
        joined(&[
            self.start(call),
            block_start(&json!({"type": "text", "text": ""})),
            event("ping", json!({})),
        ])
    }

    /// The event with a piece of the text.
    pub fn piece(&self, text: &str) -> Bytes {
        delta(&json!({"type": "text_delta", "text": text}))
    }

    /// The events behind the last piece.
    pub fn end(&self, call: &Call, stop: &str) -> Vec<Bytes> {
        let delta = json!({
            "delta": {"stop_reason": stop, "stop_sequence": null},
            "usage": {"output_tokens": call.completion_tokens},
        });
        vec![
            event("content_block_stop", json!({"index": 0})),
            event("message_delta", delta),
            event("message_stop", json!({})),
        ]
    }

    /// The events of a tool call; without arguments it has one empty piece of JSON.
    pub fn tool(&self, call: &mut Call, name: &str, arguments: &str) -> Vec<Bytes> {
        let part = |text: &str| delta(&json!({"type": "input_json_delta", "partial_json": text}));
        let mut events = vec![self.start(call), block_start(&tool_use(name, &json!({}))), part("")];
        call.completion_tokens = 1;
        for piece in Pieces::text(arguments) {
            call.completion_tokens += 1;
            events.push(part(&piece));
        }
        events.extend(self.end(call, "tool_use"));
        events
    }

    /// A whole message that says something.
    pub fn whole_text(&self, call: &Call, text: &str) -> Value {
        self.message(&json!([{"type": "text", "text": text}]), Some("end_turn"), call, call.completion_tokens)
    }

    /// A whole message that calls a tool. Arguments that are no JSON come as a text.
    pub fn whole_tool(&self, call: &Call, name: &str, arguments: &str) -> Value {
        let input = match arguments {
            "" => json!({}),
            _ => serde_json::from_str(arguments).unwrap_or_else(|_| arguments.into()),
        };
        self.message(&json!([tool_use(name, &input)]), Some("tool_use"), call, call.completion_tokens)
    }

    fn start(&self, call: &Call) -> Bytes {
        // The service, too, counts one token before it has said any.
        event("message_start", json!({"message": self.message(&json!([]), None, call, 1)}))
    }

    fn message(&self, content: &Value, stop: Option<&str>, call: &Call, output: u64) -> Value {
        json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": content,
            "stop_reason": stop, "stop_sequence": null,
            "usage": {"input_tokens": call.prompt_tokens, "output_tokens": output},
        })
    }
}

/// A use of a tool; a fresh id each time.
fn tool_use(name: &str, input: &Value) -> Value {
    let id = format!("toolu_{}", crate::ids::uuid().simple());
    json!({"type": "tool_use", "id": id, "name": name, "input": input})
}

fn block_start(block: &Value) -> Bytes {
    event("content_block_start", json!({"index": 0, "content_block": block}))
}

fn delta(delta: &Value) -> Bytes {
    event("content_block_delta", json!({"index": 0, "delta": delta}))
}

fn event(kind: &str, mut data: Value) -> Bytes {
    if let Some(members) = data.as_object_mut() {
        members.insert("type".into(), kind.into());
    }
    Bytes::from(format!("event: {kind}\ndata: {data}\n\n"))
}

fn joined(events: &[Bytes]) -> Bytes {
    Bytes::from(events.concat())
}

/// The body of an error.
pub fn refusal(status: StatusCode) -> Value {
    let kind = match status.as_u16() {
        400 => "invalid_request_error",
        401 => "authentication_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let id = format!("req_{}", crate::ids::uuid().simple());
    json!({"type": "error", "error": {"type": kind, "message": "refused on purpose"}, "request_id": id})
}
