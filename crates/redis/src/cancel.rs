//! The mark of an answer that is to be stopped. The log's gate reads it; nothing is stopped here.

use konstruct_domain::{ConversationId, MessageId, TenantId};

use crate::client::Redis;
use crate::error::RedisError;
use crate::key::Key;

/// A mark lasts an hour: longer than any turn.
const TTL_SECONDS: u64 = 3600;

impl Redis {
    /// The message whose answer is to be stopped.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn cancelled(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
    ) -> Result<Option<MessageId>, RedisError> {
        let mut get = redis::pipe();
        get.cmd("GET").arg(Key::cancel(tenant, conversation));
        let (mark,): (Option<String>,) = self.pipeline(&get).await?;
        Ok(mark.and_then(|mark| mark.parse().ok()))
    }

    /// Marks the answer to a message as to be stopped.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn mark_cancelled(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), RedisError> {
        let mut set = redis::pipe();
        set.cmd("SET")
            .arg(Key::cancel(tenant, conversation))
            .arg(message.to_string())
            .arg("EX")
            .arg(TTL_SECONDS);
        self.pipeline::<((),)>(&set).await.map(|_| ())
    }
}
