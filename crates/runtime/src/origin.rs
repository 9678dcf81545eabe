//! Who may call at all: where `ORIGIN_SECRETS` is set, only the distribution in front, which adds one of its values
//! to each request. It knows nothing of the caller behind it.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use konstruct_protocol::ErrorCode;
use subtle::{Choice, ConstantTimeEq as _};

use crate::config::optional;
use crate::problem::ProblemAnswer;
use crate::start::StartError;

/// The header that the distribution adds.
pub(crate) const HEADER: &str = "x-konstruct-origin";

/// The values that open; none: everybody may call. Two, while one replaces the other.
#[derive(Clone, Default)]
pub(crate) struct Origin(Vec<String>);

impl Origin {
    /// From `ORIGIN_SECRETS`.
    ///
    /// # Errors
    /// It is set and holds no value, so that nobody could call.
    pub(crate) fn of_environment() -> Result<Self, StartError> {
        Self::of(optional("ORIGIN_SECRETS").as_deref())
    }

    pub(crate) fn of(secrets: Option<&str>) -> Result<Self, StartError> {
        let Some(secrets) = secrets else { return Ok(Self::default()) };
        let values = secrets.split(',').map(str::trim).filter(|value| !value.is_empty());
        let values: Vec<String> = values.map(str::to_owned).collect();
        if values.is_empty() {
            return Err(StartError("ORIGIN_SECRETS is set and holds no value".to_owned()));
        }
        Ok(Self(values))
    }

    /// Whether a request with this header may pass. Each value is compared whole and with each secret, so that the
    /// time tells nothing of how much of one was right.
    pub(crate) fn allows(&self, sent: Option<&[u8]>) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let Some(sent) = sent else { return false };
        let right = self.0.iter().fold(Choice::from(0), |right, known| right | known.as_bytes().ct_eq(sent));
        right.into()
    }
}

/// Refuses what did not come through the distribution, before anything else is done with it.
pub(crate) async fn guard(State(origin): State<Origin>, request: Request, next: Next) -> Response {
    if origin.allows(request.headers().get(HEADER).map(|value| value.as_bytes())) {
        return next.run(request).await;
    }
    ProblemAnswer::new(403, ErrorCode::Forbidden, "This address does not answer directly.").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_secrets_opens_and_nothing_else_does() {
        let origin = Origin::of(Some("first-secret, second-secret,")).unwrap();
        for (sent, allowed) in [
            (Some("first-secret"), true),
            (Some("second-secret"), true),
            (Some("first-secre"), false),
            (Some("first-secrets"), false),
            (Some("FIRST-SECRET"), false),
            (Some("first-secret, second-secret"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(origin.allows(sent.map(str::as_bytes)), allowed, "{sent:?}");
        }
    }

    #[test]
    fn without_secrets_everybody_may_call() {
        let origin = Origin::of(None).unwrap();
        assert!(origin.allows(None) && origin.allows(Some(b"anything")));
    }

    #[test]
    fn secrets_that_hold_no_value_let_nothing_start() {
        assert!(Origin::of(Some(" , ")).is_err());
    }
}
