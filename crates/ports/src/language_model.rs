//! A language model that streams. What a provider's wire looks like is not known here.

use std::fmt;
use std::time::Duration;

use konstruct_domain::Provider;

use crate::BoxFuture;
use crate::tools::ToolSpec;

/// One message of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromptMessage {
    /// The one system message.
    System(String),
    /// A person's.
    User(String),
    /// The agent's: text, tool calls, or both; never neither.
    Assistant {
        /// What it wrote; may be empty where it called tools.
        text: String,
        /// What it called, in order. Each has a `ToolResult` right behind this message.
        calls: Vec<ToolCall>,
    },
    /// What a tool answered.
    ToolResult {
        /// The call's id.
        call_id: String,
        /// The result.
        result: String,
    },
}

/// A tool call as a model wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The call's id: the provider's, or one of ours. Unique in the prompt.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments as the model wrote them: JSON, or what it took for it.
    pub arguments: String,
}

/// A provider's key. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// A key, as it was decrypted.
    #[must_use]
    pub const fn new(key: String) -> Self {
        Self(key)
    }

    /// The key itself: for the header of a call and nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// Which model is asked, where, and at whose expense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Who serves it.
    pub provider: Provider,
    /// The model's name.
    pub model: String,
    /// The tenant's own key; `None`: the platform's.
    pub key: Option<ApiKey>,
}

/// One call of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRequest {
    /// Which model.
    pub route: Route,
    /// System first, then the conversation; the message to be answered and what was called for it last.
    pub messages: Vec<PromptMessage>,
    /// The tools it may call.
    pub tools: Vec<ToolSpec>,
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

/// What comes while a model answers. `Finished` comes once and last; `Usage` before it, where a provider counts as it
/// goes more than once: the last counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelEvent {
    /// A piece of text, never empty, without NUL.
    Text(String),
    /// A tool call, whole.
    ToolCall(ToolCall),
    /// What the call has used so far.
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
    /// It was asked, and what was to come did not come in time. Another try may succeed; it may have cost something.
    #[error("model call timed out: {reason}")]
    TimedOut {
        /// For the log.
        reason: String,
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
        matches!(self, Self::Retryable { .. } | Self::TimedOut { .. })
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
