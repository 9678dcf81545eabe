//! A function's answer (payload format 2.0) as an HTTP response.
//! An answer of no known form is the gateway's own 500: nothing of it reaches the client.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{CONTENT_TYPE, SET_COOKIE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::lambda::{Failure, Outcome};

/// The response for how an invocation ended.
pub fn response(outcome: Outcome) -> Response {
    match outcome {
        Ok(body) => {
            serde_json::from_slice(&body).ok().and_then(|answer| written(&answer)).unwrap_or_else(internal)
        }
        Err(Failure::TimedOut) => message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        Err(Failure::Unhandled(_) | Failure::Crashed | Failure::NotStarted(_)) => internal(),
    }
}

/// A message of the gateway itself.
pub fn message(status: StatusCode, text: &str) -> Response {
    (status, axum::Json(json!({"message": text}))).into_response()
}

fn internal() -> Response {
    message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}

fn written(answer: &Value) -> Option<Response> {
    let Some(status) = answer.get("statusCode") else {
        // Without a status the whole answer is the body.
        return Some(axum::Json(answer).into_response());
    };
    let status = status.as_u64().or_else(|| status.as_str()?.parse().ok())?;
    let status =
        StatusCode::from_u16(u16::try_from(status).ok()?).ok().filter(|status| !status.is_informational())?;
    let body = body(answer)?;
    let has_body = !body.is_empty();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in answer.get("headers").and_then(Value::as_object).into_iter().flatten() {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => continue,
        };
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        // The length is that of the body as it is sent, which only the server knows.
        if name != http::header::CONTENT_LENGTH && name != http::header::TRANSFER_ENCODING {
            headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
        }
    }
    for cookie in answer.get("cookies").and_then(Value::as_array).into_iter().flatten() {
        headers.append(SET_COOKIE, HeaderValue::from_bytes(cookie.as_str()?.as_bytes()).ok()?);
    }
    if has_body && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=UTF-8"));
    }
    Some(response)
}

fn body(answer: &Value) -> Option<Vec<u8>> {
    let text = match answer.get("body") {
        None | Some(Value::Null) => return Some(Vec::new()),
        Some(Value::String(text)) => text,
        Some(_) => return None,
    };
    if answer.get("isBase64Encoded").and_then(Value::as_bool).unwrap_or(false) {
        return BASE64_STANDARD.decode(text).ok();
    }
    Some(text.clone().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(answer: &str) -> Response {
        response(Ok(answer.to_string().into()))
    }

    #[test]
    fn status_headers_and_cookies_are_passed_on() {
        let response = of(r#"{"statusCode":201,"headers":{"X-A":"1"},"cookies":["a=1","b=2"],"body":"x"}"#);
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()["x-a"], "1");
        assert_eq!(response.headers().get_all(SET_COOKIE).iter().count(), 2);
    }

    #[test]
    fn an_answer_of_no_known_form_is_the_gateways_500() {
        for answer in
            ["", "{", r#"{"statusCode":"x"}"#, r#"{"statusCode":200,"body":{}}"#, r#"{"statusCode":99}"#]
        {
            assert_eq!(of(answer).status(), 500, "{answer}");
        }
        assert_eq!(response(Err(Failure::TimedOut)).status(), 503);
    }

    #[test]
    fn an_answer_without_a_status_is_the_body() {
        let response = of(r#"{"a":1}"#);
        assert_eq!(
            (response.status().as_u16(), &response.headers()[CONTENT_TYPE]),
            (200, &HeaderValue::from_static("application/json"))
        );
    }
}
