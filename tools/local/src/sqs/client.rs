//! SQS's JSON protocol, the few calls that are needed.
//! It talks to ministack itself, never through the pass-through: injected faults must not hit it.

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::error::{Context, Error, Result};
use crate::http_client::{HttpClient, client};
use crate::template::{ACCOUNT, REGION};

/// Calls one SQS endpoint.
#[derive(Debug, Clone)]
pub struct SqsClient {
    http: HttpClient,
    endpoint: String,
}

impl SqsClient {
    /// A client of the SQS at 127.0.0.1:`port`.
    pub fn new(port: u16) -> Self {
        Self { http: client(), endpoint: format!("http://127.0.0.1:{port}") }
    }

    /// The address of a queue.
    pub fn url(&self, queue: &str) -> String {
        format!("{}/{ACCOUNT}/{queue}", self.endpoint)
    }

    /// One call; an error names the action and SQS's error type, never what was sent.
    pub async fn call(&self, action: &str, input: &Value) -> Result<Value> {
        // Any signature does; the region in it is what ministack goes by.
        let signature = format!(
            "AWS4-HMAC-SHA256 Credential=local/20260101/{REGION}/sqs/aws4_request, SignedHeaders=host, Signature=0"
        );
        let request = Request::post(&self.endpoint)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("AmazonSQS.{action}"))
            .header("authorization", signature)
            .body(Body::from(input.to_string()))
            .context(action)?;
        let response = self.http.request(request).await.context(action)?;
        let status = response.status();
        let body = response.into_body().collect().await.context(action)?.to_bytes();
        let answer: Value = if body.is_empty() { Value::Null } else { parse(action, &body)? };
        if status.is_success() {
            return Ok(answer);
        }
        let kind = answer.get("__type").and_then(Value::as_str).unwrap_or("no error type");
        Err(Error::new(format!("SQS {action}: {status} {kind}")))
    }

    /// Receives at most `most` messages without waiting.
    pub async fn receive(&self, queue: &str, most: usize) -> Result<Vec<Value>> {
        let input = json!({
            "QueueUrl": self.url(queue), "MaxNumberOfMessages": most, "WaitTimeSeconds": 0,
            "AttributeNames": ["All"], "MessageAttributeNames": ["All"],
        });
        match self.call("ReceiveMessage", &input).await?.get_mut("Messages").map(Value::take) {
            Some(Value::Array(messages)) => Ok(messages),
            _ => Ok(Vec::new()),
        }
    }

    /// Deletes a message.
    pub async fn delete(&self, queue: &str, receipt: &str) -> Result<()> {
        let input = json!({"QueueUrl": self.url(queue), "ReceiptHandle": receipt});
        self.call("DeleteMessage", &input).await.map(|_| ())
    }

    /// Visible and invisible messages of a queue, delayed ones left out.
    pub async fn counts(&self, queue: &str) -> Result<(u64, u64)> {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let input = json!({"QueueUrl": self.url(queue), "AttributeNames": names});
        let answer = self.call("GetQueueAttributes", &input).await?;
        let [visible, in_flight] = names.map(|name| {
            let count = answer.get("Attributes").and_then(|all| all.get(name)).and_then(Value::as_str);
            count.and_then(|count| count.parse().ok()).unwrap_or(0)
        });
        Ok((visible, in_flight))
    }
}

fn parse(action: &str, body: &Bytes) -> Result<Value> {
    serde_json::from_slice(body).context(format_args!("SQS {action}: no JSON"))
}
