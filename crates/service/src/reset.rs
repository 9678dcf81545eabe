//! Resetting a conversation (delivery.md section 5): an answer under way ends as `stopped`, then what was said is gone.
//! The conversation and its numbers stay.

use konstruct_postgres::conversations::ConversationRow;
use konstruct_protocol::ErrorCode;
use konstruct_redis::Key;

use crate::error::Error;
use crate::failpoint::reach;
use crate::hand_over::OnBehalf;

impl OnBehalf<'_> {
    /// Resets a conversation: stops an answer under way, then messages, frame log and memory are gone.
    ///
    /// # Errors
    /// Something is away; the reset may be asked for again.
    pub async fn reset(&self, row: &ConversationRow) -> Result<(), Error> {
        let (tenant, conversation) = (row.conversation.tenant_id, row.conversation.id);
        let redis = &self.connections.redis;
        redis.check().await?;
        let raise = self.db.begin(tenant).await?.raise_epoch(conversation, None);
        let Some((raised, _)) = raise.await? else {
            return Err(Error::not_found("conversation"));
        };
        reach("reset.epoch_raised").await;
        self.settle_standing(tenant, conversation, &raised, None).await?;
        self.db.begin(tenant).await?.delete_messages(conversation, raised.epoch).await?;
        reach("reset.deleted").await;
        redis.empty_log(tenant, conversation).await?;
        reach("reset.emptied").await;
        let memory = Key::memory(tenant, row.conversation.agent_id, row.conversation.user_id, conversation);
        Ok(redis.forget(&memory).await?)
    }
}

/// The sentence that goes with a code that ends a turn.
#[must_use]
pub const fn sentence(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::AgentUnavailable => "This agent is not active at the moment.",
        ErrorCode::BudgetSpent => "The token budget of this month is spent.",
        _ => "The agent could not answer this message. Please try again.",
    }
}
