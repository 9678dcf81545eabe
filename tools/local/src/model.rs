//! The development model: an OpenAI-compatible server with predictable answers.
//! It must log nothing: what it is asked are people's messages.

pub mod answer;
pub mod calls;
pub mod completion;
pub mod directive;
pub mod pieces;
pub mod request;
pub mod server;
pub mod stream;
#[cfg(test)]
mod tests;
