//! One connection's frames on their way to functions, and the gateway's own error frames.
//! Frames are started in order of arrival; none waits for another.

use std::sync::Arc;

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Message;

use crate::lambda::Failure;

use super::handshake::WebSocketApi;
use super::registry::Connection;
use super::selection::named_route;

/// A frame is at most so large, in either direction.
pub const FRAME_MAX: usize = 32 * 1024;
/// A message is at most so large, in either direction.
pub const MESSAGE_MAX: usize = 128 * 1024;

/// Starts the function of a frame. The invocation has begun when this returns.
pub fn start(api: &Arc<WebSocketApi>, connection: &Arc<Connection>, body: &str) {
    let named = named_route(body, &api.spec.selection);
    let named = named.as_deref().and_then(|key| api.spec.routes.get_key_value(key));
    let chosen = named.or_else(|| api.spec.routes.get_key_value("$default"));
    let key = chosen.map_or("$default", |(key, _)| key.as_str());
    let (event, request_id) = connection.origin.message(key, body);
    let Some((_, integration)) = chosen else {
        connection.send(error_frame("Forbidden", connection, &request_id));
        return;
    };
    let pending = api.functions.invoke(&integration.function, Bytes::from(event.to_string()));
    let (timeout, connection) = (integration.timeout, connection.clone());
    tokio::spawn(async move {
        let outcome = tokio::time::timeout(timeout, pending.outcome()).await;
        // One-way routes: what the function answers is never sent.
        if outcome.unwrap_or(Err(Failure::TimedOut)).is_err() {
            connection.send(error_frame("Internal server error", &connection, &request_id));
        }
    });
}

/// The gateway's own frame; its odd blanks are AWS's.
fn error_frame(message: &str, connection: &Connection, request_id: &str) -> Message {
    let id = &connection.origin.connection_id;
    Message::text(format!(r#"{{"message": "{message}", "connectionId":"{id}", "requestId":"{request_id}"}}"#))
}
