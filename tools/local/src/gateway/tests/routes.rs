//! Frames on their way to functions.

use std::time::Duration;

use futures_util::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::fixture::{Limits, crash, gateway, ok, text, with};

#[tokio::test]
async fn a_frame_takes_the_route_its_body_names() {
    let gateway = gateway().await;
    let mut client = gateway.open().await;
    for body in [r#"{"type":"message"}"#, r#"{"type":"unknown"}"#, r#"{"type":"$connect"}"#, "no JSON"] {
        client.send(Message::text(body)).await.unwrap();
    }
    let event = gateway.event("message", 0).await;
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!(r#"{"type":"message"}"#), &json!(false)));
    assert_eq!((event.get("headers"), event.get("queryStringParameters")), (None, None));
    assert_eq!(event["requestContext"]["routeKey"], "message");
    assert_eq!(event["requestContext"]["eventType"], "MESSAGE");
    assert!(event["requestContext"]["messageId"].is_string());
    gateway.event("$default", 2).await;
    assert_eq!(gateway.called(), ["$connect", "message", "$default", "$default", "$default"]);
}

#[tokio::test]
async fn a_function_that_fails_gets_the_gateways_own_frame() {
    let limits = Limits { integration: Duration::from_millis(100), ..Limits::default() };
    let gateway = with(limits, |function, _| match function {
        "message" => crash(),
        "other" => (Duration::from_secs(60), ok(&json!({})).1),
        _ => ok(&json!({"statusCode": 200})),
    })
    .await;
    let mut client = gateway.open().await;
    for route in ["message", "other"] {
        client.send(Message::text(json!({"type": route}).to_string())).await.unwrap();
        let frame = text(&mut client).await;
        let context = gateway.event(route, 0).await["requestContext"].clone();
        let (connection, request) =
            (context["connectionId"].as_str().unwrap(), context["requestId"].as_str().unwrap());
        assert_eq!(
            frame,
            format!(
                r#"{{"message": "Internal server error", "connectionId":"{connection}", "requestId":"{request}"}}"#
            )
        );
    }
}

#[tokio::test]
async fn what_a_function_answers_is_never_sent() {
    let gateway = with(Limits::default(), |function, _| match function {
        "message" => ok(&json!({"statusCode": 500, "body": "never to be sent"})),
        "other" => crash(),
        _ => ok(&json!({"statusCode": 200})),
    })
    .await;
    let mut client = gateway.open().await;
    client.send(Message::text(r#"{"type":"message"}"#)).await.unwrap();
    gateway.event("message", 0).await;
    client.send(Message::text(r#"{"type":"other"}"#)).await.unwrap();
    assert!(text(&mut client).await.contains("Internal server error"));
}

#[tokio::test]
async fn frames_are_started_in_order_and_none_waits_for_another() {
    let gateway = with(Limits::default(), |function, _| match function {
        "$connect" => ok(&json!({"statusCode": 200})),
        _ => (Duration::from_secs(1), ok(&json!({"statusCode": 200})).1),
    })
    .await;
    let mut client = gateway.open().await;
    let began = tokio::time::Instant::now();
    for n in 0..50 {
        client.send(Message::text(json!({"type": "message", "n": n}).to_string())).await.unwrap();
    }
    let last = gateway.event("message", 49).await;
    assert!(began.elapsed() < Duration::from_millis(900), "they waited for each other");
    assert_eq!(last["body"], r#"{"n":49,"type":"message"}"#);
}
