//! The publication of an answer (CHAT-02). It only wakes who waits over REST; the answer itself is read from
//! Postgres.

use konstruct_domain::{ConversationId, TenantId};
use serde_json::json;

use crate::client::Redis;
use crate::error::RedisError;
use crate::key::Key;

/// A subscription to a conversation's answers. Dropping it closes its connection.
pub struct ResponseSubscription(redis::aio::PubSub);

impl std::fmt::Debug for ResponseSubscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResponseSubscription")
    }
}

impl ResponseSubscription {
    /// Waits for the next publication; `false`: the connection is gone and none will come.
    pub async fn woken(&mut self) -> bool {
        use futures_util::StreamExt as _;
        self.0.on_message().next().await.is_some()
    }
}

impl Redis {
    /// Publishes that a conversation has an answer.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn publish_response(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        text: &str,
    ) -> Result<(), RedisError> {
        let body = json!({"type": "response", "text": text, "conversation_id": conversation}).to_string();
        let mut publish = redis::pipe();
        publish.cmd("PUBLISH").arg(Key::response(tenant, conversation)).arg(body);
        self.pipeline::<(i64,)>(&publish).await.map(|_| ())
    }

    /// Subscribes to a conversation's answers, on a connection of its own.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn subscribe_responses(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
    ) -> Result<ResponseSubscription, RedisError> {
        Ok(ResponseSubscription(self.subscribe(&Key::response(tenant, conversation)).await?))
    }
}
