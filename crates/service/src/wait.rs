//! Waiting for an answer over REST (delivery.md section 7): subscribe, look, look again at each publication. The
//! publication only wakes.

use std::time::Duration;

use konstruct_domain::{ConversationId, MessageId, TenantId};
use konstruct_postgres::TenantPool;
use konstruct_postgres::messages::TurnOutcome;
use konstruct_redis::Redis;
use konstruct_redis::response::ResponseSubscription;
use tokio::time::{Instant, timeout_at};

use crate::error::Error;

/// Between two looks when no publication comes: an answer is never missed for one that was lost.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Subscribes ahead of sending, so that no publication is missed. Redis away: the waiting goes on by looking.
pub async fn subscribe(
    redis: &Redis,
    tenant: TenantId,
    conversation: ConversationId,
) -> Option<ResponseSubscription> {
    redis
        .subscribe_responses(tenant, conversation)
        .await
        .inspect_err(|error| tracing::warn!(%error, "waiting without a subscription"))
        .ok()
}

/// Waits until a message's turn has ended, or time is up; `None`: time is up, or it ended without an answer.
///
/// # Errors
/// Postgres is away.
pub async fn answer(
    db: &TenantPool,
    mut subscription: Option<ResponseSubscription>,
    tenant: TenantId,
    message: MessageId,
    limit: Duration,
) -> Result<Option<(MessageId, String)>, Error> {
    let until = Instant::now() + limit;
    loop {
        match db.begin(tenant).await?.turn_outcome(message).await? {
            TurnOutcome::Answered(id, text) => return Ok(Some((id, text))),
            TurnOutcome::WithoutAnswer => return Ok(None),
            TurnOutcome::Open => {}
        }
        if Instant::now() >= until {
            return Ok(None);
        }
        let look_again = until.min(Instant::now() + LOOK_EVERY);
        match &mut subscription {
            Some(open) => {
                if timeout_at(look_again, open.woken()).await == Ok(false) {
                    subscription = None;
                }
            }
            None => tokio::time::sleep_until(look_again).await,
        }
    }
}
