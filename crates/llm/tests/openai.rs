//! The OpenAI provider against servers of every temper, over real sockets. No real provider is called.

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
use konstruct_llm::{OpenAi, OpenAiConfig, TimeLimits, Timed};
use konstruct_ports::{LanguageModel, ModelError, ModelEvent, ModelRequest};

use crate::server::{Connection, Server};
use crate::stage::{
    END, Rotating, STREAM, answering, chunk, client, drain, refuse, streaming, tenants_request, text, usage,
};

const DONE: &str = "data: [DONE]\n\n";

fn says(content: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{content}\"}}}}]}}\n\n")
}

fn stop() -> String {
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n".to_owned()
}

fn provider(server: &Server) -> OpenAi {
    let config = OpenAiConfig { base_url: server.url("/v1"), keys: stage::keys("sk-secret") };
    OpenAi::new(client(), &config).unwrap()
}

fn request() -> ModelRequest {
    stage::request(Provider::OpenAi)
}

/// With keys that change.
fn rotating(server: &Server, keys: &Arc<Rotating>) -> OpenAi {
    let config = OpenAiConfig { base_url: server.url("/v1"), keys: keys.clone() };
    OpenAi::new(client(), &config).unwrap()
}

async fn answer(server: &Server) -> (Vec<ModelEvent>, Option<ModelError>) {
    drain(provider(server).ask(&request()).await.unwrap()).await
}

async fn refusal(answer: String) -> ModelError {
    stage::refusal(&provider(&answering(answer)), &request()).await
}

/// proves AGNT-02
#[tokio::test]
async fn the_request_has_key_path_and_body() {
    let server = Server::new(|mut connection: Connection| {
        let request = connection.read_request().unwrap();
        let head = request.to_lowercase();
        let right = request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n")
            && request.contains("authorization: Bearer sk-secret\r\n")
            && head.contains("content-type: application/json\r\n")
            && head.contains("accept: text/event-stream\r\n")
            && request.contains("\"max_tokens\":9");
        connection.write(if right { STREAM } else { "HTTP/1.1 400 Wrong\r\ncontent-length: 0\r\n\r\n" });
    });
    assert!(provider(&server).ask(&request()).await.is_ok());
}

/// proves AGNT-02
#[tokio::test]
async fn a_tenants_key_goes_in_place_of_the_platforms() {
    let server = answering(format!("{STREAM}{}0\r\n\r\n", chunk(&stop())));
    let stream = provider(&server).ask(&tenants_request(Provider::OpenAi, "sk-tenant")).await.unwrap();
    assert_eq!(drain(stream).await, (vec![END], None));
    let request = server.noted().remove(0);
    assert!(request.contains("authorization: Bearer sk-tenant\r\n"), "{request}");
    assert!(!request.contains("sk-secret"), "{request}");

    let server = answering("");
    let error = stage::refusal(&provider(&server), &tenants_request(Provider::OpenAi, " ")).await;
    assert_eq!(error, ModelError::Fatal { reason: "the tenant's key is empty".to_owned() });
    assert!(server.noted().is_empty());
}

/// proves AGNT-02
#[tokio::test]
async fn usage_that_grows_comes_as_it_grows() {
    let counts = |tokens: u32| {
        format!(
            "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":5,\"completion_tokens\":{tokens}}}}}\n\n"
        )
    };
    let body = [counts(0), counts(1), says("a"), counts(1), stop(), counts(2), DONE.to_owned()].concat();
    let (events, error) = answer(&streaming(body)).await;
    assert_eq!((events, error), (vec![usage(5, 0), usage(5, 1), text("a"), usage(5, 2), END], None));
}

#[tokio::test]
async fn one_connection_serves_one_answer_after_another() {
    let server = streaming(format!("{}{}{DONE}", says("Hello"), stop()));
    let provider = provider(&server);
    for _ in 0..3 {
        let stream = provider.ask(&request()).await.unwrap();
        assert_eq!(drain(stream).await, (vec![text("Hello"), END], None));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.accepted(), 1);
}

/// proves AGNT-02
#[tokio::test]
async fn text_is_passed_on_before_more_has_come() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.write(&format!("{STREAM}{}", chunk(&says("one"))));
        connection.wait();
        connection.write(&format!("{}0\r\n\r\n", chunk(&(says("two") + &stop()))));
    });
    let mut stream = provider(&server).ask(&request()).await.unwrap();
    assert_eq!(stream.next().await, Ok(Some(text("one"))));
    assert!(tokio::time::timeout(Duration::from_millis(20), stream.next()).await.is_err());
    server.tell("go");
    assert_eq!(drain(stream).await, (vec![text("two"), END], None));
}

#[tokio::test]
async fn nothing_is_lost_to_a_caller_who_keeps_dropping_next() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.write(STREAM);
        for byte in format!("{}{}{}{DONE}", says("one"), says("zwölf"), stop()).as_bytes() {
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
    assert_eq!(events, [text("one"), text("zwölf"), END]);
}

#[tokio::test]
async fn max_tokens_is_renamed_where_it_is_refused_and_stays_so() {
    let server = Server::new(|mut connection: Connection| {
        while let Some(request) = connection.read_request() {
            if request.contains("\"max_tokens\"") {
                let error = r#"{"error":{"message":"Unsupported parameter: 'max_tokens'","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}"#;
                connection.note("refused");
                connection.write(&refuse("400 Bad Request", "", error));
            } else {
                assert!(request.contains("\"max_completion_tokens\":9"));
                connection.write(&format!("{STREAM}{}0\r\n\r\n", chunk(&stop())));
            }
        }
    });
    let provider = provider(&server);
    for _ in 0..3 {
        assert_eq!(drain(provider.ask(&request()).await.unwrap()).await, (vec![END], None));
    }
    assert_eq!(server.noted(), ["refused"]);
}

#[tokio::test]
async fn a_rate_limit_is_told_with_its_wish() {
    let error = refusal(refuse("429 Too Many Requests", "retry-after: 1\r\n", "{}")).await;
    let retry_after = Some(Duration::from_secs(1));
    assert_eq!(error, ModelError::Retryable { reason: "status 429".to_owned(), retry_after });
}

#[tokio::test]
async fn a_wrong_key_is_refused_without_repeating_it() {
    let body = r#"{"error":{"message":"Incorrect API key provided: sk-secret","code":"invalid_api_key"}}"#;
    let error = refusal(refuse("401 Unauthorized", "", body)).await;
    assert_eq!(error, ModelError::Fatal { reason: "status 401 (invalid_api_key)".to_owned() });
}

#[tokio::test]
async fn an_error_page_of_any_size_is_only_its_status() {
    let error = refusal(refuse("502 Bad Gateway", "", &"x".repeat(300_000))).await;
    assert_eq!(error, ModelError::Retryable { reason: "status 502".to_owned(), retry_after: None });
    let error = refusal("HTTP/1.1 503 No\r\ncontent-length: 100\r\n\r\ncut".to_owned()).await;
    assert_eq!(error, ModelError::Retryable { reason: "status 503".to_owned(), retry_after: None });
}

#[tokio::test]
async fn an_error_in_the_middle_comes_after_the_text_before_it() {
    let error = "data: {\"error\":{\"message\":\"secret\",\"type\":\"server_error\",\"code\":null}}\n\n";
    let (events, error) = answer(&streaming(format!("{}{error}{}", says("a"), stop()))).await;
    assert_eq!(events, [text("a")]);
    let error = error.unwrap();
    assert!(error.is_retryable());
    assert_eq!(error.to_string(), "model call failed: error within the stream (server_error)");
}

#[tokio::test]
async fn garbage_is_worth_another_try() {
    let deep = format!("data: {}\n", "[".repeat(1_000_000));
    for garbage in
        ["<html>hello</html>", "\u{0}\u{1}\u{2}", "data: {\"choi\n\n", "{\"object\":\"list\"}", "", &deep]
    {
        let (events, error) = answer(&streaming(format!("{garbage}\n"))).await;
        assert!(events.is_empty() && error.unwrap().is_retryable());
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_is_worth_another_try_unless_it_had_finished() {
    for (body, finished) in [(says("a"), false), (says("a") + &stop(), true)] {
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
async fn an_answer_that_is_whole_waits_for_usage_only_so_long() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.write(&format!("{STREAM}{}", chunk(&(says("a") + &stop()))));
        connection.wait();
    });
    let mut stream = provider(&server).ask(&request()).await.unwrap();
    assert_eq!(stream.next().await, Ok(Some(text("a"))));
    tokio::time::pause();
    assert_eq!(drain(stream).await, (vec![END], None));
}

#[tokio::test]
async fn an_event_of_eight_mebibytes_arrives() {
    let long = "x".repeat(8 * 1024 * 1024);
    let (events, error) = answer(&streaming(format!("{}{}", says(&long), stop()))).await;
    assert_eq!((events.len(), error), (2, None));
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
    let timed = Timed::new(Arc::new(provider(&server)), TimeLimits::default());
    let mut stream = timed.ask(&request()).await.unwrap();
    assert_eq!(stream.next().await, Ok(Some(text("a"))));
    drop(stream);
    assert!(server.hung_up().await);
}

#[tokio::test]
async fn dropping_the_question_hangs_up() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.write(STREAM);
        connection.report_hang_up();
    });
    let timed = Timed::new(Arc::new(provider(&server)), TimeLimits::default());
    assert!(tokio::time::timeout(Duration::from_millis(50), timed.ask(&request())).await.is_err());
    assert!(server.hung_up().await);
}

/// proves AGNT-02
#[tokio::test]
async fn a_key_that_was_replaced_is_asked_for_once_and_the_call_made_again() {
    let server = stage::taking("authorization: Bearer sk-new\r\n", &stop());
    let keys = Arc::new(Rotating::new("sk-old", Some("sk-new")));
    let stream = rotating(&server, &keys).ask(&request()).await.unwrap();
    assert_eq!(drain(stream).await, (vec![END], None));
    assert_eq!((server.noted().len(), keys.asked_anew()), (2, 1));
}

/// proves AGNT-02
#[tokio::test]
async fn a_refused_key_that_nothing_replaces_ends_the_call() {
    for another in [None, Some("sk-old"), Some("sk-wrong")] {
        let server = stage::taking("authorization: Bearer sk-new\r\n", &stop());
        let keys = Arc::new(Rotating::new("sk-old", another));
        let error = stage::refusal(&rotating(&server, &keys), &request()).await;
        assert!(!error.is_retryable(), "{error}");
        let calls = if another == Some("sk-wrong") { 2 } else { 1 };
        assert_eq!((server.noted().len(), keys.asked_anew()), (calls, 1));
    }
    // A tenant's key is the tenant's own affair.
    let server = stage::taking("authorization: Bearer sk-new\r\n", &stop());
    let keys = Arc::new(Rotating::new("sk-old", Some("sk-new")));
    let tenants = tenants_request(Provider::OpenAi, "sk-tenant");
    assert!(!stage::refusal(&rotating(&server, &keys), &tenants).await.is_retryable());
    assert_eq!((server.noted().len(), keys.asked_anew()), (1, 0));
}

/// proves AGNT-02
#[tokio::test]
async fn keys_that_are_away_are_a_failure_that_passes_and_no_call_is_made() {
    let server = answering("HTTP/1.1 500 Not asked\r\ncontent-length: 0\r\n\r\n");
    let error = stage::refusal(&rotating(&server, &Arc::new(Rotating::away())), &request()).await;
    assert!(error.is_retryable() && error.to_string().contains("the platform's key"), "{error}");
    assert!(server.noted().is_empty());
}
