//! What Anthropic says when it refuses (contracts.md 6.5). It never passes on a message.

use http::{HeaderMap, StatusCode};
use konstruct_http::Response;
use konstruct_ports::ModelError;
use serde_json::Value;

use crate::clean;
use crate::failure::{broken, error_body, fatal, is_passing, name, refused, words};
use crate::retry_after::retry_after;

/// Errors that the same request meets again. `overloaded_error`, `rate_limit_error`, `api_error` and
/// `timeout_error` pass.
const LASTING: [&str; 6] = [
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "billing_error",
    "not_found_error",
    "request_too_large",
];

/// Reads what the server says.
pub(super) async fn read(response: Response) -> ModelError {
    let body = error_body(response.body).await;
    of(response.status, &response.headers, &String::from_utf8_lossy(&body))
}

fn of(status: StatusCode, headers: &HeaderMap, body: &str) -> ModelError {
    let body = clean::parse(body).unwrap_or(Value::Null);
    let said = Said::of(body.get("error").unwrap_or(&Value::Null));
    // Without a time to come back there is none: the account has spent what it may.
    let is_spent = said.is_spent() && retry_after(headers).is_none();
    refused(status, headers, &said.words(), is_passing(status) && !is_spent)
}

/// The error in a stream that began well.
pub(super) fn in_stream(error: &Value) -> ModelError {
    let said = Said::of(error);
    let reason = format!("error within the stream{}", said.words());
    let lasting = said.kind.as_deref().is_some_and(|kind| LASTING.contains(&kind));
    if lasting || said.is_spent() { fatal(&reason) } else { broken(&reason) }
}

/// What an error says of itself.
struct Said {
    kind: Option<String>,
    code: Option<String>,
}

impl Said {
    fn of(error: &Value) -> Self {
        let code = error.pointer("/details/error_code").and_then(name);
        Self { kind: error.get("type").and_then(name), code }
    }

    fn words(&self) -> String {
        words(self.kind.as_deref(), self.code.as_deref())
    }

    fn is_spent(&self) -> bool {
        self.code.as_deref() == Some("enforced_spend_limit_reached")
    }
}

#[cfg(test)]
mod tests;
