//! Traits for what cannot run on a developer's machine: AWS, the language model providers, other companies' chats, the
//! clock and randomness. No implementation lives here, and nothing that runs locally (Postgres, Redis) has a trait.

pub mod channel;
pub mod clock;
pub mod gateway;
pub mod ids;
pub mod installer;
pub mod language_model;
pub mod platform_keys;
pub mod queue;
pub mod secrets;
pub mod tools;

pub use channel::{
    Addressee, Announced, Channel, ChannelError, ChannelReply, ChannelToken, Final, JournalError,
    PostJournal, ReplyTo,
};
pub use clock::Clock;
pub use gateway::{ConnectionGateway, PostOutcome};
pub use ids::Ids;
pub use installer::{InstallError, Installed, Installer};
pub use language_model::{
    ApiKey, LanguageModel, ModelError, ModelEvent, ModelRequest, ModelStream, PromptMessage, Route,
    StopReason, TokenUsage, ToolCall,
};
pub use platform_keys::{KeyAway, PlatformKeys};
pub use queue::{NewRecord, QueueError, TaskQueue};
pub use secrets::{DataKey, DataKeys, KeyError, SealedDataKey, SecretContext};
pub use tools::{ToolError, ToolHost, ToolOutput, ToolServer, ToolSpec};

/// A boxed future, so that these traits can be used as `dyn`.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
