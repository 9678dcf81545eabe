//! What a client sees of `$connect` (contracts.md 1.4 and 1.6).

use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::fixture::{Gateway, Limits, crash, gateway, ok, with};
use crate::http_client::client;
use crate::lambda::Outcome;

async fn refused(answer: impl Fn() -> (Duration, Outcome) + Send + Sync + 'static) -> u16 {
    let limits = Limits { integration: Duration::from_millis(100), ..Limits::default() };
    let gateway = with(limits, move |_, _| answer()).await;
    match connect_async(format!("ws://127.0.0.1:{}/ws", gateway.port)).await {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn the_functions_status_is_passed_on() {
    assert_eq!(refused(|| ok(&json!({"statusCode": 403, "body": "no"}))).await, 403);
    assert_eq!(refused(|| ok(&json!({"statusCode": 503}))).await, 503);
    assert_eq!(refused(|| ok(&json!({"statusCode": 302}))).await, 302);
}

#[tokio::test]
async fn a_function_that_fails_is_502() {
    assert_eq!(refused(crash).await, 502);
    assert_eq!(refused(|| ok(&json!("no status"))).await, 502);
    assert_eq!(refused(|| (Duration::from_secs(5), ok(&json!({"statusCode": 200})).1)).await, 502);
}

#[tokio::test]
async fn every_2xx_lets_in() {
    let gateway = with(Limits::default(), |_, _| ok(&json!({"statusCode": 201}))).await;
    gateway.open().await;
}

#[tokio::test]
async fn plain_http_is_426() {
    let gateway = gateway().await;
    let response =
        client().get(format!("http://127.0.0.1:{}/ws", gateway.port).parse().unwrap()).await.unwrap();
    assert_eq!(response.status(), 426);
    assert!(gateway.called().is_empty());
}

async fn protocol(gateway: &Gateway) -> Option<HeaderValue> {
    let mut request = format!("ws://127.0.0.1:{}/ws", gateway.port).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("a, b"));
    // A client may refuse a handshake without a protocol; what it was sent is the same.
    match connect_async(request).await {
        Ok((_, response)) => response.headers().get("sec-websocket-protocol").cloned(),
        Err(_) => None,
    }
}

#[tokio::test]
async fn a_subprotocol_is_echoed_only_where_the_function_says_so() {
    assert_eq!(protocol(&gateway().await).await, None);
    let answer = json!({"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "b"}});
    let gateway = with(Limits::default(), move |_, _| ok(&answer)).await;
    assert_eq!(protocol(&gateway).await.unwrap(), "b");
}

#[tokio::test]
async fn the_connect_event_is_as_awss() {
    let gateway = gateway().await;
    gateway.open().await;
    let event = gateway.event("$connect", 0).await;
    assert_eq!(event["queryStringParameters"], json!({"a": "2"}));
    assert_eq!(event["multiValueQueryStringParameters"], json!({"a": ["1", "2"]}));
    assert_eq!(event["headers"]["Sec-WebSocket-Version"], "13");
    assert_eq!(event["headers"].get("Upgrade"), None);
    let context = &event["requestContext"];
    assert_eq!((&context["routeKey"], &context["eventType"]), (&json!("$connect"), &json!("CONNECT")));
    for field in ["requestId", "domainName", "stage", "apiId", "requestTimeEpoch", "connectedAt"] {
        assert!(!context[field].is_null(), "{field}");
    }
    assert_eq!(context.get("messageId"), None);
}

#[tokio::test]
async fn without_a_query_there_are_no_parameters() {
    let gateway = gateway().await;
    connect_async(format!("ws://127.0.0.1:{}/ws", gateway.port)).await.unwrap();
    let event: Value = gateway.event("$connect", 0).await;
    assert_eq!(event.get("queryStringParameters"), None);
}
