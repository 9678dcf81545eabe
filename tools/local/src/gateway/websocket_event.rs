//! The events of a WebSocket API, as AWS sends them (contracts.md 1.1).
//! A MESSAGE event has neither headers nor query, and nothing here adds what AWS leaves out.

use http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::clock::{clf, now_ms};

use super::parameters;
use crate::ids::{gateway_id, trace_root};

/// What every event of a connection says of it.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Connection id.
    pub connection_id: String,
    /// When it opened, in milliseconds.
    pub connected_at: u64,
    /// The client's address.
    pub source_ip: String,
    /// The client's `User-Agent`.
    pub user_agent: Option<String>,
    /// The `Host` it asked for.
    pub domain: String,
    /// The API's id.
    pub api_id: String,
    /// The API's stage.
    pub stage: String,
}

impl Origin {
    fn context(&self, route: &str, kind: &str, request_id: &str) -> Map<String, Value> {
        let now = now_ms();
        let mut identity = json!({"sourceIp": self.source_ip});
        if let (Some(agent), Some(identity)) = (&self.user_agent, identity.as_object_mut()) {
            identity.insert("userAgent".into(), agent.as_str().into());
        }
        let context = json!({
            "routeKey": route, "eventType": kind, "messageDirection": "IN",
            "requestId": request_id, "extendedRequestId": request_id,
            "requestTime": clf(now), "requestTimeEpoch": now, "connectedAt": self.connected_at,
            "stage": self.stage, "domainName": self.domain, "apiId": self.api_id,
            "connectionId": self.connection_id, "identity": identity,
        });
        match context {
            Value::Object(context) => context,
            _ => Map::new(),
        }
    }

    /// The event of the handshake.
    pub fn connect(&self, headers: &HeaderMap, raw_query: &str, port: u16) -> Value {
        let (single, multiple) = self.headers(headers, port);
        let mut event = json!({
            "headers": single, "multiValueHeaders": multiple,
            "requestContext": self.context("$connect", "CONNECT", &gateway_id()),
            "isBase64Encoded": false,
        });
        let mut single = Map::new();
        let mut multiple = Map::new();
        for (name, value) in parameters::query(raw_query) {
            append(&mut multiple, &name, &value);
            single.insert(name, value.into());
        }
        if let (Some(event), false) = (event.as_object_mut(), single.is_empty()) {
            event.insert("queryStringParameters".into(), single.into());
            event.insert("multiValueQueryStringParameters".into(), multiple.into());
        }
        event
    }

    fn headers(&self, headers: &HeaderMap, port: u16) -> (Map<String, Value>, Map<String, Value>) {
        let mut single = Map::new();
        let mut multiple = Map::new();
        let mut add = |name: String, value: &str| {
            append(&mut multiple, &name, value);
            single.insert(name, value.into());
        };
        for (name, value) in headers {
            if !["connection", "upgrade", "content-length", "x-forwarded-for"].contains(&name.as_str()) {
                add(client_case(name.as_str()), &String::from_utf8_lossy(value.as_bytes()));
            }
        }
        add("X-Amzn-Trace-Id".into(), &trace_root());
        add("X-Forwarded-For".into(), &self.source_ip);
        add("X-Forwarded-Port".into(), &port.to_string());
        add("X-Forwarded-Proto".into(), "http");
        (single, multiple)
    }

    /// The event of a frame, and its request id.
    pub fn message(&self, route: &str, body: &str) -> (Value, String) {
        let request_id = gateway_id();
        let mut context = self.context(route, "MESSAGE", &request_id);
        context.insert("messageId".into(), gateway_id().into());
        (json!({"requestContext": context, "body": body, "isBase64Encoded": false}), request_id)
    }

    /// The event of the end.
    pub fn disconnect(&self, code: u16, reason: &str) -> Value {
        let mut context = self.context("$disconnect", "DISCONNECT", &gateway_id());
        context.insert("disconnectStatusCode".into(), code.into());
        context.insert("disconnectReason".into(), reason.into());
        let host = self.domain.as_str();
        json!({
            "headers": {"Host": host, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""},
            "multiValueHeaders": {"Host": [host], "x-api-key": [""], "X-Forwarded-For": [""], "x-restapi": [""]},
            "requestContext": context,
            "isBase64Encoded": false,
        })
    }
}

fn append(multiple: &mut Map<String, Value>, name: &str, value: &str) {
    if let Some(values) = multiple.entry(name).or_insert_with(|| json!([])).as_array_mut() {
        values.push(value.into());
    }
}

/// AWS keeps the client's spelling, which the HTTP library has lost: most clients write it so.
fn client_case(name: &str) -> String {
    let words = name.split('-').map(|word| match word {
        "websocket" => "WebSocket".to_string(),
        _ => {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
        }
    });
    words.collect::<Vec<_>>().join("-")
}
