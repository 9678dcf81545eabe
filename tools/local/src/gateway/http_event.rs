//! The events of the HTTP API: payload format 2.0.
//! Nothing of the request may be lost on the way, and nothing be added that AWS does not add.

use axum::body::Bytes;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{CONTENT_TYPE, COOKIE, HOST, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value, json};

use crate::clock::{clf, now_ms};
use crate::template::ACCOUNT;

use super::http_router::Match;
use super::parameters;
use crate::ids::trace_root;

/// Where a request came in.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The API's id.
    pub api_id: &'a str,
    /// The client's address.
    pub source_ip: &'a str,
    /// The port it came in by.
    pub port: u16,
    /// The request's id.
    pub request_id: &'a str,
}

/// The event for a request that takes `route`.
pub fn event(entry: Entry<'_>, route: &Match<'_>, parts: &Parts, body: &Bytes) -> Value {
    let raw_query = parts.uri.query().unwrap_or_default();
    let path = parts.uri.path();
    let mut event = json!({
        "version": "2.0",
        "routeKey": route.key,
        "rawPath": path,
        "rawQueryString": raw_query,
        "headers": headers(entry, &parts.headers),
        "requestContext": context(entry, route.key, parts, path),
        "isBase64Encoded": false,
    });
    let Some(members) = event.as_object_mut() else {
        return event;
    };
    let cookies = cookies(&parts.headers);
    if !cookies.is_empty() {
        members.insert("cookies".into(), cookies.into());
    }
    let mut query = Map::new();
    for (name, value) in parameters::query(raw_query) {
        combine(&mut query, &name, &value);
    }
    if !query.is_empty() {
        members.insert("queryStringParameters".into(), query.into());
    }
    if !route.variables.is_empty() {
        let variables = route.variables.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
        members.insert("pathParameters".into(), Value::Object(variables.collect()));
    }
    if !body.is_empty() {
        let text = std::str::from_utf8(body).ok().filter(|_| is_text(&parts.headers));
        members.insert("isBase64Encoded".into(), text.is_none().into());
        members
            .insert("body".into(), text.map_or_else(|| BASE64_STANDARD.encode(body), str::to_string).into());
    }
    event
}

fn context(entry: Entry<'_>, route_key: &str, parts: &Parts, path: &str) -> Value {
    let now = now_ms();
    let text = |name: &HeaderName| {
        parts
            .headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .unwrap_or_default()
    };
    let host = text(&HOST);
    json!({
        "accountId": ACCOUNT,
        "apiId": entry.api_id,
        "domainName": host,
        "domainPrefix": host.split(['.', ':']).next().unwrap_or_default(),
        "http": {
            "method": parts.method.as_str(),
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": entry.source_ip,
            "userAgent": text(&USER_AGENT),
        },
        "requestId": entry.request_id,
        "routeKey": route_key,
        "stage": "$default",
        "time": clf(now),
        "timeEpoch": now,
    })
}

/// Lower-case names, several values joined by commas; cookies have a place of their own.
fn headers(entry: Entry<'_>, headers: &HeaderMap) -> Map<String, Value> {
    let mut all = Map::new();
    for (name, value) in headers {
        let hop_by_hop =
            ["connection", "upgrade", "transfer-encoding", "keep-alive", "te"].contains(&name.as_str());
        if name != COOKIE && !hop_by_hop && !name.as_str().starts_with("x-forwarded-") {
            combine(&mut all, name.as_str(), &String::from_utf8_lossy(value.as_bytes()));
        }
    }
    if !all.contains_key("x-amzn-trace-id") {
        all.insert("x-amzn-trace-id".into(), trace_root().into());
    }
    all.insert("x-forwarded-for".into(), entry.source_ip.into());
    all.insert("x-forwarded-port".into(), entry.port.to_string().into());
    all.insert("x-forwarded-proto".into(), "http".into());
    all
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let lines =
        headers.get_all(COOKIE).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    lines
        .flat_map(|line| line.split(';').map(|cookie| cookie.trim().to_string()).collect::<Vec<_>>())
        .collect()
}

fn combine(all: &mut Map<String, Value>, name: &str, value: &str) {
    let joined = match all.get(name).and_then(Value::as_str) {
        Some(before) => format!("{before},{value}"),
        None => value.to_string(),
    };
    all.insert(name.to_string(), joined.into());
}

/// Whether a body goes through as text; anything else is base64, forms included, as on AWS.
fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let exact = ["application/json", "application/javascript", "application/xml"];
    kind.starts_with("text/")
        || exact.contains(&kind.as_str())
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
}
