//! What chat completions servers say when they refuse (contracts.md 6.5). It never passes on a message.

use http::{HeaderMap, StatusCode};
use konstruct_http::Response;
use konstruct_ports::ModelError;
use serde_json::Value;

use crate::clean;
use crate::failure::{broken, error_body, fatal, is_passing, name, refused, words};

/// A request that the server did not serve.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: ModelError,
    /// It may be served with `max_completion_tokens` instead of `max_tokens`.
    pub(super) wants_max_completion_tokens: bool,
    /// It does not take the key.
    pub(super) refuses_key: bool,
}

impl Refusal {
    /// Reads what the server says.
    pub(super) async fn read(response: Response) -> Self {
        let body = error_body(response.body).await;
        Self::of(response.status, &response.headers, &String::from_utf8_lossy(&body))
    }

    fn of(status: StatusCode, headers: &HeaderMap, body: &str) -> Self {
        let body = clean::parse(body).unwrap_or(Value::Null);
        let error = error_object(&body).unwrap_or(&Value::Null);
        let said = Said::of(error);
        let wants_max_completion_tokens = status == StatusCode::BAD_REQUEST
            && said.code.as_deref() == Some("unsupported_parameter")
            && (error.get("param").and_then(Value::as_str) == Some("max_tokens")
                || said.message.contains("max_completion_tokens"));
        let error = refused(status, headers, &said.words(), is_passing(status) && !said.is_spent());
        Self { error, wants_max_completion_tokens, refuses_key: status == StatusCode::UNAUTHORIZED }
    }
}

/// The error in a chunk of a stream that began well, if it is one.
pub(super) fn in_stream(chunk: &Value) -> Option<ModelError> {
    let said = Said::of(error_object(chunk)?);
    let reason = format!("error within the stream{}", said.words());
    let status = said.code.as_deref().and_then(|code| code.parse::<u16>().ok());
    let fatal_status = matches!(status, Some(400..=407 | 410..=428 | 430..=499));
    let named = |word: &str| said.kind.as_deref() == Some(word) || said.code.as_deref() == Some(word);
    let fatal_name = ["invalid_request_error", "authentication_error", "permission_error", "content_filter"]
        .into_iter()
        .any(named);
    if fatal_status || fatal_name || said.is_spent() {
        return Some(fatal(&reason));
    }
    Some(broken(&reason))
}

/// `{"error": …}`, or vLLM's flat `{"object": "error", …}`.
fn error_object(body: &Value) -> Option<&Value> {
    match body.get("error") {
        None | Some(Value::Null) => (body.get("object")? == "error").then_some(body),
        error => error,
    }
}

/// What an error says of itself.
struct Said {
    kind: Option<String>,
    code: Option<String>,
    /// Never for a log.
    message: String,
}

impl Said {
    fn of(error: &Value) -> Self {
        Self {
            kind: error.get("type").and_then(name),
            code: error.get("code").and_then(name),
            message: error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned(),
        }
    }

    fn words(&self) -> String {
        words(self.kind.as_deref(), self.code.as_deref())
    }

    /// The account has no money left: no try helps.
    fn is_spent(&self) -> bool {
        let spent = |word: &Option<String>| word.as_deref() == Some("insufficient_quota");
        spent(&self.kind) || spent(&self.code)
    }
}

#[cfg(test)]
mod tests;
