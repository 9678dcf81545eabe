//! The development model: a server with predictable answers that speaks as OpenAI's does, and as Anthropic's.
//! It must log nothing: what it is asked are people's messages.

pub mod answer;
pub mod anthropic;
pub mod anthropic_request;
pub mod calls;
pub mod completion;
pub mod dialect;
pub mod directive;
pub mod pieces;
pub mod request;
pub mod server;
pub mod stream;
#[cfg(test)]
mod tests;
