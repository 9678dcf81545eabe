//! The Management API: post to a connection, look at it, close it.
//! An answer must not wait for the client: a post is done once its frame waits to be sent.

use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::json;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::clock::rfc3339;
use crate::faults::{Faults, Target};

use super::frames::FRAME_MAX;
use super::parameters::decode;
use super::posts::Posts;
use super::registry::{Connection, Ending, Registry};

/// Most bytes that are read of a post; more than any limit, so that 413 can be told.
const READ_MAX: usize = 1024 * 1024;

/// The Management API of one stage.
pub struct Management {
    /// The stage in its paths.
    pub stage: String,
    /// The open connections.
    pub connections: Arc<Registry>,
    /// What was posted.
    pub posts: Arc<Posts>,
    /// What is armed.
    pub faults: Arc<Faults>,
}

/// Serves the Management API.
pub fn router(management: Arc<Management>) -> Router {
    Router::new().fallback(handle).with_state(management)
}

async fn handle(State(management): State<Arc<Management>>, request: Request) -> Response {
    management.faults.delay(Target::Management).await;
    let Some(id) = connection_id(request.uri().path(), &management.stage) else {
        return error(StatusCode::FORBIDDEN, "ForbiddenException", "Forbidden");
    };
    match *request.method() {
        Method::POST => {
            let body = to_bytes(request.into_body(), READ_MAX).await;
            let (size, response) = match body {
                Ok(body) => (body.len(), management.post(&id, body)),
                Err(_) => (READ_MAX, too_large()),
            };
            management.posts.count(size, response.status().as_u16());
            response
        }
        Method::GET => management.connections.get(&id).map_or_else(gone, |connection| show(&connection)),
        Method::DELETE => match management.connections.get(&id) {
            Some(connection) => {
                // Gone at once: a post that follows must get 410.
                management.connections.remove(&id);
                connection.end(Ending::Close(1000, ""));
                StatusCode::NO_CONTENT.into_response()
            }
            None => gone(),
        },
        _ => error(StatusCode::FORBIDDEN, "ForbiddenException", "Forbidden"),
    }
}

impl Management {
    fn post(&self, id: &str, body: Bytes) -> Response {
        match self.faults.take_status() {
            Some(410) => return gone(),
            Some(429) => return throttled(),
            Some(_) => {
                return error(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "InternalServerError",
                    "Internal server error",
                );
            }
            None => {}
        }
        // A frame is all the client would get of it: the limit of 128 KB is never reached.
        if body.len() > FRAME_MAX {
            return too_large();
        }
        let Some(connection) = self.connections.get(id) else {
            return gone();
        };
        let frame = match Utf8Bytes::try_from(body.clone()) {
            Ok(text) => Message::Text(text),
            Err(_) => Message::Binary(body),
        };
        if connection.send(frame) { StatusCode::OK.into_response() } else { throttled() }
    }
}

/// The id in `/{stage}/@connections/{id}`; a path without a stage is a custom domain's.
fn connection_id(path: &str, stage: &str) -> Option<String> {
    let path = path.replace("%40", "@");
    let (before, id) = path.split_once("/@connections/")?;
    let id = decode(id.trim_end_matches('/'));
    let stage_fits = before.is_empty() || before.strip_prefix('/') == Some(stage);
    (stage_fits && !id.is_empty()).then_some(id)
}

fn show(connection: &Connection) -> Response {
    let origin = &connection.origin;
    let body = json!({
        "connectedAt": rfc3339(origin.connected_at),
        "identity": {"sourceIp": origin.source_ip, "userAgent": origin.user_agent.as_deref().unwrap_or_default()},
        "lastActiveAt": rfc3339(connection.last_active()),
    });
    axum::Json(body).into_response()
}

fn gone() -> Response {
    error(StatusCode::GONE, "GoneException", "Gone")
}

fn throttled() -> Response {
    error(StatusCode::TOO_MANY_REQUESTS, "LimitExceededException", "Limit exceeded")
}

fn too_large() -> Response {
    error(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLargeException", "Message too long")
}

fn error(status: StatusCode, kind: &'static str, message: &str) -> Response {
    (status, [("x-amzn-errortype", kind)], axum::Json(json!({"message": message}))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_out_of_the_path_and_decoded() {
        let cases = [
            ("/ws/@connections/TXzPWdnOjoECGjA%3D", Some("TXzPWdnOjoECGjA=")),
            ("/ws/%40connections/TXzPWdnOjoECGjA=", Some("TXzPWdnOjoECGjA=")),
            ("/@connections/a", Some("a")),
            ("/other/@connections/a", None),
            ("/ws/@connections/", None),
            ("/ws", None),
        ];
        for (path, expected) in cases {
            assert_eq!(connection_id(path, "ws").as_deref(), expected, "{path}");
        }
    }
}
