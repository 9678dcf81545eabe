//! What the tests stand on: [`TestApp`] with real Postgres and Redis, builders, and fakes for what cannot run here.
//! Nothing of the product is imitated: a fake stands for AWS, a model provider, the clock or chance.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    reason = "tests stand outside the product: what fails here fails a test"
)]

pub mod app;
pub mod builders;
pub mod client;
pub mod crash;
pub mod fakes;
pub mod history;
pub mod redis_keys;
pub mod schema;
pub mod seeds;
pub mod services;

pub use app::TestApp;
pub use builders::{TestTenant, id};
