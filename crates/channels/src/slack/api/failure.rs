//! What a call came to, if not to what was asked. `ok:false` under HTTP 200 is an error (SLACK-04). Of what Slack says
//! only its code goes on, and only if it looks like one.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::transport::RawAnswer;

/// Waited after a 429 that does not say for how long.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// Why a call did not do what was asked. Holds no text, no token and no URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// 429: nothing happened; the method may be called again after so long.
    #[error("rate limited for {} ms", retry_after.as_millis())]
    RateLimited {
        /// What Slack asks for.
        retry_after: Duration,
    },
    /// Slack said no. With [`ErrorCode::may_have_happened`] it may have been done nevertheless.
    #[error("refused: {0}")]
    Refused(ErrorCode),
    /// No answer, 5xx or half of an answer: it may have happened.
    #[error("no clear answer")]
    InDoubt,
    /// Never sent: nothing happened.
    #[error("not reachable")]
    Unreachable,
}

impl ApiError {
    /// A call of ours that cannot be sent as it is.
    pub(super) fn unusable() -> Self {
        Self::Refused(ErrorCode::new("unusable_request"))
    }
}

/// A code of Slack's: 1 to 64 of `a-z`, `0-9` and `_`. Anything else is `unknown`.
#[derive(Clone, PartialEq, Eq)]
pub struct ErrorCode(String);

impl ErrorCode {
    pub(super) fn new(said: &str) -> Self {
        let harmless = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let is_code = (1..=64).contains(&said.len()) && said.bytes().all(harmless);
        Self(if is_code { said } else { "unknown" }.to_owned())
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Codes under which "some aspect of the operation" may have succeeded, as Slack puts it.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        matches!(self.as_str(), "fatal_error" | "internal_error" | "service_unavailable" | "request_timeout")
    }
}

impl ErrorCode {
    /// Codes that speak of Slack's state and not of the call: however often they come, another try may do.
    #[must_use]
    pub fn will_pass(&self) -> bool {
        self.may_have_happened()
            || matches!(
                self.as_str(),
                "external_channel_migrating"
                    | "message_limit_exceeded"
                    | "messaging_processing_failed"
                    | "org_login_required"
                    | "team_added_to_org"
            )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The answer's JSON, if it says `ok`.
pub(super) fn checked(answer: &RawAnswer) -> Result<Value, ApiError> {
    let said = serde_json::from_slice::<Value>(&answer.body).unwrap_or(Value::Null);
    let code = said.get("error").and_then(Value::as_str);
    if answer.status == 429 || matches!(code, Some("ratelimited" | "rate_limited")) {
        return Err(ApiError::RateLimited { retry_after: answer.retry_after.unwrap_or(RETRY_AFTER_DEFAULT) });
    }
    match (answer.status, said.get("ok").and_then(Value::as_bool)) {
        (200..=299, Some(true)) => Ok(said),
        (200..=299, Some(false)) => Err(ApiError::Refused(ErrorCode::new(code.unwrap_or("unknown")))),
        (300..=407 | 409..=499, _) => Err(ApiError::Refused(ErrorCode::new(code.unwrap_or("unknown")))),
        _ => Err(ApiError::InDoubt),
    }
}
