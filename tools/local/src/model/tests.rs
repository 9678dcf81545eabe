//! The model over real sockets.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::calls::Calls;
use super::server::router;
use crate::http_client::client;

async fn start() -> (u16, Arc<Calls>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let calls = Arc::new(Calls::default());
    tokio::spawn(crate::server::serve(listener, router(calls.clone())));
    (port, calls)
}

async fn send(port: u16, messages: Value, stream: bool) -> http::Response<hyper::body::Incoming> {
    let body = json!({"model": "x", "stream": stream, "stream_options": {"include_usage": true}, "messages": messages});
    let request = http::Request::post(format!("http://127.0.0.1:{port}/v1/chat/completions"))
        .body(Body::from(body.to_string()));
    client().request(request.unwrap()).await.unwrap()
}

async fn ask(port: u16, text: &str) -> (u16, String) {
    let messages = json!([{"role": "system", "content": "be kind"}, {"role": "user", "content": text}]);
    let response = send(port, messages, true).await;
    let status = response.status().as_u16();
    (status, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

fn chunks(text: &str) -> Vec<Value> {
    let lines: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(lines.last(), Some(&"[DONE]"));
    lines[..lines.len() - 1].iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn pieces(text: &str) -> Vec<String> {
    let deltas = chunks(text)
        .into_iter()
        .filter_map(|chunk| chunk.pointer("/choices/0/delta/content")?.as_str().map(str::to_string));
    deltas.filter(|piece| !piece.is_empty()).collect()
}

#[tokio::test]
async fn words_come_one_a_piece_at_their_rate_with_the_usage_last() {
    let (port, calls) = start().await;
    let began = Instant::now();
    let (_, text) = ask(port, "/tokens 21 100").await;
    let took = began.elapsed();
    assert_eq!(pieces(&text).concat(), (1..=21).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" "));
    assert!(took > Duration::from_millis(195) && took < Duration::from_millis(400), "{took:?}");
    assert_eq!(chunks(&text).last().unwrap()["usage"]["completion_tokens"], 21);
    assert_eq!(calls.as_json()[0]["outcome"], "finished");
}

#[tokio::test]
async fn ordinary_text_is_answered_with_itself_verbatim() {
    let (port, _) = start().await;
    assert!(pieces(&ask(port, "Grüße 👋 {x}").await.1).concat().contains("Grüße 👋 {x}"));
    assert_eq!(pieces(&ask(port, "/system").await.1).concat(), "be kind");
    let history: Value = serde_json::from_str(&pieces(&ask(port, "/history").await.1).concat()).unwrap();
    assert_eq!(history[1], json!({"role": "user", "content": "/history"}));
}

#[tokio::test]
async fn a_tool_is_called_and_its_result_told() {
    let (port, _) = start().await;
    let deltas = chunks(&ask(port, "/tool find not JSON").await.1);
    let arguments: String = deltas
        .iter()
        .filter_map(|chunk| chunk.pointer("/choices/0/delta/tool_calls/0/function/arguments")?.as_str())
        .collect();
    assert_eq!(arguments, "not JSON");
    let messages = json!([{"role": "user", "content": "/tool find x"}, {"role": "assistant", "content": null},
        {"role": "tool", "tool_call_id": "c", "content": "it is 42"}]);
    let answer = send(port, messages, false).await.into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert!(answer["choices"][0]["message"]["content"].as_str().unwrap().contains("it is 42"));
}

#[tokio::test]
async fn errors_fail_as_told() {
    let (port, calls) = start().await;
    assert_eq!(ask(port, "/error 529").await.0, 529);
    assert_eq!(ask(port, "/error 500 once").await.0, 500);
    assert_eq!(ask(port, "/error 500 once").await.0, 200);
    let messages = json!([{"role": "user", "content": "/error midstream"}]);
    assert!(send(port, messages, true).await.into_body().collect().await.is_err());
    let outcomes: Vec<_> =
        calls.as_json().as_array().unwrap().iter().map(|call| call["outcome"].clone()).collect();
    assert_eq!(outcomes, ["failed", "failed", "finished", "failed"]);
}

#[tokio::test]
async fn a_client_that_hangs_up_is_noticed() {
    let (port, calls) = start().await;
    for text in ["/error hang", "/tokens 1000 10"] {
        drop(send(port, json!([{"role": "user", "content": text}]), true).await);
        let mut tries = 0;
        while calls.as_json().as_array().unwrap().is_empty() {
            tries += 1;
            assert!(tries < 100, "{text}: not noticed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(calls.as_json()[0]["outcome"], "cut", "{text}");
        calls.clear();
    }
}
