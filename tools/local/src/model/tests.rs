//! The model over real sockets. Its other wire is tested in `anthropic`.

mod anthropic;

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

/// What arrives until `enough` of it has; an end or a cut ends it, too.
async fn arriving(body: &mut hyper::body::Incoming, enough: impl Fn(&str) -> bool) -> String {
    let mut bytes = Vec::new();
    while !enough(&String::from_utf8_lossy(&bytes)) {
        let frame = tokio::time::timeout(Duration::from_secs(20), body.frame()).await.unwrap();
        let Some(Ok(frame)) = frame else { break };
        bytes.extend_from_slice(frame.data_ref().unwrap());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn begun(text: &str) -> Value {
    serde_json::from_str(text.split("\n\n").next().unwrap().strip_prefix("data: ").unwrap()).unwrap()
}

#[tokio::test]
async fn every_stream_begins_at_once_with_the_role_and_the_tokens_of_the_prompt() {
    let (port, calls) = start().await;
    for text in ["/slow 600000", "/error hang", "/error garbage", "/tokens 1000 0.001"] {
        let mut body = send(port, json!([{"role": "user", "content": text}]), true).await.into_body();
        let first = begun(&arriving(&mut body, |text| text.contains("\n\n")).await);
        assert_eq!(first["choices"][0]["delta"]["role"], "assistant", "{text}");
        let usage = json!({"prompt_tokens": text.split(' ').count(), "completion_tokens": 0,
            "total_tokens": text.split(' ').count()});
        assert_eq!(first["usage"], usage, "{text}");
    }
    let mut garbage =
        send(port, json!([{"role": "user", "content": "/error garbage"}]), true).await.into_body();
    assert!(arriving(&mut garbage, |_| false).await.contains("<<<garbage>>>"));
    let listed = calls.as_json();
    let garbage = listed.as_array().unwrap().iter().find(|call| call["outcome"] == "failed").unwrap();
    assert_eq!((&garbage["prompt_tokens"], &garbage["completion_tokens"]), (&json!(2), &json!(0)));
}

#[tokio::test]
async fn every_chunk_tells_the_usage_so_far_where_it_is_asked_for() {
    let (port, calls) = start().await;
    let told = |text: &str| -> Vec<u64> {
        let tokens = |chunk: Value| chunk["usage"]["completion_tokens"].as_u64();
        chunks(text).into_iter().map(tokens).collect::<Option<_>>().unwrap()
    };
    let text = ask(port, "/tokens 3 0").await.1;
    assert_eq!(told(&text), [0, 1, 2, 3, 3, 3]);
    assert_eq!(chunks(&text).last().unwrap()["choices"], json!([]));
    assert_eq!(told(&ask(port, "/tool find a b").await.1), [1, 2, 3, 3, 3]);
    assert_eq!(calls.as_json()[1]["completion_tokens"], 3);
    let body = json!({"stream": true, "messages": [{"role": "user", "content": "/tokens 3 0"}]});
    let request = http::Request::post(format!("http://127.0.0.1:{port}/v1/chat/completions"));
    let response = client().request(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let plain = chunks(std::str::from_utf8(&bytes).unwrap());
    assert_eq!(plain.len(), 5);
    assert!(plain.iter().all(|chunk| chunk.get("usage").is_none()));
}

#[tokio::test]
async fn what_is_listed_of_a_stream_that_is_cut_in_the_middle_was_sent() {
    let (port, calls) = start().await;
    for _ in 0..50 {
        let messages = json!([{"role": "user", "content": "/error midstream"}]);
        let mut body = send(port, messages, true).await.into_body();
        let text = arriving(&mut body, |_| false).await;
        let last = text.trim_end().rsplit("data: ").next().unwrap();
        let last: Value = serde_json::from_str(last).unwrap();
        assert_eq!(last["usage"]["completion_tokens"], 3);
    }
    for call in calls.as_json().as_array().unwrap() {
        assert_eq!((&call["completion_tokens"], &call["outcome"]), (&json!(3), &json!("failed")));
    }
}
