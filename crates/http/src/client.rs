//! The client and its pool of kept-alive connections. Constructing one costs nothing: roots, TLS and pool come
//! with the first request.

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http::{Request, Uri};
use http_body_util::Full;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::connector::{Connector, TookTooLong};
use crate::error::{cause_of, was_cut};
use crate::guard::{Guard, Refused};
use crate::{Body, HttpError, Response, Roots};

type Pool = legacy::Client<Connector, Full<Bytes>>;

/// How a client connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// Whom TLS trusts.
    pub roots: Roots,
    /// Whether `http://` is allowed: for local endpoints and tests only.
    pub allow_plain: bool,
    /// Longest time for name look-up, TCP and TLS together (contracts.md 6.5: 5 s).
    pub connect_timeout: Duration,
    /// How long an unused connection is kept. Short, because a Lambda that froze wakes up with connections whose
    /// other side is long gone (architecture.md, Lambda: 60 s).
    pub idle_timeout: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            roots: Roots::CompiledIn,
            allow_plain: false,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
        }
    }
}

/// The client. Clones share one pool; use one per process.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: ClientConfig,
    guard: Option<Guard>,
    pool: OnceLock<Result<Pool, HttpError>>,
}

impl Client {
    /// A client that has not connected, nor read a root, yet.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        Self { shared: Arc::new(Shared { config, guard: None, pool: OnceLock::new() }) }
    }

    /// The same for addresses that others give.
    pub(crate) fn guarded(config: ClientConfig, guard: Guard) -> Self {
        Self { shared: Arc::new(Shared { config, guard: Some(guard), pool: OnceLock::new() }) }
    }

    /// Sends a request and returns once the answer's headers are there. Waiting has no limit but that on
    /// connecting: the caller's time-out is to drop this future, which closes the connection.
    ///
    /// A kept-alive connection that turns out closed before the request was written is replaced without a word, and
    /// so is, once, a new one that is cut while being set up (a Lambda may freeze just then): in both cases nothing
    /// was sent.
    ///
    /// # Errors
    /// See [`HttpError`]; a status is none.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response, HttpError> {
        let host = self.check(request.uri())?;
        let pool = self.pool()?;
        // After a freeze the runtime must look at its sockets once, or the request is written into a dead connection.
        tokio::task::yield_now().await;
        let request = request.map(Full::new);
        let answered = match pool.request(request.clone()).await {
            Err(error) if error.is_connect() && was_cut(&error) => pool.request(request).await,
            answered => answered,
        };
        let (head, incoming) = answered.map_err(|error| failure(&host, &error))?.into_parts();
        Ok(Response { status: head.status, headers: head.headers, body: Body::new(host, incoming) })
    }

    /// The host, of an address that may be called.
    fn check(&self, uri: &Uri) -> Result<Arc<str>, HttpError> {
        let authority = uri.authority().ok_or(HttpError::Address("no host"))?;
        if authority.as_str().contains('@') {
            return Err(HttpError::Address("user information"));
        }
        if authority.host().is_empty() {
            return Err(HttpError::Address("no host"));
        }
        let may_be_plain = match &self.shared.guard {
            None => self.shared.config.allow_plain,
            Some(guard) => guard.excepts(uri),
        };
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => {}
            Some(scheme) if *scheme == Scheme::HTTP && may_be_plain => {}
            Some(scheme) if *scheme == Scheme::HTTP => return Err(HttpError::Address("not https")),
            _ => return Err(HttpError::Address("neither https nor http")),
        }
        Ok(Arc::from(authority.host()))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one home of outbound HTTP")]
    fn pool(&self) -> Result<&Pool, HttpError> {
        let config = &self.shared.config;
        let pool = self.shared.pool.get_or_init(|| {
            Ok(legacy::Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(config.idle_timeout)
                .build(Connector::new(config, self.shared.guard.as_ref())?))
        });
        pool.as_ref().map_err(Clone::clone)
    }
}

fn failure(host: &str, error: &legacy::Error) -> HttpError {
    let host = host.to_owned();
    if !error.is_connect() {
        return HttpError::Broken { host, cause: cause_of(error) };
    }
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(inner) = next {
        if inner.is::<TookTooLong>() {
            return HttpError::ConnectTimeout { host };
        }
        if inner.is::<Refused>() {
            return HttpError::Address("not a public address");
        }
        next = inner.source();
    }
    HttpError::Connect { host, cause: cause_of(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(uri: &'static str, allow_plain: bool) -> HttpError {
        let client = Client::new(ClientConfig { allow_plain, ..ClientConfig::default() });
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = Uri::from_static(uri);
        client.send(request).await.unwrap_err()
    }

    #[tokio::test]
    async fn plain_http_is_refused_unless_allowed() {
        assert_eq!(refusal("http://127.0.0.1:1/", false).await, HttpError::Address("not https"));
        assert!(matches!(refusal("http://127.0.0.1:1/", true).await, HttpError::Connect { .. }));
    }

    #[tokio::test]
    async fn addresses_without_host_or_with_user_information_are_refused() {
        assert_eq!(refusal("/path", true).await, HttpError::Address("no host"));
        assert_eq!(refusal("https://me:secret@host/", true).await, HttpError::Address("user information"));
        assert_eq!(refusal("ftp://host/", true).await, HttpError::Address("neither https nor http"));
    }

    #[test]
    fn a_client_is_built_outside_a_runtime_and_without_connecting() {
        let client = Client::new(ClientConfig::default());
        assert!(client.shared.pool.get().is_none());
    }
}
