//! The descriptions under docs/ against the types they are generated from: `asyncapi.yaml`, `openapi.yaml` and one
//! JSON Schema per frame. `UPDATE_DOCS=1 cargo test -p konstruct-tests --test docs` writes them. What is
//! wrong in docs/ is put right in crates/protocol and crates/runtime, never here.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests stand outside the product: what fails here fails a test"
)]

mod client_frames;
mod generated;
mod server_frames;
mod yaml;
