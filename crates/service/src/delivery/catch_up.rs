//! Catch up, then subscribe: a connection is sent everything behind its `after` by its own handler, and joins the
//! live set only if nothing came meanwhile. It sends no frame that another process may send too.

use konstruct_domain::{Seq, TenantId};
use konstruct_postgres::conversations::ConversationRow;
use konstruct_postgres::turns::Missable;
use konstruct_protocol::{ErrorCode, Event, ServerFrame, Viewer};
use konstruct_redis::live::{Join, LiveConnection};

use super::batch::next_batch;
use crate::connections::Connections;
use crate::error::Error;

/// How many tries to join before the log is held for a moment.
const TRIES_BEFORE_HOLD: usize = 2;
/// And how many in all: each hold keeps the agent waiting.
const TRIES_MAX: usize = 8;
/// Frames read at once.
const PAGE: usize = 500;

/// Where a log ends and what it can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnd {
    /// The highest `seq` so far; 0 if none.
    pub last: Seq,
    /// Whether Redis has the log that Postgres speaks of.
    pub in_log: bool,
    /// Whether nothing can have been missed by who has everything up to `last`.
    pub complete: bool,
}

/// A connection that is about to join.
#[derive(Debug, Clone)]
pub struct Joining<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// API Gateway's id.
    pub connection_id: &'a str,
    /// How it sees the conversation.
    pub viewer: &'a Viewer,
}

/// The log's end, for `connection.last_seq`. A log that is behind Postgres lost its data and counts as none.
/// `missable` was read before: what is shown from then on is in the log, or will be.
///
/// # Errors
/// Redis is away.
pub async fn log_end(
    connections: &Connections,
    row: &ConversationRow,
    missable: Missable,
) -> Result<LogEnd, Error> {
    let conversation = &row.conversation;
    let state = connections.redis.log_state(conversation.tenant_id, conversation.id).await?;
    Ok(match state {
        Some(state) if state.last >= row.last_seq && Some(state.generation) >= row.generation => {
            LogEnd { last: state.last, in_log: true, complete: true }
        }
        _ => LogEnd { last: row.last_seq, in_log: false, complete: !missable.due || !missable.shown },
    })
}

/// Sends what is behind `after` (`None`: nothing, it is live from the log's end) and joins. `false`: the
/// connection went away meanwhile.
///
/// # Errors
/// Redis is away.
pub async fn catch_up_and_join(
    connections: &Connections,
    joining: Joining<'_>,
    end: LogEnd,
    after: Option<Seq>,
) -> Result<bool, Error> {
    let mut has = match after {
        None => end.last,
        Some(after) if serves(connections, &joining, end, after).await? => after,
        Some(_) => {
            if !tell_gap(connections, &joining).await {
                return Ok(false);
            }
            end.last
        }
    };
    for attempt in 0..TRIES_MAX {
        if !replay(connections, &joining, &mut has).await? {
            return Ok(false);
        }
        let live = LiveConnection {
            connection_id: joining.connection_id.to_owned(),
            joined: has,
            viewer: joining.viewer.clone(),
        };
        match connections.redis.join(joining.tenant, &live).await? {
            Join::Joined => return Ok(true),
            // Redis has an older state than Postgres spoke of: the numbers there are not used again.
            Join::Behind(last) if last < has => has = last,
            Join::Behind(_) => {}
        }
        if attempt >= TRIES_BEFORE_HOLD {
            connections.redis.hold_log(joining.tenant, joining.viewer.conversation_id).await?;
        }
    }
    // It reads more slowly than the agent writes: it comes back with what it has.
    connections.close(joining.connection_id).await?;
    Ok(false)
}

/// Whether the log has every frame behind `after`, or there is none.
async fn serves(
    connections: &Connections,
    joining: &Joining<'_>,
    end: LogEnd,
    after: Seq,
) -> Result<bool, Error> {
    if after == end.last {
        return Ok(end.complete);
    }
    if after > end.last || !end.in_log {
        return Ok(false);
    }
    reachable(connections, joining, after).await
}

/// Whether the frame right behind `after` is in the log.
async fn reachable(connections: &Connections, joining: &Joining<'_>, after: Seq) -> Result<bool, Error> {
    let conversation = joining.viewer.conversation_id;
    let next = connections.redis.frames_after(joining.tenant, conversation, after, 1).await?;
    Ok(next.first().is_some_and(|(seq, _)| seq.0 == after.0 + 1))
}

/// Sends everything the log has behind `has`, in order, and moves `has` on.
async fn replay(connections: &Connections, joining: &Joining<'_>, has: &mut Seq) -> Result<bool, Error> {
    let conversation = joining.viewer.conversation_id;
    loop {
        let page: Vec<(Seq, Event)> =
            connections.redis.frames_after(joining.tenant, conversation, *has, PAGE).await?;
        if page.is_empty() {
            return Ok(true);
        }
        if page.first().is_some_and(|(seq, _)| seq.0 != has.0 + 1) && !tell_gap(connections, joining).await {
            return Ok(false);
        }
        let mut rest = page.as_slice();
        while let Some(batch) = next_batch(rest.iter().map(|(seq, event)| (*seq, event)), joining.viewer) {
            if let Some(frame) = batch.frame
                && !connections.send_text(joining.connection_id, &frame).await
            {
                return Ok(false);
            }
            *has = batch.up_to;
            rest = rest.get(rest.partition_point(|(seq, _)| *seq <= batch.up_to)..).unwrap_or_default();
        }
    }
}

/// Tells the connection that frames it does not have are gone; whether it heard.
async fn tell_gap(connections: &Connections, joining: &Joining<'_>) -> bool {
    let text = "The frames you ask for are no longer here: reload the history.";
    let gap = ServerFrame::error(ErrorCode::ReplayGap, text);
    connections.send(joining.connection_id, Some(joining.viewer), &gap).await
}
