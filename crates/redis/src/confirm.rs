//! Which calls of a thread wait for a yes, oldest first, and who has it. A pointer for who looks from outside: what is
//! decided is in Postgres.

use konstruct_domain::{ConversationId, TenantId};

use crate::client::Redis;
use crate::error::RedisError;
use crate::key::Key;

/// Longer than any confirmation waits.
const TTL_SECONDS: u64 = 3600;
/// Who has a conversation is told for as long as a frame log lives.
const HOLDER_TTL_SECONDS: u64 = 25 * 3600;

impl Redis {
    /// A call waits.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn point_to_call(
        &self,
        tenant: TenantId,
        thread: ConversationId,
        call_id: &str,
    ) -> Result<(), RedisError> {
        let key = Key::tool_confirm(tenant, thread);
        let mut push = redis::pipe();
        push.atomic();
        // A call is listed once, however often its turn is parked.
        push.cmd("LREM").arg(&key).arg(0).arg(call_id).ignore();
        push.cmd("RPUSH").arg(&key).arg(call_id).ignore();
        push.cmd("EXPIRE").arg(&key).arg(TTL_SECONDS).ignore();
        self.pipeline::<()>(&push).await
    }

    /// A call waits no longer.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn forget_call(
        &self,
        tenant: TenantId,
        thread: ConversationId,
        call_id: &str,
    ) -> Result<(), RedisError> {
        let mut remove = redis::pipe();
        remove.cmd("LREM").arg(Key::tool_confirm(tenant, thread)).arg(0).arg(call_id).ignore();
        self.pipeline::<()>(&remove).await
    }

    /// The calls that wait, oldest first.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn waiting_calls(
        &self,
        tenant: TenantId,
        thread: ConversationId,
    ) -> Result<Vec<String>, RedisError> {
        let mut range = redis::pipe();
        range.cmd("LRANGE").arg(Key::tool_confirm(tenant, thread)).arg(0).arg(-1);
        let (calls,): (Vec<String>,) = self.pipeline(&range).await?;
        Ok(calls)
    }

    /// Notes who has a conversation: `human` or `ai`.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn note_holder(
        &self,
        tenant: TenantId,
        thread: ConversationId,
        human: bool,
    ) -> Result<(), RedisError> {
        let mut set = redis::pipe();
        let holder = if human { "human" } else { "ai" };
        let key = Key::escalation(tenant, thread);
        set.cmd("SET").arg(key).arg(holder).arg("EX").arg(HOLDER_TTL_SECONDS).ignore();
        self.pipeline::<()>(&set).await
    }
}
