//! What is due and nobody is at work on: turns that are woken again. It answers nothing itself.

use std::time::Duration;

use konstruct_domain::{Channel, InboundMessage, Sender};
use konstruct_ports::{Clock, TaskQueue};
use konstruct_postgres::TenantPool;
use konstruct_postgres::directory::DueTurn;
use konstruct_protocol::{Task, TaskKind};

use time::OffsetDateTime;

use crate::error::Error;

/// A turn is due again when nobody worked on it for so long.
const DUE_AFTER: Duration = Duration::from_secs(45);
/// Most turns woken in one run.
const WOKEN_MAX: i32 = 500;

/// Wakes what is due; how many turns.
///
/// # Errors
/// Postgres or the queue is away.
pub async fn rescue(db: &TenantPool, queue: &dyn TaskQueue, clock: &dyn Clock) -> Result<usize, Error> {
    let due = db.due_turns(DUE_AFTER, WOKEN_MAX).await?;
    let now = clock.now();
    for turn in &due {
        // One that cannot be woken is due again in a minute, and holds up none behind it.
        if let Err(error) = wake(db, queue, turn, now).await {
            tracing::warn!(%error, turn_id = %turn.message_id, "a turn could not be woken");
        }
    }
    Ok(due.len())
}

async fn wake(
    db: &TenantPool,
    queue: &dyn TaskQueue,
    turn: &DueTurn,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let Some(message) = db.begin(turn.tenant_id).await?.inbound(turn.message_id).await? else {
        return Ok(());
    };
    let mut channel_metadata = message.channel_metadata;
    if message.channel == Channel::Web {
        let metadata = [
            ("portal_user_id", message.user_id.map(|u| u.to_string()).unwrap_or_default()),
            ("tenant_id", turn.tenant_id.to_string()),
            ("conversation_id", turn.conversation_id.to_string()),
        ];
        channel_metadata.extend(metadata.map(|(key, value)| (key.to_owned(), value)));
    }
    let author = if message.channel == Channel::Web { "portal_user_id" } else { "user_id" };
    let inbound = InboundMessage {
        id: turn.message_id,
        tenant_id: turn.tenant_id,
        channel: message.channel,
        sender: Sender { user_id: channel_metadata.get(author).cloned().unwrap_or_default() },
        channel_metadata,
        content: message.content,
        timestamp: now,
        thread_id: turn.conversation_id,
        reply_to: None,
        context: None,
    };
    // A group of its own: the thread's may be blocked by the record of a dead invocation.
    let group = format!("{}:{}:rescue", turn.tenant_id, turn.conversation_id);
    let minute = now.unix_timestamp() / 60;
    let body = Task::new(TaskKind::Message, turn.epoch, inbound).to_body();
    queue.send(&body, &group, &format!("{}:s{minute}", turn.message_id)).await?;
    Ok(())
}
