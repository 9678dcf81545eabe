//! The use cases, one operation per file. No AWS, no HTTP, no channel's JSON: those are the business of the
//! adapters and of `runtime`.

pub mod connections;
pub mod conversations;
pub mod delivery;
pub mod error;
pub mod failpoint;
pub mod inbound;
pub mod installations;
pub mod janitor;
pub mod notices;
pub mod outgoing;
pub mod patience;
pub mod reset;
pub mod sessions;
pub mod stop;
pub mod threads;
pub mod turn;
pub mod wait;

pub use connections::Connections;
pub use error::{Error, Refusal};
