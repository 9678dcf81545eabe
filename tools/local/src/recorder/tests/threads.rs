//! Reading threads and rooms back.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use super::{Fixture, THREAD, ts};

fn metadata(turn: u32) -> Value {
    json!({"event_type": "answer", "event_payload": {"turn": turn}})
}

async fn replies(recorder: &Fixture, more: Value) -> Value {
    let mut arguments = json!({"channel": "C1", "ts": THREAD});
    if let Value::Object(more) = more {
        arguments.as_object_mut().unwrap().extend(more);
    }
    recorder.call("conversations.replies", arguments).await
}

#[tokio::test]
async fn a_thread_is_given_back_with_metadata_where_it_is_asked_for() {
    let recorder = Fixture::start().await;
    let posted = json!({"channel": "C1", "text": "one", "thread_ts": THREAD, "metadata": metadata(1)});
    let one = ts(&recorder.call("chat.postMessage", posted).await);
    let two = recorder.stream().await;
    recorder.call("chat.stopStream", json!({"channel": "C1", "ts": two, "metadata": metadata(2)})).await;
    recorder.call("chat.postMessage", json!({"channel": "C1", "text": "elsewhere"})).await;
    recorder.call("chat.postMessage", json!({"channel": "C2", "text": "x", "thread_ts": THREAD})).await;

    let answer = replies(&recorder, json!({"include_all_metadata": true})).await;
    let messages = answer["messages"].as_array().unwrap();
    let seen: Vec<_> = messages.iter().map(|message| (&message["ts"], &message["metadata"])).collect();
    assert_eq!(seen, [(&json!(one), &metadata(1)), (&json!(two), &metadata(2))]);
    assert_eq!((&messages[0]["thread_ts"], &messages[0]["user"]), (&json!(THREAD), &json!("U00FAKEBOT01")));
    assert_eq!((&answer["has_more"], &messages[0]["bot_id"]), (&json!(false), &json!("B00FAKEBOT01")));
    assert!(recorder.thread().await.iter().all(|message| message["metadata"].is_null()));
}

#[tokio::test]
async fn a_thread_that_we_started_begins_with_our_post() {
    let recorder = Fixture::start().await;
    let parent = ts(&recorder.call("chat.postMessage", json!({"channel": "C1", "text": "first"})).await);
    let reply = json!({"channel": "C1", "text": "second", "thread_ts": parent});
    recorder.call("chat.postMessage", reply).await;
    let answer = recorder.call("conversations.replies", json!({"channel": "C1", "ts": parent})).await;
    assert_eq!(answer["messages"][0]["text"], "first");
    assert_eq!(answer["messages"][1]["text"], "second");
    let room = recorder.call("conversations.history", json!({"channel": "C1"})).await;
    assert_eq!(room["messages"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn long_threads_come_in_pages_and_parts() {
    let recorder = Fixture::start().await;
    let mut all = Vec::new();
    for n in 0..5 {
        all.push(recorder.post(&n.to_string()).await);
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = replies(&recorder, json!({"limit": 2, "cursor": cursor})).await;
        let page = answer["messages"].as_array().unwrap();
        assert!(page.len() <= 2);
        found.extend(page.iter().map(|message| message["ts"].as_str().unwrap().to_string()));
        if answer["has_more"] == false {
            break;
        }
        cursor = answer["response_metadata"]["next_cursor"].as_str().unwrap().to_string();
    }
    assert_eq!(found, all);
    let part = json!({"oldest": all[1], "latest": all[3]});
    assert_eq!(replies(&recorder, part).await["messages"].as_array().unwrap().len(), 1);
    let part = json!({"oldest": all[1], "latest": all[3], "inclusive": true});
    assert_eq!(replies(&recorder, part).await["messages"].as_array().unwrap().len(), 3);
    assert_eq!(replies(&recorder, json!({"limit": 0})).await["error"], "invalid_limit");
    assert_eq!(replies(&recorder, json!({"cursor": "x"})).await["error"], "invalid_cursor");
    assert_eq!(replies(&recorder, json!({"oldest": "x"})).await["error"], "invalid_ts_oldest");
}

#[tokio::test]
async fn a_thread_is_read_by_get_too() {
    let recorder = Fixture::start().await;
    let posted = json!({"channel": "C1", "text": "one", "thread_ts": THREAD, "metadata": metadata(1)});
    recorder.call("chat.postMessage", posted).await;
    let query = format!("channel=C1&ts={THREAD}&include_all_metadata=true&limit=15");
    let request = Request::get(recorder.url(&format!("/slack/api/conversations.replies?{query}")));
    let (status, _, answer) = recorder.send(request, Body::empty()).await;
    assert_eq!((status, &answer["messages"][0]["metadata"]), (200, &metadata(1)));
    assert_eq!(recorder.calls("slack").await[1]["args"]["limit"], "15");
}
