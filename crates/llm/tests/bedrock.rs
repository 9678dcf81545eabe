//! Bedrock against servers of every temper, over real sockets, in frames as AWS sends them. AWS is not called.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::needless_pass_by_value,
    reason = "a test; its servers are threads"
)]

#[path = "../../http/tests/client/server.rs"]
mod server;
#[path = "llm/stage.rs"]
mod stage;

use std::time::Duration;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use konstruct_domain::Provider;
use konstruct_llm::{Bedrock, BedrockConfig};
use konstruct_ports::{
    LanguageModel, ModelError, ModelEvent, ModelRequest, PromptMessage, StopReason, ToolCall, ToolSpec,
};
use serde_json::{Value, json};

use crate::server::{Connection, Server};
use crate::stage::{END, answering, call, client, drain, refuse, tenants_request, text, usage};

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\ntransfer-encoding: chunked\r\n\r\n";

fn frame(kind: &str, name_of: &'static str, name: &str, payload: String) -> Vec<u8> {
    let word = |word: &str| HeaderValue::String(word.to_owned().into());
    let message = Message::new(payload.into_bytes())
        .add_header(Header::new(":message-type", word(kind)))
        .add_header(Header::new(name_of, word(name)))
        .add_header(Header::new(":content-type", word("application/json")));
    let mut frame = Vec::new();
    write_message_to(&message, &mut frame).unwrap();
    frame
}

fn event(name: &str, payload: Value) -> Vec<u8> {
    frame("event", ":event-type", name, payload.to_string())
}

fn exception(name: &str) -> Vec<u8> {
    frame("exception", ":exception-type", name, json!({"message": "secret"}).to_string())
}

fn begins() -> Vec<u8> {
    event("messageStart", json!({"role": "assistant", "p": "abcdef"}))
}

fn says(text: &str) -> Vec<u8> {
    event("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"text": text}, "p": "abc"}))
}

fn calls(block: u32, id: &str) -> Vec<u8> {
    let start = json!({"toolUse": {"toolUseId": id, "name": "f"}});
    event("contentBlockStart", json!({"contentBlockIndex": block, "start": start}))
}

fn piece(block: u32, input: &str) -> Vec<u8> {
    event("contentBlockDelta", json!({"contentBlockIndex": block, "delta": {"toolUse": {"input": input}}}))
}

fn stops(reason: &str) -> Vec<u8> {
    event("messageStop", json!({"stopReason": reason}))
}

fn counts() -> Vec<u8> {
    let usage = json!({"inputTokens": 5, "outputTokens": 9, "totalTokens": 14, "serverToolUsage": {}});
    event("metadata", json!({"usage": usage, "metrics": {"latencyMs": 551}}))
}

/// One chunk of HTTP's own.
fn chunk(frame: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", frame.len()).as_bytes(), frame, b"\r\n"].concat()
}

/// A server that answers every request with these frames and keeps the connection.
fn streaming(frames: Vec<Vec<u8>>) -> Server {
    Server::new(move |mut connection: Connection| {
        while let Some(request) = connection.read_request() {
            connection.note(request);
            connection.write(STREAM);
            for frame in &frames {
                connection.write_bytes(&chunk(frame));
            }
            connection.write("0\r\n\r\n");
        }
    })
}

fn provider(server: &Server) -> Bedrock {
    let config = BedrockConfig {
        region: "eu-central-1".to_owned(),
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "secret-key".to_owned(),
        session_token: Some("session-token".to_owned()),
        endpoint_url: Some(server.url("")),
    };
    Bedrock::new(client(), &config).unwrap()
}

fn request() -> ModelRequest {
    stage::request(Provider::Bedrock)
}

async fn answer(frames: Vec<Vec<u8>>) -> (Vec<ModelEvent>, Option<ModelError>) {
    let server = streaming(frames);
    drain(provider(&server).ask(&request()).await.unwrap()).await
}

async fn refusal(answer: String) -> ModelError {
    stage::refusal(&provider(&answering(answer)), &request()).await
}

fn body(request: &str) -> Value {
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// proves AGNT-02
#[tokio::test]
async fn the_request_is_signed_and_has_path_and_body() {
    let server = streaming(vec![says("a"), stops("end_turn")]);
    let mut request = request();
    request.route.model = "anthropic.claude-x-v1:0".to_owned();
    request.messages.insert(0, PromptMessage::System("be kind".to_owned()));
    assert_eq!(drain(provider(&server).ask(&request).await.unwrap()).await, (vec![text("a"), END], None));
    let sent = server.noted().remove(0);
    assert!(sent.starts_with("POST /model/anthropic.claude-x-v1%3A0/converse-stream HTTP/1.1\r\n"), "{sent}");
    assert!(sent.contains("authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{sent}");
    assert!(sent.contains("/eu-central-1/bedrock/aws4_request"), "{sent}");
    assert!(sent.contains("x-amz-security-token: session-token\r\n"), "{sent}");
    assert_eq!(
        body(&sent),
        json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}], "system": [{"text": "be kind"}],
            "inferenceConfig": {"maxTokens": 9}})
    );
}

/// proves AGNT-04
#[tokio::test]
async fn tools_are_offered_and_calls_and_results_are_told_again() {
    let server = streaming(vec![stops("end_turn")]);
    let call = |id: &str, name: &str, arguments: &str| ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    };
    let result = |id: &str, result: &str| PromptMessage::ToolResult {
        call_id: id.to_owned(),
        result: result.to_owned(),
    };
    let mut request = request();
    let calls =
        vec![call("a", "f", "{\"x\":[1,-2,1.5,true,null,\"s\"]}"), call("b.1", "no such tool", "x = 1")];
    request.messages.push(PromptMessage::Assistant { text: " ".to_owned(), calls });
    request.messages.extend([result("a", "r"), result("b.1", ""), PromptMessage::User("and?".to_owned())]);
    let parameters = json!({"type": "object", "properties": {}}).as_object().cloned().unwrap();
    let tool = ToolSpec { name: "f".to_owned(), description: "does f".to_owned(), parameters };
    request.tools.push(tool);
    drain(provider(&server).ask(&request).await.unwrap()).await;
    let sent = body(&server.noted()[0]);
    let id = sent["messages"][1]["content"][1]["toolUse"]["toolUseId"].as_str().unwrap().to_owned();
    assert!(id.starts_with("call_"), "{id}");
    assert_eq!(
        sent["messages"].as_array().unwrap()[1..],
        [
            json!({"role": "assistant", "content": [
                {"toolUse": {"toolUseId": "a", "name": "f", "input": {"x": [1, -2, 1.5, true, null, "s"]}}},
                {"toolUse": {"toolUseId": id, "name": "no_such_tool", "input": {}}}]}),
            json!({"role": "user", "content": [
                {"toolResult": {"toolUseId": "a", "content": [{"text": "r"}]}},
                {"toolResult": {"toolUseId": id, "content": [{"text": "(empty)"}]}}, {"text": "and?"}]})
        ]
    );
    let spec = |name: &str, description: &str, schema: Value| json!({"tools": [{"toolSpec": {"name": name, "description": description, "inputSchema": {"json": schema}}}]});
    let schema = json!({"type": "object", "properties": {}});
    assert_eq!(sent["toolConfig"], spec("f", "does f", schema));

    request.tools.clear();
    request.messages.truncate(1);
    let calls = vec![call("a", "g", "{}")];
    request.messages.extend([PromptMessage::Assistant { text: String::new(), calls }, result("a", "r")]);
    drain(provider(&server).ask(&request).await.unwrap()).await;
    let withdrawn = spec("g", "No longer available.", json!({"type": "object"}));
    assert_eq!(body(&server.noted()[1])["toolConfig"], withdrawn);
}

/// proves AGNT-02
#[tokio::test]
async fn a_tenants_key_goes_as_a_bearer_token_and_nothing_is_signed_at_our_expense() {
    let server = streaming(vec![stops("end_turn")]);
    let stream = provider(&server).ask(&tenants_request(Provider::Bedrock, "ABSK-tenant")).await.unwrap();
    assert_eq!(drain(stream).await, (vec![END], None));
    let sent = server.noted().remove(0);
    assert!(sent.contains("authorization: Bearer ABSK-tenant\r\n"), "{sent}");
    assert!(!sent.contains("AKIDEXAMPLE") && !sent.contains("session-token"), "{sent}");

    let server = answering("");
    for key in ["", "a\nb"] {
        let error = stage::refusal(&provider(&server), &tenants_request(Provider::Bedrock, key)).await;
        assert!(!error.is_retryable(), "{error}");
    }
    assert!(server.noted().is_empty());
}

/// proves AGNT-02
#[tokio::test]
async fn text_comes_piece_by_piece_and_then_what_it_has_cost() {
    let (events, error) =
        answer(vec![begins(), says("Hello"), says(""), says(" you\u{0}"), stops("end_turn"), counts()]).await;
    assert_eq!((events, error), (vec![text("Hello"), text(" you"), usage(5, 9), END], None));
}

#[tokio::test]
async fn frames_may_be_cut_anywhere() {
    let stream = [begins(), says("zwölf"), stops("end_turn"), counts()].concat();
    for size in [1, 3, 11, 12, 13, 64] {
        let pieces = stream.chunks(size).map(<[u8]>::to_vec).collect();
        assert_eq!(answer(pieces).await, (vec![text("zwölf"), usage(5, 9), END], None), "{size}");
    }
}

/// proves AGNT-04
#[tokio::test]
async fn tool_calls_come_whole_at_the_end() {
    let (events, error) = answer(vec![
        says("Let me see."),
        calls(1, "a"),
        piece(1, "{\"x\""),
        piece(1, ":1}"),
        calls(2, "b"),
        piece(2, ""),
        event("contentBlockStop", json!({"contentBlockIndex": 2})),
        counts(),
        stops("tool_use"),
    ])
    .await;
    let stop = ModelEvent::Finished(StopReason::ToolCalls);
    let told = [text("Let me see."), usage(5, 9), call("a", "f", "{\"x\":1}"), call("b", "f", "{}"), stop];
    assert_eq!((events, error), (told.to_vec(), None));
}

#[tokio::test]
async fn what_the_cache_took_and_gave_is_part_of_the_prompt() {
    let usage_of = json!({"inputTokens": 5, "outputTokens": 9, "totalTokens": 14, "cacheReadInputTokens": 100,
        "cacheWriteInputTokens": 20});
    let (events, _) = answer(vec![stops("end_turn"), event("metadata", json!({"usage": usage_of}))]).await;
    assert_eq!(events, [usage(125, 9), END]);
}

#[tokio::test]
async fn every_reason_to_stop_has_a_meaning() {
    for (reason, stop) in [
        ("end_turn", StopReason::End),
        ("stop_sequence", StopReason::End),
        ("yet_to_be_invented", StopReason::End),
        ("tool_use", StopReason::End),
        ("max_tokens", StopReason::Length),
        ("model_context_window_exceeded", StopReason::Length),
        ("guardrail_intervened", StopReason::Refused),
        ("content_filtered", StopReason::Refused),
    ] {
        let (events, error) = answer(vec![says("a"), stops(reason), counts()]).await;
        assert_eq!((events, error), (vec![text("a"), usage(5, 9), ModelEvent::Finished(stop)], None));
    }
    for reason in ["malformed_model_output", "malformed_tool_use"] {
        assert!(answer(vec![stops(reason)]).await.1.unwrap().is_retryable());
    }
}

#[tokio::test]
async fn a_call_cut_by_the_limit_is_none() {
    let (events, _) = answer(vec![calls(0, "a"), piece(0, "{\"x"), stops("max_tokens"), counts()]).await;
    assert_eq!(events, [usage(5, 9), ModelEvent::Finished(StopReason::Length)]);
}

#[tokio::test]
async fn what_is_yet_to_be_invented_is_passed_over() {
    let reasoning = json!({"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "hm"}}});
    let invented = json!({"contentBlockIndex": 0, "delta": {"hologram": {"a": 1}}});
    let (events, error) = answer(vec![
        event("hologramStart", json!({"a": 1})),
        event("contentBlockDelta", reasoning),
        event("contentBlockDelta", invented),
        says("a"),
        stops("end_turn"),
        counts(),
    ])
    .await;
    assert_eq!((events, error), (vec![text("a"), usage(5, 9), END], None));
}

/// proves AGNT-02
#[tokio::test]
async fn an_exception_within_the_stream_comes_after_the_text_before_it() {
    for (name, retries) in [
        ("throttlingException", true),
        ("modelStreamErrorException", true),
        ("internalServerException", true),
        ("serviceUnavailableException", true),
        ("validationException", false),
        ("yetToBeInventedException", true),
    ] {
        let (events, error) = answer(vec![says("a"), exception(name)]).await;
        assert_eq!(events, [text("a")]);
        let error = error.unwrap();
        assert_eq!(error.is_retryable(), retries, "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let (_, error) = answer(vec![exception("throttlingException")]).await;
    let reason = "model call failed: error within the stream (ThrottlingException)";
    assert_eq!(error.unwrap().to_string(), reason);
}

#[tokio::test]
async fn a_refusal_is_told_by_its_code_alone() {
    let answer = |status: &str, code: &str| {
        let headers = format!("content-type: application/json\r\nx-amzn-ErrorType: {code}:http://x/\r\n");
        refuse(status, &headers, "{\"message\":\"secret\"}")
    };
    for (status, code, retries) in [
        ("400 X", "ValidationException", false),
        ("403 X", "AccessDeniedException", false),
        ("403 X", "ExpiredTokenException", false),
        ("404 X", "ResourceNotFoundException", false),
        ("408 X", "ModelTimeoutException", true),
        ("424 X", "ModelErrorException", true),
        ("429 X", "ThrottlingException", true),
        ("429 X", "ModelNotReadyException", true),
        ("500 X", "InternalServerException", true),
        ("503 X", "ServiceUnavailableException", true),
    ] {
        let error = refusal(answer(status, code)).await;
        assert_eq!(error.is_retryable(), retries, "{code}");
        assert!(error.to_string().ends_with(&format!(": status {} ({code})", &status[..3])), "{error}");
    }
    let said = refusal(answer("400 X", "secret words")).await;
    assert_eq!(said.to_string(), "model call refused: status 400");
}

#[tokio::test]
async fn a_wish_to_wait_is_passed_on_and_error_pages_of_any_size_are_only_their_status() {
    let error = refusal(refuse("429 X", "retry-after: 7\r\n", "{}")).await;
    let retry_after = Some(Duration::from_secs(7));
    assert_eq!(error, ModelError::Retryable { reason: "status 429".to_owned(), retry_after });
    assert!(!refusal(refuse("429 X", "retry-after: 121\r\n", "{}")).await.is_retryable());
    let error = refusal(refuse("502 X", "", &"x".repeat(300_000))).await;
    assert_eq!(error, ModelError::Retryable { reason: "status 502".to_owned(), retry_after: None });
}

#[tokio::test]
async fn no_connection_is_worth_another_try_and_is_not_tried_here() {
    let config = |url: &str| BedrockConfig {
        region: "eu-central-1".to_owned(),
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "secret-key".to_owned(),
        session_token: None,
        endpoint_url: Some(url.to_owned()),
    };
    let provider = Bedrock::new(client(), &config("http://127.0.0.1:1")).unwrap();
    let error = stage::refusal(&provider, &request()).await;
    assert_eq!(error.to_string(), "model call failed: no connection to 127.0.0.1: connection refused");
    let server = answering("");
    assert!(stage::refusal(&self::provider(&server), &request()).await.is_retryable());
    assert_eq!(server.noted().len(), 1);
}

#[tokio::test]
async fn a_stream_that_is_cut_is_worth_another_try_unless_it_had_finished() {
    for (frames, finished) in [(vec![says("a")], false), (vec![says("a"), stops("end_turn")], true)] {
        let server = Server::new(move |mut connection: Connection| {
            connection.read_request();
            connection.write(STREAM);
            for frame in &frames {
                connection.write_bytes(&chunk(frame));
            }
        });
        let (events, error) = drain(provider(&server).ask(&request()).await.unwrap()).await;
        assert_eq!(events.first(), Some(&text("a")));
        assert_eq!((events.last() == Some(&END), error.is_none()), (finished, finished));
        assert!(error.is_none_or(|error| error.is_retryable()));
    }
    assert!(answer(vec![says("a")]).await.1.unwrap().is_retryable());
}

#[tokio::test]
async fn garbage_is_worth_another_try() {
    let mut broken = says("a");
    broken[20] ^= 1;
    let deep = "[".repeat(1_000_000);
    let frames = [
        b"<html>hello</html>".to_vec(),
        broken,
        says("a")[..20].to_vec(),
        frame("event", ":event-type", "contentBlockDelta", "{\"delta\":".to_owned()),
        frame("event", ":event-type", "messageStop", format!("{{\"additionalModelResponseFields\":{deep}")),
        frame("event", ":event-type", "messageStop", format!("{{\"x\":{deep}")),
        frame("error", ":error-code", "secret", "secret".to_owned()),
    ];
    for frame in frames {
        let (events, error) = answer(vec![frame]).await;
        let error = error.unwrap();
        assert!(
            events.is_empty() && error.is_retryable() && !error.to_string().contains("secret"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_message_without_end_is_given_up_before_it_fills_the_memory() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.write(STREAM);
        connection.write_bytes(&chunk(&[0x7f, 0, 0, 0, 0, 0, 0, 0]));
        for _ in 0..64 {
            connection.write_bytes(&chunk(&vec![0; 1 << 20]));
        }
        connection.report_hang_up();
    });
    let (events, error) = drain(provider(&server).ask(&request()).await.unwrap()).await;
    assert!(events.is_empty());
    assert_eq!(error.unwrap().to_string(), "model call failed: stream has a message that does not end");
    assert!(server.hung_up().await);
}

#[tokio::test]
async fn text_is_passed_on_before_more_has_come_and_nothing_is_lost_to_a_caller_who_drops_next() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.write(STREAM);
        connection.write_bytes(&chunk(&says("one")));
        connection.wait();
        let rest = [says("two"), stops("end_turn"), counts()].concat();
        for byte in rest {
            connection.write_bytes(&chunk(&[byte]));
            std::thread::sleep(Duration::from_micros(200));
        }
        connection.write("0\r\n\r\n");
    });
    let mut stream = provider(&server).ask(&request()).await.unwrap();
    assert_eq!(stream.next().await, Ok(Some(text("one"))));
    assert!(tokio::time::timeout(Duration::from_millis(20), stream.next()).await.is_err());
    server.tell("go");
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
    assert_eq!(events, [text("two"), usage(5, 9), END]);
}

#[tokio::test]
async fn one_connection_serves_one_answer_after_another_and_dropping_an_answer_closes_it() {
    let server = streaming(vec![says("a"), stops("end_turn"), counts()]);
    let provider = provider(&server);
    for _ in 0..3 {
        drain(provider.ask(&request()).await.unwrap()).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.accepted(), 1);

    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.write(STREAM);
        connection.write_bytes(&chunk(&says("a")));
        connection.report_hang_up();
    });
    let mut stream = self::provider(&server).ask(&request()).await.unwrap();
    assert_eq!(stream.next().await, Ok(Some(text("a"))));
    drop(stream);
    assert!(server.hung_up().await);
}
