//! Streams: what they put together, and what their state allows.

use serde_json::json;

use super::{Fixture, THREAD};

#[tokio::test]
async fn a_stream_is_put_together_and_completed() {
    let recorder = Fixture::start().await;
    let ts = recorder.stream().await;
    let more = json!({"channel": "C1", "ts": ts, "markdown_text": "one "});
    let answer = recorder.call("chat.appendStream", more).await;
    assert_eq!(answer, json!({"ok": true, "channel": "C1", "ts": ts}));
    let chunks = json!([
        {"type": "markdown_text", "text": "two "}, {"type": "task_update", "id": "t", "title": "Look", "status": "complete"},
        {"type": "markdown_text", "text": "three"},
    ]);
    recorder.call("chat.appendStream", json!({"channel": "C1", "ts": ts, "chunks": chunks})).await;
    assert_eq!(recorder.thread().await[0]["streaming_state"], "in_progress");
    let metadata = json!({"event_type": "answer", "event_payload": {"turn": "1"}});
    let end = json!({"channel": "C1", "ts": ts, "markdown_text": "!", "metadata": metadata});
    let answer = recorder.call("chat.stopStream", end).await;
    let message = &answer["message"];
    assert_eq!((&message["text"], &message["thread_ts"]), (&json!("one two three!"), &json!(THREAD)));
    assert_eq!((&message["streaming_state"], &message["metadata"]), (&json!("completed"), &metadata));
}

#[tokio::test]
async fn a_stream_that_is_over_takes_no_more_but_may_be_edited_and_deleted() {
    let recorder = Fixture::start().await;
    let ts = recorder.stream().await;
    let this = json!({"channel": "C1", "ts": ts});
    let more = json!({"channel": "C1", "ts": ts, "markdown_text": "x"});
    recorder.call("chat.stopStream", this.clone()).await;
    recorder.refused("chat.appendStream", more.clone(), "message_not_in_streaming_state").await;
    recorder.refused("chat.stopStream", this.clone(), "message_not_in_streaming_state").await;
    let edit = json!({"channel": "C1", "ts": ts, "text": "edited"});
    assert_eq!(recorder.call("chat.update", edit).await["ok"], true);
    assert_eq!(recorder.call("chat.delete", this.clone()).await["ok"], true);
    recorder.refused("chat.appendStream", more, "message_not_found").await;
    recorder.refused("chat.stopStream", this, "message_not_found").await;
}

#[tokio::test]
async fn an_open_stream_is_neither_edited_nor_deleted() {
    let recorder = Fixture::start().await;
    let ts = recorder.stream().await;
    let edit = json!({"channel": "C1", "ts": ts, "text": "edited"});
    recorder.refused("chat.update", edit, "streaming_state_conflict").await;
    recorder.refused("chat.delete", json!({"channel": "C1", "ts": ts}), "cant_delete_message").await;
    let post = recorder.post("no stream").await;
    let more = json!({"channel": "C1", "ts": post, "markdown_text": "x"});
    recorder.refused("chat.appendStream", more, "message_not_in_streaming_state").await;
}

#[tokio::test]
async fn a_stream_that_a_script_calls_over_may_be_edited_and_is_over_then() {
    let recorder = Fixture::start().await;
    let ts = recorder.stream().await;
    let error = "message_not_in_streaming_state";
    let script = json!({"channel": "slack", "method": "chat.appendStream", "error": error});
    assert_eq!(recorder.script(script).await, 204);
    let more = json!({"channel": "C1", "ts": ts, "markdown_text": "x"});
    recorder.refused("chat.appendStream", more.clone(), error).await;
    assert_eq!(recorder.call("chat.appendStream", more.clone()).await["ok"], true);
    let edit = json!({"channel": "C1", "ts": ts, "text": "edited"});
    assert_eq!(recorder.call("chat.update", edit).await["ok"], true);
    recorder.refused("chat.appendStream", more, error).await;
    assert_eq!(recorder.texts().await, ["edited"]);
}

#[tokio::test]
async fn wrong_streams_are_refused() {
    let recorder = Fixture::start().await;
    let start = |channel: &str| json!({"channel": channel, "thread_ts": THREAD});
    assert_eq!(recorder.call("chat.startStream", start("D1")).await["ok"], true);
    recorder.refused("chat.startStream", start("C1"), "missing_recipient_team_id").await;
    let half = json!({"channel": "C1", "thread_ts": THREAD, "recipient_team_id": "T1"});
    recorder.refused("chat.startStream", half, "missing_recipient_user_id").await;
    recorder.refused("chat.startStream", json!({"channel": "D1"}), "invalid_arguments").await;
    let ts = recorder.stream().await;
    let cases = [
        (json!({}), "invalid_arguments"),
        (json!({"markdown_text": "x".repeat(12_001)}), "msg_too_long"),
        (json!({"chunks": "no list"}), "invalid_chunks"),
        (json!({"chunks": [{"type": "markdown_text"}]}), "invalid_chunks"),
        (json!({"chunks": [{"type": "song", "text": "la"}]}), "invalid_chunks"),
        (json!({"chunks": [{"type": "plan_update", "title": "x".repeat(257)}]}), "invalid_chunks"),
    ];
    for (mut arguments, error) in cases {
        arguments
            .as_object_mut()
            .unwrap()
            .extend([("channel".into(), json!("C1")), ("ts".into(), json!(ts))]);
        recorder.refused("chat.appendStream", arguments, error).await;
    }
    assert_eq!(recorder.texts().await, [""]);
}
