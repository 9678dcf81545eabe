//! Puts tool calls together from their pieces. It never runs one, nor judges its arguments.

use konstruct_ports::{ModelError, ModelEvent, ToolCall};
use serde_json::Value;

use crate::blocks::{BYTES_MAX, CALLS_MAX};
use crate::clean;
use crate::failure::broken;

/// Tool calls under construction, in order of their first pieces.
#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: Vec<Call>,
    /// Bytes of all of them.
    bytes: usize,
}

#[derive(Debug)]
struct Call {
    /// What the server counts by; where it starts is the server's business (contracts.md 6.2: some start at 1).
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl Calls {
    /// Whether no call has begun.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Takes a piece: `{index?, id?, function: {name?, arguments?}}`.
    ///
    /// # Errors
    /// Calls that grow beyond what any model means: retryable.
    pub(super) fn take(&mut self, piece: &Value) -> Result<(), ModelError> {
        let function = piece.get("function").unwrap_or(&Value::Null);
        let index = piece.get("index").and_then(Value::as_u64);
        let id = text_of(piece.get("id"));
        let name = text_of(function.get("name"));
        let arguments = match function.get("arguments") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(arguments)) => arguments.clone(),
            // Some servers send the object itself instead of its JSON.
            Some(arguments) => arguments.to_string(),
        };
        self.bytes += id.len() + name.len() + arguments.len();
        if let Some(call) = self.find(index, &id, &name) {
            if call.id.is_empty() {
                call.id = id;
            }
            // Later pieces may have an empty name, or none (Mistral, GLM).
            if call.name.is_empty() {
                call.name = name;
            }
            call.arguments.push_str(&arguments);
        }
        if self.bytes > BYTES_MAX || self.calls.len() > CALLS_MAX {
            return Err(broken("stream has tool calls that do not end"));
        }
        Ok(())
    }

    /// The call that a piece belongs to: by index; without one by id; without either it is the last call's. A
    /// piece with another id and a name of its own begins a new call even under an index in use (Gemini counts
    /// every call 0); another id alone does not (old vLLM made a new id for every piece).
    fn find(&mut self, index: Option<u64>, id: &str, name: &str) -> Option<&mut Call> {
        let known = match (index, id) {
            (Some(_), _) => self.calls.iter().rposition(|call| call.index == index),
            (None, "") => self.calls.len().checked_sub(1),
            (None, _) => self.calls.iter().rposition(|call| call.id == id),
        };
        let other = |call: &Call| !id.is_empty() && !call.id.is_empty() && call.id != id && !name.is_empty();
        match known.filter(|&at| !self.calls.get(at).is_some_and(other)) {
            Some(at) => self.calls.get_mut(at),
            None => {
                self.calls.push(Call {
                    index,
                    id: String::new(),
                    name: String::new(),
                    arguments: String::new(),
                });
                self.calls.last_mut()
            }
        }
    }

    /// The calls, whole. One without an id (Ollama, Gemini) gets one, made of the answer's id.
    pub(super) fn finish(&mut self, answer_id: &str) -> Result<Vec<ModelEvent>, ModelError> {
        let calls = std::mem::take(&mut self.calls);
        let whole = calls.into_iter().enumerate().map(|(place, call)| {
            if call.name.is_empty() {
                return Err(broken("tool call without a name"));
            }
            let id = if call.id.is_empty() { format!("call_{answer_id}_{place}") } else { call.id };
            let arguments = clean::arguments(&call.arguments);
            Ok(ModelEvent::ToolCall(ToolCall { id, name: call.name, arguments }))
        });
        whole.collect()
    }
}

fn text_of(value: Option<&Value>) -> String {
    clean::text(value.and_then(Value::as_str).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn assemble(pieces: &[Value]) -> Vec<(String, String, String)> {
        let mut calls = Calls::default();
        pieces.iter().for_each(|piece| calls.take(piece).unwrap());
        let whole = calls.finish("answer").unwrap();
        let parts = whole.into_iter().map(|event| match event {
            ModelEvent::ToolCall(ToolCall { id, name, arguments }) => (id, name, arguments),
            other => panic!("{other:?}"),
        });
        parts.collect()
    }

    fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
        (id.to_owned(), name.to_owned(), arguments.to_owned())
    }

    #[test]
    fn pieces_of_several_calls_may_be_mixed_and_start_anywhere() {
        let pieces = [
            json!({"index": 1, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}),
            json!({"index": 2, "id": "b", "function": {"name": "g", "arguments": "{\"x\""}}),
            json!({"index": 1, "function": {"arguments": "{\"y\""}}),
            json!({"index": 2, "function": {"arguments": ":1}"}}),
            json!({"index": 1, "function": {"arguments": ":2}"}}),
        ];
        assert_eq!(assemble(&pieces), [call("a", "f", "{\"y\":2}"), call("b", "g", "{\"x\":1}")]);
    }

    #[test]
    fn an_empty_name_later_overwrites_nothing() {
        let pieces = [
            json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}),
            json!({"index": 0, "id": "", "function": {"name": "", "arguments": "}"}}),
            json!({"index": 0, "id": null, "function": {"name": null, "arguments": null}}),
            json!({"index": 0}),
        ];
        assert_eq!(assemble(&pieces), [call("a", "f", "{}")]);
    }

    #[test]
    fn whole_calls_under_one_index_stay_apart() {
        let pieces = [
            json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}),
            json!({"index": 0, "id": "b", "function": {"name": "f", "arguments": "{}"}}),
        ];
        assert_eq!(assemble(&pieces).len(), 2);
    }

    #[test]
    fn a_new_id_on_every_piece_makes_no_new_call() {
        let pieces = [
            json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}),
            json!({"index": 0, "id": "b", "function": {"arguments": "}"}}),
        ];
        assert_eq!(assemble(&pieces), [call("a", "f", "{}")]);
    }

    #[test]
    fn pieces_without_an_index_go_by_id_or_to_the_last_call() {
        let pieces = [
            json!({"id": "a", "function": {"name": "f", "arguments": "{"}}),
            json!({"function": {"arguments": "}"}}),
            json!({"id": "b", "function": {"name": "g", "arguments": {"x": 1}}}),
        ];
        assert_eq!(assemble(&pieces), [call("a", "f", "{}"), call("b", "g", "{\"x\":1}")]);
    }

    #[test]
    fn a_call_without_an_id_gets_one_of_its_own() {
        let pieces = [
            json!({"index": 0, "function": {"name": "f", "arguments": ""}}),
            json!({"index": 1, "id": "", "function": {"name": "g"}}),
        ];
        assert_eq!(assemble(&pieces), [call("call_answer_0", "f", "{}"), call("call_answer_1", "g", "{}")]);
    }

    #[test]
    fn a_call_without_a_name_is_an_error() {
        let mut calls = Calls::default();
        calls.take(&json!({"index": 0, "id": "a"})).unwrap();
        assert!(calls.finish("").unwrap_err().is_retryable());
    }

    #[test]
    fn calls_without_end_are_given_up_before_they_fill_the_memory() {
        let mut calls = Calls::default();
        let piece =
            json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "x".repeat(1 << 20)}});
        assert!((0..64).any(|_| calls.take(&piece).is_err()));
        assert!(calls.bytes <= BYTES_MAX + (1 << 21));
        let mut calls = Calls::default();
        let piece =
            |index: usize| json!({"index": index, "id": index.to_string(), "function": {"name": "f"}});
        assert_eq!((0..=CALLS_MAX).position(|index| calls.take(&piece(index)).is_err()), Some(CALLS_MAX));
    }
}
