//! Bad input never crashes a function and never closes a good connection.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::client::{Rest, Ws, text_of};
use crate::stack::Stack;

/// proves WS-04
#[tokio::test]
async fn each_bad_frame_gets_its_error_and_the_connection_stays_usable() {
    let user = Stack::get().member("acme");
    let mut ws = Ws::session(&user).await;
    let deep = format!("{{\"type\":\"message\",\"content\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let harmless = format!("{{\"type\":\"ping\",\"extra\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let large = format!("{{\"type\":\"message\",\"content\":\"{}\"}}", "x".repeat(32_001));
    let cases = [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("hello", "invalid_json"),
        ("[]", "unknown_type"),
        ("null", "unknown_type"),
        ("{\"no\":\"type\"}", "unknown_type"),
        ("{\"type\":7}", "unknown_type"),
        ("{\"type\":\"$connect\"}", "unknown_type"),
        ("{\"type\":\"tool_confirm\",\"tool_call_id\":\"x\",\"approve\":true}", "not_found"),
        ("{\"type\":\"tool_confirm\",\"tool_call_id\":\"x\"}", "invalid_message"),
        ("{\"type\":\"tool_confirm\",\"tool_call_id\":\"x\",\"approve\":\"yes\"}", "invalid_message"),
        ("{\"type\":\"tool_confirm\",\"approve\":true}", "invalid_message"),
        ("{\"type\":\"tool_confirm\",\"tool_call_id\":7,\"approve\":true}", "invalid_message"),
        ("{\"type\":\"message\"}", "invalid_message"),
        ("{\"type\":\"message\",\"content\":null}", "invalid_message"),
        ("{\"type\":\"message\",\"content\":7}", "invalid_message"),
        ("{\"type\":\"message\",\"content\":1e999}", "invalid_message"),
        ("{\"type\":\"message\",\"content\":\" \\n\\u2003 \"}", "invalid_message"),
        ("{\"type\":\"message\",\"content\":\"a\\u0000b\"}", "invalid_message"),
        ("{\"type\":\"message\",\"content\":\"\\ud800\"}", "invalid_message"),
        ("{\"type\":\"message\",\"content\":\"x\",\"id\":\"no uuid\"}", "invalid_message"),
        ("{\"type\":\"message\",\"content\":\"x\",\"session_id\":\"other\"}", "invalid_message"),
        ("{\"type\":\"resume\"}", "invalid_message"),
        ("{\"type\":\"resume\",\"after\":-1}", "invalid_message"),
        (&deep, "invalid_message"),
        (&large, "too_large"),
    ];
    for (frame, code) in cases {
        ws.raw(frame).await;
        assert_eq!(ws.error().await, code, "{}", &frame[..frame.len().min(80)]);
    }
    ws.raw(&harmless).await;
    ws.until(|f| f["type"] == "pong").await;
    assert!(text_of(&ws.ask("and on").await).contains("and on"));
    assert_eq!(Rest::of(&user).history(&ws.conversation()).await.len(), 2, "a bad frame was stored");
}

/// proves WS-04
#[tokio::test]
async fn random_frames_get_an_error_each_and_leave_the_connection_usable() {
    let user = Stack::get().member("acme");
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let strategy = prop_oneof![
        "\\PC{0,40}",
        "[\\[\\]{}\",:0-9a-z \\\\]{0,40}",
        ("auth|message|resume|cancelx|tool_confirm|ping2", "[a-z_]{1,12}", "\\PC{0,20}")
            .prop_map(|(kind, key, value)| json!({"type": kind, key: value}).to_string()),
        (
            "id|content|text|conversation_id|session_id",
            prop_oneof![
                Just(Value::Null),
                any::<i64>().prop_map(Value::from),
                any::<bool>().prop_map(Value::from),
                Just(json!([])),
                Just(json!({})),
                "[^a-zA-Z0-9]{0,3}".prop_map(Value::from)
            ]
        )
            .prop_map(|(key, value)| json!({"type": "message", "id": "x", key: value}).to_string()),
    ];
    let mut ws = Ws::session(&user).await;
    let frames: Vec<String> =
        (0..300).map(|_| strategy.new_tree(&mut runner).expect("a frame").current()).collect();
    for frame in frames {
        ws.raw(&frame).await;
        let answer = ws.until(|f| f["type"] == "error" || f["type"] == "ack" || f["type"] == "typing").await;
        assert_eq!(answer["type"], "error", "{frame:?} was answered {answer}");
        assert!(answer["code"] != "internal", "{frame:?}");
    }
    assert!(ws.closed.is_none());
    ws.ping().await;
}
