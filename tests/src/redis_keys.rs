//! Redis behind the product's back: what time or an outage would do to its keys, done at once.

use konstruct_domain::{ConversationId, TenantId};
use konstruct_redis::Key;
use redis::aio::MultiplexedConnection;

/// A raw connection.
#[derive(Clone)]
pub struct RedisKeys(MultiplexedConnection);

impl RedisKeys {
    pub async fn open(url: &str) -> Self {
        let client = redis::Client::open(url).unwrap();
        Self(client.get_multiplexed_async_connection().await.unwrap())
    }

    /// A numbered database for one test alone.
    pub async fn own_database(url: &str) -> String {
        let number: i64 =
            Self::open(&format!("{url}/0")).await.run(redis::cmd("INCR").arg("tests:databases")).await;
        let own = format!("{url}/{}", 1 + number % 1_000);
        Self::open(&own).await.run::<()>(&redis::cmd("FLUSHDB")).await;
        own
    }

    pub async fn run<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> T {
        command.query_async(&mut self.0.clone()).await.unwrap()
    }

    pub async fn get(&self, key: &str) -> Option<String> {
        self.run(redis::cmd("GET").arg(key)).await
    }

    pub async fn exists(&self, key: &str) -> bool {
        self.run::<i64>(redis::cmd("EXISTS").arg(key)).await == 1
    }

    pub async fn field(&self, key: &str, field: &str) -> Option<String> {
        self.run(redis::cmd("HGET").arg(key).arg(field)).await
    }

    pub async fn set_field(&self, key: &str, field: &str, value: &str) {
        self.run::<i64>(redis::cmd("HSET").arg(key).arg(field).arg(value)).await;
    }

    pub async fn delete(&self, key: &str) {
        self.run::<i64>(redis::cmd("DEL").arg(key)).await;
    }

    /// Seconds that a key has left.
    pub async fn seconds_left(&self, key: &str) -> i64 {
        self.run(redis::cmd("TTL").arg(key)).await
    }

    /// The keys of a tenant.
    pub async fn of_tenant(&self, tenant: TenantId) -> Vec<String> {
        let (mut cursor, mut found) = (0_u64, Vec::new());
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{tenant}:*")).arg("COUNT").arg(1000);
            let (next, mut page): (u64, Vec<String>) = self.run(&scan).await;
            found.append(&mut page);
            if next == 0 {
                found.sort();
                found.dedup();
                return found;
            }
            cursor = next;
        }
    }

    /// Redis lost its data, as one tenant sees it.
    pub async fn flush(&self, tenant: TenantId) {
        let keys = self.of_tenant(tenant).await;
        if !keys.is_empty() {
            self.run::<i64>(redis::cmd("DEL").arg(&keys)).await;
        }
    }

    /// Redis lost what it knew of a connection.
    pub async fn forget_connection(&self, connection_id: &str) {
        self.delete(Key::connection(connection_id).as_str()).await;
    }

    /// The push lease of a dead process runs out now.
    pub async fn push_lease_runs_out(&self, tenant: TenantId, conversation: ConversationId) {
        self.delete(Key::push(tenant, conversation).as_str()).await;
    }

    /// What is published on a channel from here on.
    pub async fn subscribe(url: &str, channel: &str) -> redis::aio::PubSub {
        let mut pubsub = redis::Client::open(url).unwrap().get_async_pubsub().await.unwrap();
        pubsub.subscribe(channel).await.unwrap();
        pubsub
    }
}
