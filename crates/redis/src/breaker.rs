//! A circuit breaker per tenant and model, shared by all agents' processes: after failures in a row the model is left
//! alone for a while, then one asking tries it. It only advises: losing it loses a second.

use std::sync::LazyLock;

use konstruct_domain::{Provider, TenantId};
use redis::Script;

use crate::client::Redis;
use crate::error::RedisError;
use crate::key::Key;

/// So many failures in a row open it.
const FAILURES: u32 = 5;
/// Failures count together within this, milliseconds.
const WITHIN_MS: u64 = 60_000;
/// So long it stays open, milliseconds; then one asking is let through, and others while that one is under way not.
const OPEN_MS: u64 = 20_000;

/// Whether the model may be asked: closed, or open for long enough and nobody else is trying.
static PASSES: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local breaker = redis.call('HMGET', KEYS[1], 'failures', 'until')
        if (tonumber(breaker[1]) or 0) < tonumber(ARGV[1]) then return 1 end
        local time = redis.call('TIME')
        local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
        if now < (tonumber(breaker[2]) or 0) then return 0 end
        redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + tonumber(ARGV[2])))
        return 1",
    )
});

static FAILED: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
        if failures >= tonumber(ARGV[1]) then
            local time = redis.call('TIME')
            local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
            redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + tonumber(ARGV[2])))
        end
        redis.call('PEXPIRE', KEYS[1], ARGV[3])
        return failures",
    )
});

impl Redis {
    /// Whether a model may be asked now.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn breaker_passes(
        &self,
        tenant: TenantId,
        provider: Provider,
        model: &str,
    ) -> Result<bool, RedisError> {
        let key = Key::breaker(tenant, provider, model);
        let args = [FAILURES.to_string(), OPEN_MS.to_string()];
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        Ok(self.script::<i64>(&PASSES, &[&key], &args).await? == 1)
    }

    /// A model failed, or answered: then its failures are forgotten.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn breaker_note(
        &self,
        tenant: TenantId,
        provider: Provider,
        model: &str,
        answered: bool,
    ) -> Result<(), RedisError> {
        let key = Key::breaker(tenant, provider, model);
        if answered {
            let mut del = redis::pipe();
            del.cmd("DEL").arg(&key).ignore();
            return self.pipeline::<()>(&del).await;
        }
        let args = [FAILURES.to_string(), OPEN_MS.to_string(), WITHIN_MS.to_string()];
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        self.script::<i64>(&FAILED, &[&key], &args).await.map(drop)
    }
}
