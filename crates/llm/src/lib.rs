//! Language model providers behind `ports::LanguageModel`. What a provider's wire looks like never leaves this
//! crate, and no key, prompt or answer ever reaches an error or a log from here.

mod address;
pub mod anthropic;
pub mod bedrock;
mod blocks;
mod clean;
mod failure;
pub mod openai;
mod platform;
pub mod providers;
mod replay;
mod retry_after;
mod sides;
pub mod sse;
mod stream;
pub mod timed;

pub use address::ConfigError;
pub use anthropic::{Anthropic, AnthropicConfig};
pub use bedrock::{Bedrock, BedrockConfig};
pub use openai::{OpenAi, OpenAiConfig};
pub use platform::GivenKeys;
pub use providers::Providers;
pub use timed::{TimeLimits, Timed};
