//! The main job: a person talks to an agent.

use serde_json::{Value, json};

use crate::client::{Rest, Ws, text_of};
use crate::stack::Stack;

/// proves CHAT-02, CHAT-05, CHAT-06, CHAT-07
#[tokio::test]
async fn a_portal_chats_and_finds_everything_again_over_rest() {
    let user = Stack::get().member("acme");
    let rest = Rest::of(&user);
    let conversation = rest.conversation("acme").await;
    let mut ws = Ws::portal(&user, &conversation).await;
    let id = ws.say("Hello, e2e.").await;
    let end = ws.end_of(&id).await;
    if !ws.frames.iter().any(|f| f["type"] == "ack") {
        ws.until(|f| f["type"] == "ack").await;
    }
    assert_eq!(end["type"], "response");
    assert!(text_of(&end).contains("Hello, e2e."));
    assert_eq!(ws.pieces(&end["message_id"]), text_of(&end));
    let kinds = ws.kinds();
    let at =
        |kind: &str| kinds.iter().position(|k| k == kind).unwrap_or_else(|| panic!("{kind} in {kinds:?}"));
    assert!(at("connection") < at("typing") && at("typing") < at("chunk") && at("chunk") < at("response"));
    let history = rest.history(&conversation).await;
    let said: Vec<&Value> = history.iter().map(|m| &m["content"]).collect();
    assert_eq!(said, [&json!("Hello, e2e."), &end["text"]]);
    assert_eq!(history[1]["id"], end["message_id"]);
    assert_eq!(history[1]["in_reply_to"], json!(id));
}

/// proves CHAT-07
#[tokio::test]
async fn an_acknowledged_message_is_in_the_history_whatever_the_agent_does() {
    let user = Stack::get().member("acme");
    let mut ws = Ws::session(&user).await;
    for n in 0..10 {
        let id = ws.say(&format!("/slow 300 {n}")).await;
        ws.until(|f| f["type"] == "ack" && f["id"] == json!(id)).await;
        let history = Rest::of(&user).history(&ws.conversation()).await;
        assert!(
            history.iter().any(|m| m["id"] == json!(id)),
            "message {n} is acknowledged and not in the history"
        );
    }
}

/// proves CHAT-12
#[tokio::test]
async fn messages_sent_back_to_back_are_answered_in_order() {
    let user = Stack::get().member("acme");
    let mut ws = Ws::session(&user).await;
    let mut ids = Vec::new();
    for n in 0..8 {
        let id = ws.say(&format!("number {n}")).await;
        ws.until(|f| f["type"] == "ack" && f["id"] == json!(id)).await;
        ids.push(id);
    }
    let mut answered: Vec<String> = Vec::new();
    for frame in &ws.frames {
        answered.extend(frame["in_reply_to"].as_str().map(str::to_owned));
    }
    while answered.len() < ids.len() {
        let frame = ws.until(|f| f["in_reply_to"].is_string()).await;
        answered.push(frame["in_reply_to"].as_str().expect("an id").to_owned());
    }
    assert_eq!(answered, ids);
    let seqs: Vec<i64> = ws.frames.iter().filter_map(|f| f["seq"].as_i64()).collect();
    assert!(seqs.windows(2).all(|w| w[0] < w[1]), "{seqs:?}");
}

/// proves CHAT-10, WS-03
#[tokio::test]
async fn every_device_sees_the_same_numbered_frames_in_its_own_dialect() {
    let user = Stack::get().member("acme");
    let mut session = Ws::session(&user).await;
    let mut portal = Ws::portal(&user, &session.conversation()).await;
    let id = session.say("/tokens 50 200").await;
    let (a, b) = (session.end_of(&id).await, portal.end_of(&id).await);
    assert_eq!((&a["type"], &b["type"]), (&json!("assistant"), &json!("response")));
    assert_eq!((&a["seq"], &a["message_id"], text_of(&a)), (&b["seq"], &b["message_id"], text_of(&b)));
    assert_eq!(session.pieces(&a["message_id"]), portal.pieces(&b["message_id"]));
    assert!(session.kinds().iter().any(|k| k == "openai_call"));
    assert!(!portal.kinds().iter().any(|k| k == "openai_call"));
}

/// proves WS-01
#[tokio::test]
async fn what_is_said_in_one_session_never_reaches_another() {
    let user = Stack::get().member("acme");
    let (mut one, mut other) = (Ws::session(&user).await, Ws::session(&user).await);
    one.ask("only here").await;
    other.ping().await;
    assert_eq!(other.kinds(), ["connection", "pong"]);
}

/// proves CHAT-08
#[tokio::test]
async fn a_message_sent_again_is_stored_and_answered_once_over_either_door() {
    let user = Stack::get().member("acme");
    let mut ws = Ws::session(&user).await;
    let conversation = ws.conversation();
    let id = ws.say("just once").await;
    let end = ws.end_of(&id).await;
    ws.send(&json!({"type": "message", "id": id, "content": "just once"})).await;
    let ack = ws.until(|f| f["type"] == "ack" && f["duplicate"] == true).await;
    assert_eq!(ack["id"], json!(id));
    let path = format!("/conversations/{conversation}/messages");
    let again = Rest::of(&user).post(&path, json!({"content": "just once", "id": id})).await;
    assert_eq!(again.status, 200, "answered already");
    assert_eq!(again.body["response"]["id"], end["message_id"]);
    assert_eq!(Rest::of(&user).history(&conversation).await.len(), 2);
}

/// proves AGNT-02
#[tokio::test]
async fn a_model_that_fails_for_good_ends_in_one_agent_failed_and_the_chat_goes_on() {
    let user = Stack::get().member("acme");
    let mut ws = Ws::session(&user).await;
    assert!(text_of(&ws.ask("/error 500 once").await).contains("/error 500 once"), "asked again");
    for directive in ["/error 400", "/error midstream", "/error garbage"] {
        let id = ws.say(directive).await;
        let end = ws.end_of(&id).await;
        assert_eq!((&end["type"], &end["code"]), (&json!("error"), &json!("agent_failed")), "{directive}");
        let history = Rest::of(&user).history(&ws.conversation()).await;
        let stored = history.iter().find(|m| m["id"] == json!(id)).expect("the message stays");
        assert_eq!(stored["error"], "agent_failed");
    }
    assert!(text_of(&ws.ask("and on").await).contains("and on"));
}

/// proves OPS-04
#[tokio::test]
async fn no_log_holds_a_token_or_a_messages_text() {
    let stack = Stack::get();
    let user = stack.member("acme");
    let mut ws = Ws::session(&user).await;
    let canary = format!("canary{}", uuid::Uuid::new_v4().simple());
    ws.ask(&canary).await;
    ws.raw(&format!("{{\"type\":\"message\",\"content\":\"{canary}\",\"id\":\"{canary}\"}}")).await;
    ws.error().await;
    let path = format!("/conversations/{}/messages", ws.conversation());
    Rest::of(&user).post(&path, json!({"content": canary, "id": "x"})).await;
    let jwt_secret = crate::tokens::secret();
    for (path, text) in stack.logs() {
        for (what, secret) in [("a message", &canary), ("a token", &user.token), ("the secret", &jwt_secret)]
        {
            assert!(!text.contains(secret.as_str()), "{} holds {what}", path.display());
        }
    }
}
