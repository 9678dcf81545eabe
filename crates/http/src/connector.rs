//! Opens connections: name look-up, TCP without Nagle's delay, TLS, all of it within one time limit. It never
//! goes through a proxy.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use tower_service::Service;

use crate::HttpError;
use crate::client::ClientConfig;
use crate::guard::{Guard, Tcp};

type BoxError = Box<dyn Error + Send + Sync>;
type Https = HttpsConnector<Tcp>;

/// Marks, in an error's chain, that connecting took too long.
#[derive(Debug, thiserror::Error)]
#[error("connecting took too long")]
pub(crate) struct TookTooLong;

/// A connector with a limit on the whole of connecting. Hyper's own limit ends with TCP: a server that
/// accepts and never shakes hands would hang for ever.
#[derive(Clone)]
pub(crate) struct Connector {
    https: Https,
    limit: Duration,
}

impl Connector {
    pub(crate) fn new(config: &ClientConfig, guard: Option<&Guard>) -> Result<Self, HttpError> {
        let tcp = Tcp::new(guard, config.connect_timeout);
        let builder = HttpsConnectorBuilder::new().with_tls_config(crate::tls::config(config.roots)?);
        // Where there is a guard, which URL may be plain was decided before.
        let may_be_plain = config.allow_plain || guard.is_some();
        let builder = if may_be_plain { builder.https_or_http() } else { builder.https_only() };
        let https = builder.enable_http1().wrap_connector(tcp);
        Ok(Self { https, limit: config.connect_timeout })
    }
}

impl Service<Uri> for Connector {
    type Response = <Https as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.https.call(uri);
        let limit = self.limit;
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(TookTooLong.into()),
            }
        })
    }
}
