//! REST errors: RFC 9457 `application/problem+json`, with the headers that go with them. Which code an error has is
//! `respond`'s business.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use konstruct_protocol::rest::{Problem, ProblemField};
use konstruct_protocol::{ErrorCode, FieldError};
use konstruct_service::Error;

use crate::{respond, telemetry};

/// An error answer.
#[derive(Debug)]
pub(crate) struct ProblemAnswer {
    problem: Box<Problem>,
    retry_after: Option<u64>,
    allow: Option<&'static str>,
}

impl ProblemAnswer {
    pub(crate) fn new(status: u16, code: ErrorCode, detail: impl Into<String>) -> Self {
        let title = StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Error");
        let problem = Problem {
            kind: "about:blank".to_owned(),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            code,
            errors: None,
        };
        Self { problem: Box::new(problem), retry_after: None, allow: None }
    }

    /// A parameter of path or query that is not valid: 400.
    pub(crate) fn parameter(name: &str, problem: impl std::fmt::Display) -> Self {
        Self::new(400, ErrorCode::InvalidMessage, format!("The parameter {name} {problem}."))
    }

    /// JSON that is well-formed but not valid: 422, with its field.
    pub(crate) fn field(error: FieldError) -> Self {
        let code = if error.too_large { ErrorCode::TooLarge } else { ErrorCode::InvalidMessage };
        Self::unprocessable(code, format!("The field {error}."), error.field, error.problem)
    }

    /// 422: `errors` names what is wrong with the body.
    pub(crate) fn unprocessable(code: ErrorCode, detail: String, field: &str, problem: String) -> Self {
        let mut answer = Self::new(422, code, detail);
        answer.problem.errors = Some(vec![ProblemField { field: field.to_owned(), problem }]);
        answer
    }

    /// 405, with the methods that are there.
    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        let mut answer = Self::new(405, ErrorCode::MethodNotAllowed, "This method is not allowed here.");
        answer.allow = Some(allow);
        answer
    }
}

impl From<Error> for ProblemAnswer {
    fn from(error: Error) -> Self {
        let retryable = error.is_retryable();
        let (code, text, retry_after) = respond::parts(&error);
        if let Error::Refused(konstruct_service::Refusal { field: Some(field), .. }) = &error {
            return Self::unprocessable(code, text.clone(), field, text);
        }
        // Over REST who is no member (any more) is known, but not allowed.
        let code = if code == ErrorCode::AuthFailed { ErrorCode::Forbidden } else { code };
        let mut answer = Self::new(respond::status(code, retryable), code, text);
        answer.retry_after = retry_after;
        answer
    }
}

impl IntoResponse for ProblemAnswer {
    fn into_response(self) -> Response<Body> {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        telemetry::refused(self.problem.code);
        let body = serde_json::to_vec(&self.problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}
