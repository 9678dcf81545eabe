//! The queue against an SQS of every temper, over real sockets. AWS is not called.

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

use konstruct_aws::{SqsQueue, under_trace_header};
use konstruct_ports::{NewRecord, TaskQueue};
use tokio::time::Instant;

use crate::server::{Connection, Server};
use crate::stage::{answering, sdk};

const URL: &str = "https://sqs.eu-central-1.amazonaws.com/000000000000/turns.fifo";

fn queue(server: &Server) -> SqsQueue {
    SqsQueue::new(&sdk(), URL, Some(&server.url("")))
}

fn record(body: &str) -> NewRecord<'_> {
    NewRecord { body, group_id: "group", deduplication_id: "once", traceparent: None }
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn sent() -> String {
    answer("200 OK", "{\"MessageId\":\"m\",\"MD5OfMessageBody\":\"0\",\"SequenceNumber\":\"1\"}")
}

fn failed(status: &str, kind: &str) -> String {
    answer(status, &format!("{{\"__type\":\"com.amazonaws.sqs#{kind}\",\"message\":\"secret\"}}"))
}

#[tokio::test]
async fn a_task_is_sent_with_its_group_and_its_deduplication_id() {
    let server = answering([sent()]);
    queue(&server).send(record("{\"a\":\"x\u{ffff}\"}")).await.unwrap();
    let request = server.noted().remove(0);
    assert!(request.starts_with("POST / HTTP/1.1\r\n"));
    assert!(request.contains("x-amz-target: AmazonSQS.SendMessage\r\n"));
    assert!(request.contains("/eu-central-1/sqs/aws4_request"));
    for field in [
        format!("\"QueueUrl\":\"{URL}\""),
        "\"MessageBody\":\"{\\\"a\\\":\\\"x\\\\uffff\\\"}\"".to_owned(),
        "\"MessageGroupId\":\"group\"".to_owned(),
        "\"MessageDeduplicationId\":\"once\"".to_owned(),
    ] {
        assert!(request.contains(&field), "{field} in {request}");
    }
    assert!(!request.contains("DelaySeconds"));
    assert!(!request.contains("AWSTraceHeader") && !request.contains("traceparent"));
}

/// proves OPS-04
#[tokio::test]
async fn a_records_trace_is_an_attribute_of_it() {
    let server = answering([sent()]);
    let place = "00-65d2ff2e718990494fd688f062bf1571-53995c3f42cd8ad8-01";
    queue(&server).send(NewRecord { traceparent: Some(place), ..record("{}") }).await.unwrap();
    let request = server.noted().remove(0);
    assert!(request.contains("\"MessageAttributes\":{\"traceparent\":{"), "{request}");
    assert!(
        request.contains(&format!("\"StringValue\":\"{place}\""))
            && request.contains("\"MessageBody\":\"{}\"")
    );
}

/// proves OPS-04
#[tokio::test]
async fn a_message_carries_the_trace_header_of_the_invocation_that_sends_it() {
    let server = answering([sent()]);
    let queue = queue(&server);
    let header = "Root=1-65d2ff2e-718990494fd688f062bf1571;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:a:0";
    under_trace_header(Some(header.to_owned()), queue.send(record("{}"))).await.unwrap();
    under_trace_header(Some(header.to_owned()), queue.send_delayed("{}", 10)).await.unwrap();
    under_trace_header(None, queue.send(record("{}"))).await.unwrap();
    under_trace_header(Some("no\nheader".to_owned()), queue.send(record("{}"))).await.unwrap();
    let carries = |request: &String| {
        let at = request.find("\"MessageSystemAttributes\":{\"AWSTraceHeader\":{");
        at.is_some_and(|_| request.contains(&format!("\"StringValue\":\"{header}\"")))
    };
    let carried: Vec<bool> = server.noted().iter().map(carries).collect();
    assert_eq!(carried, [true, true, false, false]);
}

#[tokio::test]
async fn a_delayed_message_has_a_delay_that_sqs_takes_and_no_group() {
    let server = answering([sent()]);
    let queue = queue(&server);
    for seconds in [60, 5_000, -1] {
        queue.send_delayed("{}", seconds).await.unwrap();
    }
    let noted = server.noted();
    for (request, delay) in noted.iter().zip([60, 900, 0]) {
        assert!(request.contains(&format!("\"DelaySeconds\":{delay}")), "{request}");
        assert!(!request.contains("Group") && !request.contains("Dedup"));
    }
}

#[tokio::test]
async fn visibility_is_changed_within_what_sqs_takes() {
    let server = answering([answer("200 OK", "{}")]);
    let queue = queue(&server);
    queue.set_visibility("handle", 30).await.unwrap();
    queue.set_visibility("handle", -5).await.unwrap();
    let noted = server.noted();
    assert!(noted[0].contains("AmazonSQS.ChangeMessageVisibility"));
    assert!(
        noted[0].contains("\"ReceiptHandle\":\"handle\"") && noted[0].contains("\"VisibilityTimeout\":30")
    );
    assert!(noted[1].contains("\"VisibilityTimeout\":0"));
}

#[tokio::test]
async fn a_send_is_repeated_under_the_same_deduplication_id() {
    for trouble in [failed("500 X", "InternalFailure"), failed("503 X", "ServiceUnavailable"), String::new()]
    {
        let server = answering([trouble.clone(), trouble, sent()]);
        queue(&server).send(record("{}")).await.unwrap();
        let noted = server.noted();
        assert_eq!(noted.len(), 3);
        assert!(noted.iter().all(|request| request.contains("\"MessageDeduplicationId\":\"once\"")));
    }
}

#[tokio::test]
async fn after_three_attempts_it_is_an_error_that_names_no_content() {
    let server = answering([failed("500 X", "InternalFailure")]);
    let error = queue(&server).send(record("{\"secret\":1}")).await.unwrap_err();
    assert_eq!(error.to_string(), "queue: send: refused: 500 InternalFailure");
    assert_eq!(server.noted().len(), 3);
}

#[tokio::test]
async fn a_refusal_is_not_repeated() {
    let server = answering([failed("400 X", "QueueDoesNotExist")]);
    let error = queue(&server).send(record("{}")).await.unwrap_err();
    assert_eq!(error.to_string(), "queue: send: refused: 400 QueueDoesNotExist");
    assert_eq!(server.noted().len(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error() {
    let queue = SqsQueue::new(&sdk(), URL, Some("http://127.0.0.1:1"));
    let error = queue.send(record("{}")).await.unwrap_err();
    assert_eq!(error.to_string(), "queue: send: connection failed");
}

#[tokio::test]
async fn a_silent_server_is_given_up_after_three_times_two_seconds() {
    let server = Server::new(|mut connection: Connection| {
        while let Some(request) = connection.read_request() {
            connection.note(request);
        }
    });
    let queue = queue(&server);
    let sending = queue.send(record("{}"));
    tokio::pin!(sending);
    while server.noted().is_empty() {
        let _ = tokio::time::timeout(Duration::from_millis(5), &mut sending).await;
    }
    tokio::time::pause();
    let began = Instant::now();
    let error = sending.await.unwrap_err();
    assert_eq!(error.to_string(), "queue: send: no answer in time");
    assert!(began.elapsed() < Duration::from_secs(8) && began.elapsed() > Duration::from_secs(5));
}

#[tokio::test]
async fn a_connection_that_died_while_the_process_was_frozen_costs_nothing() {
    let server = Server::new(|mut connection: Connection| {
        connection.read_request();
        connection.note("request");
        connection.write(&sent());
    });
    let queue = queue(&server);
    for _ in 0..10 {
        queue.send(record("{}")).await.unwrap();
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(server.noted().len(), 10);
}

#[tokio::test]
async fn a_check_asks_for_the_queue() {
    let arn = "{\"Attributes\":{\"QueueArn\":\"arn:aws:sqs:eu-central-1:000000000000:turns.fifo\"}}";
    let server = answering([answer("200 OK", arn), failed("400 X", "QueueDoesNotExist")]);
    let queue = queue(&server);
    queue.check().await.unwrap();
    assert!(server.noted()[0].contains("AmazonSQS.GetQueueAttributes"));
    let error = queue.check().await.unwrap_err();
    assert_eq!(error.to_string(), "queue: check: refused: 400 QueueDoesNotExist");
}
