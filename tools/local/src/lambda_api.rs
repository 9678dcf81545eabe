//! Lambda's `Invoke` on one machine, for programs that call a function as they would in AWS. Signatures are not looked at,
//! and nothing but `RequestResponse` is done.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::json;

use crate::lambda::{Failure, Host, Invoker};

/// What an event may be at most (6 MiB).
const EVENT_MAX: usize = 6 * 1024 * 1024;

/// The function that a path behind the API's root invokes: by its own name, or by its folder's.
pub fn invoked(path: &str) -> Option<&str> {
    path.strip_prefix("2015-03-31/functions/")?
        .strip_suffix("/invocations")
        .filter(|name| !name.contains('/'))
}

/// Invokes it.
pub async fn invoke(host: &Host, name: &str, request: Request) -> Response {
    let Some(folder) = host.folder_of(name) else {
        let message = format!("Function not found: {name}");
        return told(StatusCode::NOT_FOUND, "ResourceNotFoundException", &message);
    };
    let kind = request.headers().get("x-amz-invocation-type").and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind != "RequestResponse") {
        return told(
            StatusCode::BAD_REQUEST,
            "InvalidParameterValueException",
            "only RequestResponse is done here",
        );
    }
    let Ok(event) = to_bytes(request.into_body(), EVENT_MAX).await else {
        return told(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", "an event has at most 6 MiB");
    };
    let event = if event.is_empty() { "{}".into() } else { event };
    let why = match host.invoke(&folder, event).outcome().await {
        Ok(answer) => {
            return (StatusCode::OK, header("x-amz-executed-version", "$LATEST"), answer).into_response();
        }
        Err(Failure::Unhandled(kind)) => json!({"errorType": kind, "errorMessage": "see the function's log"}),
        Err(Failure::Crashed) => json!({"errorType": "Runtime.ExitError", "errorMessage": "it crashed"}),
        Err(Failure::TimedOut) => {
            json!({"errorType": "Sandbox.Timedout", "errorMessage": "it took too long"})
        }
        Err(Failure::NotStarted(why)) => {
            json!({"errorType": "Runtime.InvalidEntrypoint", "errorMessage": why})
        }
    };
    (StatusCode::OK, header("x-amz-function-error", "Unhandled"), axum::Json(why)).into_response()
}

fn told(status: StatusCode, kind: &'static str, message: &str) -> Response {
    let body = axum::Json(json!({"Type": "User", "Message": message}));
    (status, header("x-amzn-errortype", kind), body).into_response()
}

fn header(name: &'static str, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_invocation_is_one() {
        assert_eq!(invoked("2015-03-31/functions/migrate/invocations"), Some("migrate"));
        for path in ["2015-03-31/functions/migrate", "2015-03-31/functions/a/b/invocations", "functions"] {
            assert_eq!(invoked(path), None, "{path}");
        }
    }
}
