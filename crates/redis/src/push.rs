//! The push lease: numbered frames of a conversation are posted by one process at a time. The lease posts nothing.

use std::sync::LazyLock;

use konstruct_domain::{ConversationId, Epoch, MessageId, Seq, TenantId};
use redis::{Script, Value};

use crate::client::Redis;
use crate::error::RedisError;
use crate::frame_log::{number, text};
use crate::key::Key;
use crate::live::{LiveConnection, live_connections};

/// How long the lease lasts without a sign of its holder.
const LEASE_MS: i64 = 10_000;

/// What came of asking for the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushLease {
    /// It is ours.
    Taken {
        /// Everything up to here was posted to those that are live.
        posted: Seq,
        /// Those that are live.
        live: Vec<LiveConnection>,
        /// The last holder died: these may or may not have got its frames, and must be closed.
        in_doubt: Vec<LiveConnection>,
    },
    /// Another process holds it; it has posted up to here.
    Busy(Seq),
}

/// What a holder sees when it looks around.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushTick {
    /// Whether the lease is still ours.
    pub held: bool,
    /// The last `seq` in the log; 0 where there is no log.
    pub last: Seq,
    /// The message whose answer is to be stopped.
    pub cancelled: Option<MessageId>,
    /// The log's epoch: above one's own, one has nothing to say any more.
    pub epoch: Option<Epoch>,
    /// Those that are live.
    pub live: Vec<LiveConnection>,
}

static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local log = redis.call('HMGET', KEYS[2], 'posted', 'pushing', 'generation', 'n', 'doubt')
        local holder = redis.call('GET', KEYS[1])
        if holder and holder ~= ARGV[1] then return {'busy', log[1] or '0'} end
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        local live = redis.call('HGETALL', KEYS[3])
        if not log[3] then return {'taken', '0', live, {}} end
        redis.call('HSET', KEYS[2], 'pushing', '1')
        if log[2] == '1' and (holder ~= ARGV[1] or log[5] == ARGV[1]) then
            local last = string.format('%.0f', tonumber(log[3]) * 1000000000 + tonumber(log[4]))
            redis.call('HSET', KEYS[2], 'posted', last, 'doubt', ARGV[1])
            return {'taken', last, {}, live}
        end
        return {'taken', log[1], live, {}}",
    )
});

static TICK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local held = 0
        if redis.call('GET', KEYS[1]) == ARGV[1] then
            held = 1
            redis.call('PEXPIRE', KEYS[1], ARGV[2])
        end
        local log = redis.call('HMGET', KEYS[2], 'generation', 'n', 'epoch')
        local last = '0'
        if log[1] then
            last = string.format('%.0f', tonumber(log[1]) * 1000000000 + tonumber(log[2]))
            if held == 1 then redis.call('HSET', KEYS[2], 'posted', ARGV[3], 'pushing', '1', 'doubt', '') end
        end
        return {held, last, redis.call('GET', KEYS[4]) or '', log[3] or '', redis.call('HGETALL', KEYS[3])}",
    )
});

/// Fails if the log has grown: what came must be posted first.
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'released', '0'} end
        local log = redis.call('HMGET', KEYS[2], 'generation', 'n')
        if log[1] then
            local last = tonumber(log[1]) * 1000000000 + tonumber(log[2])
            if last > tonumber(ARGV[2]) and ARGV[3] == '0' then return {'grown', string.format('%.0f', last)} end
            redis.call('HSET', KEYS[2], 'posted', ARGV[2], 'pushing', '0')
        end
        redis.call('DEL', KEYS[1])
        return {'released', '0'}",
    )
});

impl Redis {
    /// Takes the push lease under a name of one's own; taking it again is no harm.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn take_push(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        holder: &str,
    ) -> Result<PushLease, RedisError> {
        let keys = [
            &Key::push(tenant, conversation),
            &Key::log(tenant, conversation),
            &Key::live(tenant, conversation),
        ];
        let ttl = LEASE_MS.to_string();
        let answer: Vec<Value> = self.script(&TAKE, &keys, &[holder.as_bytes(), ttl.as_bytes()]).await?;
        let mut answer = answer.into_iter();
        let taken = text(answer.next()) == "taken";
        let posted = number(answer.next());
        if !taken {
            return Ok(PushLease::Busy(posted));
        }
        let live = live_connections(answer.next());
        Ok(PushLease::Taken { posted, live, in_doubt: live_connections(answer.next()) })
    }

    /// How far the lease's holder has posted; `None`: nobody holds it.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn push_progress(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
    ) -> Result<Option<Seq>, RedisError> {
        let mut get = redis::pipe();
        get.cmd("GET").arg(Key::push(tenant, conversation));
        get.cmd("HGET").arg(Key::log(tenant, conversation)).arg("posted");
        let (holder, posted): (Option<String>, Option<i64>) = self.pipeline(&get).await?;
        Ok(holder.map(|_| Seq(posted.unwrap_or_default())))
    }

    /// Renews the lease, tells how far one has posted, and looks around.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn tick_push(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        holder: &str,
        posted: Seq,
    ) -> Result<PushTick, RedisError> {
        let keys = [
            &Key::push(tenant, conversation),
            &Key::log(tenant, conversation),
            &Key::live(tenant, conversation),
            &Key::cancel(tenant, conversation),
        ];
        let (ttl, posted) = (LEASE_MS.to_string(), posted.0.to_string());
        let args = [holder.as_bytes(), ttl.as_bytes(), posted.as_bytes()];
        let (held, last, cancelled, epoch, live): (i64, i64, String, String, Value) =
            self.script(&TICK, &keys, &args).await?;
        Ok(PushTick {
            held: held == 1,
            last: Seq(last),
            cancelled: cancelled.parse().ok(),
            epoch: epoch.parse().ok().map(Epoch),
            live: live_connections(Some(live)),
        })
    }

    /// Gives the lease back, having posted everything up to `posted`. `Some`: the log has grown up to there, and the
    /// lease is kept unless `force` is set.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn release_push(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        holder: &str,
        posted: Seq,
        force: bool,
    ) -> Result<Option<Seq>, RedisError> {
        let keys = [&Key::push(tenant, conversation), &Key::log(tenant, conversation)];
        let posted = posted.0.to_string();
        let (outcome, last): (String, i64) = self
            .script(&RELEASE, &keys, &[holder.as_bytes(), posted.as_bytes(), if force { b"1" } else { b"0" }])
            .await?;
        Ok((outcome == "grown").then_some(Seq(last)))
    }
}
