//! The state machine from chunks (an event's `data`) to model events. Pure: it never waits, and what a chunk lacks
//! or has beyond the specification does not disturb it.

use konstruct_ports::{ModelError, ModelEvent, StopReason, TokenUsage};
use serde_json::Value;

use super::calls::Calls;
use super::failure;
use crate::clean;
use crate::failure::broken;
use crate::sse;
use crate::stream::Decode;

/// Decodes one answer.
#[derive(Debug, Default)]
pub struct ChunkDecoder {
    /// The answer's id, for tool calls that have none.
    id: String,
    calls: Calls,
    usage: Option<TokenUsage>,
    stop: Option<StopReason>,
    /// The model spoke through `refusal`.
    refused: bool,
    done: bool,
}

impl ChunkDecoder {
    /// A decoder at the beginning of an answer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the answer is whole: only usage may still come.
    #[must_use]
    pub const fn has_stopped(&self) -> bool {
        self.stop.is_some()
    }

    /// Whether `[DONE]` has come.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.done
    }

    /// Takes the data of one event; returns the text in it, and the usage where it counts anew. Everything else comes
    /// from [`Self::finish`].
    ///
    /// # Errors
    /// An error object (its own kind decides whether another try may succeed), or what is no JSON (retryable). None
    /// once the answer has stopped, for then it is whole.
    pub fn push(&mut self, data: &str) -> Result<Vec<ModelEvent>, ModelError> {
        let data = data.trim();
        if data == "[DONE]" {
            self.done = true;
        }
        if self.done || data.is_empty() {
            return Ok(Vec::new());
        }
        match self.take(data) {
            Err(_) if self.stop.is_some() => Ok(Vec::new()),
            taken => taken,
        }
    }

    /// What comes at the end, in this order: tool calls, the stop.
    ///
    /// # Errors
    /// Retryable where the model had not finished, for example because the connection was cut.
    pub fn finish(&mut self) -> Result<Vec<ModelEvent>, ModelError> {
        let Some(stop) = self.stop else {
            return Err(broken("stream ended without a finish"));
        };
        // What the limit or a filter cut is no whole call. Some servers say `stop` where they mean tool calls.
        let (stop, mut events) = match stop {
            StopReason::Length | StopReason::Refused => (stop, Vec::new()),
            StopReason::End | StopReason::ToolCalls if self.calls.is_empty() => (StopReason::End, Vec::new()),
            StopReason::End | StopReason::ToolCalls => (StopReason::ToolCalls, self.calls.finish(&self.id)?),
        };
        let stop = if self.refused && stop == StopReason::End { StopReason::Refused } else { stop };
        events.push(ModelEvent::Finished(stop));
        Ok(events)
    }

    fn take(&mut self, data: &str) -> Result<Vec<ModelEvent>, ModelError> {
        let chunk = clean::parse(data).ok_or_else(|| broken("stream has an event that is no JSON"))?;
        if !chunk.is_object() {
            return Err(broken("stream has an event that is no object"));
        }
        if let Some(error) = failure::in_stream(&chunk) {
            return Err(error);
        }
        if self.id.is_empty()
            && let Some(id) = chunk.get("id").and_then(Value::as_str)
        {
            self.id = clean::text(id).into_owned();
        }
        let mut events = Vec::new();
        let choices = chunk.get("choices").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let first = |choice: &&Value| choice.get("index").and_then(Value::as_u64).unwrap_or(0) == 0;
        for choice in choices.iter().filter(first) {
            // Some servers ignore `stream` and send the whole answer as one message.
            let delta = choice.get("delta").or_else(|| choice.get("message")).unwrap_or(&Value::Null);
            self.take_delta(delta, &mut events)?;
            self.take_finish(choice.get("finish_reason"))?;
        }
        // Some servers repeat or raise the count with each chunk (xAI).
        let usage = chunk.get("usage").and_then(usage_of).filter(|usage| self.usage != Some(*usage));
        if let Some(usage) = usage {
            self.usage = Some(usage);
            events.push(ModelEvent::Usage(usage));
        }
        Ok(events)
    }

    fn take_delta(&mut self, delta: &Value, events: &mut Vec<ModelEvent>) -> Result<(), ModelError> {
        push_text(delta.get("content"), events);
        let before = events.len();
        push_text(delta.get("refusal"), events);
        self.refused |= events.len() > before;
        for piece in delta.get("tool_calls").and_then(Value::as_array).map_or(&[][..], Vec::as_slice) {
            self.calls.take(piece)?;
        }
        if let Some(function @ Value::Object(_)) = delta.get("function_call") {
            self.calls.take(&serde_json::json!({ "index": 0, "function": function }))?;
        }
        Ok(())
    }

    fn take_finish(&mut self, reason: Option<&Value>) -> Result<(), ModelError> {
        let stop = match reason.and_then(Value::as_str) {
            None | Some("" | "null") => return Ok(()),
            Some("length" | "max_tokens" | "model_length") => StopReason::Length,
            Some("tool_calls" | "function_call" | "tool_use") => StopReason::ToolCalls,
            Some("content_filter" | "refusal" | "safety" | "SAFETY") => StopReason::Refused,
            Some("error" | "insufficient_system_resource") => {
                return Err(broken("provider stopped with an error"));
            }
            Some(_) => StopReason::End,
        };
        self.stop = Some(stop);
        Ok(())
    }
}

impl Decode for ChunkDecoder {
    type Item = sse::Event;

    fn take(&mut self, event: sse::Event) -> Result<Vec<ModelEvent>, ModelError> {
        self.push(&event.data)
    }

    fn has_stopped(&self) -> bool {
        self.has_stopped()
    }

    fn is_done(&self) -> bool {
        self.is_done()
    }

    fn finish(&mut self) -> Result<Vec<ModelEvent>, ModelError> {
        self.finish()
    }
}

/// Text: a string, or a list of parts of which those of type `text` count.
fn push_text(content: Option<&Value>, events: &mut Vec<ModelEvent>) {
    match content {
        Some(Value::String(text)) => {
            let text = clean::text(text);
            if !text.is_empty() {
                events.push(ModelEvent::Text(text.into_owned()));
            }
        }
        Some(Value::Array(parts)) => {
            for part in parts {
                if part.get("type").is_none_or(|kind| kind == "text") {
                    push_text(part.get("text").filter(|text| text.is_string()), events);
                }
            }
        }
        _ => {}
    }
}

/// Usage, where it counts anything. The total is the provider's: it may be more than both (reasoning, xAI).
fn usage_of(usage: &Value) -> Option<TokenUsage> {
    let count = |name: &str| {
        let count = usage.get(name)?;
        let whole = count.as_u64().or_else(|| count.as_f64().map(|tokens| tokens.max(0.0) as u64))?;
        Some(u32::try_from(whole).unwrap_or(u32::MAX))
    };
    let (prompt, completion, total) =
        (count("prompt_tokens"), count("completion_tokens"), count("total_tokens"));
    prompt.or(completion).or(total)?;
    let (prompt_tokens, completion_tokens) = (prompt.unwrap_or(0), completion.unwrap_or(0));
    let total_tokens = total.unwrap_or_else(|| prompt_tokens.saturating_add(completion_tokens));
    Some(TokenUsage { prompt_tokens, completion_tokens, total_tokens })
}

#[cfg(test)]
mod tests;
