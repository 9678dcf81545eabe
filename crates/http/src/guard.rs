//! The guard: TCP connections to public addresses only. A name is looked up once, what comes of it is judged, and the
//! connection goes to what was judged: never is a name looked up again in between.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::Exceptions;
use crate::global::is_global;

type BoxError = Box<dyn Error + Send + Sync>;
type Connecting = Pin<Box<dyn Future<Output = Result<TokioIo<TcpStream>, BoxError>> + Send>>;

/// Marks, in an error's chain, that an address was refused.
#[derive(Debug, thiserror::Error)]
#[error("not a public address")]
pub(crate) struct Refused;

/// Whose addresses are connected to.
#[derive(Clone)]
pub(crate) struct Guard {
    exceptions: Arc<Exceptions>,
    lookup: Lookup,
    is_allowed: fn(IpAddr) -> bool,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("exceptions", &self.exceptions).finish_non_exhaustive()
    }
}

impl Guard {
    pub(crate) fn new(exceptions: Exceptions) -> Self {
        let lookup = Lookup::System(GaiResolver::new());
        Self { exceptions: Arc::new(exceptions), lookup, is_allowed: is_global }
    }

    /// Whether this URL is excepted from the rules.
    pub(crate) fn excepts(&self, uri: &Uri) -> bool {
        self.exceptions.cover(uri)
    }

    /// An address in the place of a name: the connector would not ask the resolver for it.
    fn refuses_literal(&self, uri: &Uri) -> bool {
        let host = uri.host().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        bare.parse().is_ok_and(|address| !(self.is_allowed)(address))
    }
}

#[cfg(test)]
type Told = dyn Fn(&str) -> Vec<IpAddr> + Send + Sync;

/// Turns a name into addresses.
#[derive(Clone)]
enum Lookup {
    /// As this machine does.
    System(GaiResolver),
    /// As a test wants it.
    #[cfg(test)]
    Told(Arc<Told>),
}

impl Lookup {
    async fn addresses(&mut self, name: Name) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::System(system) => system.call(name).await.map(Iterator::collect),
            #[cfg(test)]
            Self::Told(told) => {
                Ok(told(name.as_str()).into_iter().map(|address| SocketAddr::new(address, 0)).collect())
            }
        }
    }
}

/// The resolver of a guarded connector: one address that is not public spoils the whole answer.
#[derive(Clone)]
pub(crate) struct Judging(Guard);

impl Service<Name> for Judging {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Guard { mut lookup, is_allowed, .. } = self.0.clone();
        Box::pin(async move {
            let addresses = lookup.addresses(name).await?;
            if addresses.iter().all(|address| is_allowed(address.ip())) {
                Ok(addresses.into_iter())
            } else {
                Err(Refused.into())
            }
        })
    }
}

/// Opens TCP connections, guarded or not.
#[derive(Clone)]
pub(crate) enum Tcp {
    /// To wherever a URL of ours leads.
    Open(HttpConnector),
    /// To public addresses and the exceptions.
    Guarded {
        /// For the exceptions.
        open: HttpConnector,
        /// For everything else.
        judging: HttpConnector<Judging>,
        /// The rules.
        guard: Guard,
    },
}

impl Tcp {
    /// A connector, guarded where there is a guard, that gives up an address after `limit`.
    pub(crate) fn new(guard: Option<&Guard>, limit: Duration) -> Self {
        let open = set_up(HttpConnector::new(), limit);
        match guard {
            None => Self::Open(open),
            Some(guard) => {
                let judging = set_up(HttpConnector::new_with_resolver(Judging(guard.clone())), limit);
                Self::Guarded { open, judging, guard: guard.clone() }
            }
        }
    }
}

fn set_up<R>(mut connector: HttpConnector<R>, limit: Duration) -> HttpConnector<R> {
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(Duration::from_secs(30)));
    connector.set_connect_timeout(Some(limit));
    connector
}

impl Service<Uri> for Tcp {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // Neither resolver ever has one wait.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Connecting {
        match self {
            Self::Open(open) => connecting(open.call(uri)),
            Self::Guarded { open, guard, .. } if guard.excepts(&uri) => connecting(open.call(uri)),
            Self::Guarded { guard, .. } if guard.refuses_literal(&uri) => {
                Box::pin(async { Err(Refused.into()) })
            }
            Self::Guarded { judging, guard, .. } => {
                let connecting = judging.call(uri);
                let is_allowed = guard.is_allowed;
                Box::pin(async move {
                    let stream = connecting.await?;
                    // Whatever way led there: nothing is sent to an address that was not judged.
                    if is_allowed(stream.inner().peer_addr()?.ip()) {
                        Ok(stream)
                    } else {
                        Err(Refused.into())
                    }
                })
            }
        }
    }
}

fn connecting<E>(opening: impl Future<Output = Result<TokioIo<TcpStream>, E>> + Send + 'static) -> Connecting
where
    E: Into<BoxError>,
{
    Box::pin(async move { opening.await.map_err(Into::into) })
}

#[cfg(test)]
mod tests;
