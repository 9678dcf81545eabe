//! The schemas of server frames against frames as they go over the wire: none has a field that is not described, none
//! lacks one that is required, and every described field is really sent.

use std::collections::{BTreeMap, BTreeSet};

use konstruct_domain::{ConversationId, MessageId, Seq};
use konstruct_protocol::asyncapi::{Sender, frames};
use konstruct_protocol::event::{CountedTokens, Holder};
use konstruct_protocol::frame::ConnectionStatus;
use konstruct_protocol::{Dialect, ErrorCode, Event, ServerFrame, Viewer};
use serde_json::{Map, Value, json};
use uuid::Uuid;

const TIME: &str = "2026-11-21T09:30:00.123Z";

fn message() -> MessageId {
    MessageId(Uuid::from_u128(7))
}

fn arguments(there: bool) -> Option<Map<String, Value>> {
    there.then(|| json!({ "zone": "UTC" }).as_object().cloned().unwrap_or_default())
}

/// Every event, with and without what may be absent.
fn events(there: bool) -> Vec<Event> {
    let (message_id, timestamp) = (message(), TIME.to_owned());
    let text = || there.then(|| "text".to_owned());
    let (tool_call_id, tool_name, model) = ("call_1".to_owned(), "tool".to_owned(), "model".to_owned());
    let count = there.then_some(3);
    vec![
        Event::Piece { message_id, text: "te".to_owned() },
        Event::Answer { message_id, in_reply_to: message(), text: text(), stopped: there },
        Event::Reply { message_id, text: text() },
        Event::Discard { message_id },
        Event::ToolCall {
            tool_call_id: tool_call_id.clone(),
            tool_name: tool_name.clone(),
            arguments: arguments(there),
            timestamp: timestamp.clone(),
        },
        Event::ToolResult {
            tool_call_id: tool_call_id.clone(),
            tool_name: tool_name.clone(),
            result: text(),
            duration_ms: 5,
            timestamp: timestamp.clone(),
        },
        Event::ToolConfirm {
            tool_call_id,
            tool_name,
            arguments: arguments(there),
            expires_at: timestamp.clone(),
        },
        Event::ModelCall { model: model.clone(), timestamp: timestamp.clone() },
        Event::ModelResponse {
            model,
            usage: CountedTokens { prompt_tokens: count, completion_tokens: count, total_tokens: count },
            duration_ms: there.then_some(5),
            timestamp,
        },
        Event::Escalation { status: if there { Holder::Human } else { Holder::Ai } },
        Event::Failed { code: ErrorCode::AgentFailed, error: "Sorry.".to_owned(), id: message() },
    ]
}

/// Frames as connections of both dialects get them, and as one gets them before it is authenticated.
fn sent() -> Vec<String> {
    let mut sent = Vec::new();
    for dialect in [Dialect::Portal, Dialect::Session] {
        let conversation_id = ConversationId(Uuid::from_u128(1));
        let viewer = Viewer { dialect, telemetry: true, conversation_id, session_id: None };
        for event in [true, false].into_iter().flat_map(events) {
            sent.extend(viewer.frame(&event, Seq(9)).map(|frame| frame.to_wire(Some(&viewer))));
        }
        for frame in [
            ServerFrame::Connection { status: ConnectionStatus::Connected, last_seq: 0 },
            ServerFrame::Typing,
            ServerFrame::Ack { id: message(), duplicate: false },
            ServerFrame::Notice { text: "text".to_owned() },
            ServerFrame::Pong,
        ] {
            sent.push(frame.to_wire(Some(&viewer)));
        }
        for code in ErrorCode::ALL.into_iter().filter(|code| *code != ErrorCode::MethodNotAllowed) {
            let (id, retry_after) = (Some(message()), Some(1));
            let frame = ServerFrame::Error { code, error: "No.".to_owned(), id, retry_after, seq: None };
            sent.push(frame.to_wire(Some(&viewer)));
        }
    }
    sent.push(ServerFrame::Pong.to_wire(None));
    sent.push(ServerFrame::error(ErrorCode::Unauthenticated, "No.").to_wire(None));
    sent
}

/// What is wrong with a value, by the few words of JSON Schema that our schemas use.
fn wrong(value: &Value, schema: &Value) -> Option<String> {
    let fits = match schema["type"].as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("boolean") => value.is_boolean(),
        Some("object") => value.is_object(),
        _ => false,
    };
    let listed = schema["enum"].as_array().is_none_or(|all| all.contains(value));
    let is_uuid = value.as_str().is_some_and(|text| text.parse::<Uuid>().is_ok());
    (!fits || !listed || (schema["format"] == "uuid" && !is_uuid)).then(|| format!("{value} is not {schema}"))
}

#[test]
fn every_frame_that_is_sent_is_as_its_schema_says() {
    let schemas: BTreeMap<String, Value> = frames()
        .into_iter()
        .filter(|frame| frame.sender == Sender::Server)
        .map(|frame| (frame.kind, frame.schema))
        .collect();
    let mut unseen: BTreeSet<String> = BTreeSet::new();
    for (kind, schema) in &schemas {
        let properties = schema["properties"].as_object().expect("properties");
        unseen.extend(properties.keys().map(|field| format!("{kind}.{field}")));
    }
    for text in sent() {
        let frame: Map<String, Value> = serde_json::from_str(&text).expect("an object");
        let kind = frame["type"].as_str().expect("a type");
        let schema = schemas.get(kind).unwrap_or_else(|| panic!("no schema of {kind}"));
        for (field, value) in &frame {
            let property = &schema["properties"][field];
            assert!(property.is_object(), "{field} is not described: {text}");
            assert_eq!(wrong(value, property), None, "{field}: {text}");
            unseen.remove(&format!("{kind}.{field}"));
        }
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for field in required {
            assert!(frame.contains_key(field), "{field} is missing: {text}");
        }
    }
    assert!(unseen.is_empty(), "described, but never sent: {unseen:?}");
}
