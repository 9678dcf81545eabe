//! Conversations never wait for each other.

use futures_util::future::join_all;

use crate::client::{Rest, Ws, text_of};
use crate::stack::Stack;
use serde_json::json;

/// proves CHAT-12
#[tokio::test]
async fn fifty_conversations_stream_at_once_and_none_waits_for_another() {
    let user = Stack::get().member("acme");
    let mut sockets = join_all((0..50).map(|_| Ws::session(&user))).await;
    let streamed = sockets.iter_mut().map(|ws| async {
        let id = ws.say("/tokens 60 10").await;
        ws.until(|f| f["streaming"] == true).await;
        let first = tokio::time::Instant::now();
        let end = ws.end_of(&id).await;
        assert_eq!(text_of(&end).split(' ').count(), 60);
        (first, tokio::time::Instant::now())
    });
    let times = join_all(streamed).await;
    let last_first = times.iter().map(|t| t.0).max().expect("fifty");
    let first_last = times.iter().map(|t| t.1).min().expect("fifty");
    assert!(last_first < first_last, "one began only when another had ended");
}

/// proves CHAT-03
#[tokio::test]
async fn get_or_create_calls_that_race_end_in_one_conversation() {
    let stack = Stack::get();
    let user = stack.member("acme");
    let rest = Rest::of(&user);
    for _ in 0..10 {
        let body = json!({
            "tenant_id": user.tenant, "agent_id": stack.agents("acme").0,
            "session_id": format!("race-{}", uuid::Uuid::new_v4()),
        });
        let answers = join_all((0..8).map(|_| rest.post("/conversations", body.clone()))).await;
        let made = answers.iter().filter(|a| a.status == 201).count();
        assert_eq!(made, 1, "{:?}", answers.iter().map(|a| a.status).collect::<Vec<_>>());
        assert!(answers.iter().all(|a| a.body["id"] == answers[0].body["id"]));
    }
}

/// proves CHAT-02
#[tokio::test]
async fn a_post_that_meets_a_gone_connection_removes_that_connection_only() {
    let stack = Stack::get();
    let user = stack.member("acme");
    let gone = Ws::session(&user).await;
    let conversation = gone.conversation();
    let mut stays = Ws::portal(&user, &conversation).await;
    drop(gone);
    for n in 0..3 {
        assert!(text_of(&stays.ask(&format!("round {n}")).await).contains("round"));
    }
    stays.ping().await;
}
