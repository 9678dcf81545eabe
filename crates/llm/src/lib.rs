//! Language model providers behind `ports::LanguageModel`. What a provider's wire looks like never leaves this
//! crate, and no key, prompt or answer ever reaches an error or a log from here.

pub mod openai;
pub mod pool;
pub mod sse;

pub use openai::{OpenAi, OpenAiConfig};
pub use pool::{Pool, PoolConfig};
