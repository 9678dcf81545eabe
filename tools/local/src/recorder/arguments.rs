//! The arguments of a call: query string, and JSON or form body.
//! They are kept as they came: what a form says as text is parsed only where it is used.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use serde_json::{Map, Value};

use crate::gateway::parameters::query;

/// The arguments by name, and who asks where that is told by HTTP Basic (`oauth.v2.access`).
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    members: Map<String, Value>,
    /// Name and password.
    pub client: Option<(String, String)>,
}

/// What a request told: its arguments, or why Slack would not even look at them.
#[derive(Debug)]
pub struct Told {
    pub arguments: Arguments,
    pub refused: Option<&'static str>,
}

impl Told {
    /// Reads a request.
    pub fn read(head: &Parts, body: &[u8]) -> Self {
        let mut arguments = form(head.uri.query().unwrap_or_default());
        let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        let refused = match (body.is_empty(), kind.as_deref()) {
            (true, _) => None,
            (false, Some("application/json")) => match serde_json::from_slice(body) {
                Ok(Value::Object(members)) => {
                    arguments.extend(members);
                    None
                }
                Ok(_) => Some("json_not_object"),
                Err(_) => Some("invalid_json"),
            },
            (false, Some("application/x-www-form-urlencoded")) => {
                arguments.extend(form(&String::from_utf8_lossy(body)));
                None
            }
            (false, Some(_)) => Some("invalid_post_type"),
            (false, None) => Some("missing_post_type"),
        };
        Self { arguments: Arguments { members: arguments, client: basic(&head.headers) }, refused }
    }
}

fn form(raw: &str) -> Map<String, Value> {
    query(raw).map(|(name, value)| (name, Value::String(value))).collect()
}

impl Arguments {
    /// All of them.
    pub fn as_json(&self) -> Value {
        Value::Object(self.members.clone())
    }

    /// A text; none where it is absent or empty. A number counts as its text, as in a form.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.members.get(name)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// A whole number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// A switch: `true` or `1`.
    pub fn flag(&self, name: &str) -> bool {
        match self.members.get(name) {
            Some(Value::Bool(on)) => *on,
            Some(Value::String(text)) => text == "true" || text == "1",
            Some(Value::Number(number)) => number.as_i64() == Some(1),
            Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => false,
        }
    }

    /// Whether it is there at all, be it empty.
    pub fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    /// A list or an object, be it as JSON or, as in a form, as the text of one; a text that is no JSON
    /// stays one. None where it is absent.
    pub fn structure(&self, name: &str) -> Option<Value> {
        match self.members.get(name)? {
            Value::Null => None,
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(serde_json::from_str(text).unwrap_or_else(|_| text.clone().into())),
            other => Some(other.clone()),
        }
    }
}

/// The token of `Authorization: Bearer …`, or nothing.
pub fn bearer(headers: &HeaderMap) -> String {
    authorization(headers, "bearer").unwrap_or_default().to_string()
}

/// The two halves of `Authorization: Basic …`.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let decoded = BASE64_STANDARD.decode(authorization(headers, "basic")?).ok()?;
    let (name, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((name.to_string(), password.to_string()))
}

fn authorization<'h>(headers: &'h HeaderMap, wanted: &str) -> Option<&'h str> {
    let (scheme, value) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case(wanted).then_some(value.trim())
}
