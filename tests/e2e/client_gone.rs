//! A client that is gone before its answer begins (CHAT-09): the answer is in the history and comes when he is back.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::client::{Rest, Ws, text_of};
use crate::stack::User;
use crate::trouble::Trouble;
use crate::verify::words;

/// How a client goes.
#[derive(Debug, Clone, Copy)]
enum Goes {
    /// The socket is lost and nobody is told: no `$disconnect`, posts get 410.
    Unnoticed,
    /// The socket is lost and `$disconnect` dies.
    DisconnectLost,
    /// The socket is lost without a close frame.
    Cut,
}

async fn open(trouble: &Trouble, user: &User, session: &str) -> Ws {
    let query = format!("session_id={session}");
    let mut ws = Ws::handshake_with(trouble.stack, &query, &[]).await.expect("the handshake");
    ws.send(&json!({"type": "auth", "token": user.token, "last_seq": 0})).await;
    ws.until(|f| f["type"] == "connection").await;
    ws
}

/// The gateway tells a connection's id where a function dies: a ping is let die.
async fn connection_id(trouble: &Trouble, ws: &mut Ws) -> String {
    for _ in 0..20 {
        trouble.kill("ws-control", 0, 1).await;
        ws.send(&json!({"type": "ping"})).await;
        let frame = ws.until(|f| f["type"] == "pong" || f["connectionId"].is_string()).await;
        if let Some(id) = frame["connectionId"].as_str() {
            trouble.disarm().await;
            return id.to_owned();
        }
    }
    panic!("no ping died");
}

/// proves CHAT-08, CHAT-09
#[tokio::test]
async fn an_answer_whose_client_was_gone_before_it_began_is_stored_and_comes_later() {
    let trouble = Trouble::deaths().await;
    let user = trouble.user();
    let rest = Rest::on(trouble.stack, &user);
    for goes in [Goes::Unnoticed, Goes::DisconnectLost, Goes::Cut] {
        let session = format!("gone-{}", Uuid::new_v4());
        let mut ws = open(&trouble, &user, &session).await;
        let conversation = ws.conversation();
        let connection = connection_id(&trouble, &mut ws).await;
        // An answer is under way, so that the next one has not begun when the client goes.
        let first = ws.say("/tokens 40 40").await;
        ws.until(|f| f["type"] == "ack" && f["id"] == first).await;
        let id = ws.say("/tokens 50 100").await;
        ws.until(|f| f["type"] == "ack" && f["id"] == id).await;
        match goes {
            Goes::Unnoticed => {
                trouble.arm(json!({"kind": "drop_connection", "connection_id": connection})).await;
            }
            Goes::DisconnectLost => trouble.kill("ws-disconnect", 0, 1).await,
            Goes::Cut => {}
        }
        let gone = Instant::now();
        let seen = ws.cut();
        assert!(
            !seen.iter().any(|f| f["in_reply_to"].is_string()),
            "{goes:?}: gone too late to prove anything"
        );
        let stored = stored(&rest, &conversation, &id).await;
        trouble.disarm().await;
        assert_eq!(stored["content"], words(50), "{goes:?}");
        let mut ws = open(&trouble, &user, &session).await;
        let end = ws.end_of(&id).await;
        assert_eq!((text_of(&end), &end["message_id"]), (words(50).as_str(), &stored["id"]), "{goes:?}");
        assert_eq!(ws.pieces(&end["message_id"]), words(50), "{goes:?}");
        let firsts = ws.frames.iter().filter(|f| f["in_reply_to"] == first).count();
        let ends = ws.frames.iter().filter(|f| f["in_reply_to"] == id).count();
        assert_eq!((firsts, ends), (1, 1), "{goes:?}");
        ws.ping().await;
        println!(
            "client gone ({goes:?}): whole in the history and on the next connection, {:.1} s later",
            gone.elapsed().as_secs_f64()
        );
    }
}

/// The stored answer, once it is there.
async fn stored(rest: &Rest, conversation: &str, id: &str) -> Value {
    let look = async {
        loop {
            let history = rest.history(conversation).await;
            if let Some(answer) = history.into_iter().find(|m| m["in_reply_to"] == id) {
                return answer;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(60), look).await.expect("the answer is stored though nobody is there")
}
