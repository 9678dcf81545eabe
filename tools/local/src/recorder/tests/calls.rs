//! What is listed, and what a caller that hangs up leaves.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Fixture, THREAD, TOKEN};

#[tokio::test]
async fn a_call_is_listed_with_all_that_was_said() {
    let recorder = Fixture::start().await;
    let arguments = json!({"channel": "C1", "text": "one", "blocks": [{"type": "divider"}]});
    let answer = recorder.call("chat.postMessage", arguments.clone()).await;
    recorder.call("no.such", json!({})).await;
    let calls = recorder.calls("slack").await;
    let at = calls[0]["at"].as_str().unwrap();
    assert!(at.len() == "2024-02-19T07:11:42.789Z".len() && at.ends_with('Z'), "{at}");
    let expected = json!({
        "channel": "slack", "at": at, "method": "chat.postMessage", "args": arguments, "token": TOKEN,
        "status": 200, "response": answer,
    });
    assert_eq!(calls[0], expected);
    assert_eq!(calls[1]["response"], json!({"ok": false, "error": "unknown_method"}));
    assert_eq!(calls.len(), 2);
    assert!(recorder.calls("telegram").await.is_empty());
}

#[tokio::test]
async fn a_form_is_listed_as_it_came_and_understood() {
    let recorder = Fixture::start().await;
    let form = "channel=C1&thread_ts=1766458026.240809&text=a+b%26c&token=xoxb-form\
                &metadata=%7B%22event_type%22%3A%22x%22%2C%22event_payload%22%3A%7B%7D%7D";
    let request = Request::post(recorder.url("/slack/api/chat.postMessage"))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let (_, _, answer) = recorder.send(request, form).await;
    assert_eq!((&answer["ok"], &answer["message"]["text"]), (&json!(true), &json!("a b&c")));
    assert_eq!(answer["message"]["metadata"]["event_type"], "x");
    let call = &recorder.calls("slack").await[0];
    assert_eq!((&call["token"], &call["args"]["thread_ts"]), (&json!("xoxb-form"), &json!(THREAD)));
    assert_eq!(call["args"]["metadata"], r#"{"event_type":"x","event_payload":{}}"#);
}

#[tokio::test]
async fn without_a_token_a_call_is_taken_and_basic_is_none() {
    let recorder = Fixture::start().await;
    for scheme in [None, Some("Basic aWQ6c2VjcmV0"), Some("Bearer")] {
        let mut request = Request::post(recorder.url("/slack/api/chat.postMessage"))
            .header(CONTENT_TYPE, "application/json");
        if let Some(scheme) = scheme {
            request = request.header(AUTHORIZATION, scheme);
        }
        let (_, _, answer) = recorder.send(request, r#"{"channel":"C1","text":"x"}"#).await;
        assert_eq!(answer["ok"], true);
    }
    assert!(recorder.calls("slack").await.iter().all(|call| call["token"] == ""));
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused_and_listed_without_arguments() {
    let recorder = Fixture::start().await;
    let cases = [
        (Some("application/json"), "{", "invalid_json"),
        (Some("application/json"), "[]", "json_not_object"),
        (Some("text/plain"), "x", "invalid_post_type"),
        (None, "x", "missing_post_type"),
    ];
    for (kind, body, error) in cases {
        let mut request = recorder.slack("chat.postMessage");
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        let (status, _, answer) = recorder.send(request, body).await;
        assert_eq!((status, answer), (200, json!({"ok": false, "error": error})));
    }
    assert!(recorder.calls("slack").await.iter().all(|call| call["args"] == json!({})));
}

#[tokio::test]
async fn the_list_knows_the_channels_and_nothing_else() {
    let recorder = Fixture::start().await;
    recorder.call("chat.postMessage", json!({"channel": "C1", "text": "x"})).await;
    let get = |path: &'static str| recorder.send(Request::get(recorder.url(path)), Body::empty());
    assert_eq!(get("/_recorder/calls").await.2.as_array().unwrap().len(), 1);
    assert_eq!(get("/_recorder/calls?channel=fax").await.0, 400);
    assert_eq!(get("/_recorder/calls?kanal=slack").await.0, 400);
    assert_eq!(get("/_recorder/others").await.0, 404);
}

/// Sends a request's bytes and hangs up.
async fn hang_up(recorder: &Fixture, request: String) {
    let mut socket = TcpStream::connect(("127.0.0.1", recorder.port)).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
}

/// The last call, as soon as there are so many; its script would let it wait a minute.
async fn last_of(recorder: &Fixture, count: usize) -> Value {
    for _ in 0..3_000 {
        let calls = recorder.calls("slack").await;
        if calls.len() >= count {
            return calls.last().unwrap().clone();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the call was not listed")
}

#[tokio::test]
async fn a_caller_that_hangs_up_is_listed_with_status_0_and_had_no_effect() {
    let recorder = Fixture::start().await;
    let script = json!({"channel": "slack", "method": "chat.postMessage", "delay_ms": 60_000});
    assert_eq!(recorder.script(script).await, 204);
    let body = json!({"channel": "C1", "text": "gone", "thread_ts": THREAD}).to_string();
    let length = body.len();
    let head = "POST /slack/api/chat.postMessage HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    hang_up(&recorder, format!("{head}content-length: {length}\r\n\r\n{body}")).await;
    let call = last_of(&recorder, 1).await;
    assert_eq!((&call["status"], &call["response"]), (&json!(0), &Value::Null));
    assert_eq!((&call["method"], &call["args"]["text"]), (&json!("chat.postMessage"), &json!("gone")));
    // The script is used up, and the room is as it was.
    let ts = recorder.post("heard").await;
    assert_eq!(recorder.texts().await, ["heard"]);
    assert_eq!(recorder.calls("slack").await[1]["response"]["ts"], ts);
}

#[tokio::test]
async fn a_caller_that_hangs_up_within_the_body_is_listed_without_arguments() {
    let recorder = Fixture::start().await;
    let head = "POST /slack/api/chat.postMessage HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    hang_up(&recorder, format!("{head}content-length: 1000\r\n\r\n{{\"channel\"")).await;
    let call = last_of(&recorder, 1).await;
    assert_eq!((&call["status"], &call["response"], &call["args"]), (&json!(0), &Value::Null, &json!({})));
}
