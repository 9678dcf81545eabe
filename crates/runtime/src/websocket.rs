//! A WebSocket event of API Gateway, as far as we trust it: `eventType` and the connection. The route key is not
//! looked at, the body is parsed by ourselves, and of everything else only what is needed must be there.

use std::collections::HashMap;

use base64::Engine as _;
use serde::{Deserialize, Serialize};

/// The event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebSocketEvent {
    pub(crate) request_context: RequestContext,
    #[serde(default)]
    headers: Option<HashMap<String, Option<String>>>,
    #[serde(default)]
    query_string_parameters: Option<HashMap<String, Option<String>>>,
    #[serde(default)]
    multi_value_query_string_parameters: Option<HashMap<String, Option<Vec<String>>>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

/// Its context.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestContext {
    pub(crate) event_type: String,
    pub(crate) connection_id: String,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub(crate) connected_at: Option<i64>,
}

/// The answer to API Gateway; only `$connect`'s is looked at.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    pub(crate) status_code: u16,
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    pub(crate) headers: HashMap<&'static str, String>,
}

impl Answer {
    pub(crate) fn status(status_code: u16) -> Self {
        Self { status_code, headers: HashMap::new() }
    }
}

impl WebSocketEvent {
    /// A header, whatever case the client wrote its name in.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.headers.as_ref()?;
        headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).and_then(|(_, value)| value.as_deref())
    }

    /// The values of a query parameter.
    pub(crate) fn query(&self, name: &str) -> Vec<&str> {
        let several = self.multi_value_query_string_parameters.as_ref().and_then(|all| all.get(name));
        if let Some(Some(values)) = several {
            return values.iter().map(String::as_str).collect();
        }
        let one = self.query_string_parameters.as_ref().and_then(|all| all.get(name));
        one.and_then(|value| value.as_deref()).into_iter().collect()
    }

    /// The frame's text; what is no text is none.
    pub(crate) fn text(&self) -> String {
        let body = self.body.as_deref().unwrap_or_default();
        if !self.is_base64_encoded {
            return body.to_owned();
        }
        let bytes = base64::engine::general_purpose::STANDARD.decode(body).unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    }
}
