//! Rate limit and deduplication in one step (CHAN-01, CHAN-03, CHAN-04). The mark decides only who is charged and
//! announced: losing it loses no message.

use std::sync::LazyLock;

use konstruct_domain::{Channel, MessageId, TenantId};
use redis::Script;

use crate::client::Redis;
use crate::error::RedisError;
use crate::key::Key;

/// What came of admitting a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The first copy: charged and marked.
    First,
    /// A copy of a message that was admitted: not charged.
    Copy,
    /// Over the limit: nothing was marked.
    Limited {
        /// When one message is free again, milliseconds, at least 1.
        retry_after_ms: u64,
    },
}

/// Redis' own time counts, so that no two functions' clocks disagree.
static ADMIT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('EXISTS', KEYS[1]) == 1 then return {2, 0} end
        local capacity = tonumber(ARGV[1])
        local time = redis.call('TIME')
        local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
        local bucket = redis.call('HMGET', KEYS[2], 'tokens', 'at')
        local tokens = tonumber(bucket[1]) or capacity
        local at = tonumber(bucket[2]) or now
        tokens = math.min(capacity, tokens + math.max(0, now - at) * capacity / 60000)
        if tokens < 1 then return {0, math.max(1, math.ceil((1 - tokens) * 60000 / capacity))} end
        redis.call('HSET', KEYS[2], 'tokens', string.format('%.6f', tokens - 1), 'at', string.format('%.0f', now))
        redis.call('PEXPIRE', KEYS[2], 120000)
        redis.call('SET', KEYS[1], '1', 'EX', 86400)
        return {1, 0}",
    )
});

impl Redis {
    /// Admits a message: a bucket of `per_minute` that refills evenly, a mark for 24 hours.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn admit(
        &self,
        tenant: TenantId,
        channel: Channel,
        message: MessageId,
        per_minute: u32,
    ) -> Result<Admission, RedisError> {
        let keys = [&Key::dedup(tenant, message), &Key::rate_limit(tenant, channel)];
        let (verdict, wait): (i64, u64) =
            self.script(&ADMIT, &keys, &[per_minute.to_string().as_bytes()]).await?;
        Ok(match verdict {
            1 => Admission::First,
            2 => Admission::Copy,
            _ => Admission::Limited { retry_after_ms: wait.max(1) },
        })
    }
}
