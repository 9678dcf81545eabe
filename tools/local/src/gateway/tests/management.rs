//! The Management API (contracts.md 1.7).

use std::time::Duration;

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::fixture::{Limits, closed, gateway, ok, text, with};
use crate::faults::Fault;
use crate::gateway::frames::FRAME_MAX;
use crate::gateway::registry::Ending;

#[tokio::test]
async fn a_post_reaches_its_connection_as_it_is() {
    let gateway = gateway().await;
    let mut client = gateway.open().await;
    let id = gateway.connection_id(0).await;
    assert_eq!(gateway.manage("POST", &id, "hé").await.0, 200);
    assert_eq!(text(&mut client).await, "hé");
    assert_eq!(gateway.manage("POST", &id, "x".repeat(FRAME_MAX)).await.0, 200);
    assert_eq!(gateway.manage("POST", &id, "x".repeat(FRAME_MAX + 1)).await.0, 413);
    assert_eq!(gateway.manage("POST", "unknown=", "x").await.0, 410);
    assert_eq!(gateway.posts.as_json()["by_status"], json!({"200": 2, "410": 1, "413": 1}));
}

#[tokio::test]
async fn a_connection_can_be_looked_at_and_closed() {
    let gateway = gateway().await;
    let mut client = gateway.open().await;
    let id = gateway.connection_id(0).await;
    let (status, body) = gateway.manage("GET", &id, "").await;
    let shown: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &shown["identity"]["sourceIp"]), (200, &json!("127.0.0.1")));
    assert!(shown["connectedAt"].as_str().unwrap().ends_with('Z'));
    assert_eq!(gateway.manage("POST", &id, "last words").await.0, 200);
    assert_eq!(gateway.manage("DELETE", &id, "").await.0, 204);
    for method in ["POST", "GET", "DELETE"] {
        assert_eq!(gateway.manage(method, &id, "").await.0, 410, "{method}");
    }
    assert_eq!(text(&mut client).await, "last words");
    assert_eq!(closed(&mut client).await.map(|frame| frame.code.into()), Some(1000));
    assert_eq!(gateway.event("$disconnect", 0).await["requestContext"]["disconnectStatusCode"], 1000);
}

#[tokio::test]
async fn a_post_before_connect_has_returned_is_410() {
    let gateway =
        with(Limits::default(), |_, _| (Duration::from_millis(200), ok(&json!({"statusCode": 200})).1)).await;
    let (_client, early) = tokio::join!(gateway.open(), async {
        let id = gateway.connection_id(0).await;
        (gateway.manage("POST", &id, "x").await.0, id)
    });
    assert_eq!(early.0, 410);
    assert_eq!(gateway.manage("POST", &early.1, "x").await.0, 200);
}

#[tokio::test]
async fn a_client_that_does_not_read_gets_429_and_holds_up_nobody() {
    let gateway = gateway().await;
    let _slow = gateway.open().await;
    let id = gateway.connection_id(0).await;
    let began = tokio::time::Instant::now();
    let mut status = 200;
    for _ in 0..2000 {
        status = gateway.manage("POST", &id, "x".repeat(FRAME_MAX)).await.0;
        if status != 200 {
            break;
        }
    }
    assert_eq!(status, 429);
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_cut_connection_gets_no_disconnect() {
    let gateway = gateway().await;
    let mut client = gateway.open().await;
    let id = gateway.connection_id(0).await;
    let connection = gateway.connections.get(&id).unwrap();
    gateway.connections.remove(&id);
    connection.end(Ending::Cut);
    assert_eq!(closed(&mut client).await, None);
    assert_eq!(gateway.manage("POST", &id, "x").await.0, 410);
    // A second connection's `$disconnect` comes after the one that must not come.
    let mut second = gateway.open().await;
    second.send(Message::Close(None)).await.unwrap();
    gateway.event("$disconnect", 0).await;
    assert_eq!(gateway.called().iter().filter(|name| *name == "$disconnect").count(), 1);
}

#[tokio::test]
async fn injected_statuses_are_counted_and_reach_nobody() {
    let gateway = gateway().await;
    let mut client = gateway.open().await;
    let id = gateway.connection_id(0).await;
    gateway.faults.arm(Fault::ManagementStatus { status: 429, times: 1 });
    gateway.faults.arm(Fault::ManagementStatus { status: 500, times: 1 });
    assert_eq!(gateway.manage("POST", &id, "a").await.0, 429);
    assert_eq!(gateway.manage("POST", &id, "b").await.0, 500);
    assert_eq!(gateway.manage("POST", &id, "c").await.0, 200);
    assert_eq!(text(&mut client).await, "c");
    assert_eq!(gateway.posts.as_json()["posts"], 3);
}
