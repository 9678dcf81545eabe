//! The connection gateway against a Management API of every temper, over real sockets. AWS is not called.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test; its servers are threads, and a freeze is a blocked thread"
)]

#[path = "../../http/tests/client/server.rs"]
mod server;
#[path = "aws/stage.rs"]
mod stage;

use std::time::Duration;

use konstruct_aws::ManagementApi;
use konstruct_ports::{ConnectionGateway, PostOutcome};
use tokio::time::Instant;

use crate::server::{Connection, Server};
use crate::stage::{answering, sdk};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

fn gateway(server: &Server) -> ManagementApi {
    ManagementApi::new(&sdk(), &server.url("/dev"))
}

fn status(status: &str, kind: &str) -> String {
    let body = "{\"message\":\"secret\"}";
    format!("HTTP/1.1 {status} X\r\nx-amzn-errortype: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_frame_is_posted_to_the_stage_and_signed() {
    let server = answering([OK]);
    let outcome = gateway(&server).post("L0SM9cOFvHcCIhw=", "{\"a\":\"grüße\"}").await;
    assert_eq!(outcome, PostOutcome::Delivered);
    let request = server.noted().remove(0);
    assert!(request.starts_with("POST /dev/@connections/L0SM9cOFvHcCIhw%3D HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("/eu-central-1/execute-api/aws4_request"));
    assert!(request.contains("x-amz-security-token: session-token"));
    assert!(request.ends_with("\r\n\r\n{\"a\":\"grüße\"}"));
}

#[tokio::test]
async fn a_connection_id_cannot_leave_its_place_in_the_path() {
    let server = answering([OK]);
    gateway(&server).post("@a/../b?c#d%20 é=", "x").await;
    let request = server.noted().remove(0);
    let path = "/dev/@connections/%40a%2F..%2Fb%3Fc%23d%2520%20%C3%A9%3D";
    assert!(request.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{request}");
}

#[tokio::test]
async fn an_endpoint_may_end_in_a_slash_or_have_no_stage() {
    for (base, path) in [("/dev/", "/dev/@connections/a"), ("", "/@connections/a")] {
        let server = answering([OK]);
        let gateway = ManagementApi::new(&sdk(), &server.url(base));
        assert_eq!(gateway.post("a", "x").await, PostOutcome::Delivered);
        assert!(server.noted()[0].starts_with(&format!("POST {path} HTTP/1.1")));
    }
}

#[tokio::test]
async fn every_status_has_its_outcome_and_none_is_posted_twice() {
    for (code, kind, expected) in [
        ("410", "GoneException", PostOutcome::Gone),
        ("410", "", PostOutcome::Gone),
        ("429", "LimitExceededException", PostOutcome::Throttled),
        ("400", "BadRequestException", PostOutcome::InDoubt),
        ("403", "ForbiddenException", PostOutcome::InDoubt),
        ("413", "PayloadTooLargeException", PostOutcome::InDoubt),
        ("500", "InternalServerError", PostOutcome::InDoubt),
        ("502", "", PostOutcome::InDoubt),
        ("503", "ThrottlingException", PostOutcome::InDoubt),
        ("504", "", PostOutcome::InDoubt),
    ] {
        let server = answering([status(code, kind)]);
        assert_eq!(gateway(&server).post("a", "x").await, expected, "{code} {kind}");
        assert_eq!(server.noted().len(), 1, "{code} {kind}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_behind_the_request_is_in_doubt_and_not_posted_again() {
    let server = answering([""]);
    assert_eq!(gateway(&server).post("a", "x").await, PostOutcome::InDoubt);
    assert_eq!((server.noted().len(), server.accepted()), (1, 1));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_in_doubt() {
    let gateway = ManagementApi::new(&sdk(), "http://127.0.0.1:1/dev");
    assert_eq!(gateway.post("a", "x").await, PostOutcome::InDoubt);
    gateway.close("a").await;
}

#[tokio::test]
async fn a_silent_server_is_given_up_after_five_seconds() {
    let server = Server::new(|mut connection: Connection| {
        let request = connection.read_request();
        connection.note(request.unwrap_or_default());
        connection.report_hang_up();
    });
    let gateway = gateway(&server);
    let posting = gateway.post("a", "x");
    tokio::pin!(posting);
    while server.noted().is_empty() {
        let _ = tokio::time::timeout(Duration::from_millis(5), &mut posting).await;
    }
    tokio::time::pause();
    let began = Instant::now();
    assert_eq!(posting.await, PostOutcome::InDoubt);
    assert!(began.elapsed() <= Duration::from_secs(5) && began.elapsed() > Duration::from_secs(4));
    tokio::time::resume();
    assert!(server.hung_up().await);
}

#[tokio::test]
async fn a_connection_that_died_while_the_process_was_frozen_is_replaced() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.write(OK);
    });
    let gateway = gateway(&server);
    for round in 1..=20 {
        assert_eq!(gateway.post("a", "x").await, PostOutcome::Delivered);
        std::thread::sleep(Duration::from_millis(10));
        assert_eq!(server.accepted(), round);
    }
}

#[tokio::test]
async fn a_handshake_that_is_cut_is_tried_once_more_because_nothing_was_posted() {
    let server = Server::new(|mut connection: Connection| connection.read_some());
    let gateway = ManagementApi::new(&sdk(), &server.url("/dev").replace("http:", "https:"));
    assert_eq!(gateway.post("a", "x").await, PostOutcome::InDoubt);
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn closing_deletes_and_is_never_an_error() {
    let gone = status("410", "GoneException");
    let server = answering(["HTTP/1.1 204 X\r\n\r\n".to_owned(), gone, status("500", ""), String::new()]);
    let gateway = gateway(&server);
    for _ in 0..4 {
        gateway.close("a=").await;
    }
    let noted = server.noted();
    assert_eq!(noted.len(), 4);
    assert!(noted.iter().all(|request| request.starts_with("DELETE /dev/@connections/a%3D HTTP/1.1\r\n")));
}
