//! The live set: the connections of a conversation that frames are pushed to, each with the `seq` at which it
//! joined. A connection is sent what came before by its own handler, never by the poster.

use std::sync::LazyLock;

use konstruct_domain::{ConversationId, Seq, TenantId};
use konstruct_protocol::Viewer;
use redis::{Script, Value};
use serde::{Deserialize, Serialize};

use crate::client::Redis;
use crate::error::RedisError;
use crate::frame_log::{number, text};
use crate::key::Key;

/// As a connection lives: 2 hours at most, and a little longer.
const TTL_SECONDS: i64 = 2 * 3600 + 600;
/// How long a joining connection may hold the log.
const HOLD_MS: i64 = 500;

/// A connection in the live set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveConnection {
    /// API Gateway's id of it.
    pub connection_id: String,
    /// It has everything up to here.
    pub joined: Seq,
    /// How it sees the conversation.
    pub viewer: Viewer,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    joined: Seq,
    viewer: Viewer,
}

/// What came of joining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// The connection is live.
    Joined,
    /// Frames came meanwhile: send those up to here, then try again.
    Behind(Seq),
}

/// Joins only if nothing was appended behind the `seq` that the connection has.
static JOIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local log = redis.call('HMGET', KEYS[1], 'generation', 'n')
        if log[1] then
            local last = tonumber(log[1]) * 1000000000 + tonumber(log[2])
            if last ~= tonumber(ARGV[2]) then return {'behind', string.format('%.0f', last)} end
            redis.call('HSET', KEYS[1], 'hold', '')
        end
        redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
        redis.call('EXPIRE', KEYS[2], ARGV[4])
        redis.call('SADD', KEYS[3], ARGV[5])
        redis.call('EXPIRE', KEYS[3], ARGV[4])
        return {'joined'}",
    )
});

static HOLD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
        local time = redis.call('TIME')
        local until_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + tonumber(ARGV[1])
        redis.call('HSET', KEYS[1], 'hold', string.format('%.0f', until_ms))
        return 1",
    )
});

/// Leaves only if no numbered frame came since the connection joined.
static LEAVE_IF_QUIET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if not redis.call('HGET', KEYS[2], ARGV[1]) then return 0 end
        local log = redis.call('HMGET', KEYS[1], 'generation', 'n')
        if log[1] and tonumber(log[1]) * 1000000000 + tonumber(log[2]) ~= tonumber(ARGV[2]) then return 0 end
        redis.call('HDEL', KEYS[2], ARGV[1])
        return 1",
    )
});

static LEAVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        redis.call('HDEL', KEYS[1], ARGV[1])
        if redis.call('HLEN', KEYS[1]) == 0 then redis.call('SREM', KEYS[2], ARGV[2]) end
        return 1",
    )
});

impl Redis {
    /// Joins the live set, if the connection has everything up to the log's end.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn join(&self, tenant: TenantId, connection: &LiveConnection) -> Result<Join, RedisError> {
        let conversation = connection.viewer.conversation_id;
        let keys = [
            &Key::log(tenant, conversation),
            &Key::live(tenant, conversation),
            &Key::conversations_live(tenant),
        ];
        let entry = Entry { joined: connection.joined, viewer: connection.viewer.clone() };
        let args = [
            connection.connection_id.clone(),
            connection.joined.0.to_string(),
            serde_json::to_string(&entry).unwrap_or_default(),
            TTL_SECONDS.to_string(),
            conversation.to_string(),
        ];
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let answer: Vec<Value> = self.script(&JOIN, &keys, &args).await?;
        let mut answer = answer.into_iter();
        Ok(match text(answer.next()).as_str() {
            "joined" => Join::Joined,
            _ => Join::Behind(number(answer.next())),
        })
    }

    /// Holds the log for 500 ms, so that a connection that never catches up can join.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn hold_log(&self, tenant: TenantId, conversation: ConversationId) -> Result<(), RedisError> {
        let keys = [&Key::log(tenant, conversation)];
        self.script::<i64>(&HOLD, &keys, &[HOLD_MS.to_string().as_bytes()]).await.map(|_| ())
    }

    /// Takes a connection out of the live set if no numbered frame came since `joined`; `false`: one did, or it
    /// is not in there.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn leave_if_quiet(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        connection_id: &str,
        joined: Seq,
    ) -> Result<bool, RedisError> {
        let keys = [&Key::log(tenant, conversation), &Key::live(tenant, conversation)];
        let args = [connection_id.as_bytes(), &joined.0.to_string().into_bytes()];
        Ok(self.script::<i64>(&LEAVE_IF_QUIET, &keys, &args).await? == 1)
    }

    /// Takes a connection out of the live set.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn leave(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        connection_id: &str,
    ) -> Result<(), RedisError> {
        let keys = [&Key::live(tenant, conversation), &Key::conversations_live(tenant)];
        let args = [connection_id.as_bytes(), &conversation.to_string().into_bytes()];
        self.script::<i64>(&LEAVE, &keys, &args).await.map(|_| ())
    }

    /// The live connections of a conversation.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn live(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
    ) -> Result<Vec<LiveConnection>, RedisError> {
        let mut get = redis::pipe();
        get.cmd("HGETALL").arg(Key::live(tenant, conversation));
        let (all,): (Value,) = self.pipeline(&get).await?;
        Ok(live_connections(Some(all)))
    }

    /// The conversations of a tenant that may have live connections.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn live_conversations(&self, tenant: TenantId) -> Result<Vec<ConversationId>, RedisError> {
        let mut get = redis::pipe();
        get.cmd("SMEMBERS").arg(Key::conversations_live(tenant));
        let (ids,): (Vec<String>,) = self.pipeline(&get).await?;
        Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
    }
}

/// The live set as `HGETALL` returns it; an entry that cannot be read is left out.
pub(crate) fn live_connections(all: Option<Value>) -> Vec<LiveConnection> {
    let pairs: Vec<(String, String)> =
        all.and_then(|all| redis::from_redis_value(all).ok()).unwrap_or_default();
    pairs
        .into_iter()
        .filter_map(|(connection_id, json)| {
            let Entry { joined, viewer } = serde_json::from_str(&json).ok()?;
            Some(LiveConnection { connection_id, joined, viewer })
        })
        .collect()
}
