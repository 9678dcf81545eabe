//! Statuses and bodies of refusals, and what is made of them.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde_json::json;

use super::*;

fn refusal(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> ModelError {
    let headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    of(StatusCode::from_u16(status).unwrap(), &headers, body)
}

fn body(kind: &str) -> String {
    json!({"type": "error", "error": {"type": kind, "message": "secret"}, "request_id": "req_1"}).to_string()
}

#[test]
fn every_documented_error_is_worth_another_try_or_not() {
    for (status, kind, retries) in [
        (400, "invalid_request_error", false),
        (401, "authentication_error", false),
        (402, "billing_error", false),
        (403, "permission_error", false),
        (404, "not_found_error", false),
        (413, "request_too_large", false),
        (429, "rate_limit_error", true),
        (500, "api_error", true),
        (504, "timeout_error", true),
        (529, "overloaded_error", true),
    ] {
        let error = refusal(status, &[], &body(kind));
        assert_eq!(error.is_retryable(), retries, "{status}");
        assert!(error.to_string().ends_with(&format!(": status {status} ({kind})")), "{error}");
    }
}

#[test]
fn a_spent_limit_is_fatal_unless_it_says_when_to_come_back() {
    let body = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "m",
        "details": {"error_code": "enforced_spend_limit_reached"}}})
    .to_string();
    let error = refusal(429, &[], &body);
    let reason = "status 429 (rate_limit_error, enforced_spend_limit_reached)".to_owned();
    assert_eq!(error, ModelError::Fatal { reason });
    assert!(refusal(429, &[("retry-after", "9")], &body).is_retryable());
    assert!(refusal(429, &[("retry-after-ms", "9")], &body).is_retryable());
}

#[test]
fn the_providers_own_word_wins() {
    assert!(refusal(400, &[("x-should-retry", "true")], "").is_retryable());
    assert!(!refusal(529, &[("x-should-retry", "false")], "").is_retryable());
    assert!(refusal(529, &[("x-should-retry", "maybe")], "").is_retryable());
}

#[test]
fn a_wish_to_wait_is_passed_on_and_too_long_a_wish_is_fatal() {
    let reason = "status 429 (rate_limit_error)".to_owned();
    let wish = |name, value| refusal(429, &[(name, value)], &body("rate_limit_error"));
    let retry_after = |millis| Some(Duration::from_millis(millis));
    assert_eq!(
        wish("retry-after", "1.5"),
        ModelError::Retryable { reason: reason.clone(), retry_after: retry_after(1500) }
    );
    assert_eq!(wish("retry-after-ms", "20"), ModelError::Retryable { reason, retry_after: retry_after(20) });
    assert!(wish("retry-after", "120").is_retryable());
    assert!(!wish("retry-after", "121").is_retryable());
}

#[test]
fn only_type_and_code_are_told() {
    for body in [
        "",
        "<html>secret</html>",
        "null",
        "[]",
        r#"{"error":"secret"}"#,
        r#"{"error":{"type":"my SECRET"}}"#,
    ] {
        assert_eq!(refusal(400, &[], body).to_string(), "model call refused: status 400", "{body}");
    }
}

#[test]
fn errors_within_a_stream_have_their_kind() {
    for kind in ["overloaded_error", "rate_limit_error", "api_error", "timeout_error", "new_error"] {
        let error = in_stream(&json!({"type": kind, "message": "secret"}));
        assert_eq!(error, broken(&format!("error within the stream ({kind})")));
    }
    for kind in LASTING {
        assert!(!in_stream(&json!({"type": kind})).is_retryable(), "{kind}");
    }
    let spent =
        json!({"type": "rate_limit_error", "details": {"error_code": "enforced_spend_limit_reached"}});
    assert!(!in_stream(&spent).is_retryable());
    for odd in [json!(null), json!("overloaded"), json!({}), json!([])] {
        assert_eq!(in_stream(&odd), broken("error within the stream"));
    }
}
