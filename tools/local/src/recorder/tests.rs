//! The recorder over real sockets. No test waits longer than a script tells a call to.

mod calls;
mod messages;
mod others;
mod scripts;
mod streams;
mod threads;

use axum::body::Body;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Builder;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::http_client::client;

const TOKEN: &str = "xoxb-test";
/// A thread that a person started.
const THREAD: &str = "1766458026.240809";

/// A recorder on a free port.
pub struct Fixture {
    pub port: u16,
}

impl Fixture {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(crate::server::serve(listener, super::router()));
        Self { port }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn slack(&self, method: &str) -> Builder {
        Request::post(self.url(&format!("/slack/api/{method}")))
            .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
    }

    /// Status, headers and body; a body that is no JSON is null.
    pub async fn send(&self, request: Builder, body: impl Into<Body>) -> (u16, HeaderMap, Value) {
        let response = client().request(request.body(body.into()).unwrap()).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, headers, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// A JSON call of Slack's that is answered 200.
    pub async fn call(&self, method: &str, arguments: Value) -> Value {
        let request = self.slack(method).header(CONTENT_TYPE, "application/json; charset=utf-8");
        let (status, _, body) = self.send(request, arguments.to_string()).await;
        assert_eq!(status, 200, "{method}");
        body
    }

    /// A call that Slack refuses.
    pub async fn refused(&self, method: &str, arguments: Value, error: &str) {
        let told = arguments.to_string().chars().take(200).collect::<String>();
        let answer = self.call(method, arguments).await;
        assert_eq!(answer, json!({"ok": false, "error": error}), "{method} {told}");
    }

    /// Posts into C1; its ts.
    pub async fn post(&self, text: &str) -> String {
        ts(&self.call("chat.postMessage", json!({"channel": "C1", "text": text, "thread_ts": THREAD})).await)
    }

    /// Starts a stream in C1; its ts.
    pub async fn stream(&self) -> String {
        let arguments = json!({
            "channel": "C1", "thread_ts": THREAD, "recipient_team_id": "T1", "recipient_user_id": "U1",
        });
        ts(&self.call("chat.startStream", arguments).await)
    }

    /// Our posts in the thread.
    pub async fn thread(&self) -> Vec<Value> {
        let answer = self.call("conversations.replies", json!({"channel": "C1", "ts": THREAD})).await;
        assert_eq!(answer["ok"], true);
        answer["messages"].as_array().unwrap().clone()
    }

    pub async fn texts(&self) -> Vec<String> {
        self.thread().await.iter().map(|message| message["text"].as_str().unwrap().to_string()).collect()
    }

    pub async fn calls(&self, channel: &str) -> Vec<Value> {
        let request = Request::get(self.url(&format!("/_recorder/calls?channel={channel}")));
        let (status, _, body) = self.send(request, Body::empty()).await;
        assert_eq!(status, 200);
        body.as_array().unwrap().clone()
    }

    /// Arms a script; the status it is answered.
    pub async fn script(&self, script: Value) -> u16 {
        let request = Request::post(self.url("/_recorder/script"));
        let request = request.header(CONTENT_TYPE, "application/json");
        self.send(request, script.to_string()).await.0
    }
}

/// The ts of an answer, which must be well.
pub fn ts(answer: &Value) -> String {
    assert_eq!(answer["ok"], true, "{answer}");
    let ts = answer["ts"].as_str().unwrap().to_string();
    let (seconds, micros) = ts.split_once('.').unwrap();
    assert!(seconds.len() == 10 && micros.len() == 6, "{ts}");
    ts
}
