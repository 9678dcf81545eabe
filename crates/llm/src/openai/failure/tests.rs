//! Statuses and bodies of refusals, and what is made of them.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::*;

fn refusal(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Refusal {
    let headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    Refusal::of(StatusCode::from_u16(status).unwrap(), &headers, body)
}

fn retryable(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> bool {
    refusal(status, headers, body).error.is_retryable()
}

#[test]
fn the_status_decides() {
    for status in [408, 409, 429, 500, 502, 503, 504, 529, 599] {
        assert!(retryable(status, &[], ""), "{status}");
    }
    for status in [301, 400, 401, 402, 403, 404, 413, 422, 451] {
        assert!(!retryable(status, &[], ""), "{status}");
    }
}

#[test]
fn the_providers_own_word_wins() {
    assert!(retryable(400, &[("x-should-retry", "true")], ""));
    assert!(!retryable(500, &[("x-should-retry", "false")], ""));
    assert!(retryable(500, &[("x-should-retry", "maybe")], ""));
}

#[test]
fn a_spent_quota_is_fatal() {
    let body = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#;
    assert!(!retryable(429, &[], body));
    let body = r#"{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}"#;
    assert!(retryable(429, &[], body));
}

#[test]
fn a_wish_to_wait_is_passed_on_and_too_long_a_wish_is_fatal() {
    let wait = |seconds: &'static str| refusal(429, &[("retry-after", seconds)], "").error;
    assert_eq!(
        wait("1"),
        ModelError::Retryable { reason: "status 429".to_owned(), retry_after: Some(Duration::from_secs(1)) }
    );
    assert!(wait("120").is_retryable());
    assert!(!wait("120.5").is_retryable());
    assert!(!wait("86400").is_retryable());
}

#[test]
fn only_type_and_code_are_told() {
    let told = |body: &str| refusal(400, &[], body).error.to_string();
    let body = r#"{"error":{"message":"Incorrect API key provided: sk-abc","type":"invalid_request_error","code":"invalid_api_key"}}"#;
    assert_eq!(told(body), "model call refused: status 400 (invalid_request_error, invalid_api_key)");
    let body = r#"{"error":{"message":"x","type":"no such key: SECRET","code":"sk-abc123"}}"#;
    assert_eq!(told(body), "model call refused: status 400");
    assert_eq!(told(r#"{"error":{"code":400}}"#), "model call refused: status 400 (400)");
    for body in
        ["", "<html>secret</html>", "null", "[]", r#"{"error":"secret"}"#, r#"{"error":[{"code":"x"}]}"#]
    {
        assert_eq!(told(body), "model call refused: status 400", "{body}");
    }
}

#[test]
fn a_refused_max_tokens_is_recognised() {
    let body = r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}"#;
    let refusal = refusal(400, &[], body);
    assert!(refusal.wants_max_completion_tokens && !refusal.error.is_retryable());
}

#[test]
fn other_unsupported_parameters_are_not_taken_for_it() {
    let body = r#"{"error":{"message":"Unsupported parameter: 'temperature'","param":"temperature","code":"unsupported_parameter"}}"#;
    assert!(!refusal(400, &[], body).wants_max_completion_tokens);
    assert!(!refusal(400, &[], "").wants_max_completion_tokens);
    let body = r#"{"error":{"message":"","param":"max_tokens","code":"integer_above_max_value"}}"#;
    assert!(!refusal(400, &[], body).wants_max_completion_tokens);
}
