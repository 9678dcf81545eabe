//! Slack's Web API over real sockets, against servers of every temper. Slack itself is never called.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test; its servers are threads"
)]

#[path = "../../http/tests/client/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::time::Duration;

use konstruct_channels::slack::api::{ApiError, Body, BotToken, Post, SlackApi};
use konstruct_channels::slack::place::Place;
use konstruct_channels::slack::ts::Ts;
use konstruct_http::{Client, ClientConfig};
use konstruct_ports::ChannelToken;

use crate::server::Server;

const LIMIT: Duration = Duration::from_secs(10);

fn place() -> Place {
    let entries = [("workspace_id", "T1"), ("room", "C1"), ("ts", "1.000002"), ("user_id", "U1")];
    let metadata: BTreeMap<String, String> =
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Place::from_metadata(&metadata).unwrap()
}

async fn post(base_url: &str, limit: Duration) -> Result<Ts, ApiError> {
    let client = Client::new(ClientConfig { allow_plain: true, ..ClientConfig::default() });
    let api = SlackApi::new(client, base_url).unwrap();
    let token = BotToken::new(&ChannelToken::new("xoxb-secret".to_owned())).unwrap();
    let post = Post { body: Body::Mrkdwn("hi"), marker: None };
    api.post_message(&token, &place(), &post, limit).await
}

fn says(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

async fn answered(answer: String) -> Result<Ts, ApiError> {
    let server = Server::new(move |mut connection| {
        if let Some(request) = connection.read_request() {
            connection.note(request);
            connection.write(&answer);
        }
    });
    let posted = post(&server.url("/slack/api"), LIMIT).await;
    let request = server.noted().concat();
    assert!(request.starts_with("POST /slack/api/chat.postMessage HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: Bearer xoxb-secret\r\n"), "{request}");
    assert!(request.contains("content-type: application/json; charset=utf-8\r\n"), "{request}");
    posted
}

/// proves SLACK-04
#[tokio::test]
async fn what_slack_answers_is_told_apart() {
    let ts = answered(says("200 OK", "", r#"{"ok":true,"ts":"1.000003"}"#)).await.unwrap();
    assert_eq!(ts.as_str(), "1.000003");
    let limited = answered(says("429 Too Many Requests", "Retry-After: 30\r\n", "wait")).await;
    assert_eq!(limited, Err(ApiError::RateLimited { retry_after: Duration::from_secs(30) }));
    let refused = answered(says("200 OK", "", r#"{"ok":false,"error":"not_in_channel"}"#)).await;
    assert!(matches!(refused, Err(ApiError::Refused(code)) if code.as_str() == "not_in_channel"));
    assert_eq!(answered(says("502 Bad Gateway", "", "<html>")).await, Err(ApiError::InDoubt));
}

#[tokio::test]
async fn half_an_answer_none_or_far_too_much_is_in_doubt() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"ok\":tr".to_owned();
    assert_eq!(answered(half).await, Err(ApiError::InDoubt));
    assert_eq!(answered(String::new()).await, Err(ApiError::InDoubt));
    let much = says("200 OK", "", &" ".repeat(5 * 1024 * 1024));
    assert_eq!(answered(much).await, Err(ApiError::InDoubt));
}

#[tokio::test]
async fn silence_is_in_doubt_and_hung_up_on() {
    let server = Server::new(|mut connection| {
        connection.read_request();
        connection.report_hang_up();
    });
    assert_eq!(post(&server.url("/api"), Duration::from_millis(200)).await, Err(ApiError::InDoubt));
    assert!(server.hung_up().await);
}

#[tokio::test]
async fn what_could_not_be_sent_did_not_happen() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let unreachable = post(&format!("http://127.0.0.1:{port}/api"), LIMIT).await.unwrap_err();
    assert_eq!(unreachable, ApiError::Unreachable);
    assert!(!format!("{unreachable:?} {unreachable}").contains("secret"));
}
