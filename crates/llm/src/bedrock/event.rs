//! The state machine from Converse's events to model events, and where they come from. It never waits but for the
//! next event.

use aws_sdk_bedrockruntime::primitives::event_stream::EventReceiver;
use aws_sdk_bedrockruntime::types::error::ConverseStreamOutputError;
use aws_sdk_bedrockruntime::types::{
    ContentBlockDelta, ContentBlockStart, ConverseStreamOutput, StopReason as Stop, TokenUsage as Counts,
};
use konstruct_ports::{ModelError, ModelEvent, StopReason, TokenUsage};
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

use super::failure;
use crate::blocks::Blocks;
use crate::clean;
use crate::failure::broken;
use crate::stream::{Decode, Source};

/// The SDK's events.
pub(super) struct EventSource(pub(super) EventReceiver<ConverseStreamOutput, ConverseStreamOutputError>);

impl Source for EventSource {
    type Item = ConverseStreamOutput;

    async fn read(&mut self) -> Result<Option<ConverseStreamOutput>, ModelError> {
        let received = self.0.recv().with_subscriber(Dispatch::none()).await;
        received.map_err(|error| failure::in_stream(&error))
    }
}

/// Decodes one answer.
#[derive(Debug, Default)]
pub(super) struct ConverseDecoder {
    blocks: Blocks,
    usage: Option<TokenUsage>,
    stop: Option<StopReason>,
    counted: bool,
}

impl Decode for ConverseDecoder {
    type Item = ConverseStreamOutput;

    fn take(&mut self, event: ConverseStreamOutput) -> Result<Vec<ModelEvent>, ModelError> {
        match event {
            ConverseStreamOutput::ContentBlockStart(start) => {
                // A tool with a type runs at the provider.
                if let Some(ContentBlockStart::ToolUse(call)) = start.start
                    && call.r#type.is_none()
                {
                    let block = number(start.content_block_index);
                    self.blocks.begin(block, &call.tool_use_id, &call.name, String::new())?;
                }
            }
            ConverseStreamOutput::ContentBlockDelta(delta) => match delta.delta {
                Some(ContentBlockDelta::Text(text)) => {
                    let text = clean::text(&text).into_owned();
                    return Ok(if text.is_empty() { Vec::new() } else { vec![ModelEvent::Text(text)] });
                }
                Some(ContentBlockDelta::ToolUse(piece)) => {
                    self.blocks.piece(number(delta.content_block_index), &piece.input)?;
                }
                // Reasoning, citations, and what is yet to be invented.
                _ => {}
            },
            ConverseStreamOutput::MessageStop(stop) => self.stop = Some(reason(&stop.stop_reason)?),
            ConverseStreamOutput::Metadata(metadata) => {
                self.counted = true;
                let usage = metadata.usage.as_ref().map(usage).filter(|usage| self.usage != Some(*usage));
                self.usage = usage.or(self.usage);
                return Ok(usage.map(ModelEvent::Usage).into_iter().collect());
            }
            _ => {}
        }
        Ok(Vec::new())
    }

    fn has_stopped(&self) -> bool {
        self.stop.is_some()
    }

    fn is_done(&self) -> bool {
        self.stop.is_some() && self.counted
    }

    fn finish(&mut self) -> Result<Vec<ModelEvent>, ModelError> {
        let (stop, mut events) = match self.stop {
            None => return Err(broken("stream ended without a finish")),
            // What the limit or a filter cut is no whole call.
            Some(stop @ (StopReason::Length | StopReason::Refused)) => (stop, Vec::new()),
            Some(_) if self.blocks.is_empty() => (StopReason::End, Vec::new()),
            Some(_) => (StopReason::ToolCalls, self.blocks.finish("bedrock")?),
        };
        events.push(ModelEvent::Finished(stop));
        Ok(events)
    }
}

fn reason(stop: &Stop) -> Result<StopReason, ModelError> {
    match stop {
        Stop::MaxTokens | Stop::ModelContextWindowExceeded => Ok(StopReason::Length),
        Stop::ToolUse => Ok(StopReason::ToolCalls),
        Stop::GuardrailIntervened | Stop::ContentFiltered => Ok(StopReason::Refused),
        Stop::MalformedModelOutput | Stop::MalformedToolUse => Err(broken("model wrote what cannot be read")),
        _ => Ok(StopReason::End),
    }
}

/// What the cache took and gave is not in Bedrock's `inputTokens`.
fn usage(counts: &Counts) -> TokenUsage {
    let count = |tokens: i32| u32::try_from(tokens).unwrap_or(0);
    let cached = |tokens: Option<i32>| count(tokens.unwrap_or(0));
    let prompt_tokens = count(counts.input_tokens)
        .saturating_add(cached(counts.cache_read_input_tokens))
        .saturating_add(cached(counts.cache_write_input_tokens));
    let completion_tokens = count(counts.output_tokens);
    let total_tokens = count(counts.total_tokens).max(prompt_tokens.saturating_add(completion_tokens));
    TokenUsage { prompt_tokens, completion_tokens, total_tokens }
}

fn number(index: i32) -> u64 {
    u64::try_from(index).unwrap_or(0)
}
