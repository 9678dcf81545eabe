//! The client against servers that behave as they do in the worst of hours. All of them are local.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test; its servers are threads, and a freeze is a blocked thread"
)]

#[path = "client/server.rs"]
mod server;

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use konstruct_http::{Client, ClientConfig, HttpError, Response};

use crate::server::{Connection, Server};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn client() -> Client {
    Client::new(ClientConfig { allow_plain: true, ..ClientConfig::default() })
}

fn post(url: &str) -> Request<Bytes> {
    Request::post(url).body(Bytes::from_static(b"hello")).unwrap()
}

async fn whole(answer: Response) -> Bytes {
    answer.body.collect(1024).await.unwrap()
}

#[tokio::test]
async fn an_answer_streams_as_it_comes() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n");
        assert_eq!(connection.wait(), "go");
        connection.write("3\r\ntwo\r\n0\r\n\r\n");
    });
    let mut answer = client().send(post(&server.url("/"))).await.unwrap();
    assert_eq!(answer.body.chunk().await, Ok(Some(Bytes::from_static(b"one"))));
    let dropped = tokio::time::timeout(Duration::from_millis(20), answer.body.chunk()).await;
    assert!(dropped.is_err());
    server.tell("go");
    assert_eq!(answer.body.chunk().await, Ok(Some(Bytes::from_static(b"two"))));
    assert_eq!(answer.body.chunk().await, Ok(None));
    assert_eq!(answer.body.chunk().await, Ok(None));
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let server = Server::new(|mut connection: Connection| {
        while connection.read_request().is_some() {
            connection.write(OK);
        }
    });
    let client = client();
    for _ in 0..3 {
        assert_eq!(whole(client.send(post(&server.url("/"))).await.unwrap()).await, "ok");
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.write("HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n");
    });
    let answer = client().send(post(&server.url("/"))).await.unwrap();
    assert_eq!((answer.status.as_u16(), server.accepted()), (302, 1));
    assert_eq!(answer.headers["location"], "/elsewhere");
}

#[tokio::test]
async fn the_request_arrives_as_it_was_meant() {
    let server = Server::new(|mut connection: Connection| {
        let request = connection.read_request().unwrap().to_lowercase();
        let whole = request.starts_with("post /a%20b?c=d http/1.1\r\n")
            && request.contains("\r\nhost: 127.0.0.1:")
            && request.contains("\r\ncontent-length: 5\r\n")
            && request.ends_with("\r\n\r\nhello");
        connection.write(if whole { OK } else { "HTTP/1.1 500 Wrong\r\ncontent-length: 0\r\n\r\n" });
    });
    assert_eq!(client().send(post(&server.url("/a%20b?c=d"))).await.unwrap().status, 200);
}

/// Serves one request per connection, promises to keep it, and closes it.
fn forgetful() -> Server {
    Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.write(OK);
    })
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_replaced() {
    let server = forgetful();
    let client = client();
    for round in 1..=3 {
        assert_eq!(whole(client.send(post(&server.url("/"))).await.unwrap()).await, "ok");
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(server.accepted(), round);
    }
}

#[tokio::test]
async fn a_connection_that_died_while_the_process_was_frozen_is_replaced() {
    let server = forgetful();
    let client = client();
    for round in 1..=20 {
        assert_eq!(whole(client.send(post(&server.url("/"))).await.unwrap()).await, "ok");
        // Nothing of this runtime runs meanwhile, as in a frozen Lambda.
        std::thread::sleep(Duration::from_millis(10));
        assert_eq!(server.accepted(), round);
    }
}

#[tokio::test]
async fn a_connection_that_idled_too_long_is_not_used_again() {
    let server = Server::new(|mut connection: Connection| {
        while connection.read_request().is_some() {
            connection.write(OK);
        }
    });
    let idle_timeout = Duration::from_millis(40);
    let client = Client::new(ClientConfig { allow_plain: true, idle_timeout, ..ClientConfig::default() });
    for _ in 0..2 {
        assert_eq!(whole(client.send(post(&server.url("/"))).await.unwrap()).await, "ok");
        std::thread::sleep(Duration::from_millis(80));
    }
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn dropping_a_body_hangs_up() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n");
        connection.report_hang_up();
    });
    let mut answer = client().send(post(&server.url("/"))).await.unwrap();
    answer.body.chunk().await.unwrap();
    drop(answer);
    assert!(server.hung_up().await);
}

#[tokio::test]
async fn dropping_a_request_hangs_up() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.report_hang_up();
    });
    let client = client();
    let waiting = client.send(post(&server.url("/")));
    assert!(tokio::time::timeout(Duration::from_millis(50), waiting).await.is_err());
    assert!(server.hung_up().await);
}

#[tokio::test]
async fn a_body_that_is_cut_is_an_error() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
    });
    let mut answer = client().send(post(&server.url("/"))).await.unwrap();
    assert_eq!(answer.body.chunk().await, Ok(Some(Bytes::from_static(b"half"))));
    let error = answer.body.chunk().await.unwrap_err();
    assert!(matches!(error, HttpError::Broken { .. }) && error.is_retryable(), "{error}");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_not_collected() {
    let server = forgetful();
    let answer = client().send(post(&server.url("/"))).await.unwrap();
    assert_eq!(answer.body.collect(1).await, Err(HttpError::TooLarge { limit: 1 }));
}

#[tokio::test]
async fn errors_say_where_and_why_and_not_what() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
    });
    let error = client().send(post(&server.url("/secret?key=secret"))).await.unwrap_err();
    assert_eq!(error.to_string(), "connection to 127.0.0.1 broke: closed in the middle of a message");
    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.write("secret words\r\n\r\n");
    });
    let error = client().send(post(&server.url("/secret"))).await.unwrap_err();
    assert_eq!(error.to_string(), "connection to 127.0.0.1 broke: not HTTP");
    let error = client().send(post("http://127.0.0.1:1/secret")).await.unwrap_err();
    assert_eq!(error.to_string(), "no connection to 127.0.0.1: connection refused");
}

#[tokio::test]
async fn a_handshake_that_is_cut_is_tried_once_more() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_some();
    });
    let url = server.url("/").replace("http:", "https:");
    let error = client().send(post(&url)).await.unwrap_err();
    assert!(matches!(error, HttpError::Connect { .. }), "{error}");
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_handshake_that_hangs_is_given_up() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_some();
        connection.report_hang_up();
    });
    let url = server.url("/").replace("http:", "https:");
    let connect_timeout = Duration::from_millis(150);
    let client = Client::new(ClientConfig { connect_timeout, ..ClientConfig::default() });
    let error = client.send(post(&url)).await.unwrap_err();
    assert_eq!(error, HttpError::ConnectTimeout { host: "127.0.0.1".to_owned() });
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_named_so() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_some();
        connection.write("HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let url = server.url("/").replace("http:", "https:");
    let error = client().send(post(&url)).await.unwrap_err();
    assert!(error.to_string().starts_with("no connection to 127.0.0.1: TLS: "), "{error}");
}
