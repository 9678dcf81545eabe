//! The WebSocket handshake: `$connect` decides, and only then is there a connection.
//! Nothing may be posted to a connection before `$connect` has returned.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use bytes::Bytes;
use http::header::{
    CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::clock::now_ms;
use crate::lambda::{Failure, Functions};
use crate::template::{Integration, WebSocketSpec};

use super::connection;
use super::registry::{Connection, Registry};
use super::websocket_event::Origin;
use crate::ids::gateway_id;

/// The WebSocket API.
pub struct WebSocketApi {
    /// Its routes and stage.
    pub spec: WebSocketSpec,
    /// Its open connections.
    pub connections: Arc<Registry>,
    /// Who runs its functions.
    pub functions: Functions,
    /// A connection without messages is closed after this.
    pub idle: Duration,
    /// No connection lives longer.
    pub max_connection: Duration,
    /// The port clients come in by.
    pub port: u16,
}

impl WebSocketApi {
    /// The function of a route.
    pub fn route(&self, key: &str) -> Option<&Integration> {
        self.spec.routes.get(key)
    }

    /// Invokes a route's function with `event` and waits as long as the gateway would.
    pub async fn call(&self, integration: &Integration, event: &Value) -> Result<Bytes, Failure> {
        let pending = self.functions.invoke(&integration.function, Bytes::from(event.to_string()));
        let outcome = tokio::time::timeout(integration.timeout, pending.outcome()).await;
        outcome.unwrap_or(Err(Failure::TimedOut))
    }
}

/// Answers a request to the WebSocket API's address.
pub async fn handle(
    api: Arc<WebSocketApi>,
    mut request: Request,
    query: String,
    source_ip: String,
) -> Response {
    if !asks_for_upgrade(&request) {
        let headers = [(CONNECTION, "Upgrade"), (UPGRADE, "websocket")];
        return (StatusCode::UPGRADE_REQUIRED, headers, plain("Upgrade Required")).into_response();
    }
    let headers = request.headers();
    let Some(accept) =
        headers.get(SEC_WEBSOCKET_KEY).filter(|key| is_key(key)).map(|key| derive_accept_key(key.as_bytes()))
    else {
        return (StatusCode::BAD_REQUEST, plain("Bad Request")).into_response();
    };
    if headers.get("sec-websocket-version").is_none_or(|version| version != "13") {
        return (StatusCode::BAD_REQUEST, [("sec-websocket-version", "13")], plain("Bad Request"))
            .into_response();
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let asked = Asked { headers: request.headers().clone(), query, source_ip, accept };
    let (reply, answer) = oneshot::channel();
    // A task of its own: a client that hangs up meanwhile must not stop what follows `$connect`.
    tokio::spawn(establish(api, asked, upgrade, reply));
    answer.await.unwrap_or_else(|_| bad_gateway())
}

/// A handshake that is well-formed.
struct Asked {
    headers: HeaderMap,
    query: String,
    source_ip: String,
    accept: String,
}

impl Asked {
    fn origin(&self, spec: &WebSocketSpec) -> Origin {
        let text = |name| {
            self.headers
                .get(name)
                .map(|value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Origin {
            connection_id: gateway_id(),
            connected_at: now_ms(),
            source_ip: self.source_ip.clone(),
            user_agent: text(USER_AGENT),
            domain: text(HOST).unwrap_or_default(),
            api_id: spec.api_id.clone(),
            stage: spec.stage.clone(),
        }
    }
}

async fn establish(
    api: Arc<WebSocketApi>,
    asked: Asked,
    upgrade: OnUpgrade,
    reply: oneshot::Sender<Response>,
) {
    let origin = asked.origin(&api.spec);
    let decision = match api.route("$connect") {
        Some(integration) => {
            let event = origin.connect(&asked.headers, &asked.query, api.port);
            decide(api.call(integration, &event).await)
        }
        None => Decision::LetIn(None),
    };
    let protocol = match decision {
        Decision::LetIn(protocol) => protocol,
        Decision::Refuse(response) => {
            // A client that has gone needs no refusal.
            let _ = reply.send(response);
            return;
        }
    };
    let (connection, socket_side) = Connection::new(origin);
    api.connections.add(&connection);
    let accepted = reply.send(switching_protocols(&asked.accept, protocol)).is_ok();
    let upgraded = if accepted { upgrade.await.ok() } else { None };
    connection::run(api, connection, socket_side, upgraded).await;
}

enum Decision {
    LetIn(Option<HeaderValue>),
    Refuse(Response),
}

fn decide(outcome: Result<Bytes, Failure>) -> Decision {
    let answer: Option<Value> = outcome.ok().and_then(|body| serde_json::from_slice(&body).ok());
    let status = answer.as_ref().and_then(|answer| answer.get("statusCode")).and_then(status_code);
    let (Some(answer), Some(status)) = (answer, status) else {
        return Decision::Refuse(bad_gateway());
    };
    if status.is_success() {
        let headers = answer.get("headers").and_then(Value::as_object);
        let mut named = headers.into_iter().flatten();
        let protocol = named.find(|(name, _)| name.eq_ignore_ascii_case(SEC_WEBSOCKET_PROTOCOL.as_str()));
        let protocol = protocol.and_then(|(_, value)| HeaderValue::from_str(value.as_str()?).ok());
        return Decision::LetIn(protocol);
    }
    let body = answer.get("body").and_then(Value::as_str).unwrap_or_default().to_string();
    Decision::Refuse((status, body).into_response())
}

fn status_code(value: &Value) -> Option<StatusCode> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    // 1xx would be no final answer to the client.
    StatusCode::from_u16(u16::try_from(number).ok()?).ok().filter(|status| !status.is_informational())
}

fn switching_protocols(accept: &str, protocol: Option<HeaderValue>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(protocol) = protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

fn bad_gateway() -> Response {
    (StatusCode::BAD_GATEWAY, plain("Internal server error")).into_response()
}

fn plain(message: &str) -> axum::Json<Value> {
    axum::Json(serde_json::json!({"message": message}))
}

fn asks_for_upgrade(request: &Request) -> bool {
    let lists = |name, wanted: &str| {
        let values = request.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(wanted))
    };
    request.method() == Method::GET && lists(UPGRADE, "websocket") && lists(CONNECTION, "upgrade")
}

fn is_key(value: &HeaderValue) -> bool {
    base64::prelude::BASE64_STANDARD.decode(value.as_bytes()).is_ok_and(|key| key.len() == 16)
}
