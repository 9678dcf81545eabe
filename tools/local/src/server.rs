//! Listening on 127.0.0.1, and nowhere else.
//! Small packets go out at once: a frame must not wait for the next one.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::{TcpListener, TcpSocket};

use crate::error::{Context, Error, Result};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Takes a port of this machine.
pub fn listen(port: u16, purpose: &str) -> Result<TcpListener> {
    let socket = TcpSocket::new_v4().context("a socket")?;
    // A port whose last connections are just ending is free.
    socket.set_reuseaddr(true).context("a socket")?;
    let taken = |error| Error::new(format!("port {port} ({purpose}) cannot be used: {error}; set PORT_BASE"));
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).map_err(taken)?;
    socket.listen(BACKLOG).map_err(taken)
}

/// Serves `router` until it is dropped.
pub async fn serve(listener: TcpListener, router: Router) {
    let listener = listener.tap_io(|stream| {
        // Without it everything works, 40 ms later.
        let _ = stream.set_nodelay(true);
    });
    // It ends only by being dropped: accepting goes on after every error.
    let _ = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await;
}
