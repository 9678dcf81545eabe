//! The client for URLs that tenants give: https, public addresses and nothing else, but for the deployment's
//! exceptions. It never follows a redirect: where one leads is for the caller to judge and ask anew.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};

use crate::guard::Guard;
use crate::{Client, ClientConfig, Exceptions, HttpError, Response, Roots};

/// How a guarded client connects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuardedConfig {
    /// Whom TLS trusts.
    pub roots: Roots,
    /// What is excepted from the rules.
    pub exceptions: Exceptions,
}

/// A guarded client. Its connections are its own: none is shared with a [`Client`], and one that is kept is used again
/// for the same scheme, host and port only. Clones share one pool; use one per process.
#[derive(Debug, Clone)]
pub struct GuardedClient {
    client: Client,
    guard: Guard,
}

impl GuardedClient {
    /// A client that has not connected, nor looked up a name, yet.
    #[must_use]
    pub fn new(config: GuardedConfig) -> Self {
        Self::with(config.roots, Guard::new(config.exceptions))
    }

    fn with(roots: Roots, guard: Guard) -> Self {
        // Short: what tenants name is often slow to refuse, and somebody waits.
        let config =
            ClientConfig { roots, connect_timeout: Duration::from_secs(3), ..ClientConfig::default() };
        Self { client: Client::guarded(config, guard.clone()), guard }
    }

    /// Sends a request, as [`Client::send`] does.
    ///
    /// # Errors
    /// [`HttpError::Address`] for what the guard refuses; nothing was sent then.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response, HttpError> {
        self.client.send(request).await
    }

    /// Whether a URL's host and port are excepted from the rules.
    #[must_use]
    pub fn excepts(&self, uri: &Uri) -> bool {
        self.guard.excepts(uri)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers every request of every connection; gives its port.
    async fn server() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut space = [0; 4096];
                    while stream.read(&mut space).await.is_ok_and(|read| read > 0) {
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        port
    }

    fn client(exceptions: &str) -> GuardedClient {
        let exceptions = Exceptions::parse(exceptions).unwrap();
        GuardedClient::new(GuardedConfig { exceptions, ..GuardedConfig::default() })
    }

    async fn get(client: &GuardedClient, url: &str) -> Result<Bytes, HttpError> {
        let request = Request::get(url).body(Bytes::new()).unwrap();
        client.send(request).await?.body.collect(100).await
    }

    #[tokio::test]
    async fn private_addresses_plain_http_and_user_information_are_refused() {
        let client = client("");
        for url in ["https://127.0.0.1/", "https://[::1]/", "https://localhost:8443/"] {
            assert_eq!(get(&client, url).await, Err(HttpError::Address("not a public address")), "{url}");
        }
        assert_eq!(get(&client, "http://example.com/").await, Err(HttpError::Address("not https")));
        let disguised = get(&client, "https://example.com@127.0.0.1/").await;
        assert_eq!(disguised, Err(HttpError::Address("user information")));
    }

    #[tokio::test]
    async fn a_kept_connection_of_an_exception_serves_no_other_name() {
        let port = server().await;
        let client = client(&format!("127.0.0.1:{port}"));
        for _ in 0..2 {
            let answer = get(&client, &format!("http://127.0.0.1:{port}/")).await;
            assert_eq!(answer, Ok(Bytes::from_static(b"ok")));
        }
        let plain = get(&client, &format!("http://localhost:{port}/")).await;
        assert_eq!(plain, Err(HttpError::Address("not https")));
        let secure = get(&client, &format!("https://localhost:{port}/")).await;
        assert_eq!(secure, Err(HttpError::Address("not a public address")));
        assert!(client.excepts(&Uri::try_from(format!("http://127.0.0.1:{port}/")).unwrap()));
        assert!(!client.excepts(&Uri::try_from(format!("http://localhost:{port}/")).unwrap()));
    }
}
