//! The schemas of client frames, written by hand, against the parser: every field they name is one it reads.

use konstruct_protocol::asyncapi::{FrameSchema, Sender, frames};
use konstruct_protocol::{ClientFrame, ErrorCode};
use serde_json::{Value, json};

/// The least that is a frame of this type.
fn least(kind: &str) -> Value {
    match kind {
        "auth" => json!({ "type": kind, "token": "x" }),
        "message" => json!({ "type": kind, "content": "x" }),
        "resume" => json!({ "type": kind, "after": 0 }),
        "tool_confirm" => json!({ "type": kind, "tool_call_id": "x", "approve": true }),
        _ => json!({ "type": kind }),
    }
}

fn code(frame: &Value) -> Option<ErrorCode> {
    ClientFrame::parse(&frame.to_string()).err().map(|error| error.code)
}

fn client_frames() -> impl Iterator<Item = FrameSchema> {
    frames().into_iter().filter(|frame| frame.sender == Sender::Client)
}

fn with(frame: &Value, field: &str, value: Value) -> Value {
    let mut frame = frame.clone();
    frame[field] = value;
    frame
}

#[test]
fn every_field_of_a_client_frame_is_one_that_the_parser_reads() {
    for frame in client_frames() {
        let least = least(&frame.kind);
        assert_eq!(code(&least), None, "{least}");
        let properties = frame.schema["properties"].as_object().expect("properties");
        for field in properties.keys().filter(|field| *field != "type") {
            let mut wrong = with(&least, field, json!({ "is": "no such thing" }));
            if field == "text" {
                // The alias is read where `content` is absent.
                wrong.as_object_mut().expect("an object").remove("content");
            }
            assert_eq!(code(&wrong), Some(ErrorCode::InvalidMessage), "{wrong}");
        }
    }
}

#[test]
fn every_required_field_of_a_client_frame_is_missed() {
    for frame in client_frames() {
        for field in frame.schema["required"].as_array().expect("required") {
            let without = with(&least(&frame.kind), field.as_str().expect("a name"), Value::Null);
            let expected = if field == "type" { ErrorCode::UnknownType } else { ErrorCode::InvalidMessage };
            assert_eq!(code(&without), Some(expected), "{without}");
        }
    }
}

#[test]
fn a_message_needs_one_of_its_two_names_for_the_text() {
    assert_eq!(code(&json!({ "type": "message" })), Some(ErrorCode::InvalidMessage));
    assert_eq!(code(&json!({ "type": "message", "text": "x" })), None);
}
