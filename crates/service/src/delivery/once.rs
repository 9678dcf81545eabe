//! Frames of a process that is not the agent: appended, then posted by whoever holds the push lease, at last by
//! this process itself. Returns when they are on their way to everyone who is live.

use std::time::Duration;

use konstruct_domain::{ConversationId, Seq, TenantId};
use konstruct_protocol::Event;
use konstruct_redis::frame_log::Append;
use tokio::time::{Instant, sleep};

use super::poster::Poster;
use super::writer::{LogWriter, Write};
use crate::connections::Connections;
use crate::error::Error;
use crate::failpoint::reach;

/// A holder that shows no sign for so long is dead: its lease lasts 10 s.
const HOLDER_WAIT: Duration = Duration::from_secs(10);
/// A holder tells every 100 ms how far it has posted.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Appends and sees to it that the frames are posted; `false`: a newer epoch, nothing was written.
///
/// # Errors
/// Postgres or Redis stayed away.
pub async fn append_and_post(
    connections: &Connections,
    writer: &mut LogWriter,
    holder: String,
    events: Vec<Event>,
) -> Result<bool, Error> {
    let append = Append { events: &events, unless_stopped: None, keep_from: None };
    let Write::Logged { first, last, live, .. } = writer.write(append).await? else {
        return Ok(false);
    };
    let (tenant, conversation) = writer.place();
    if posted_by_another(connections, tenant, conversation, last).await? {
        return Ok(true);
    }
    let poster = Poster::start(connections.clone(), tenant, conversation, holder);
    poster.logged(first, events, live);
    let posts = poster.posted_to(last).await;
    tracing::info!(posts = posts.sent, failed = posts.failed, "delivered");
    reach("once.posted").await;
    poster.finish().await;
    Ok(true)
}

/// Waits until the lease's holder has posted everything up to `last` (`true`), or gave the lease back.
async fn posted_by_another(
    connections: &Connections,
    tenant: TenantId,
    conversation: ConversationId,
    last: Seq,
) -> Result<bool, Error> {
    let until = Instant::now() + HOLDER_WAIT;
    loop {
        match connections.redis.push_progress(tenant, conversation).await? {
            Some(posted) if posted >= last => return Ok(true),
            Some(_) if Instant::now() < until => sleep(LOOK_EVERY).await,
            Some(_) | None => return Ok(false),
        }
    }
}
