//! Which failures are worth another try (contracts.md 6.5). Of what a server says in an error only its type and
//! code go on, and only if they look like such.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use konstruct_http::{HttpError, Response};
use konstruct_ports::ModelError;
use serde_json::Value;

use super::clean;
use super::retry_after::retry_after;

/// Most bytes of an error's body that are read.
const ERROR_BODY_MAX: usize = 64 * 1024;

/// Longest time that a provider may ask us to wait; whoever asks for more will not serve this turn.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);

/// Longest wait for an error's body: the status alone says enough.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// A request that the server did not serve.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: ModelError,
    /// It may be served with `max_completion_tokens` instead of `max_tokens`.
    pub(super) wants_max_completion_tokens: bool,
}

impl Refusal {
    /// Reads what the server says.
    pub(super) async fn read(response: Response) -> Self {
        let reading = tokio::time::timeout(ERROR_BODY_TIMEOUT, response.body.collect(ERROR_BODY_MAX));
        let body = reading.await.ok().and_then(Result::ok).unwrap_or_default();
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
        let reason = format!("status {}{}", status.as_u16(), said.words());
        let error = match retry_after(headers) {
            Some(wait) if wait > RETRY_AFTER_MAX => fatal(&format!("{reason}, asks to wait too long")),
            wait if should_retry(status, headers, &said) => {
                ModelError::Retryable { reason, retry_after: wait }
            }
            _ => fatal(&reason),
        };
        Self { error, wants_max_completion_tokens }
    }
}

fn should_retry(status: StatusCode, headers: &HeaderMap, said: &Said) -> bool {
    match headers.get("x-should-retry").map(|value| value.as_bytes()) {
        Some(b"true") => true,
        Some(b"false") => false,
        _ if said.is_spent() => false,
        _ => matches!(status.as_u16(), 408 | 409 | 429 | 500..),
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
    Some(ModelError::Retryable { reason, retry_after: None })
}

/// A request that got no answer, or not all of it.
pub(super) fn of_transport(error: &HttpError) -> ModelError {
    if error.is_retryable() { broken(&error.to_string()) } else { fatal(&error.to_string()) }
}

/// Retryable, without a wish of the provider's.
pub(super) fn broken(reason: &str) -> ModelError {
    ModelError::Retryable { reason: reason.to_owned(), retry_after: None }
}

fn fatal(reason: &str) -> ModelError {
    ModelError::Fatal { reason: reason.to_owned() }
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

    /// For the log: ` (type, code)`.
    fn words(&self) -> String {
        match (&self.kind, &self.code) {
            (Some(kind), Some(code)) if kind != code => format!(" ({kind}, {code})"),
            (Some(word), _) | (None, Some(word)) => format!(" ({word})"),
            (None, None) => String::new(),
        }
    }

    /// The account has no money left: no try helps.
    fn is_spent(&self) -> bool {
        let spent = |word: &Option<String>| word.as_deref() == Some("insufficient_quota");
        spent(&self.kind) || spent(&self.code)
    }
}

/// A type or a code, if it looks like one: anything else might repeat a prompt or a key.
fn name(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        Value::String(name) => {
            let harmless =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
            let short = (1..=48).contains(&name.len());
            (short && name.bytes().all(harmless) && !name.starts_with("sk-")).then(|| name.clone())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
