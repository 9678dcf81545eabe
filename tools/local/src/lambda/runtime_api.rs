//! The Lambda Runtime API (2018-06-01), one path prefix per sandbox.
//! It must answer `next` only when there is an event: a function waits there without a time-out.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::host::Host;
use super::invocation::Failure;
use super::sandbox::Event;

/// What a function may answer at most (6 MiB and 100 bytes).
const ANSWER_MAX: usize = 6_291_556;

/// The Runtime API of `host`.
pub fn router(host: Arc<Host>) -> Router {
    const BASE: &str = "/{sandbox}/2018-06-01/runtime";
    Router::new()
        .route(&format!("{BASE}/invocation/next"), get(next))
        .route(&format!("{BASE}/invocation/{{id}}/response"), post(response))
        .route(&format!("{BASE}/invocation/{{id}}/error"), post(error))
        .route(&format!("{BASE}/init/error"), post(init_error))
        .layer(DefaultBodyLimit::disable())
        .with_state(host)
}

async fn next(State(host): State<Arc<Host>>, Path(sandbox): Path<String>) -> Response {
    let Some(sandbox) = host.sandbox(&sandbox) else {
        return refused(StatusCode::FORBIDDEN, "InvalidSandbox");
    };
    let event = match sandbox.next() {
        Ok(event) => event,
        Err(later) => {
            // Between two events there is time to look at the process.
            sandbox.note_memory();
            match later.await {
                Ok(event) => event,
                Err(_) => return refused(StatusCode::INTERNAL_SERVER_ERROR, "SandboxEnded"),
            }
        }
    };
    (headers(&event), event.body).into_response()
}

fn headers(event: &Event) -> HeaderMap {
    let all = [
        ("lambda-runtime-aws-request-id", event.request_id.clone()),
        ("lambda-runtime-deadline-ms", event.deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", event.arn.clone()),
        ("lambda-runtime-trace-id", event.trace_id.clone()),
        ("content-type", "application/json".into()),
    ];
    let valid = all.into_iter().filter_map(|(name, value)| {
        Some((HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?))
    });
    valid.collect()
}

async fn response(
    State(host): State<Arc<Host>>,
    Path((sandbox, id)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let Some(sandbox) = host.sandbox(&sandbox) else {
        return refused(StatusCode::FORBIDDEN, "InvalidSandbox");
    };
    if body.len() > ANSWER_MAX {
        let message = format!("Exceeded maximum allowed payload size ({ANSWER_MAX} bytes).");
        let failed = sandbox.answer(&id, Err(Failure::Unhandled(message.clone())));
        let status = if failed { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
        return (status, json_body(&json!({"errorMessage": message, "errorType": "RequestEntityTooLarge"})))
            .into_response();
    }
    accepted(sandbox.answer(&id, Ok(body)))
}

async fn error(
    State(host): State<Arc<Host>>,
    Path((sandbox, id)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let Some(sandbox) = host.sandbox(&sandbox) else {
        return refused(StatusCode::FORBIDDEN, "InvalidSandbox");
    };
    accepted(sandbox.answer(&id, Err(Failure::Unhandled(error_type(&body)))))
}

async fn init_error(State(host): State<Arc<Host>>, Path(sandbox): Path<String>) -> Response {
    match host.sandbox(&sandbox) {
        // The process ends by itself next; its end fails the invocation it was started for.
        Some(_) => accepted(true),
        None => refused(StatusCode::FORBIDDEN, "InvalidSandbox"),
    }
}

/// Only the type is kept: the message may hold what no log may.
fn error_type(body: &[u8]) -> String {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let kind = parsed.as_ref().and_then(|error| error.get("errorType")).and_then(Value::as_str);
    kind.unwrap_or("Unhandled").to_string()
}

fn accepted(found: bool) -> Response {
    if found {
        (StatusCode::ACCEPTED, json_body(&json!({"status": "OK"}))).into_response()
    } else {
        refused(StatusCode::BAD_REQUEST, "InvalidRequestID")
    }
}

fn refused(status: StatusCode, kind: &str) -> Response {
    let message = if kind == "InvalidRequestID" { "Invalid request ID" } else { kind };
    (status, json_body(&json!({"errorMessage": message, "errorType": kind}))).into_response()
}

fn json_body(value: &Value) -> axum::Json<&Value> {
    axum::Json(value)
}
