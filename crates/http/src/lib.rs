//! The one outbound HTTP client: HTTP/1.1 over TLS, kept-alive connections, bodies that stream. It never follows
//! a redirect, never decides whether a request is worth another try, and never says in an error what was sent.
//! For URLs that tenants give there is a guarded one, which reaches public addresses only.

mod body;
mod client;
mod connector;
mod error;
mod exceptions;
mod global;
mod guard;
mod guarded;
mod tls;

pub use body::{Body, Response};
pub use client::{Client, ClientConfig};
pub use error::HttpError;
pub use exceptions::{Exceptions, ExceptionsError};
pub use guarded::{GuardedClient, GuardedConfig};
pub use tls::Roots;
