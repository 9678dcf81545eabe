//! A language model that streams. What a provider's wire looks like is not known here.

use std::time::Duration;

use crate::BoxFuture;

/// Who speaks in a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptRole {
    /// The one system message.
    System,
    /// A person.
    User,
    /// The agent.
    Assistant,
}

/// One message of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptMessage {
    /// Who speaks.
    pub role: PromptRole,
    /// What is said.
    pub content: String,
}

/// One call of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRequest {
    /// The model's name.
    pub model: String,
    /// System first, the message to be answered last.
    pub messages: Vec<PromptMessage>,
    /// Most tokens of the answer.
    pub tokens_max: u32,
}

/// What a call used, as the provider counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenUsage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub completion_tokens: u32,
    /// Both, or more where a provider counts reasoning apart.
    pub total_tokens: u32,
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// It was done.
    End,
    /// It ran into `tokens_max` or its context.
    Length,
    /// It wants tools to be run.
    ToolCalls,
    /// The provider's filter or the model itself refused.
    Refused,
}

/// What comes while a model answers. `Finished` comes once and last; `Usage` comes at most once, before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelEvent {
    /// A piece of text, never empty, without NUL.
    Text(String),
    /// A tool call, whole.
    ToolCall {
        /// The provider's id of the call.
        id: String,
        /// The tool.
        name: String,
        /// The arguments as the model wrote them: JSON, or what it took for it.
        arguments: String,
    },
    /// What the call used.
    Usage(TokenUsage),
    /// The end.
    Finished(StopReason),
}

/// Why a call failed. Holds no key, no prompt and no answer, so that it can be logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// 408, 409, 429 (but for a spent quota), 5xx, a broken connection: another try may succeed.
    #[error("model call failed: {reason}")]
    Retryable {
        /// For the log.
        reason: String,
        /// What the provider's `Retry-After` asks for.
        retry_after: Option<Duration>,
    },
    /// A request the provider will not serve however often it is asked.
    #[error("model call refused: {reason}")]
    Fatal {
        /// For the log.
        reason: String,
    },
}

impl ModelError {
    /// Whether another try may succeed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Retryable { .. })
    }
}

/// An answer under way. Dropping it hangs up, and the provider stops writing.
pub trait ModelStream: Send {
    /// The next event; `None` after `Finished`. A stream that breaks off without a finish is an error.
    /// Safe to drop and call again: nothing that arrived is lost.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<ModelEvent>, ModelError>>;
}

/// A provider of models.
pub trait LanguageModel: Send + Sync {
    /// Asks; returns when the provider began to answer.
    fn ask<'a>(
        &'a self,
        request: &'a ModelRequest,
    ) -> BoxFuture<'a, Result<Box<dyn ModelStream>, ModelError>>;
}
