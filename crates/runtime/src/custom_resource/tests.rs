//! The answer to CloudFormation, over real sockets. No stack waits for it.

use konstruct_http::ClientConfig;

use super::*;

#[path = "../../../http/tests/client/server.rs"]
mod server;

use server::{Connection, Server};

const TAKEN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Notes what it is sent and answers with these in turn; the last one stays.
fn answering(answers: &'static [&'static str]) -> Server {
    let next = std::sync::atomic::AtomicUsize::new(0);
    Server::new(move |mut connection: Connection| {
        while let Some(request) = connection.read_request() {
            connection.note(request);
            let at = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst).min(answers.len() - 1);
            connection.write(answers[at]);
        }
    })
}

fn event(url: &str, physical: Option<&str>) -> Event {
    let mut payload = json!({
        "RequestType": "Create",
        "ResponseURL": url,
        "StackId": "arn:aws:cloudformation:eu-central-1:111122223333:stack/live/1",
        "RequestId": "request-1",
        "LogicalResourceId": "Schema",
        "ResourceType": "Custom::Schema",
        "ResourceProperties": { "ServiceToken": "arn" },
    });
    if let Some(physical) = physical {
        payload["PhysicalResourceId"] = json!(physical);
    }
    Event::of(&payload).unwrap().unwrap()
}

fn client(allow_plain: bool) -> Client {
    Client::new(ClientConfig { allow_plain, ..ClientConfig::default() })
}

fn sent(server: &Server) -> (String, Value) {
    let request = server.noted().pop().unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn what_was_done_is_put_to_the_stack_with_an_empty_content_type() {
    let server = answering(&[TAKEN]);
    let mut data = Map::new();
    data.insert("version".to_owned(), json!(7));
    let url = server.url("/bucket/key?X-Amz-Signature=a%2Fb");
    event(&url, None).respond(&client(true), "konstruct-schema", Ok(data)).await.unwrap();
    let (head, body) = sent(&server);
    assert!(head.starts_with("put /bucket/key?x-amz-signature=a%2fb http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-type: \r\n") || head.ends_with("\r\ncontent-type: "), "{head}");
    assert!(head.contains(&format!("content-length: {}", body.to_string().len())), "{head}");
    assert_eq!(
        body,
        json!({
            "Status": "SUCCESS",
            "Reason": "",
            "PhysicalResourceId": "konstruct-schema",
            "StackId": "arn:aws:cloudformation:eu-central-1:111122223333:stack/live/1",
            "RequestId": "request-1",
            "LogicalResourceId": "Schema",
            "Data": { "version": 7 },
        })
    );
}

#[tokio::test]
async fn a_failure_is_told_shortly_under_the_name_that_the_stack_knows() {
    let server = answering(&[TAKEN]);
    let reason = "ä".repeat(5_000);
    let event = event(&server.url("/"), Some("as-before"));
    event.respond(&client(true), "konstruct-schema", Err(reason)).await.unwrap();
    let (_, body) = sent(&server);
    assert_eq!((&body["Status"], &body["PhysicalResourceId"]), (&json!("FAILED"), &json!("as-before")));
    assert_eq!(body["Reason"].as_str().unwrap().chars().count(), REASON_CHARS_MAX);
    assert!(body.to_string().len() < 4_096);
}

#[tokio::test]
async fn an_answer_that_is_not_taken_is_given_again_and_its_loss_is_an_error() {
    let server = answering(&["HTTP/1.1 503 Later\r\ncontent-length: 0\r\n\r\n", TAKEN]);
    assert!(event(&server.url("/"), None).respond(&client(true), "x", Ok(Map::new())).await.is_ok());
    assert_eq!(server.noted().len(), 2);
    let server = answering(&["HTTP/1.1 403 Expired\r\ncontent-length: 0\r\n\r\n"]);
    let lost = event(&server.url("/"), None).respond(&client(true), "x", Ok(Map::new())).await;
    assert_eq!(lost, Err("CloudFormation was not answered: status 403".to_owned()));
    assert_eq!(server.noted().len(), 5);
}

#[tokio::test]
async fn nothing_is_sent_over_plain_http_but_to_an_emulator() {
    let server = answering(&[TAKEN]);
    let lost = event(&server.url("/"), None).respond(&client(false), "x", Ok(Map::new())).await;
    assert!(lost.unwrap_err().contains("not https"));
    assert!(server.noted().is_empty());
}

#[test]
fn only_an_event_with_a_request_type_is_one_and_it_must_say_where_to_answer() {
    assert!(Event::of(&json!({})).unwrap().is_none());
    assert!(Event::of(&json!({ "admin": {} })).unwrap().is_none());
    assert!(Event::of(&json!([])).unwrap().is_none());
    assert!(Event::of(&json!({ "RequestType": "Create" })).is_err());
    let unknown = json!({ "RequestType": "Adopt", "ResponseURL": "https://h/" });
    assert_eq!(Event::of(&unknown).unwrap().unwrap().request_type, RequestType::Unknown);
}
