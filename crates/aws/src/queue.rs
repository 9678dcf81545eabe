//! SQS behind `ports::TaskQueue`. It never receives: Lambda's event source does that.

use std::borrow::Cow;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use konstruct_ports::{BoxFuture, NewRecord, QueueError, TaskQueue};

use crate::failure::words;
use crate::sdk::Sdk;
use crate::trace_header::handed_on;

/// SQS delays a message by 15 minutes at most (contracts.md 2.3).
const DELAY_MAX: i32 = 900;

/// SQS hides a message for 12 hours at most (contracts.md 2.3).
const VISIBILITY_MAX: i32 = 43_200;

/// One queue.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    client: Client,
    queue_url: String,
}

impl SqsQueue {
    /// The queue at `queue_url`; `endpoint_url` replaces AWS's own endpoint (local stack, tests).
    #[must_use]
    pub fn new(sdk: &Sdk, queue_url: impl Into<String>, endpoint_url: Option<&str>) -> Self {
        Self { client: sdk.sqs(endpoint_url), queue_url: queue_url.into() }
    }

    /// Sends a body to a standard queue, to be received after so many seconds (0 to 900; more counts as 900). It
    /// may arrive twice. A FIFO queue refuses it.
    ///
    /// # Errors
    /// If SQS has not taken it after three attempts of 2 s.
    pub async fn send_delayed(&self, body: &str, seconds: i32) -> Result<(), QueueError> {
        let send = self.client.send_message().queue_url(&self.queue_url).message_body(legal(body));
        let sent = handed_on(send.delay_seconds(seconds.clamp(0, DELAY_MAX))).send().await;
        sent.map(drop).map_err(|error| QueueError(format!("send: {}", words(&error))))
    }

    /// Whether the queue is there and may be used (`sqs:GetQueueAttributes`), within 2 s in all.
    ///
    /// # Errors
    /// If it is not.
    pub async fn check(&self) -> Result<(), QueueError> {
        let once = aws_sdk_sqs::Config::builder()
            .timeout_config(TimeoutConfig::builder().operation_timeout(Duration::from_secs(2)).build());
        let ask = self.client.get_queue_attributes().queue_url(&self.queue_url);
        let asked =
            ask.attribute_names(QueueAttributeName::QueueArn).customize().config_override(once).send().await;
        asked.map(drop).map_err(|error| QueueError(format!("check: {}", words(&error))))
    }

    async fn send_fifo(&self, record: NewRecord<'_>) -> Result<(), QueueError> {
        let send = self.client.send_message().queue_url(&self.queue_url).message_body(legal(record.body));
        let send = send.message_group_id(record.group_id).message_deduplication_id(record.deduplication_id);
        let traceparent = record.traceparent.and_then(|place| {
            MessageAttributeValue::builder().data_type("String").string_value(place).build().ok()
        });
        let send = match traceparent {
            Some(place) => send.message_attributes("traceparent", place),
            None => send,
        };
        let sent = handed_on(send).send().await;
        sent.map(drop).map_err(|error| QueueError(format!("send: {}", words(&error))))
    }

    async fn hide(&self, receipt_handle: &str, seconds: i32) -> Result<(), QueueError> {
        let change = self.client.change_message_visibility().queue_url(&self.queue_url);
        let change =
            change.receipt_handle(receipt_handle).visibility_timeout(seconds.clamp(0, VISIBILITY_MAX));
        let changed = change.send().await;
        changed.map(drop).map_err(|error| QueueError(format!("visibility: {}", words(&error))))
    }
}

impl TaskQueue for SqsQueue {
    fn send<'a>(&'a self, record: NewRecord<'a>) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(self.send_fifo(record))
    }

    fn set_visibility<'a>(
        &'a self,
        receipt_handle: &'a str,
        seconds: i32,
    ) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(self.hide(receipt_handle, seconds))
    }
}

/// A JSON body that SQS takes. `serde_json` escapes what JSON wants escaped; XML forbids two characters more
/// (contracts.md 2.3), which in JSON can only stand inside of strings, where an escape means the same.
fn legal(body: &str) -> Cow<'_, str> {
    if body.contains(['\u{fffe}', '\u{ffff}']) {
        Cow::Owned(body.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff"))
    } else {
        Cow::Borrowed(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_no_character_that_xml_forbids() {
        assert_eq!(legal("{\"a\":\"x\u{fffe}y\u{ffff}\"}"), "{\"a\":\"x\\ufffey\\uffff\"}");
        assert!(matches!(legal("{\"a\":\"\u{1f600}\u{fffd}\"}"), Cow::Borrowed(_)));
    }
}
