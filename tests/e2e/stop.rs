//! Stopping (CHAT-11) and resetting an answer that is being written.

use serde_json::json;

use crate::client::{Rest, Ws, text_of};
use crate::stack::Stack;

/// proves CHAT-11
#[tokio::test]
async fn a_stop_from_another_device_keeps_what_was_written_and_marks_it() {
    let user = Stack::get().member("acme");
    let mut ws = Ws::session(&user).await;
    let mut other = Ws::portal(&user, &ws.conversation()).await;
    let id = ws.say("/tokens 500 50").await;
    ws.until(|f| f["streaming"] == true).await;
    other.send(&json!({"type": "cancel"})).await;
    let (a, b) = (ws.end_of(&id).await, other.end_of(&id).await);
    assert_eq!((&a["stopped"], &b["stopped"]), (&json!(true), &json!(true)));
    assert_eq!(text_of(&a), text_of(&b));
    assert_eq!(ws.pieces(&a["message_id"]), text_of(&a));
    assert!(text_of(&a).split(' ').count() < 500);
    let history = Rest::of(&user).history(&ws.conversation()).await;
    let stored = history.iter().find(|m| m["in_reply_to"] == json!(id)).expect("the stopped answer");
    assert_eq!((&stored["stopped"], stored["content"].as_str()), (&json!(true), Some(text_of(&a))));
    other.send(&json!({"type": "cancel"})).await;
    assert!(text_of(&ws.ask("and on").await).contains("and on"), "a stop after the end does nothing");
}

/// proves CHAT-11
#[tokio::test]
async fn a_stop_before_the_first_piece_leaves_an_empty_stopped_answer() {
    let user = Stack::get().member("acme");
    let mut ws = Ws::session(&user).await;
    let id = ws.say("/slow 20000").await;
    ws.until(|f| f["type"] == "openai_call").await;
    ws.send(&json!({"type": "cancel"})).await;
    let end = ws.end_of(&id).await;
    assert_eq!((&end["stopped"], text_of(&end)), (&json!(true), ""));
}

/// proves CHAT-03
#[tokio::test]
async fn a_reset_stops_the_answer_then_everything_said_is_gone_and_seq_goes_on() {
    let user = Stack::get().member("acme");
    let rest = Rest::of(&user);
    let mut ws = Ws::session(&user).await;
    let conversation = ws.conversation();
    let id = ws.say("/tokens 500 50").await;
    ws.until(|f| f["streaming"] == true).await;
    let reset = rest.call("DELETE", &format!("/conversations/{conversation}"), None).await;
    assert_eq!(reset.status, 204, "{}", reset.body);
    let end = ws.end_of(&id).await;
    assert_eq!(end["stopped"], true);
    assert_eq!(ws.pieces(&end["message_id"]), text_of(&end));
    assert_eq!(rest.history(&conversation).await.len(), 0);
    let next = ws.ask("/history").await;
    assert!(next["seq"].as_i64() > end["seq"].as_i64());
    assert!(!text_of(&next).contains("w1"), "the agent remembers what was reset");
    ws.send(&json!({"type": "message", "id": id, "content": "/tokens 500 50"})).await;
    let ack = ws.until(|f| f["type"] == "ack" && f["id"] == json!(id) && f["duplicate"] == true).await;
    assert_eq!(ack["duplicate"], true, "a resend of what was reset remains a copy");
}
