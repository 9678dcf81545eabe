//! The AsyncAPI description of the WebSocket, gathered from the types that go over it. `docs/asyncapi.yaml` and
//! `docs/schemas/` are generated from it, and a test fails when they differ. Nothing is parsed or sent by it.

mod client;
mod schema;

use serde_json::{Map, Value, json};

use crate::error::ErrorCode;
use crate::frame::{Dialect, ServerFrame};

/// Who sends a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The client.
    Client,
    /// The server.
    Server,
}

/// A frame and its JSON Schema, which refers to no other.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameSchema {
    /// Who sends it.
    pub sender: Sender,
    /// Its `type`.
    pub kind: String,
    /// Its schema.
    pub schema: Value,
}

impl FrameSchema {
    /// `client.auth`, `server.chunk`: unique, also where both sides send a frame of one type.
    #[must_use]
    pub fn name(&self) -> String {
        match self.sender {
            Sender::Client => format!("client.{}", self.kind),
            Sender::Server => format!("server.{}", self.kind),
        }
    }

    /// Whether connections of a dialect send or get it.
    #[must_use]
    pub fn is_of(&self, dialect: Dialect) -> bool {
        match (self.sender, self.kind.as_str()) {
            (Sender::Server, "chunk" | "response") => dialect == Dialect::Portal,
            (Sender::Server, "assistant") => dialect == Dialect::Session,
            _ => true,
        }
    }
}

/// Every frame: the client's, then the server's.
#[must_use]
pub fn frames() -> Vec<FrameSchema> {
    let mut frames = vec![
        from_client("auth", schema::of::<client::Auth>()),
        from_client("message", message()),
        from_client("cancel", schema::of::<client::Cancel>()),
        from_client("resume", schema::of::<client::Resume>()),
        from_client("tool_confirm", schema::of::<client::ToolConfirm>()),
        from_client("ping", schema::of::<client::Ping>()),
    ];
    if let Some(Value::Array(variants)) = schema::of::<ServerFrame>().get_mut("oneOf").map(Value::take) {
        frames.extend(variants.into_iter().filter_map(from_server));
    }
    frames
}

fn message() -> Value {
    let mut message = schema::of::<client::Message>();
    set(&mut message, "anyOf", json!([{ "required": ["content"] }, { "required": ["text"] }]));
    message
}

/// Unknown fields of a client are ignored, so its objects stay open.
fn from_client(kind: &str, mut schema: Value) -> FrameSchema {
    property(&mut schema, "type", json!({ "type": "string", "enum": [kind] }), true);
    FrameSchema { sender: Sender::Client, kind: kind.to_owned(), schema }
}

/// A variant, with what its envelope adds. The server sends no field but those named.
fn from_server(mut schema: Value) -> Option<FrameSchema> {
    let kind = schema.pointer("/properties/type/enum/0")?.as_str()?.to_owned();
    // Before authentication only these are sent, and name no conversation.
    let names_conversation = !matches!(kind.as_str(), "pong" | "error");
    let conversation =
        json!({ "type": "string", "format": "uuid", "description": "The connection's conversation." });
    property(&mut schema, "conversation_id", conversation, names_conversation);
    let text = "The session the connection was opened with; without one, the conversation id.";
    property(&mut schema, "session_id", json!({ "type": "string", "description": text }), names_conversation);
    for time in ["timestamp", "expires_at"] {
        if let Some(field) = schema.pointer_mut(&format!("/properties/{time}")) {
            set(field, "format", json!("date-time"));
        }
    }
    if kind == "error" {
        let codes: Vec<&str> = ErrorCode::ALL
            .into_iter()
            .filter(|code| *code != ErrorCode::MethodNotAllowed)
            .map(ErrorCode::as_str)
            .collect();
        if let Some(code) = schema.pointer_mut("/properties/code") {
            set(code, "enum", json!(codes));
        }
    }
    set(&mut schema, "additionalProperties", json!(false));
    Some(FrameSchema { sender: Sender::Server, kind, schema })
}

fn set(schema: &mut Value, key: &str, value: Value) {
    if let Value::Object(object) = schema {
        object.insert(key.to_owned(), value);
    }
}

/// Adds a property.
fn property(schema: &mut Value, name: &str, value: Value, required: bool) {
    let Value::Object(object) = schema else { return };
    if let Value::Object(properties) = object.entry("properties").or_insert_with(|| json!({})) {
        properties.insert(name.to_owned(), value);
    }
    if let (true, Value::Array(names)) = (required, object.entry("required").or_insert_with(|| json!([]))) {
        names.push(json!(name));
    }
}

/// A property that need not be there is absent, never `null` (protocol.md): takes `null` out of its types.
pub fn absent_not_null(schema: &mut Value) {
    match schema {
        Value::Array(array) => array.iter_mut().for_each(absent_not_null),
        Value::Object(object) => {
            let required = object.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
            if let Some(Value::Object(properties)) = object.get_mut("properties") {
                let optional =
                    properties.iter_mut().filter(|(name, _)| !required.iter().any(|r| r == name.as_str()));
                optional.for_each(|(_, property)| not_null(property));
            }
            object.values_mut().for_each(absent_not_null);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Takes `null` out of one property: `["string", "null"]` is a string, "null or that" is that.
fn not_null(property: &mut Value) {
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|one| one != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            set(property, "type", one);
        }
    }
    let Value::Object(object) = property else { return };
    let Some(Value::Array(mut ways)) = object.remove("oneOf") else {
        return;
    };
    ways.retain(|way| way.get("type").is_none_or(|kind| kind != "null"));
    match (ways.len(), ways.pop()) {
        (1, Some(Value::Object(only))) => {
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
        (_, last) => {
            ways.extend(last);
            object.insert("oneOf".to_owned(), Value::Array(ways));
        }
    }
}

/// The description, AsyncAPI 3.0. Operations are the server's: it receives what clients send.
#[must_use]
pub fn description() -> Value {
    let frames = frames();
    let messages: Map<String, Value> = frames.iter().map(|frame| (frame.name(), component(frame))).collect();
    let schemas: Map<String, Value> =
        frames.iter().map(|frame| (frame.name(), frame.schema.clone())).collect();
    let mut operations = Map::new();
    for dialect in DIALECTS {
        operations.extend(operations_of(dialect, &frames));
    }
    let channels: Map<String, Value> =
        DIALECTS.into_iter().map(|dialect| (name(dialect).to_owned(), channel(dialect, &frames))).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Konstruct chat WebSocket",
            "version": "1.0.0",
            "description": "One connection serves one conversation. The first frame is auth. Frames of an answer carry \
                seq, which grows by one within the conversation on every device; a client that comes back with the last \
                seq it saw gets what it missed.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {
                "host": "{host}",
                "pathname": "/{stage}",
                "protocol": "wss",
                "description": "API Gateway. It closes a connection after 10 idle minutes and after 2 hours, on a frame \
                    over 32 KB or a message over 128 KB (1009), a binary one (1003) and invalid UTF-8 (1007).",
                "variables": {
                    "host": { "description": "The API's own host name, or a custom domain." },
                    "stage": { "default": "live", "description": "The stage." },
                },
            },
        },
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages, "schemas": schemas },
    })
}

const DIALECTS: [Dialect; 2] = [Dialect::Portal, Dialect::Session];

const fn name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Portal => "portal",
        Dialect::Session => "session",
    }
}

fn component(frame: &FrameSchema) -> Value {
    let summary = frame.schema.get("description").cloned().unwrap_or_default();
    json!({
        "name": frame.kind,
        "summary": summary,
        "payload": { "$ref": format!("#/components/schemas/{}", frame.name()) },
    })
}

fn channel(dialect: Dialect, frames: &[FrameSchema]) -> Value {
    let reference =
        |frame: &FrameSchema| json!({ "$ref": format!("#/components/messages/{}", frame.name()) });
    let messages: Map<String, Value> = frames
        .iter()
        .filter(|frame| frame.is_of(dialect))
        .map(|frame| (frame.name(), reference(frame)))
        .collect();
    let otherwise = match dialect {
        Dialect::Portal => "Chosen by its subprotocol; without one, where the query names no session.",
        Dialect::Session => "Chosen by its subprotocol; without one, where the query names a session.",
    };
    json!({
        "address": "/",
        "description": otherwise,
        "messages": messages,
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {
                    "type": "object",
                    "description": "Never both.",
                    "properties": {
                        "conversation_id": { "type": "string", "format": "uuid" },
                        "session_id": { "type": "string", "pattern": "^[A-Za-z0-9._@+-]{1,128}$" },
                    },
                },
                "headers": {
                    "type": "object",
                    "properties": {
                        "Sec-WebSocket-Protocol": { "type": "string", "enum": [dialect.subprotocol()] },
                    },
                },
                "bindingVersion": "0.1.0",
            },
        },
    })
}

/// One operation for each frame of the client, with what answers it, and one for all that the server sends.
fn operations_of(dialect: Dialect, frames: &[FrameSchema]) -> Map<String, Value> {
    let channel = json!({ "$ref": format!("#/channels/{}", name(dialect)) });
    let message = |frame: &str| json!({ "$ref": format!("#/channels/{}/messages/{frame}", name(dialect)) });
    let of_dialect = || frames.iter().filter(|frame| frame.is_of(dialect));
    let mut operations = Map::new();
    for frame in of_dialect().filter(|frame| frame.sender == Sender::Client) {
        let answers: &[&str] = match frame.kind.as_str() {
            "auth" => &["server.connection", "server.error"],
            "message" => &["server.typing", "server.ack", "server.error"],
            "ping" => &["server.pong", "server.error"],
            _ => &["server.error"],
        };
        let answers: Vec<Value> = answers.iter().map(|answer| message(answer)).collect();
        let operation = json!({
            "action": "receive",
            "channel": channel,
            "summary": frame.schema.get("description").cloned().unwrap_or_default(),
            "messages": [message(&frame.name())],
            "reply": { "channel": channel, "messages": answers },
        });
        operations.insert(format!("{}-{}", name(dialect), frame.kind), operation);
    }
    let sent: Vec<Value> = of_dialect()
        .filter(|frame| frame.sender == Sender::Server)
        .map(|frame| message(&frame.name()))
        .collect();
    let operation = json!({
        "action": "send",
        "channel": channel,
        "summary": "What a connection is sent, whatever caused it.",
        "messages": sent,
    });
    operations.insert(format!("{}-frames", name(dialect)), operation);
    operations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_clients_and_server_are_all_described_once() {
        let mut names: Vec<String> = frames().iter().map(FrameSchema::name).collect();
        assert_eq!(names.iter().filter(|name| name.starts_with("client.")).count(), 6);
        assert_eq!(names.iter().filter(|name| name.starts_with("server.")).count(), 16);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 22);
    }

    #[test]
    fn what_may_be_absent_is_never_null_and_what_is_required_may_be() {
        let mut schema = json!({
            "type": "object",
            "required": ["a"],
            "properties": {
                "a": { "type": ["string", "null"] },
                "b": { "type": ["string", "null"] },
                "c": { "oneOf": [{ "type": "null" }, { "$ref": "#/x" }] },
            },
        });
        absent_not_null(&mut schema);
        assert_eq!(schema.pointer("/properties/a/type"), Some(&json!(["string", "null"])));
        assert_eq!(schema.pointer("/properties/b/type"), Some(&json!("string")));
        assert_eq!(schema.pointer("/properties/c"), Some(&json!({ "$ref": "#/x" })));
    }
}
