//! The state machine from Anthropic's events to model events. Pure: it never waits, and what an event lacks or has
//! beyond the specification does not disturb it.

use konstruct_ports::{ModelError, ModelEvent, StopReason, TokenUsage};
use serde_json::Value;

use super::failure::in_stream;
use crate::blocks::Blocks;
use crate::clean;
use crate::failure::broken;
use crate::sse::Event;
use crate::stream::Decode;

/// Decodes one answer.
#[derive(Debug, Default)]
pub struct MessageDecoder {
    /// The answer's id, for tool calls that have none.
    id: String,
    blocks: Blocks,
    counts: Counts,
    /// The last usage that was told.
    told: Option<TokenUsage>,
    /// Text has been told: it cannot be taken back.
    shown: bool,
    /// Arguments came for a block that is no call.
    astray: bool,
    stop: Option<StopReason>,
    done: bool,
}

impl MessageDecoder {
    /// A decoder at the beginning of an answer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one event; returns the text in it, and the usage where it counts anew. Everything else comes from
    /// [`Self::finish`].
    ///
    /// # Errors
    /// An error event (its own kind decides whether another try may succeed), what is no JSON, and an answer that
    /// begins again after it was shown (both retryable). None once the answer has stopped, for then it is whole.
    pub fn push(&mut self, event: &Event) -> Result<Vec<ModelEvent>, ModelError> {
        let data = event.data.trim();
        if self.done || data.is_empty() {
            return Ok(Vec::new());
        }
        match self.take_data(&event.name, data) {
            Err(_) if self.stop.is_some() => Ok(Vec::new()),
            taken => taken,
        }
    }

    /// What comes at the end: tool calls and the stop. A stream that ends without `message_stop` is whole if it has
    /// said why it stopped.
    ///
    /// # Errors
    /// Retryable where the model had not finished, for example because the connection was cut.
    pub fn finish(&mut self) -> Result<Vec<ModelEvent>, ModelError> {
        let (stop, mut events) = match self.stop {
            None => return Err(broken("stream ended without a finish")),
            // What the limit or a filter cut is no whole call.
            Some(stop @ (StopReason::Length | StopReason::Refused)) => (stop, Vec::new()),
            Some(StopReason::ToolCalls) if self.blocks.is_empty() && self.astray => {
                return Err(broken("stream has arguments of no tool call"));
            }
            Some(_) if self.blocks.is_empty() => (StopReason::End, Vec::new()),
            Some(_) => (StopReason::ToolCalls, self.blocks.finish(&self.id)?),
        };
        events.push(ModelEvent::Finished(stop));
        Ok(events)
    }

    fn take_data(&mut self, name: &str, data: &str) -> Result<Vec<ModelEvent>, ModelError> {
        let data = clean::parse(data).filter(Value::is_object);
        let data = data.ok_or_else(|| broken("stream has an event that is no JSON object"))?;
        let kind = data.get("type").and_then(Value::as_str).unwrap_or(name);
        let error = data.get("error").unwrap_or(&Value::Null);
        let mut events = Vec::new();
        match kind {
            "message_delta" => self.take_message_delta(&data, &mut events),
            "message_stop" => self.done = true,
            // An answer that has stopped is whole: what else comes is not part of it.
            _ if self.stop.is_some() => {}
            "message_start" => self.take_message_start(&data, &mut events)?,
            "content_block_start" => self.take_block_start(&data, &mut events)?,
            "content_block_delta" => self.take_block_delta(&data, &mut events)?,
            "error" => return Err(in_stream(error)),
            // A proxy's own may have no type.
            "" if !error.is_null() => return Err(in_stream(error)),
            _ => {}
        }
        Ok(events)
    }

    /// The beginning; or a second one, from a proxy that asked again behind our back: then nothing of the first
    /// counts, and if it was shown, the answer has failed.
    fn take_message_start(&mut self, data: &Value, events: &mut Vec<ModelEvent>) -> Result<(), ModelError> {
        if self.shown {
            return Err(broken("stream began again after text"));
        }
        *self = Self { told: self.told, ..Self::default() };
        let message = data.get("message").unwrap_or(&Value::Null);
        self.id = text_of(message.get("id"));
        self.count(message.get("usage"), events);
        Ok(())
    }

    fn take_block_start(&mut self, data: &Value, events: &mut Vec<ModelEvent>) -> Result<(), ModelError> {
        let block = data.get("content_block").unwrap_or(&Value::Null);
        match block.get("type").and_then(Value::as_str) {
            Some("text") => self.say(block.get("text"), events),
            Some("tool_use") => {
                let whole = match block.get("input") {
                    Some(Value::Object(input)) if !input.is_empty() => Value::from(input.clone()).to_string(),
                    _ => String::new(),
                };
                let (id, name) = (text_of(block.get("id")), text_of(block.get("name")));
                self.blocks.begin(number(data), &id, &name, whole)?;
            }
            // Thinking, tools that run at the provider, and what is yet to be invented.
            _ => {}
        }
        Ok(())
    }

    fn take_block_delta(&mut self, data: &Value, events: &mut Vec<ModelEvent>) -> Result<(), ModelError> {
        let delta = data.get("delta").unwrap_or(&Value::Null);
        match delta.get("type").and_then(Value::as_str) {
            Some("text_delta") => self.say(delta.get("text"), events),
            Some("input_json_delta") => {
                let piece = delta.get("partial_json").and_then(Value::as_str).unwrap_or_default();
                self.astray |= !self.blocks.piece(number(data), piece)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn take_message_delta(&mut self, data: &Value, events: &mut Vec<ModelEvent>) {
        self.count(data.get("usage"), events);
        let stop = match data.pointer("/delta/stop_reason").and_then(Value::as_str) {
            None | Some("") => return,
            // `pause_turn` is a limit too: on what the provider's own tools may do in one answer.
            Some("max_tokens" | "model_context_window_exceeded" | "pause_turn") => StopReason::Length,
            Some("tool_use") => StopReason::ToolCalls,
            Some("refusal") => StopReason::Refused,
            Some(_) => StopReason::End,
        };
        self.stop = Some(stop);
    }

    fn say(&mut self, text: Option<&Value>, events: &mut Vec<ModelEvent>) {
        let text = text_of(text);
        if !text.is_empty() {
            self.shown = true;
            events.push(ModelEvent::Text(text));
        }
    }

    fn count(&mut self, usage: Option<&Value>, events: &mut Vec<ModelEvent>) {
        self.counts.take(usage.unwrap_or(&Value::Null));
        let usage = self.counts.usage();
        if usage.total_tokens > 0 && self.told != Some(usage) {
            self.told = Some(usage);
            events.push(ModelEvent::Usage(usage));
        }
    }
}

impl Decode for MessageDecoder {
    type Item = Event;

    fn take(&mut self, event: Event) -> Result<Vec<ModelEvent>, ModelError> {
        self.push(&event)
    }

    fn has_stopped(&self) -> bool {
        self.stop.is_some()
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn finish(&mut self) -> Result<Vec<ModelEvent>, ModelError> {
        self.finish()
    }
}

/// Tokens as Anthropic counts them: what it wrote to its cache or read from it is not in `input_tokens`.
#[derive(Debug, Default)]
struct Counts {
    input: u32,
    cache_creation: u32,
    cache_read: u32,
    output: u32,
}

impl Counts {
    /// All counts are cumulative: a later one replaces. Some proxies send zeros for a prompt that they counted
    /// before.
    fn take(&mut self, usage: &Value) {
        let count = |name: &str| {
            let count = usage.get(name)?;
            let whole = count.as_u64().or_else(|| count.as_f64().map(|tokens| tokens.max(0.0) as u64))?;
            Some(u32::try_from(whole).unwrap_or(u32::MAX))
        };
        let counted = |name: &str| count(name).filter(|&tokens| tokens > 0);
        self.input = counted("input_tokens").unwrap_or(self.input);
        self.cache_creation = counted("cache_creation_input_tokens").unwrap_or(self.cache_creation);
        self.cache_read = counted("cache_read_input_tokens").unwrap_or(self.cache_read);
        self.output = count("output_tokens").unwrap_or(self.output);
    }

    fn usage(&self) -> TokenUsage {
        let prompt_tokens = self.input.saturating_add(self.cache_creation).saturating_add(self.cache_read);
        let total_tokens = prompt_tokens.saturating_add(self.output);
        TokenUsage { prompt_tokens, completion_tokens: self.output, total_tokens }
    }
}

/// The block that an event speaks of.
fn number(data: &Value) -> u64 {
    data.get("index").and_then(Value::as_u64).unwrap_or(0)
}

fn text_of(value: Option<&Value>) -> String {
    clean::text(value.and_then(Value::as_str).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests;
