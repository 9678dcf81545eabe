//! Creates the template's queues in ministack.
//! Messages that are there already must survive: an existing queue only gets its attributes anew.

use serde_json::json;

use crate::error::{Context, Result};
use crate::template::QueueSpec;

use super::client::SqsClient;

/// Attributes that cannot be changed once a queue exists.
const FIXED: [&str; 1] = ["FifoQueue"];

/// Makes every queue exist as the template has it; dead-letter queues come first in `queues`.
pub async fn create(client: &SqsClient, queues: &[QueueSpec]) -> Result<()> {
    for queue in queues {
        let exists = client.call("GetQueueUrl", &json!({"QueueName": queue.name})).await.is_ok();
        let done = if exists {
            let changeable: serde_json::Map<_, _> = (queue.attributes.iter())
                .filter(|(name, _)| !FIXED.contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), value.as_str().into()))
                .collect();
            client
                .call(
                    "SetQueueAttributes",
                    &json!({"QueueUrl": client.url(&queue.name), "Attributes": changeable}),
                )
                .await
        } else {
            client
                .call("CreateQueue", &json!({"QueueName": queue.name, "Attributes": queue.attributes}))
                .await
        };
        done.context(&queue.name)?;
    }
    Ok(())
}
