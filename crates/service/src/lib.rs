//! The use cases, one operation per file. No AWS, no HTTP, no channel's JSON: those are the business of the
//! adapters and of `runtime`.

pub mod confirm;
pub mod connections;
pub mod conversations;
pub mod delivery;
pub mod error;
pub mod failpoint;
pub mod hand_over;
pub mod inbound;
pub mod installations;
pub mod janitor;
pub mod notices;
pub mod outgoing;
pub mod patience;
pub mod replies;
pub mod reset;
pub mod sessions;
pub mod stop;
pub mod telemetry;
pub mod threads;
pub mod turn;
pub mod usage;
pub mod wait;
pub mod wake;

pub use connections::Connections;
pub use error::{Error, Refusal};
