//! Threads of channels where a message need not name the agent (SLACK-05), and the little that is kept around a
//! channel's message until it is stored. Losing any of it loses no message that was accepted.

use std::sync::LazyLock;

use konstruct_domain::{Channel, ConversationId, MessageId, TenantId};
use redis::Script;

use crate::client::Redis;
use crate::error::RedisError;
use crate::key::Key;

/// How long a thread is followed after the last message or answer in it, seconds (SLACK-05: 30 minutes).
const ENGAGED_S: u64 = 1_800;
/// How long a reply may be ahead of the mention it follows, seconds: deliveries overtake each other by seconds, and a
/// mention that could not be stored comes again after up to 5 minutes.
const EARLY_S: u64 = 360;
/// Most replies that are kept so.
const EARLY_MAX: usize = 20;
/// As long as the mark of an admitted message, seconds.
const PLACEHOLDER_S: u64 = 86_400;

/// A reply in a followed thread renews it; one in another is kept for a moment: looking and keeping is one step, so
/// that none falls between a look and the mention's arrival.
static FOLLOW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('EXPIRE', KEYS[1], ARGV[1]) == 1 then return 1 end
        redis.call('LREM', KEYS[2], 0, ARGV[2])
        redis.call('RPUSH', KEYS[2], ARGV[2])
        redis.call('LTRIM', KEYS[2], -tonumber(ARGV[4]), -1)
        redis.call('EXPIRE', KEYS[2], ARGV[3])
        return 0",
    )
});

/// Follows a thread, and tells which replies were ahead.
static ENGAGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        redis.call('SET', KEYS[1], '1', 'EX', ARGV[1])
        return redis.call('LRANGE', KEYS[2], 0, -1)",
    )
});

impl Redis {
    /// Whether a thread is followed; then it is for another 30 minutes. Else the reply is kept for some minutes.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn follow(
        &self,
        tenant: TenantId,
        thread: ConversationId,
        reply: &str,
    ) -> Result<bool, RedisError> {
        let keys = [&Key::engaged(tenant, thread), &Key::early(tenant, thread)];
        let (engaged, early, most) = (ENGAGED_S.to_string(), EARLY_S.to_string(), EARLY_MAX.to_string());
        let args = [engaged.as_bytes(), reply.as_bytes(), early.as_bytes(), most.as_bytes()];
        Ok(self.script::<i64>(&FOLLOW, &keys, &args).await? == 1)
    }

    /// Follows a thread for 30 minutes; the replies that came ahead.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn engage(&self, tenant: TenantId, thread: ConversationId) -> Result<Vec<String>, RedisError> {
        let keys = [&Key::engaged(tenant, thread), &Key::early(tenant, thread)];
        self.script(&ENGAGE, &keys, &[ENGAGED_S.to_string().as_bytes()]).await
    }

    /// The replies that came ahead are accepted.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn early_accepted(&self, tenant: TenantId, thread: ConversationId) -> Result<(), RedisError> {
        self.forget(&Key::early(tenant, thread)).await
    }

    /// Notes a message's placeholder, for a copy that comes after a crash.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn note_placeholder(
        &self,
        tenant: TenantId,
        message: MessageId,
        posts: &str,
    ) -> Result<(), RedisError> {
        let mut set = redis::pipe();
        set.cmd("SET").arg(Key::placeholder(tenant, message)).arg(posts).arg("EX").arg(PLACEHOLDER_S);
        self.pipeline::<((),)>(&set).await.map(|_| ())
    }

    /// A message's placeholder, as it was noted.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn placeholder(
        &self,
        tenant: TenantId,
        message: MessageId,
    ) -> Result<Option<String>, RedisError> {
        let mut get = redis::pipe();
        get.cmd("GET").arg(Key::placeholder(tenant, message));
        self.pipeline::<(Option<String>,)>(&get).await.map(|(posts,)| posts)
    }

    /// The placeholder was taken back.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn forget_placeholder(&self, tenant: TenantId, message: MessageId) -> Result<(), RedisError> {
        self.forget(&Key::placeholder(tenant, message)).await
    }

    /// Whether something is to be said to a person (or about a message): once in so many seconds.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn may_be_told(
        &self,
        tenant: TenantId,
        channel: Channel,
        whom: &str,
        once_in_s: u64,
    ) -> Result<bool, RedisError> {
        let mut set = redis::pipe();
        set.cmd("SET")
            .arg(Key::told(tenant, channel, whom))
            .arg("1")
            .arg("NX")
            .arg("EX")
            .arg(once_in_s.max(1));
        self.pipeline::<(Option<String>,)>(&set).await.map(|(set,)| set.is_some())
    }
}
