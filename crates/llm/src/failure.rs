//! Which failures are worth another try (contracts.md 6.5), as far as providers agree. Of what a server says in an
//! error only its type and code go on, and only if they look like such.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use konstruct_http::{Body, HttpError};
use konstruct_ports::ModelError;
use serde_json::Value;

use crate::retry_after::retry_after;

/// Most bytes of an error's body that are read.
const ERROR_BODY_MAX: usize = 64 * 1024;

/// Longest time that a provider may ask us to wait; whoever asks for more will not serve this turn.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);

/// Longest wait for an error's body: the status alone says enough.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a server says with an error; nothing if that is too long or takes too long.
pub(crate) async fn error_body(body: Body) -> bytes::Bytes {
    let reading = tokio::time::timeout(ERROR_BODY_TIMEOUT, body.collect(ERROR_BODY_MAX));
    reading.await.ok().and_then(Result::ok).unwrap_or_default()
}

/// What is to be made of a refusal: the server's own word wins (`x-should-retry`), then `is_worth_it`; who asks us
/// to wait too long is left alone.
pub(crate) fn refused(status: StatusCode, headers: &HeaderMap, words: &str, is_worth_it: bool) -> ModelError {
    let reason = format!("status {}{words}", status.as_u16());
    let retries = match headers.get("x-should-retry").map(|value| value.as_bytes()) {
        Some(b"true") => true,
        Some(b"false") => false,
        _ => is_worth_it,
    };
    match retry_after(headers) {
        Some(wait) if wait > RETRY_AFTER_MAX => fatal(&format!("{reason}, asks to wait too long")),
        retry_after if retries => ModelError::Retryable { reason, retry_after },
        _ => fatal(&reason),
    }
}

/// Whether a status alone is worth another try.
pub(crate) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 409 | 429 | 500..)
}

/// A request that got no answer, or not all of it.
pub(crate) fn of_transport(error: &HttpError) -> ModelError {
    if error.is_retryable() { broken(&error.to_string()) } else { fatal(&error.to_string()) }
}

/// Retryable, without a wish of the provider's.
pub(crate) fn broken(reason: &str) -> ModelError {
    ModelError::Retryable { reason: reason.to_owned(), retry_after: None }
}

/// Not to be tried again.
pub(crate) fn fatal(reason: &str) -> ModelError {
    ModelError::Fatal { reason: reason.to_owned() }
}

/// For the log: ` (type, code)`, of what there is.
pub(crate) fn words(kind: Option<&str>, code: Option<&str>) -> String {
    match (kind, code) {
        (Some(kind), Some(code)) if kind != code => format!(" ({kind}, {code})"),
        (Some(word), _) | (None, Some(word)) => format!(" ({word})"),
        (None, None) => String::new(),
    }
}

/// A type or a code, if it looks like one: anything else might repeat a prompt or a key.
pub(crate) fn name(value: &Value) -> Option<String> {
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
mod tests {
    use super::*;

    #[test]
    fn connections_that_break_are_worth_another_try_and_addresses_of_ours_are_not() {
        let broken = HttpError::Broken { host: "h".to_owned(), cause: "connection reset".to_owned() };
        assert!(of_transport(&broken).is_retryable());
        assert!(!of_transport(&HttpError::Address("not https")).is_retryable());
    }

    #[test]
    fn only_what_looks_like_a_name_is_one() {
        for (value, told) in [
            ("invalid_request_error", true),
            ("rate-limit.2", true),
            ("no such key: SECRET", false),
            ("sk-abc123", false),
            ("", false),
            ("a_name_that_is_so_long_that_it_may_well_be_a_prompt", false),
        ] {
            assert_eq!(name(&Value::from(value)).is_some(), told, "{value}");
        }
        assert_eq!(name(&Value::from(400)).as_deref(), Some("400"));
        assert_eq!(name(&Value::Null), None);
    }
}
