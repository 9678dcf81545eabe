//! What a call is answered.
//! It only carries: what is in it is decided by the service that is stood in for.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::Channel;
use super::script::Script;

/// Status and body.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// HTTP 200 with this body.
    pub fn new(body: Value) -> Self {
        Self { status: 200, body }
    }

    /// What Slack says to a call it refuses.
    pub fn refusal(error: &str) -> Self {
        Self::new(json!({"ok": false, "error": error}))
    }

    /// What a script says, where it keeps the call from having an effect.
    pub fn scripted(channel: Channel, script: &Script) -> Option<Self> {
        let status = script.status;
        let body = match &script.error {
            Some(error) => json!({"ok": false, "error": error}),
            None if status == 200 => return None,
            None => failure(channel, script),
        };
        Some(Self { status, body })
    }

    pub fn into_response(self, retry_after: Option<u64>) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = [(CONTENT_TYPE, "application/json; charset=utf-8")];
        let mut response = (status, kind, self.body.to_string()).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The body that goes with a status for which the script names no error.
fn failure(channel: Channel, script: &Script) -> Value {
    let (status, seconds) = (script.status, script.retry_after.unwrap_or(1));
    match (channel, status) {
        (Channel::Slack, 429) => json!({"ok": false, "error": "ratelimited"}),
        (Channel::Slack, _) => json!({}),
        (Channel::Telegram, 429) => json!({
            "ok": false, "error_code": 429, "description": format!("Too Many Requests: retry after {seconds}"),
            "parameters": {"retry_after": seconds},
        }),
        (Channel::Telegram, _) => {
            json!({"ok": false, "error_code": status, "description": "Internal Server Error"})
        }
        (Channel::WhatsApp, 429) => {
            json!({"error": {"message": "(#130429) Rate limit hit", "type": "OAuthException", "code": 130_429}})
        }
        (Channel::WhatsApp, _) => {
            json!({"error": {"message": "An unknown error occurred", "type": "OAuthException", "code": 1}})
        }
    }
}
