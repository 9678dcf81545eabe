//! `sqs_endpoint`: everything passes through to ministack; a send that passes wakes the event source.
//! It must not change what passes, and must not keep or log any of it.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::json;
use tokio::sync::Notify;

use crate::faults::{Faults, Target};
use crate::gateway::parameters;
use crate::http_client::HttpClient;

/// SQS takes requests of about 1 MiB; JSON escapes make them larger on the wire.
const BODY_MAX: usize = 16 * 1024 * 1024;

/// The pass-through.
pub struct Proxy {
    /// Where ministack is.
    pub port: u16,
    /// How it is reached.
    pub http: HttpClient,
    /// What is armed.
    pub faults: Arc<Faults>,
    /// The event sources.
    pub wake: Vec<Arc<Notify>>,
}

/// Serves the pass-through.
pub fn router(proxy: Arc<Proxy>) -> Router {
    Router::new().fallback(handle).with_state(proxy)
}

async fn handle(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    proxy.faults.delay(Target::Sqs).await;
    let (mut parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let action = action(&parts.headers, &body);
    if action.starts_with("SendMessage") && proxy.faults.take_send_failure() {
        let error =
            json!({"__type": "com.amazonaws.sqs#InternalError", "message": "injected by the local stack"});
        let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amzn-errortype", "InternalError")];
        return (StatusCode::INTERNAL_SERVER_ERROR, headers, error.to_string()).into_response();
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let Ok(uri) = format!("http://127.0.0.1:{}{path}", proxy.port).parse::<Uri>() else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    // `Host` stays: ministack makes the queues' URLs from it, so that they lead through here.
    let host = parts.headers.get(HOST).cloned();
    parts.headers.remove(CONNECTION);
    parts.headers.remove(TRANSFER_ENCODING);
    parts.uri = uri;
    let mut forwarded = http::Request::from_parts(parts, Body::from(body));
    if let Some(host) = host {
        forwarded.headers_mut().insert(HOST, host);
    }
    match proxy.http.request(forwarded).await {
        Ok(response) => {
            if response.status().is_success() && may_free_a_record(&action) {
                proxy.wake.iter().for_each(|wake| wake.notify_one());
            }
            response.map(Body::new)
        }
        Err(_) => (StatusCode::BAD_GATEWAY, "ministack does not answer").into_response(),
    }
}

/// The action of a request in the JSON or the older query protocol.
fn action(headers: &HeaderMap, body: &Bytes) -> String {
    if let Some(target) = headers.get("x-amz-target").and_then(|target| target.to_str().ok()) {
        return target.rsplit('.').next().unwrap_or_default().to_string();
    }
    let form = std::str::from_utf8(body).unwrap_or_default();
    let mut parameters = parameters::query(form).filter(|(name, _)| name == "Action");
    parameters.next().map(|(_, action)| action).unwrap_or_default()
}

fn may_free_a_record(action: &str) -> bool {
    ["SendMessage", "ChangeMessageVisibility", "DeleteMessage", "StartMessageMoveTask"]
        .iter()
        .any(|prefix| action.starts_with(prefix))
}
