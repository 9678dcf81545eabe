//! The connection. It is opened at first use (or ahead of it by [`Redis::connect`]), survives a freeze of the
//! Lambda, and never retries what a second run would change: every script of this crate may be run twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, Pipeline, Script};
use tokio::sync::Mutex;

use crate::error::RedisError;
use crate::key::Key;
use crate::login::{Login, Roots};

/// Longest wait for an answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);
/// Longest wait for a subscription.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_millis(300);

/// A Redis server, and the one connection to it.
#[derive(Clone)]
pub struct Redis {
    login: Login,
    shared: Arc<Shared>,
}

/// What clones share.
#[derive(Default)]
struct Shared {
    current: Mutex<Current>,
    /// How often connecting failed: whoever waited for an attempt shares its outcome.
    failures: AtomicU64,
}

#[derive(Default)]
struct Current {
    /// Which connection it is, counted from 1.
    number: u64,
    connection: Option<MultiplexedConnection>,
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
    pub fn new(url: &str) -> Result<Self, RedisError> {
        Ok(Self::of(Login::new(url, Roots::CompiledIn)?))
    }

    /// A server by address and password. Nothing is opened yet.
    #[must_use]
    pub fn of(login: Login) -> Self {
        Self { login, shared: Arc::default() }
    }

    /// Opens the connection ahead of its first use.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn connect(&self) -> Result<(), RedisError> {
        self.socket(None).await.map(drop)
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn check(&self) -> Result<(), RedisError> {
        let mut ping = redis::pipe();
        ping.cmd("PING");
        self.pipeline::<(String,)>(&ping).await.map(drop)
    }

    /// The connection and its number: another than the one that was found dead.
    async fn socket(&self, dead: Option<u64>) -> Result<(u64, MultiplexedConnection), RedisError> {
        let failures = self.shared.failures.load(Ordering::Relaxed);
        let mut current = self.shared.current.lock().await;
        if dead == Some(current.number) {
            current.connection = None;
        }
        if let Some(connection) = &current.connection {
            return Ok((current.number, connection.clone()));
        }
        if self.shared.failures.load(Ordering::Relaxed) != failures {
            return Err(RedisError::Away("it could not be connected to just now".to_owned()));
        }
        match self.open().await {
            Ok(connection) => {
                current.number += 1;
                current.connection = Some(connection.clone());
                Ok((current.number, connection))
            }
            Err(error) => {
                self.shared.failures.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// A new connection; a handshake that was cut, as by a freeze, is made once more.
    async fn open(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let opened = self.login.client()?.get_multiplexed_async_connection_with_config(&config).await;
        match opened {
            Err(error) if dead(&error) => {
                Ok(self.login.client()?.get_multiplexed_async_connection_with_config(&config).await?)
            }
            other => Ok(other?),
        }
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
        let (number, mut connection) = self.socket(None).await?;
        match invocation.invoke_async(&mut connection).await {
            Err(error) if dead(&error) => {
                let (_, mut connection) = self.socket(Some(number)).await?;
                Ok(invocation.invoke_async(&mut connection).await?)
            }
            other => Ok(other?),
        }
    }

    /// Runs commands that may be run twice; once more when the connection turns out to be dead.
    pub(crate) async fn pipeline<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, RedisError> {
        let (number, mut connection) = self.socket(None).await?;
        match commands.query_async(&mut connection).await {
            Err(error) if dead(&error) => {
                let (_, mut connection) = self.socket(Some(number)).await?;
                Ok(commands.query_async(&mut connection).await?)
            }
            other => Ok(other?),
        }
    }

    /// A subscription on a connection of its own, within 300 ms: who waits can do without.
    pub(crate) async fn subscribe(&self, channel: &Key) -> Result<redis::aio::PubSub, RedisError> {
        let subscribing = async {
            let mut pubsub = self.login.client()?.get_async_pubsub().await?;
            pubsub.subscribe(channel.as_str()).await?;
            Ok::<_, RedisError>(pubsub)
        };
        match tokio::time::timeout(SUBSCRIBE_TIMEOUT, subscribing).await {
            Ok(subscribed) => subscribed,
            Err(_) => Err(RedisError::Away("no subscription within 300 ms".to_owned())),
        }
    }
}

fn dead(error: &redis::RedisError) -> bool {
    error.is_io_error() || error.is_connection_dropped()
}
