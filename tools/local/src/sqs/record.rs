//! SQS messages as records of a Lambda event (contracts.md 2.1).
//! All attribute values stay strings, as on AWS.

use serde_json::{Map, Value, json};

use crate::template::{REGION, queue_arn};

/// The event for a batch of received messages.
pub fn event(queue: &str, messages: &[Value]) -> Value {
    json!({"Records": messages.iter().map(|message| record(queue, message)).collect::<Vec<_>>()})
}

fn record(queue: &str, message: &Value) -> Value {
    let field = |name: &str| message.get(name).cloned().unwrap_or_default();
    let mut record = json!({
        "messageId": field("MessageId"),
        "receiptHandle": field("ReceiptHandle"),
        "body": field("Body"),
        "attributes": message.get("Attributes").cloned().unwrap_or_else(|| json!({})),
        "messageAttributes": attributes(message.get("MessageAttributes")),
        "md5OfBody": field("MD5OfBody"),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn(queue),
        "awsRegion": REGION,
    });
    if let (Some(record), Some(md5)) = (record.as_object_mut(), message.get("MD5OfMessageAttributes")) {
        record.insert("md5OfMessageAttributes".into(), md5.clone());
    }
    record
}

fn attributes(given: Option<&Value>) -> Value {
    let mut all = Map::new();
    for (name, attribute) in given.and_then(Value::as_object).into_iter().flatten() {
        let mut one = Map::new();
        let members =
            [("StringValue", "stringValue"), ("BinaryValue", "binaryValue"), ("DataType", "dataType")];
        for (from, to) in members {
            if let Some(value) = attribute.get(from) {
                one.insert(to.into(), value.clone());
            }
        }
        one.insert("stringListValues".into(), json!([]));
        one.insert("binaryListValues".into(), json!([]));
        all.insert(name.clone(), one.into());
    }
    all.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_becomes_the_record_aws_would_send() {
        let message = json!({
            "MessageId": "m", "ReceiptHandle": "r", "Body": "b", "MD5OfBody": "5",
            "Attributes": {"ApproximateReceiveCount": "1", "MessageGroupId": "g", "AWSTraceHeader": "Root=1-a-b"},
            "MessageAttributes": {"a": {"StringValue": "x", "DataType": "String"}},
        });
        let record = event("q.fifo", &[message])["Records"][0].clone();
        assert_eq!(record["eventSourceARN"], "arn:aws:sqs:us-east-1:000000000000:q.fifo");
        assert_eq!(record["attributes"]["ApproximateReceiveCount"], "1");
        assert_eq!(record["attributes"]["AWSTraceHeader"], "Root=1-a-b");
        assert_eq!(record["messageAttributes"]["a"]["stringValue"], "x");
        assert!(record.get("md5OfMessageAttributes").is_none());
    }
}
