//! The one address clients know: WebSocket API, HTTP API and `/_local` side by side, as CloudFront
//! puts the first two in AWS. It must not answer anything itself.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;

use crate::local_api::{self, LocalApi};

use super::handshake::{self, WebSocketApi};
use super::http_api::{self, HttpApi};

/// What is behind the front.
pub struct Front {
    /// The WebSocket API.
    pub websocket: Arc<WebSocketApi>,
    /// The HTTP API.
    pub http: Arc<HttpApi>,
    /// `/_local`.
    pub local: Arc<LocalApi>,
}

/// Serves the front.
pub fn router(front: Arc<Front>) -> Router {
    Router::new().fallback(handle).with_state(front)
}

async fn handle(
    State(front): State<Arc<Front>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let source_ip = peer.ip().to_string();
    let path = request.uri().path();
    if let Some(call) = path.strip_prefix("/_local/") {
        let call = call.to_string();
        return local_api::handle(front.local.clone(), &call, request).await;
    }
    let query = request.uri().query().unwrap_or_default();
    if let Some(query) = socket_query(path, query, &front.websocket.spec.stage) {
        return handshake::handle(front.websocket.clone(), request, query, source_ip).await;
    }
    http_api::handle(front.http.clone(), request, source_ip).await
}

/// The query of a request to the WebSocket API; none: it is not for that API.
///
/// `/chat/ws/{id}` is the portals' older form of `?conversation_id={id}`.
fn socket_query(path: &str, query: &str, stage: &str) -> Option<String> {
    let staged = path.strip_prefix('/').and_then(|path| path.strip_prefix(stage));
    if let Some("" | "/") = staged {
        return Some(query.to_string());
    }
    let path = staged.filter(|rest| rest.starts_with('/')).unwrap_or(path);
    let id = path.strip_prefix("/chat/ws/")?;
    let others = query.split('&').filter(|part| !part.is_empty() && !part.starts_with("conversation_id="));
    let own = format!("conversation_id={id}");
    Some(std::iter::once(own.as_str()).chain(others).collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_portals_path_becomes_the_query_form() {
        let cases = [
            ("/ws", "a=1", Some("a=1")),
            ("/ws/", "", Some("")),
            ("/chat/ws/42", "", Some("conversation_id=42")),
            ("/ws/chat/ws/42", "x=1&conversation_id=7", Some("conversation_id=42&x=1")),
            ("/wsx", "", None),
            ("/ws/other", "", None),
            ("/api/portal/chat/conversations", "", None),
        ];
        for (path, query, expected) in cases {
            assert_eq!(socket_query(path, query, "ws").as_deref(), expected, "{path}");
        }
    }
}
