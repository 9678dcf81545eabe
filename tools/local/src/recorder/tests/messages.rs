//! Posting, editing, deleting, and what Slack refuses about it.

use serde_json::{Value, json};

use super::{Fixture, THREAD, ts};

#[tokio::test]
async fn posts_are_answered_as_slack_answers_them() {
    let recorder = Fixture::start().await;
    let arguments = json!({"channel": "C1", "text": "one", "thread_ts": THREAD, "reply_broadcast": true});
    let answer = recorder.call("chat.postMessage", arguments).await;
    let message = &answer["message"];
    assert_eq!((&answer["channel"], &message["text"]), (&json!("C1"), &json!("one")));
    assert_eq!((&message["ts"], &message["thread_ts"]), (&answer["ts"], &json!(THREAD)));
    assert_eq!((&message["user"], &message["bot_id"]), (&json!("U00FAKEBOT01"), &json!("B00FAKEBOT01")));
    assert_eq!(message["subtype"], "thread_broadcast");
}

#[tokio::test]
async fn every_ts_is_new_and_after_those_before() {
    let recorder = Fixture::start().await;
    let mut before = String::new();
    for n in 0..50 {
        let fresh = recorder.post(&n.to_string()).await;
        assert!(fresh > before, "{fresh} after {before}");
        before = fresh;
    }
}

#[tokio::test]
async fn an_edit_replaces_the_text_and_keeps_what_it_does_not_name() {
    let recorder = Fixture::start().await;
    let blocks = json!([{"type": "section", "text": {"type": "mrkdwn", "text": "b"}}]);
    let posted = json!({"channel": "C1", "text": "one", "thread_ts": THREAD, "blocks": blocks});
    let ts = ts(&recorder.call("chat.postMessage", posted).await);
    let answer = recorder.call("chat.update", json!({"channel": "C1", "ts": ts, "text": "two"})).await;
    assert_eq!((&answer["ok"], &answer["ts"], &answer["text"]), (&json!(true), &json!(ts), &json!("two")));
    assert_eq!(answer["message"]["edited"]["user"], "U00FAKEBOT01");
    assert_eq!(answer["message"]["blocks"], blocks);
    let bare = json!({"channel": "C1", "ts": ts, "text": "three", "blocks": []});
    assert_eq!(recorder.call("chat.update", bare).await["message"]["blocks"], Value::Null);
    assert_eq!(recorder.texts().await, ["three"]);
}

#[tokio::test]
async fn what_is_deleted_is_gone() {
    let recorder = Fixture::start().await;
    let (one, _) = (recorder.post("one").await, recorder.post("two").await);
    let answer = recorder.call("chat.delete", json!({"channel": "C1", "ts": one})).await;
    assert_eq!(answer, json!({"ok": true, "channel": "C1", "ts": one}));
    assert_eq!(recorder.texts().await, ["two"]);
    recorder.refused("chat.delete", json!({"channel": "C1", "ts": one}), "message_not_found").await;
    let edit = json!({"channel": "C1", "ts": one, "text": "x"});
    recorder.refused("chat.update", edit, "message_not_found").await;
}

#[tokio::test]
async fn a_message_for_one_person_is_answered_and_not_kept() {
    let recorder = Fixture::start().await;
    let arguments = json!({"channel": "C1", "user": "U1", "text": "psst", "thread_ts": THREAD});
    let answer = recorder.call("chat.postEphemeral", arguments).await;
    assert!(answer["ok"] == true && answer["message_ts"].is_string(), "{answer}");
    assert!(recorder.thread().await.is_empty());
    let nobody = json!({"channel": "C1", "text": "psst"});
    recorder.refused("chat.postEphemeral", nobody, "invalid_arguments").await;
}

#[tokio::test]
async fn a_status_is_set_and_an_empty_one_clears() {
    let recorder = Fixture::start().await;
    for status in ["is thinking…", ""] {
        let arguments = json!({"channel_id": "C1", "thread_ts": THREAD, "status": status});
        assert_eq!(recorder.call("assistant.threads.setStatus", arguments).await, json!({"ok": true}));
    }
    let arguments = json!({"channel_id": "C1", "thread_ts": THREAD});
    recorder.refused("assistant.threads.setStatus", arguments, "invalid_arguments").await;
}

#[tokio::test]
async fn wrong_arguments_are_refused_and_change_nothing() {
    let recorder = Fixture::start().await;
    let section = json!({"type": "section", "text": {"type": "mrkdwn", "text": "x".repeat(2_900)}});
    let long = json!([{"type": "section", "text": {"type": "mrkdwn", "text": "x".repeat(3_001)}}]);
    let cases = [
        (json!({"text": "x"}), "invalid_arguments"),
        (json!({"channel": "C1"}), "no_text"),
        (json!({"channel": "C1", "text": ""}), "no_text"),
        (json!({"channel": "C1", "text": "x", "thread_ts": "yesterday"}), "invalid_arguments"),
        (json!({"channel": "C1", "text": "x", "markdown_text": "x"}), "markdown_text_conflict"),
        (json!({"channel": "C1", "markdown_text": "x".repeat(12_001)}), "msg_too_long"),
        (json!({"channel": "C1", "blocks": {"type": "section"}}), "invalid_blocks_format"),
        (json!({"channel": "C1", "blocks": vec![json!({"type": "divider"}); 51]}), "invalid_blocks"),
        (json!({"channel": "C1", "blocks": long}), "invalid_blocks"),
        (json!({"channel": "C1", "blocks": vec![section; 5]}), "msg_blocks_too_long"),
        (json!({"channel": "C1", "text": "x", "metadata": {"event_type": "a"}}), "invalid_metadata_format"),
    ];
    for (mut arguments, error) in cases {
        arguments.as_object_mut().unwrap().entry("thread_ts").or_insert(json!(THREAD));
        recorder.refused("chat.postMessage", arguments, error).await;
    }
    assert!(recorder.thread().await.is_empty());
    recorder.refused("chat.rename", json!({}), "unknown_method").await;
}

#[tokio::test]
async fn a_long_text_is_cut_when_posted_and_refused_when_edited() {
    let recorder = Fixture::start().await;
    let ts = recorder.post(&"ü".repeat(40_001)).await;
    assert_eq!(recorder.texts().await[0].chars().count(), 40_000);
    let edit = |length: usize| json!({"channel": "C1", "ts": ts, "text": "ü".repeat(length)});
    recorder.refused("chat.update", edit(4_001), "msg_too_long").await;
    assert_eq!(recorder.call("chat.update", edit(4_000)).await["ok"], true);
}
