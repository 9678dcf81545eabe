//! A function as a custom resource of CloudFormation: its event, and the answer that the stack waits for. It decides
//! nothing of what is done.

use std::time::Duration;

use axum::body::Bytes;
use http::{Method, Request};
use konstruct_http::Client;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// CloudFormation takes 4,096 bytes in all; a reason is for a person to read.
const REASON_CHARS_MAX: usize = 500;
/// Longest time for one try of the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the answer is tried: without one the stack waits for an hour.
const ANSWER_TRIES: u32 = 5;

/// What the stack wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum RequestType {
    Create,
    Update,
    Delete,
    /// What CloudFormation may think of one day.
    #[serde(other)]
    Unknown,
}

/// The event. Everything but its kind and the way back is only repeated.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Event {
    pub(crate) request_type: RequestType,
    #[serde(rename = "ResponseURL")]
    response_url: String,
    #[serde(default)]
    stack_id: String,
    #[serde(default)]
    request_id: String,
    #[serde(default)]
    logical_resource_id: String,
    #[serde(default)]
    physical_resource_id: Option<String>,
}

impl Event {
    /// The event, if it is one of a custom resource.
    ///
    /// # Errors
    /// It is one, and there is no way to answer it.
    pub(crate) fn of(payload: &Value) -> Result<Option<Self>, serde_json::Error> {
        if payload.get("RequestType").is_none() {
            return Ok(None);
        }
        Self::deserialize(payload).map(Some)
    }

    /// The answer: what was done, or why it was not. `id` names the resource, always the same way: another name would
    /// have the stack delete the one before.
    fn answer(&self, id: &str, done: Result<Map<String, Value>, String>) -> Value {
        let (status, reason, data) = match done {
            Ok(data) => ("SUCCESS", String::new(), data),
            Err(reason) => ("FAILED", reason.chars().take(REASON_CHARS_MAX).collect(), Map::new()),
        };
        json!({
            "Status": status,
            "Reason": reason,
            "PhysicalResourceId": self.physical_resource_id.as_deref().unwrap_or(id),
            "StackId": self.stack_id,
            "RequestId": self.request_id,
            "LogicalResourceId": self.logical_resource_id,
            "Data": data,
        })
    }

    /// Answers, by a PUT to the address that the event brought.
    ///
    /// # Errors
    /// Nobody took the answer: what to log.
    pub(crate) async fn respond(
        &self,
        client: &Client,
        id: &str,
        done: Result<Map<String, Value>, String>,
    ) -> Result<Value, String> {
        let answer = self.answer(id, done);
        let body = Bytes::from(answer.to_string());
        let mut why = String::new();
        for attempt in 0..ANSWER_TRIES {
            tokio::time::sleep(Duration::from_millis(200) * attempt * attempt).await;
            match tokio::time::timeout(ANSWER_TIMEOUT, self.put(client, body.clone())).await {
                Ok(Ok(())) => return Ok(answer),
                Ok(Err(refused)) => why = refused,
                Err(_) => "no answer in time".clone_into(&mut why),
            }
            tracing::warn!(%why, attempt, "CloudFormation was not answered");
        }
        Err(format!("CloudFormation was not answered: {why}"))
    }

    /// The address is signed for an empty content type, and with it for nobody else.
    async fn put(&self, client: &Client, body: Bytes) -> Result<(), String> {
        let request = Request::builder().method(Method::PUT).uri(&self.response_url);
        let request = request.header("content-type", "").body(body);
        let request = request.map_err(|_| "its address is none".to_owned())?;
        let response = client.send(request).await.map_err(|error| error.to_string())?;
        if response.status.is_success() {
            Ok(())
        } else {
            Err(format!("status {}", response.status.as_u16()))
        }
    }
}

#[cfg(test)]
mod tests;
