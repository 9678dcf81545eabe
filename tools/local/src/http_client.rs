//! A plain HTTP client for servers on this machine.
//! It must wait for nothing it need not: connections are kept, small packets go out at once.

use axum::body::Body;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// The client.
pub type HttpClient = Client<HttpConnector, Body>;

/// A new client.
#[allow(clippy::disallowed_methods, reason = "the local stack uses none of our crates")]
pub fn client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    // Shorter than ministack keeps an idle connection (75 s).
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(std::time::Duration::from_secs(30))
        .build(connector)
}
