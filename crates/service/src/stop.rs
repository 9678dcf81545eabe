//! Stopping an answer (CHAT-11): a mark that the log's gate and the agent look at; where nothing is being written, what
//! waits for a yes is denied. Nothing is ended here.

use konstruct_domain::{ConversationId, TenantId, UserId};
use konstruct_postgres::turns::ToStop;

use crate::confirm;
use crate::connections::Connections;
use crate::error::Error;
use crate::failpoint::reach;
use crate::inbound::not_a_member;
use crate::patience::Patience;
use crate::wake::Wake;

/// Marks the answer being written as to be stopped, or denies what waits; `false`: there is neither.
///
/// # Errors
/// A refusal of who is no member any more; `Away` when patience ended.
pub async fn stop(
    wake: &Wake,
    connections: &Connections,
    tenant: TenantId,
    user: UserId,
    conversation: ConversationId,
    patience: Patience,
) -> Result<bool, Error> {
    let find = || async { wake.db.begin(tenant).await?.turn_to_stop(conversation, user).await };
    let message = match patience.retry(find).await? {
        ToStop::NotAMember => return Err(not_a_member()),
        ToStop::Nothing => {
            return Ok(confirm::cancel(wake, tenant, conversation, user, patience).await? > 0);
        }
        ToStop::Turn(message) => message,
    };
    reach("stop.found").await;
    patience.retry(|| connections.redis.mark_cancelled(tenant, conversation, message)).await?;
    reach("stop.marked").await;
    // Parked in between, it reads no mark any more: where nothing is at work now, what waits is denied.
    confirm::cancel(wake, tenant, conversation, user, patience).await?;
    Ok(true)
}
