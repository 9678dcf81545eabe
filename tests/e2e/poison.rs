//! What no invocation can work on: a record that is no task, and a message that kills whoever works on it.

use std::time::Duration;

use bytes::Bytes;
use konstruct_http::{Client, ClientConfig};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::device::Device;
use crate::stack::Stack;
use crate::trouble::{SHORT_LEASE_MS, Trouble};

/// protocol.md section 4: what is no task is in the dead-letter queue within this.
const POISON: Duration = Duration::from_secs(30);

/// A call of SQS; the local one takes any key.
pub async fn sqs(stack: &Stack, action: &str, body: Value) -> Value {
    let client = Client::new(ClientConfig { allow_plain: true, ..ClientConfig::default() });
    let request = http::Request::builder()
        .method("POST")
        .uri(format!("{}/", stack.url("sqs_endpoint")))
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", format!("AmazonSQS.{action}"))
        .header("authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request")
        .body(Bytes::from(body.to_string()))
        .expect("a request");
    let response = client.send(request).await.expect("SQS answers");
    let status = response.status.as_u16();
    let body = response.body.collect(1_000_000).await.expect("a body");
    assert_eq!(status, 200, "{action}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap_or(Value::Null)
}

async fn send(stack: &Stack, queue: &str, group: &str, body: &str) {
    let message = json!({
        "QueueUrl": stack.url(queue), "MessageBody": body, "MessageGroupId": group,
        "MessageDeduplicationId": Uuid::new_v4().to_string(),
    });
    sqs(stack, "SendMessage", message).await;
}

/// The FIFO group of a device's conversation.
fn group(device: &Device) -> String {
    format!("{}:{}", device.user.tenant, device.conversation())
}

/// The record of a message, as a copy of it would be.
fn task(device: &Device, id: &str) -> String {
    let (tenant, thread, user) = (&device.user.tenant, device.conversation(), &device.user.id);
    let task = json!({
        "v": 1, "task": "message", "epoch": 0, "id": id, "tenant_id": tenant, "channel": "web",
        "channel_metadata": {"portal_user_id": user, "tenant_id": tenant, "conversation_id": thread},
        "sender": {"user_id": user}, "content": "once", "timestamp": "2026-01-01T00:00:00Z",
        "thread_id": thread, "reply_to": null, "context": null,
    });
    task.to_string()
}

/// Takes everything out of the dead-letter queue; the bodies.
async fn empty_the_dead_letters(stack: &Stack) -> Vec<String> {
    let queue = stack.url("dlq_url");
    let mut bodies = Vec::new();
    loop {
        let asked = json!({"QueueUrl": queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 0});
        let answer = sqs(stack, "ReceiveMessage", asked).await;
        let Some(messages) = answer["Messages"].as_array().filter(|all| !all.is_empty()) else {
            return bodies;
        };
        for message in messages {
            bodies.push(message["Body"].as_str().unwrap_or_default().to_owned());
            let delete = json!({"QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"]});
            sqs(stack, "DeleteMessage", delete).await;
        }
    }
}

/// proves CHAT-08, CHAT-12
#[tokio::test]
async fn a_record_that_is_no_task_is_a_dead_letter_soon_and_its_group_goes_on() {
    let trouble = Trouble::deaths().await;
    let device = &trouble.devices(1).await[0];
    let before = device.said("before").await;
    device.end_of(&before, Duration::from_secs(30)).await;
    let dead_before = trouble.queued().await.dead;
    let poison =
        ["no JSON".to_owned(), json!({"v": 1}).to_string(), json!({"v": 99, "task": "message"}).to_string()];
    let sent = Instant::now();
    for body in &poison {
        send(trouble.stack, "queue_url", &group(device), body).await;
    }
    // Behind the poison, in the same group.
    let behind = device.said("behind the poison").await;
    while trouble.queued().await.dead < dead_before + 3 {
        assert!(sent.elapsed() < POISON, "not in the dead-letter queue after {POISON:?}");
        sleep(Duration::from_millis(50)).await;
    }
    let dead = sent.elapsed();
    device.end_of(&behind, POISON).await;
    let went_on = sent.elapsed();
    let found = device.verify(&[(before, None), (behind, None)], true).await;
    assert!(found.failed.is_empty());
    trouble.drained(Duration::from_secs(30)).await;
    let mut letters = empty_the_dead_letters(trouble.stack).await;
    letters.retain(|letter| poison.contains(letter));
    assert_eq!(letters.len(), 3, "the records themselves, unchanged");
    println!(
        "poison: 3 records that are no task were in the dead-letter queue {:.1} s after they were sent, the message \
         behind them was answered after {:.1} s",
        dead.as_secs_f64(),
        went_on.as_secs_f64()
    );
}

/// proves CHAT-08, CHAT-12
#[tokio::test]
async fn a_message_that_kills_every_invocation_ends_in_agent_failed_and_is_no_dead_letter() {
    let trouble = Trouble::deaths().await;
    let device = &trouble.devices(1).await[0];
    let dead_before = trouble.queued().await.dead;
    let errors_before = trouble.function("agent", "errors").await;
    // Every invocation that lives longer than this dies: also the one that waits to tell the person until the push
    // lease of the dead one before it has run out.
    trouble.kill("agent", 900, 1000).await;
    let id = device.said("/tokens 400 20").await;
    let began = Instant::now();
    let leases = Duration::from_millis(SHORT_LEASE_MS) * 5;
    let end = device.end_of(&id, leases * 4 + Duration::from_secs(20)).await;
    let took = began.elapsed();
    assert_eq!(end["code"], "agent_failed", "{}", end["type"]);
    let drained = trouble.drained(Duration::from_secs(60)).await;
    trouble.disarm().await;
    assert_eq!(drained.dead, dead_before, "its record was acknowledged");
    let died = trouble.function("agent", "errors").await - errors_before;
    let then = device.said("and on").await;
    device.end_of(&then, Duration::from_secs(30)).await;
    let found = device.verify(&[(id.clone(), None), (then, None)], true).await;
    assert_eq!(found.failed, [id]);
    println!(
        "a message that kills: {died} invocations died, one agent_failed after {:.1} s, no dead letter, the next \
         message answered",
        took.as_secs_f64()
    );
}

/// proves CHAT-08
#[tokio::test]
async fn a_dead_letter_that_is_redriven_is_answered_once_or_not_again() {
    let trouble = Trouble::deaths().await;
    let device = &trouble.devices(1).await[0];
    let id = device.said("once").await;
    device.end_of(&id, Duration::from_secs(30)).await;
    empty_the_dead_letters(trouble.stack).await;
    send(trouble.stack, "dlq_url", &group(device), &task(device, &id)).await;
    let told = redrive(trouble.stack);
    assert!(told.contains(": 1 moved back"), "{told}");
    let drained = trouble.drained(Duration::from_secs(60)).await;
    assert_eq!(drained.dead, 0, "the record was taken for a task and acknowledged");
    let then = device.said("and on").await;
    device.end_of(&then, Duration::from_secs(30)).await;
    let found = device.verify(&[(id, None), (then, None)], true).await;
    assert!(found.failed.is_empty());
    println!("a redriven record of an answered message: {told:?}; answered once still, nothing dead");
}

/// proves CHAT-12
#[tokio::test]
async fn a_record_that_comes_in_an_outage_is_held_by_one_invocation() {
    let trouble = Trouble::deaths().await;
    let device = &trouble.devices(1).await[0];
    let id = device.said("once").await;
    device.end_of(&id, Duration::from_secs(30)).await;
    trouble.drained(Duration::from_secs(30)).await;
    let before = trouble.function("agent", "invocations").await;
    trouble.service("postgres", "stop").await;
    send(trouble.stack, "queue_url", &group(device), &task(device, &id)).await;
    let leases = Duration::from_millis(SHORT_LEASE_MS) * 3;
    sleep(leases).await;
    let invocations = trouble.function("agent", "invocations").await - before;
    trouble.service("postgres", "start").await;
    trouble.drained(Duration::from_secs(60)).await;
    println!(
        "a record that came while Postgres was away: {invocations} invocation(s) in {leases:?}, three leases"
    );
    assert_eq!(invocations, 1, "it came back, and would be a dead letter after 20 times");
}

/// What `make dlq-redrive` does; what it says.
fn redrive(stack: &Stack) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/setup/dlq-redrive");
    let out = std::process::Command::new(script).env("STATE_DIR", &stack.state).output().expect("the script");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}
