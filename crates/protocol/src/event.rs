//! What the frame log keeps: events in neutral form. Dialect and telemetry are applied when a frame is posted,
//! never here.

use konstruct_domain::MessageId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::error::ErrorCode;

/// Most bytes of text in one logged piece: escaped six-fold (`\u0001`) it still fits a frame of 32 KB.
pub const PIECE_BYTES_MAX: usize = 4_096;

/// Who has a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Holder {
    /// The agent answers.
    Ai,
    /// A human answers; the agent is silent.
    Human,
}

/// What a provider counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CountedTokens {
    /// Tokens of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u32>,
    /// Tokens of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u32>,
    /// Both together, or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<u32>,
}

/// A numbered event of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A piece of an answer; never empty.
    Piece {
        /// The answer's id.
        message_id: MessageId,
        /// At most [`PIECE_BYTES_MAX`] bytes.
        text: String,
    },
    /// The whole answer.
    Answer {
        /// The answer's id.
        message_id: MessageId,
        /// The message it answers.
        in_reply_to: MessageId,
        /// `None`: too large for a frame; the pieces had it.
        text: Option<String>,
        /// Whether the person stopped it.
        stopped: bool,
    },
    /// A human's reply.
    Reply {
        /// The reply's id.
        message_id: MessageId,
        /// `None`: too large for a frame.
        text: Option<String>,
    },
    /// The pieces of this answer are void.
    Discard {
        /// The answer's id.
        message_id: MessageId,
    },
    /// A tool was called.
    ToolCall {
        /// The call's id.
        tool_call_id: String,
        /// The tool.
        tool_name: String,
        /// `None`: too large for a frame.
        arguments: Option<Map<String, Value>>,
        /// RFC 3339, milliseconds.
        timestamp: String,
    },
    /// A tool answered, or was not run.
    ToolResult {
        /// The call's id.
        tool_call_id: String,
        /// The tool.
        tool_name: String,
        /// `None`: too large for a frame.
        result: Option<String>,
        /// How long it took.
        duration_ms: u64,
        /// RFC 3339, milliseconds.
        timestamp: String,
    },
    /// A tool waits for a yes.
    ToolConfirm {
        /// The call's id.
        tool_call_id: String,
        /// The tool.
        tool_name: String,
        /// `None`: too large for a frame.
        arguments: Option<Map<String, Value>>,
        /// RFC 3339.
        expires_at: String,
    },
    /// The model is asked.
    ModelCall {
        /// Its name.
        model: String,
        /// RFC 3339, milliseconds.
        timestamp: String,
    },
    /// The model is done.
    ModelResponse {
        /// Its name.
        model: String,
        /// As the provider counts; none of them where it did not.
        #[serde(flatten)]
        usage: CountedTokens,
        /// From the call to the end of its answer.
        #[serde(skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
        /// RFC 3339, milliseconds.
        timestamp: String,
    },
    /// The conversation was handed over.
    Escalation {
        /// To whom.
        status: Holder,
    },
    /// The turn ended without an answer.
    Failed {
        /// `agent_failed`, `agent_unavailable` or `budget_spent`.
        code: ErrorCode,
        /// One plain English sentence.
        error: String,
        /// The message.
        id: MessageId,
    },
}

impl Event {
    /// Whether a portal sees it only with `telemetry`.
    #[must_use]
    pub const fn is_telemetry(&self) -> bool {
        matches!(
            self,
            Self::ToolCall { .. }
                | Self::ToolResult { .. }
                | Self::ModelCall { .. }
                | Self::ModelResponse { .. }
        )
    }

    /// Whether it ends a turn.
    #[must_use]
    pub const fn ends_turn(&self) -> bool {
        matches!(self, Self::Answer { .. } | Self::Failed { .. })
    }
}

/// Cuts a text into pieces of at most [`PIECE_BYTES_MAX`] bytes, on character borders.
pub fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, tail) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES_MAX));
        rest = tail;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_put_together_are_the_text(text in "(\\PC|ü|👋){0,9000}") {
            let all: Vec<&str> = pieces(&text).collect();
            prop_assert!(all.iter().all(|p| !p.is_empty() && p.len() <= PIECE_BYTES_MAX));
            prop_assert_eq!(all.concat(), text);
        }
    }
}
