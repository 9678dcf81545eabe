//! Waking the agent for a turn that is in Postgres already: by the janitor, a decision, a human's reply. What is to be
//! done is not said: the agent finds it there.

use std::sync::Arc;

use konstruct_domain::{
    Channel, ConversationId, Epoch, InboundMessage, MessageId, Sender, TenantId, TraceId,
};
use konstruct_ports::{Clock, NewRecord, TaskQueue};
use konstruct_postgres::TenantPool;
use konstruct_protocol::{Task, TaskKind, TraceParent};
use tracing::Instrument as _;

use crate::error::Error;
use crate::telemetry::of_message;

/// Wakes the agent.
#[derive(Clone)]
pub struct Wake {
    /// Reads what the task carries.
    pub db: TenantPool,
    /// Where tasks go.
    pub queue: Arc<dyn TaskQueue>,
    /// When.
    pub clock: Arc<dyn Clock>,
}

/// A turn that is to be worked on.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// Whose.
    pub tenant: TenantId,
    /// In which conversation.
    pub conversation: ConversationId,
    /// The person's message, or the human's reply.
    pub message: MessageId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The trace it was accepted in; `None`: before there was one.
    pub trace: Option<TraceId>,
}

impl std::fmt::Debug for Wake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wake")
    }
}

impl Wake {
    /// By the janitor, in a group of its own: the thread's may be blocked by the record of a dead invocation.
    ///
    /// # Errors
    /// Postgres or the queue is away.
    pub async fn rescue(&self, due: Due) -> Result<(), Error> {
        let minute = self.clock.now().unix_timestamp() / 60;
        let group = format!("{}:{}:rescue", due.tenant, due.conversation);
        self.send((TaskKind::Message, "rescue"), due, Some(group), format!("{}:s{minute}", due.message)).await
    }

    /// Behind a decision about a call.
    ///
    /// # Errors
    /// Postgres or the queue is away.
    pub async fn go_on(&self, due: Due, call_id: &str) -> Result<(), Error> {
        self.send((TaskKind::Continue, "decision"), due, None, format!("{}:{call_id}", due.message)).await
    }

    /// For something new that is to be brought to its person.
    ///
    /// # Errors
    /// Postgres or the queue is away.
    pub async fn deliver(&self, due: Due) -> Result<(), Error> {
        let id = format!("{}:e{}", due.message, due.epoch.0);
        self.send((TaskKind::Message, "delivery"), due, None, id).await
    }

    async fn send(
        &self,
        (kind, why): (TaskKind, &'static str),
        due: Due,
        group: Option<String>,
        deduplication_id: String,
    ) -> Result<(), Error> {
        let span = of_message(due.tenant, due.conversation, due.message, due.trace);
        self.send_now((kind, why), due, group, deduplication_id).instrument(span).await
    }

    async fn send_now(
        &self,
        (kind, why): (TaskKind, &'static str),
        due: Due,
        group: Option<String>,
        deduplication_id: String,
    ) -> Result<(), Error> {
        let Some(message) = self.db.begin(due.tenant).await?.inbound(due.message).await? else {
            return Ok(());
        };
        let mut channel_metadata = message.channel_metadata;
        if message.channel == Channel::Web {
            let metadata = [
                ("portal_user_id", message.user_id.map(|u| u.to_string()).unwrap_or_default()),
                ("tenant_id", due.tenant.to_string()),
                ("conversation_id", due.conversation.to_string()),
            ];
            channel_metadata.extend(metadata.map(|(key, value)| (key.to_owned(), value)));
        }
        let author = if message.channel == Channel::Web { "portal_user_id" } else { "user_id" };
        let inbound = InboundMessage {
            id: due.message,
            tenant_id: due.tenant,
            channel: message.channel,
            sender: Sender { user_id: channel_metadata.get(author).cloned().unwrap_or_default() },
            channel_metadata,
            content: message.content,
            timestamp: self.clock.now(),
            thread_id: due.conversation,
            reply_to: None,
            context: None,
        };
        let task = Task::new(kind, due.epoch, inbound);
        let traceparent = due.trace.map(|trace| TraceParent::of(trace).to_string());
        let record = NewRecord {
            body: &task.to_body(),
            group_id: &group.unwrap_or_else(|| task.group_id()),
            deduplication_id: &deduplication_id,
            traceparent: traceparent.as_deref(),
        };
        self.queue.send(record).await?;
        tracing::info!(why, "enqueued");
        Ok(())
    }
}
