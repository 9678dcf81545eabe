//! The Anthropic provider against servers of every temper, over real sockets. No real provider is called.

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
#[path = "llm/stage.rs"]
mod stage;

use std::sync::Arc;
use std::time::Duration;

use konstruct_domain::Provider;
use konstruct_llm::{Anthropic, AnthropicConfig};
use konstruct_ports::{LanguageModel, ModelError, ModelEvent, ModelRequest, StopReason};

use crate::server::{Connection, Server};
use crate::stage::{
    END, STREAM, answering, call, chunk, client, drain, refuse, streaming, tenants_request, text, usage,
};

fn event(data: &str) -> String {
    let name = data.split('"').nth(3).unwrap();
    format!("event: {name}\ndata: {data}\n\n")
}

fn begins() -> String {
    event(
        r#"{"type":"message_start","message":{"id":"msg_1","content":[],"usage":{"input_tokens":5,"output_tokens":1}}}"#,
    )
}

fn says(text: &str) -> String {
    event(&format!(
        r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}"#
    ))
}

fn stops(reason: &str) -> String {
    let delta = format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}"}},"usage":{{"output_tokens":9}}}}"#
    );
    event(&delta) + &event(r#"{"type":"message_stop"}"#)
}

fn provider(server: &Server) -> Anthropic {
    let config = AnthropicConfig { base_url: server.url(""), keys: stage::keys("sk-secret") };
    Anthropic::new(client(), &config).unwrap()
}

fn request() -> ModelRequest {
    stage::request(Provider::Anthropic)
}

async fn answer(server: &Server) -> (Vec<ModelEvent>, Option<ModelError>) {
    drain(provider(server).ask(&request()).await.unwrap()).await
}

async fn refusal(answer: String) -> ModelError {
    stage::refusal(&provider(&answering(answer)), &request()).await
}

/// proves AGNT-02
#[tokio::test]
async fn the_request_has_key_version_path_and_body() {
    let server = answering(format!("{STREAM}0\r\n\r\n"));
    assert!(provider(&server).ask(&request()).await.is_ok());
    let request = server.noted().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{head}");
    for header in [
        "x-api-key: sk-secret",
        "anthropic-version: 2023-06-01",
        "content-type: application/json",
        "accept: text/event-stream",
    ] {
        assert!(head.contains(&format!("\r\n{header}")), "{header} in {head}");
    }
    assert!(!head.contains("authorization"), "{head}");
    let expected = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"stream":true}"#;
    assert_eq!(body, expected);
}

/// proves AGNT-02
#[tokio::test]
async fn a_tenants_key_goes_in_place_of_the_platforms() {
    let server = answering(format!("{STREAM}{}0\r\n\r\n", chunk(&stops("end_turn"))));
    let stream = provider(&server).ask(&tenants_request(Provider::Anthropic, "sk-tenant")).await.unwrap();
    assert_eq!(drain(stream).await.1, None);
    let request = server.noted().remove(0);
    assert!(request.contains("x-api-key: sk-tenant\r\n") && !request.contains("sk-secret"), "{request}");

    let server = answering("");
    let error = stage::refusal(&provider(&server), &tenants_request(Provider::Anthropic, "a\nb")).await;
    assert!(!error.is_retryable() && server.noted().is_empty());
}

#[tokio::test]
async fn one_connection_serves_one_answer_after_another() {
    let server = streaming(begins() + &says("Hello") + &stops("end_turn"));
    let provider = provider(&server);
    for _ in 0..3 {
        let answer = drain(provider.ask(&request()).await.unwrap()).await;
        assert_eq!(answer, (vec![usage(5, 1), text("Hello"), usage(5, 9), END], None));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.accepted(), 1);
}

/// proves AGNT-02
#[tokio::test]
async fn text_and_what_it_has_cost_are_passed_on_before_more_has_come() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.write(&format!("{STREAM}{}", chunk(&(begins() + &says("one")))));
        connection.wait();
        connection.write(&format!("{}0\r\n\r\n", chunk(&(says("two") + &stops("end_turn")))));
    });
    let mut stream = provider(&server).ask(&request()).await.unwrap();
    assert_eq!(stream.next().await, Ok(Some(usage(5, 1))));
    assert_eq!(stream.next().await, Ok(Some(text("one"))));
    assert!(tokio::time::timeout(Duration::from_millis(20), stream.next()).await.is_err());
    server.tell("go");
    assert_eq!(drain(stream).await, (vec![text("two"), usage(5, 9), END], None));
}

#[tokio::test]
async fn nothing_is_lost_to_a_caller_who_keeps_dropping_next() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.write(STREAM);
        for byte in format!("{}{}{}", says("one"), says("zwölf"), stops("end_turn")).as_bytes() {
            connection.write_bytes(b"1\r\n");
            connection.write_bytes(&[*byte]);
            connection.write_bytes(b"\r\n");
            std::thread::sleep(Duration::from_micros(300));
        }
        connection.write("0\r\n\r\n");
    });
    let mut stream = provider(&server).ask(&request()).await.unwrap();
    let mut events = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_micros(100), stream.next()).await {
            Err(_) => {}
            Ok(Ok(Some(event))) => events.push(event),
            Ok(ended) => {
                assert_eq!(ended, Ok(None));
                break;
            }
        }
    }
    assert_eq!(events, [text("one"), text("zwölf"), usage(0, 9), END]);
}

/// proves AGNT-04
#[tokio::test]
async fn a_tool_is_called_once_its_arguments_are_whole() {
    let start = event(
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}}"#,
    );
    let piece = event(
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"x\":1}"}}"#,
    );
    let (events, error) = answer(&streaming(begins() + &start + &piece + &stops("tool_use"))).await;
    let stop = ModelEvent::Finished(StopReason::ToolCalls);
    assert_eq!(events, [usage(5, 1), usage(5, 9), call("toolu_1", "f", "{\"x\":1}"), stop]);
    assert_eq!(error, None);
}

/// proves AGNT-02
#[tokio::test]
async fn an_overloaded_provider_is_worth_another_try() {
    let body =
        r#"{"type":"error","error":{"type":"overloaded_error","message":"secret"},"request_id":"req_1"}"#;
    let error = refusal(refuse("529 Overloaded", "retry-after-ms: 1500\r\n", body)).await;
    let (reason, retry_after) =
        ("status 529 (overloaded_error)".to_owned(), Some(Duration::from_millis(1500)));
    assert_eq!(error, ModelError::Retryable { reason, retry_after });
}

#[tokio::test]
async fn a_wrong_key_is_refused_without_repeating_it() {
    let body =
        r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key sk-secret"}}"#;
    let error = refusal(refuse("401 Unauthorized", "", body)).await;
    assert_eq!(error, ModelError::Fatal { reason: "status 401 (authentication_error)".to_owned() });
}

#[tokio::test]
async fn an_error_page_of_any_size_is_only_its_status() {
    let error = refusal(refuse("502 Bad Gateway", "", &"x".repeat(300_000))).await;
    assert_eq!(error, ModelError::Retryable { reason: "status 502".to_owned(), retry_after: None });
}

#[tokio::test]
async fn an_error_in_the_middle_comes_after_the_text_before_it() {
    let error = event(r#"{"type":"error","error":{"type":"overloaded_error","message":"secret"}}"#);
    let (events, error) = answer(&streaming(format!("{}{}{error}", begins(), says("a")))).await;
    assert_eq!(events, [usage(5, 1), text("a")]);
    assert_eq!(error.unwrap().to_string(), "model call failed: error within the stream (overloaded_error)");
}

#[tokio::test]
async fn a_stream_that_is_cut_is_worth_another_try_unless_it_had_finished() {
    for (body, finished) in [(says("a"), false), (says("a") + &stops("end_turn"), true)] {
        let server = Server::new(move |mut connection: Connection| {
            connection.read_request();
            connection.write(&format!("{STREAM}{}", chunk(&body)));
        });
        let (events, error) = answer(&server).await;
        assert_eq!(events.first(), Some(&text("a")));
        assert_eq!((events.last() == Some(&END), error.is_none()), (finished, finished));
        assert!(error.is_none_or(|error| error.is_retryable()));
    }
}

#[tokio::test]
async fn garbage_is_worth_another_try() {
    let deep = format!("data: {}\n", "[".repeat(1_000_000));
    for garbage in ["<html>hello</html>", "\u{0}\u{1}\u{2}", "data: {\"type\n\n", "", &deep] {
        let (events, error) = answer(&streaming(format!("{garbage}\n"))).await;
        assert!(events.is_empty() && error.unwrap().is_retryable());
    }
}

#[tokio::test]
async fn an_event_of_eight_mebibytes_arrives() {
    let long = "x".repeat(8 * 1024 * 1024);
    let (events, error) = answer(&streaming(says(&long) + &stops("end_turn"))).await;
    assert_eq!((events.len(), error), (3, None));
    assert_eq!(events[0], text(&long));
}

#[tokio::test]
async fn an_event_without_end_is_given_up_before_it_fills_the_memory() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.write(STREAM);
        let piece = chunk(&"x".repeat(1 << 20));
        for _ in 0..64 {
            connection.write(&piece);
        }
        connection.report_hang_up();
    });
    let (events, error) = answer(&server).await;
    assert!(events.is_empty() && error.unwrap().is_retryable());
    assert!(server.hung_up().await);
}

#[tokio::test]
async fn dropping_the_stream_hangs_up() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.write(&format!("{STREAM}{}", chunk(&says("a"))));
        connection.report_hang_up();
    });
    let mut stream = provider(&server).ask(&request()).await.unwrap();
    assert_eq!(stream.next().await, Ok(Some(text("a"))));
    drop(stream);
    assert!(server.hung_up().await);
}

/// proves AGNT-02
#[tokio::test]
async fn a_key_that_was_replaced_is_asked_for_once_and_the_call_made_again() {
    let server = stage::taking("x-api-key: sk-new\r\n", "data: {\"type\":\"message_stop\"}\n\n");
    for (another, calls) in [(Some("sk-new"), 2), (None, 3)] {
        let keys = Arc::new(stage::Rotating::new("sk-old", another));
        let config = AnthropicConfig { base_url: server.url(""), keys: keys.clone() };
        let asked = Anthropic::new(client(), &config).unwrap().ask(&request()).await;
        assert_eq!((asked.is_ok(), keys.asked_anew()), (another.is_some(), 1));
        assert_eq!(server.noted().len(), calls);
    }
}
