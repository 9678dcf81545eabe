//! Scripts: what they do to a call, how they queue up, and which are refused.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Fixture, THREAD};
use crate::recorder::Channel;
use crate::recorder::script::{Script, Scripts};

fn script(more: Value) -> Value {
    let mut script = json!({"channel": "slack", "method": "chat.postMessage"});
    if let Value::Object(more) = more {
        script.as_object_mut().unwrap().extend(more);
    }
    script
}

/// Posts into the thread; status, `Retry-After` and body.
async fn post(recorder: &Fixture, text: &str) -> (u16, Option<String>, Value) {
    let body = json!({"channel": "C1", "text": text, "thread_ts": THREAD});
    let request = recorder.slack("chat.postMessage").header(CONTENT_TYPE, "application/json");
    let (status, headers, body) = recorder.send(request, body.to_string()).await;
    let retry_after = headers.get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_string());
    (status, retry_after, body)
}

#[tokio::test]
async fn scripts_of_one_method_queue_up_and_keep_calls_from_having_an_effect() {
    let recorder = Fixture::start().await;
    let limited = script(json!({"times": 2, "status": 429, "retry_after": 3}));
    assert_eq!(recorder.script(limited).await, 204);
    assert_eq!(recorder.script(script(json!({"error": "message_not_found"}))).await, 204);
    assert_eq!(recorder.script(script(json!({"status": 500, "error": "fatal_error"}))).await, 204);
    assert_eq!(recorder.script(script(json!({"status": 503}))).await, 204);
    for _ in 0..2 {
        let (status, retry_after, body) = post(&recorder, "lost").await;
        assert_eq!((status, retry_after.as_deref()), (429, Some("3")));
        assert_eq!(body, json!({"ok": false, "error": "ratelimited"}));
    }
    let not_found = json!({"ok": false, "error": "message_not_found"});
    assert_eq!(post(&recorder, "lost").await, (200, None, not_found));
    assert_eq!(post(&recorder, "lost").await, (500, None, json!({"ok": false, "error": "fatal_error"})));
    assert_eq!(post(&recorder, "lost").await.0, 503);
    assert_eq!(post(&recorder, "heard").await.2["ok"], true);
    assert_eq!(recorder.texts().await, ["heard"]);
    let statuses: Vec<_> = recorder.calls("slack").await.iter().map(|call| call["status"].clone()).collect();
    assert_eq!(statuses[..6], [429, 429, 200, 500, 503, 200]);
}

#[tokio::test]
async fn a_delay_alone_changes_nothing_but_the_time() {
    let recorder = Fixture::start().await;
    assert_eq!(recorder.script(script(json!({"delay_ms": 150, "retry_after": 1}))).await, 204);
    let began = Instant::now();
    let (status, retry_after, body) = post(&recorder, "late").await;
    assert!(began.elapsed() >= Duration::from_millis(150), "{:?}", began.elapsed());
    assert_eq!((status, retry_after.as_deref(), &body["ok"]), (200, Some("1"), &json!(true)));
    assert_eq!(recorder.texts().await, ["late"]);
}

#[tokio::test]
async fn a_script_is_for_one_method_of_one_channel() {
    let recorder = Fixture::start().await;
    let other = json!({"channel": "slack", "method": "chat.update", "error": "fatal_error"});
    assert_eq!(recorder.script(other).await, 204);
    let other = json!({"channel": "telegram", "method": "chat.postMessage", "error": "fatal_error"});
    assert_eq!(recorder.script(other).await, 204);
    assert_eq!(post(&recorder, "x").await.2["ok"], true);
}

#[tokio::test]
async fn what_is_forgotten_strikes_nobody() {
    let recorder = Fixture::start().await;
    assert_eq!(recorder.script(script(json!({"times": 9, "status": 500}))).await, 204);
    assert_eq!(post(&recorder, "x").await.0, 500);
    let delete = Request::delete(recorder.url("/_recorder/script"));
    assert_eq!(recorder.send(delete, Body::empty()).await.0, 204);
    assert_eq!(post(&recorder, "x").await.0, 200);
}

#[test]
fn a_call_that_waits_keeps_its_script() {
    let mut scripts = Scripts::default();
    let text = script(json!({"delay_ms": 70, "error": "fatal_error"})).to_string();
    scripts.arm(Script::read(text.as_bytes()).unwrap());
    let taken = scripts.take(Channel::Slack, "chat.postMessage");
    scripts.forget();
    assert_eq!((taken.delay(), taken.error.as_deref()), (Duration::from_millis(70), Some("fatal_error")));
    assert_eq!(scripts.take(Channel::Slack, "chat.postMessage").error, None);
}

#[tokio::test]
async fn what_is_no_script_is_refused() {
    let recorder = Fixture::start().await;
    let cases = [
        json!({}),
        json!({"channel": "slack"}),
        json!({"channel": "fax", "method": "send"}),
        script(json!({"method": ""})),
        script(json!({"method": "chat postMessage"})),
        script(json!({"colour": "red"})),
        script(json!({"times": -1})),
        script(json!({"times": "1"})),
        script(json!({"status": 99})),
        script(json!({"status": 100})),
        script(json!({"status": 600})),
        script(json!({"status": 70_000})),
        script(json!({"delay_ms": -5})),
        script(json!({"retry_after": 0.5})),
        script(json!({"error": 7})),
    ];
    for case in cases {
        assert_eq!(recorder.script(case.clone()).await, 400, "{case}");
    }
    let request = Request::post(recorder.url("/_recorder/script"));
    assert_eq!(recorder.send(request, "not JSON").await.0, 400);
    assert_eq!(post(&recorder, "x").await.0, 200);
}
