//! The servers the functions rely on: Postgres, Redis, ministack and the development model.
//! What was there before (a server named in the environment) must never be stopped.

pub mod daemon;
pub mod ministack;
pub mod postgres;
pub mod postgres_setup;
pub mod redis;

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::model::server::ModelServer;

use postgres::Postgres;
use redis::Redis;

/// What `/_local/services` can act on.
pub struct Services {
    /// Postgres.
    pub postgres: Arc<Postgres>,
    /// Redis.
    pub redis: Arc<Redis>,
    /// The development model.
    pub model: Arc<ModelServer>,
}

impl Services {
    /// `stop`, `start` or (Redis only) `flush`; returns once it is done.
    pub async fn act(&self, name: &str, action: &str) -> Result<()> {
        match (name, action) {
            ("postgres", "stop") => self.postgres.stop().await,
            ("postgres", "start") => self.postgres.start().await,
            ("redis", "stop") => self.redis.stop().await,
            ("redis", "start") => self.redis.start().await,
            ("redis", "flush") => self.redis.flush().await,
            ("model", "stop") => {
                self.model.stop().await;
                Ok(())
            }
            ("model", "start") => self.model.start().await,
            _ => Err(Error::new(format!("{name} cannot {action}"))),
        }
    }
}
