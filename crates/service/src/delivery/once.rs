//! Frames of a process that is not the agent: appended, then posted by whoever holds the push lease, at last by
//! this process itself. Returns when they are on their way to everyone who is live.

use konstruct_protocol::Event;
use konstruct_redis::frame_log::Append;

use super::poster::Poster;
use super::writer::{LogWriter, Write};
use crate::connections::Connections;
use crate::error::Error;

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
    // Waits for the lease while the agent holds it: by then the agent has posted these.
    let poster = Poster::start(connections.clone(), tenant, conversation, holder);
    poster.logged(first, events, live);
    poster.posted_to(last).await;
    poster.finish().await;
    Ok(true)
}
