//! The connection manager (WS-02): who is connected, and sending what is not numbered. A connection that is
//! missing or gone is logged and cleaned up, never an error for the caller. Numbered frames are not sent here:
//! they go through the frame log.

use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};
use konstruct_domain::{ConversationId, TenantId};
use konstruct_ports::{BoxFuture, ConnectionGateway, PostOutcome};
use konstruct_protocol::{ServerFrame, Viewer};
use konstruct_redis::Redis;
use konstruct_redis::connections::Connection;

use crate::error::Error;

/// Posts at once, so that a broadcast neither floods the gateway nor crawls.
const POSTS_AT_ONCE: usize = 50;

/// Knows the connections and sends to them.
#[derive(Clone)]
pub struct Connections {
    pub(crate) redis: Redis,
    pub(crate) gateway: Arc<dyn ConnectionGateway>,
}

/// The connection that a message came by.
#[derive(Debug, Clone)]
pub struct Writer {
    /// API Gateway's id.
    pub connection_id: String,
    /// How it sees its conversation.
    pub viewer: Viewer,
}

/// Posts nothing and closes nothing.
struct NoGateway;

impl ConnectionGateway for NoGateway {
    fn post<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, PostOutcome> {
        Box::pin(async { PostOutcome::InDoubt })
    }

    fn close<'a>(&'a self, _: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connections")
    }
}

impl Connections {
    /// A manager over this registry and gateway.
    #[must_use]
    pub fn new(redis: Redis, gateway: Arc<dyn ConnectionGateway>) -> Self {
        Self { redis, gateway }
    }

    /// For a function that only reads what is registered: a frame it would send reaches nobody.
    #[must_use]
    pub fn without_gateway(redis: Redis) -> Self {
        Self { redis, gateway: Arc::new(NoGateway) }
    }

    /// Remembers a connection that just opened.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn connect(&self, connection_id: &str, connection: &Connection) -> Result<(), Error> {
        Ok(self.redis.put_connection(connection_id, connection).await?)
    }

    /// What is known of a connection.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn find(&self, connection_id: &str) -> Result<Option<Connection>, Error> {
        Ok(self.redis.connection(connection_id).await?)
    }

    /// Forgets a connection. One that is not known is no error.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn disconnect(&self, connection_id: &str) -> Result<(), Error> {
        let connection = self.redis.take_connection(connection_id).await?;
        if let Some(identity) = connection.and_then(|c| c.identity) {
            self.redis.leave(identity.tenant_id, identity.conversation_id, connection_id).await?;
        }
        Ok(())
    }

    /// Closes a connection and forgets it.
    ///
    /// # Errors
    /// Redis is away; the connection is closed all the same.
    pub async fn close(&self, connection_id: &str) -> Result<(), Error> {
        self.gateway.close(connection_id).await;
        self.disconnect(connection_id).await
    }

    /// Sends a frame to one connection; whether it arrived. What happens to one that it did not reach is settled
    /// here: a gone one is forgotten, one in doubt is closed.
    pub async fn send(&self, connection_id: &str, viewer: Option<&Viewer>, frame: &ServerFrame) -> bool {
        self.send_text(connection_id, &frame.to_wire(viewer)).await
    }

    /// As [`Self::send`], of a frame that is text already.
    pub(crate) async fn send_text(&self, connection_id: &str, text: &str) -> bool {
        let outcome = self.post(connection_id, text).await;
        let cleaned = match outcome {
            PostOutcome::Delivered => return true,
            PostOutcome::Gone => self.disconnect(connection_id).await,
            PostOutcome::Throttled | PostOutcome::InDoubt => self.close(connection_id).await,
        };
        tracing::info!(?outcome, "a connection did not get a frame and was dropped");
        if let Err(error) = cleaned {
            tracing::warn!(%error, "a dropped connection could not be forgotten");
        }
        false
    }

    /// Posts one frame, with backoff while the gateway throttles, for 10 s at most.
    pub(crate) async fn post(&self, connection_id: &str, text: &str) -> PostOutcome {
        let mut pause = std::time::Duration::from_millis(50);
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            let outcome = self.gateway.post(connection_id, text).await;
            if outcome != PostOutcome::Throttled || tokio::time::Instant::now() + pause > until {
                return outcome;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    /// Sends a frame that is not numbered to every connection of a conversation; how many got it.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn send_to_conversation(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        frame: &ServerFrame,
    ) -> Result<usize, Error> {
        self.send_to_conversation_of(tenant, conversation, None, frame).await
    }

    /// As [`Self::send_to_conversation`], and to the connection that caused it where that has not joined yet: a client
    /// may write as soon as it has seen `connection`, which is sent before it joins.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn send_to_conversation_of(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        writer: Option<&Writer>,
        frame: &ServerFrame,
    ) -> Result<usize, Error> {
        let live = self.redis.live(tenant, conversation).await?;
        let mut to: Vec<(&str, &Viewer)> =
            live.iter().map(|c| (c.connection_id.as_str(), &c.viewer)).collect();
        if let Some(writer) = writer
            && !to.iter().any(|(id, _)| *id == writer.connection_id)
        {
            to.push((&writer.connection_id, &writer.viewer));
        }
        let sends = to.into_iter().map(|(id, viewer)| async move {
            let sent = self.send(id, Some(viewer), frame).await;
            if !sent {
                // Also where its own record was gone already.
                self.redis.leave(tenant, conversation, id).await?;
            }
            Ok::<_, Error>(sent)
        });
        let sent: Vec<bool> = try_join_all(sends).await?;
        Ok(sent.into_iter().filter(|sent| *sent).count())
    }

    /// Sends a frame to every connection of a tenant; how many got it.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn send_to_tenant(&self, tenant: TenantId, frame: &ServerFrame) -> Result<usize, Error> {
        let mut sent = 0;
        for conversation in self.redis.live_conversations(tenant).await? {
            sent += self.send_to_conversation(tenant, conversation, frame).await?;
        }
        Ok(sent)
    }

    /// Sends a frame to every authenticated connection of every tenant; how many got it.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn send_to_all(&self, frame: &ServerFrame) -> Result<usize, Error> {
        let (mut sent, mut cursor) = (0, 0);
        loop {
            let (next, page) = self.redis.scan_connections(cursor).await?;
            for some in page.chunks(POSTS_AT_ONCE) {
                let sends = some.iter().filter_map(|(id, connection)| {
                    let viewer = connection.viewer()?;
                    Some(async move { self.send(id, Some(&viewer), frame).await })
                });
                sent += join_all(sends).await.into_iter().filter(|sent| *sent).count();
            }
            if next == 0 {
                return Ok(sent);
            }
            cursor = next;
        }
    }
}
