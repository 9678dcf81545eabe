//! What is due and nobody is at work on: turns that are woken again, confirmations that nobody gave. It answers nothing
//! itself.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::confirm;
use crate::error::Error;
use crate::telemetry::of_message;
use crate::wake::{Due, Wake};

/// A turn is due again when nobody worked on it for so long.
const DUE_AFTER: Duration = Duration::from_secs(45);
/// Most turns woken in one run, and most confirmations ended.
const WOKEN_MAX: i32 = 500;

/// Wakes what is due; how many turns.
///
/// # Errors
/// Postgres or the queue is away.
pub async fn rescue(wake: &Wake) -> Result<usize, Error> {
    let due = wake.db.due_turns(DUE_AFTER, WOKEN_MAX).await?;
    for turn in &due {
        let due = Due {
            tenant: turn.tenant_id,
            conversation: turn.conversation_id,
            message: turn.message_id,
            epoch: turn.epoch,
            trace: turn.trace,
        };
        // One that cannot be woken is due again in a minute, and holds up none behind it.
        if let Err(error) = wake.rescue(due).await {
            let span = of_message(turn.tenant_id, turn.conversation_id, turn.message_id, turn.trace);
            span.in_scope(|| tracing::warn!(%error, "a turn could not be woken"));
        }
    }
    Ok(due.len())
}

/// Ends the confirmations that nobody gave in time, and wakes their turns; how many.
///
/// # Errors
/// Postgres or the queue is away.
pub async fn expire(wake: &Wake) -> Result<usize, Error> {
    let expired = wake.db.expired_confirmations(WOKEN_MAX).await?;
    let conversations: BTreeSet<_> =
        expired.iter().map(|turn| (turn.tenant_id, turn.conversation_id)).collect();
    for (tenant, conversation) in conversations {
        // One that fails is there in a minute, and holds up none behind it.
        if let Err(error) = confirm::expire(wake, tenant, conversation).await {
            tracing::warn!(%error, tenant_id = %tenant, conversation_id = %conversation,
                "a confirmation could not be ended");
        }
    }
    Ok(expired.len())
}
