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

/// Waits until a message's turn has ended, or time is up; `None`: time is up, or it ended without an answer. The
/// message is accepted already, so Postgres being away is no error: one looks again.
pub async fn answer(
    db: &TenantPool,
    mut subscription: Option<ResponseSubscription>,
    tenant: TenantId,
    message: MessageId,
    until: Instant,
) -> Option<(MessageId, String)> {
    loop {
        match look(db, tenant, message).await {
            Ok(TurnOutcome::Answered(id, text)) => return Some((id, text)),
            Ok(TurnOutcome::WithoutAnswer) => return None,
            Ok(TurnOutcome::Open) => {}
            Err(error) => tracing::warn!(%error, "could not look for the answer"),
        }
        if Instant::now() >= until {
            return None;
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

async fn look(db: &TenantPool, tenant: TenantId, message: MessageId) -> Result<TurnOutcome, Error> {
    Ok(db.begin(tenant).await?.turn_outcome(message).await?)
}
