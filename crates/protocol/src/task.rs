//! The body of a queue record (protocol.md section 4). No secret is in it.

use konstruct_domain::{Epoch, InboundMessage};
use serde::{Deserialize, Serialize};

/// The version this code writes and reads.
pub const TASK_VERSION: u8 = 1;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Answer the conversation's messages up to this one.
    Message,
    /// Go on behind a confirmation.
    Continue,
}

/// A task: it wakes the agent; what is to be done is in Postgres.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// [`TASK_VERSION`].
    v: u8,
    /// The kind.
    pub task: TaskKind,
    /// The conversation's epoch when it was queued.
    pub epoch: Epoch,
    /// The message, whole (CHAT-01).
    #[serde(flatten)]
    pub message: InboundMessage,
}

/// A body that is no task of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no task of version 1")]
pub struct NotATask;

impl Task {
    /// A task of the current version.
    #[must_use]
    pub const fn new(task: TaskKind, epoch: Epoch, message: InboundMessage) -> Self {
        Self { v: TASK_VERSION, task, epoch, message }
    }

    /// Parses a record's body.
    ///
    /// # Errors
    /// [`NotATask`]: unknown version, not JSON, fields missing or of another form.
    pub fn parse(body: &str) -> Result<Self, NotATask> {
        let task: Self = serde_json::from_str(body).map_err(|_| NotATask)?;
        if task.v == TASK_VERSION { Ok(task) } else { Err(NotATask) }
    }

    /// The body, in ASCII: SQS refuses some characters, and an escape is never one of them.
    #[must_use]
    pub fn to_body(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        let mut body = String::with_capacity(json.len());
        for c in json.chars() {
            if c.is_ascii() && c != '\u{7f}' {
                body.push(c);
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    body.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
        body
    }

    /// The FIFO group: messages of one thread are worked on one at a time.
    #[must_use]
    pub fn group_id(&self) -> String {
        format!("{}:{}", self.message.tenant_id, self.message.thread_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use konstruct_domain::{Channel, Content, ConversationId, MessageId, Sender, TenantId};
    use proptest::prelude::*;
    use time::OffsetDateTime;
    use uuid::Uuid;

    fn task(text: &str) -> Option<Task> {
        let message = InboundMessage {
            id: MessageId(Uuid::from_u128(1)),
            tenant_id: TenantId(Uuid::from_u128(2)),
            channel: Channel::Web,
            channel_metadata: [("portal_user_id".to_owned(), "u".to_owned())].into(),
            sender: Sender { user_id: "u".into() },
            content: Content::parse(text).ok()?,
            timestamp: OffsetDateTime::UNIX_EPOCH,
            thread_id: ConversationId(Uuid::from_u128(3)),
            reply_to: None,
            context: None,
        };
        Some(Task::new(TaskKind::Message, Epoch(4), message))
    }

    proptest! {
        /// proves CHAT-01
        #[test]
        fn a_task_survives_the_queue_as_ascii(text in ".{1,200}") {
            if let Some(task) = task(&text) {
                let body = task.to_body();
                prop_assert!(body.bytes().all(|b| (0x20..0x7f).contains(&b)));
                prop_assert_eq!(Task::parse(&body), Ok(task));
            }
        }
    }

    /// proves CHAT-01
    #[test]
    fn a_body_has_every_field_of_an_inbound_message() {
        let body: serde_json::Value =
            serde_json::from_str(&task("hi").expect("a task").to_body()).expect("JSON");
        for field in [
            "v",
            "task",
            "epoch",
            "id",
            "tenant_id",
            "channel",
            "channel_metadata",
            "sender",
            "content",
            "timestamp",
            "thread_id",
            "reply_to",
            "context",
        ] {
            assert!(body.get(field).is_some(), "{field}");
        }
    }

    #[test]
    fn a_body_that_is_no_task_is_told() {
        for body in ["", "{", "{}", "[]", r#"{"v":2}"#] {
            assert_eq!(Task::parse(body), Err(NotATask), "{body}");
        }
    }
}
