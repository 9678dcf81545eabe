//! Stopping an answer (CHAT-11): a mark that the log's gate and the agent look at. Nothing is ended here.

use konstruct_domain::{ConversationId, TenantId};
use konstruct_postgres::TenantPool;

use crate::connections::Connections;
use crate::error::Error;
use crate::patience::Patience;

/// Marks the answer being written as to be stopped; `false`: nothing is being written.
///
/// # Errors
/// `Away` when patience ended.
pub async fn stop(
    db: &TenantPool,
    connections: &Connections,
    tenant: TenantId,
    conversation: ConversationId,
    patience: Patience,
) -> Result<bool, Error> {
    let find = || async { db.begin(tenant).await?.turn_to_stop(conversation).await };
    let Some(message) = patience.retry(find).await? else {
        return Ok(false);
    };
    patience.retry(|| connections.redis.mark_cancelled(tenant, conversation, message)).await?;
    Ok(true)
}
