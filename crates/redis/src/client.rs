//! The connection. It is opened at first use (or ahead of it by [`Redis::connect`]), survives a freeze of the
//! Lambda, and never retries what a second run would change: every script of this crate may be run twice.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, FromRedisValue, Pipeline, Script};
use tokio::sync::OnceCell;

use crate::error::RedisError;
use crate::key::Key;

/// Longest wait for an answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);
/// Longest wait for a subscription.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_millis(300);

/// A Redis server.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    manager: Arc<OnceCell<ConnectionManager>>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redis")
    }
}

impl Redis {
    /// A server by its URL (`redis://` or `rediss://`). Nothing is opened yet.
    ///
    /// # Errors
    /// The URL is not one.
    #[expect(clippy::disallowed_methods, reason = "the one place where a Redis client is made")]
    pub fn new(url: &str) -> Result<Self, RedisError> {
        let client = Client::open(url)
            .map_err(|_| RedisError::Configuration("the Redis URL is not one".to_owned()))?;
        Ok(Self { client, manager: Arc::new(OnceCell::new()) })
    }

    /// Opens the connection ahead of its first use.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn connect(&self) -> Result<(), RedisError> {
        self.manager().await.map(drop)
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn check(&self) -> Result<(), RedisError> {
        let mut ping = redis::pipe();
        ping.cmd("PING");
        // Twice: what was found dead is being replaced by the second time.
        match self.pipeline::<(String,)>(&ping).await {
            Err(error) if error.is_retryable() => self.pipeline::<(String,)>(&ping).await.map(|_| ()),
            other => other.map(|_| ()),
        }
    }

    async fn manager(&self) -> Result<ConnectionManager, RedisError> {
        let manager = self
            .manager
            .get_or_try_init(|| async {
                let config = ConnectionManagerConfig::new()
                    .set_number_of_retries(1)
                    .set_min_delay(Duration::from_millis(20))
                    .set_max_delay(Duration::from_millis(100))
                    .set_connection_timeout(Some(CONNECT_TIMEOUT))
                    .set_response_timeout(Some(RESPONSE_TIMEOUT));
                ConnectionManager::new_with_config(self.client.clone(), config).await
            })
            .await?;
        Ok(manager.clone())
    }

    /// Runs a script; once more when the connection turns out to be dead (after a freeze it always is).
    pub(crate) async fn script<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&Key],
        args: &[&[u8]],
    ) -> Result<T, RedisError> {
        let mut invocation = script.prepare_invoke();
        for key in keys {
            invocation.key(*key);
        }
        for arg in args {
            invocation.arg(*arg);
        }
        let mut manager = self.manager().await?;
        match invocation.invoke_async(&mut manager).await {
            Err(error) if dead(&error) => Ok(invocation.invoke_async(&mut manager).await?),
            other => Ok(other?),
        }
    }

    /// Runs commands that may be run twice; once more when the connection turns out to be dead.
    pub(crate) async fn pipeline<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, RedisError> {
        let mut manager = self.manager().await?;
        match commands.query_async(&mut manager).await {
            Err(error) if dead(&error) => Ok(commands.query_async(&mut manager).await?),
            other => Ok(other?),
        }
    }

    /// A subscription on a connection of its own, within 300 ms: who waits can do without.
    pub(crate) async fn subscribe(&self, channel: &Key) -> Result<redis::aio::PubSub, RedisError> {
        let subscribing = async {
            let mut pubsub = self.client.get_async_pubsub().await?;
            pubsub.subscribe(channel.as_str()).await?;
            Ok::<_, redis::RedisError>(pubsub)
        };
        match tokio::time::timeout(SUBSCRIBE_TIMEOUT, subscribing).await {
            Ok(subscribed) => Ok(subscribed?),
            Err(_) => Err(RedisError::Away("no subscription within 300 ms".to_owned())),
        }
    }
}

fn dead(error: &redis::RedisError) -> bool {
    error.is_io_error() || error.is_connection_dropped()
}
