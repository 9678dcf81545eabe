//! The frame log: every numbered frame is logged here before it is pushed anywhere, and [`Redis::append`] is the
//! only gate (delivery.md section 4). It pushes nothing itself.

use std::sync::LazyLock;

use konstruct_domain::{ConversationId, Epoch, Fence, Generation, MessageId, Seq, TenantId};
use konstruct_protocol::Event;
use redis::{Script, Value};

use crate::client::Redis;
use crate::error::RedisError;
use crate::key::Key;
use crate::live::{LiveConnection, live_connections};

/// The log keeps at least so many frames (protocol.md section 2.3).
pub const FRAMES_MIN: i64 = 1_000;
/// The log lives for so long after its last frame: 24 hours and an hour to spare.
const TTL_SECONDS: i64 = 25 * 3600;

/// Who writes to a log, and what they know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// The log's generation, as Postgres has it.
    pub generation: Generation,
    /// The agent's fence; `None`: not an agent.
    pub fence: Option<Fence>,
    /// The epoch it works under.
    pub epoch: Epoch,
    /// Names the writer: its running numbers count per name.
    pub name: String,
    /// The running number of this append.
    pub number: u64,
    /// The highest `seq` the writer knows of.
    pub known: Seq,
}

/// What is appended.
#[derive(Debug, Clone, Copy)]
pub struct Append<'a> {
    /// The frames, in order.
    pub events: &'a [Event],
    /// Where a cancel mark for this message refuses them.
    pub unless_stopped: Option<MessageId>,
    /// First `seq` of the answer under way: nothing from it on is trimmed.
    pub keep_from: Option<Seq>,
}

/// What came of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// Logged under `first..=last`; with the connections that are live.
    Logged {
        /// `seq` of the first frame.
        first: Seq,
        /// `seq` of the last.
        last: Seq,
        /// Whom to push to.
        live: Vec<LiveConnection>,
    },
    /// Another agent has the conversation.
    Fenced,
    /// The conversation has a newer epoch.
    Superseded,
    /// The person stopped this answer.
    Stopped,
    /// A joining connection holds the log for a moment: try again.
    Held,
    /// The log lost its data: a new generation must be begun.
    Lost,
}

/// Fields of the log: generation, fence, epoch, n (last number), hold (milliseconds), posted, pushing.
static APPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local generation, fence, epoch = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
        local log = redis.call('HMGET', KEYS[1], 'generation', 'fence', 'epoch', 'n', 'hold')
        if tonumber(log[1]) ~= generation then return {'lost'} end
        local before = redis.call('GET', KEYS[5])
        if before then
            local number, first, last = string.match(before, '^(%d+) (%d+) (%d+)$')
            if tonumber(number) >= tonumber(ARGV[4]) and tonumber(last) >= generation * 1000000000 then
                return {'logged', first, last, redis.call('HGETALL', KEYS[3])}
            end
        end
        if fence >= 0 and fence < (tonumber(log[2]) or -1) then return {'fenced'} end
        if epoch < tonumber(log[3]) then return {'superseded'} end
        local n, base = tonumber(log[4]), generation * 1000000000
        if base + n < tonumber(ARGV[5]) then return {'lost'} end
        if ARGV[6] ~= '' and redis.call('GET', KEYS[4]) == ARGV[6] then return {'stopped'} end
        if log[5] and log[5] ~= '' then
            local time = redis.call('TIME')
            local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
            if now < tonumber(log[5]) then return {'held'} end
        end
        local first = base + n + 1
        for i = 10, #ARGV do
            n = n + 1
            redis.call('XADD', KEYS[2], string.format('%.0f-1', base + n), 'e', ARGV[i])
        end
        local last = base + n
        redis.call('HSET', KEYS[1], 'n', string.format('%.0f', n), 'epoch', ARGV[3])
        if fence >= 0 then redis.call('HSET', KEYS[1], 'fence', ARGV[2]) end
        local keep = last - tonumber(ARGV[7]) + 1
        if tonumber(ARGV[8]) > 0 and tonumber(ARGV[8]) < keep then keep = tonumber(ARGV[8]) end
        if keep > base + 1 then redis.call('XTRIM', KEYS[2], 'MINID', string.format('%.0f-0', keep)) end
        redis.call('EXPIRE', KEYS[1], ARGV[9])
        redis.call('EXPIRE', KEYS[2], ARGV[9])
        local first_text, last_text = string.format('%.0f', first), string.format('%.0f', last)
        redis.call('SET', KEYS[5], ARGV[4] .. ' ' .. first_text .. ' ' .. last_text, 'EX', 3600)
        return {'logged', first_text, last_text, redis.call('HGETALL', KEYS[3])}",
    )
});

/// Begins a log of a newer generation; one that has it already (or a newer one) is left as it is.
static BEGIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local generation = tonumber(redis.call('HGET', KEYS[1], 'generation')) or -1
        if generation >= tonumber(ARGV[1]) then return 0 end
        redis.call('DEL', KEYS[2])
        redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'fence', ARGV[2], 'epoch', ARGV[3], 'n', '0', 'hold', '',
            'posted', string.format('%.0f', tonumber(ARGV[1]) * 1000000000), 'pushing', '0')
        redis.call('EXPIRE', KEYS[1], ARGV[4])
        return 1",
    )
});

/// The first act under a new lease: the log learns the fence, and nothing older writes from here on.
static FENCE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local log = redis.call('HMGET', KEYS[1], 'generation', 'fence', 'epoch', 'n')
        local generation = tonumber(ARGV[1])
        if tonumber(log[1]) ~= generation then return {'lost'} end
        local last = generation * 1000000000 + tonumber(log[4])
        if last < tonumber(ARGV[4]) then return {'lost'} end
        if tonumber(ARGV[2]) < (tonumber(log[2]) or -1) then return {'fenced'} end
        if tonumber(ARGV[3]) < tonumber(log[3]) then return {'superseded'} end
        redis.call('HSET', KEYS[1], 'fence', ARGV[2], 'epoch', ARGV[3])
        return {'fenced-off', string.format('%.0f', last), redis.call('GET', KEYS[2]) or ''}",
    )
});

/// Raises the log's epoch: from here on the agent's appends are superseded.
static RAISE_EPOCH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local epoch = tonumber(redis.call('HGET', KEYS[1], 'epoch'))
        if epoch and epoch < tonumber(ARGV[1]) then redis.call('HSET', KEYS[1], 'epoch', ARGV[1]) end
        return 1",
    )
});

/// A log as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogState {
    /// Its generation.
    pub generation: Generation,
    /// The last `seq` in it.
    pub last: Seq,
}

/// What came of setting the log's fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fencing {
    /// The log has our fence.
    Done {
        /// The last `seq` in it.
        last: Seq,
        /// The message whose answer is to be stopped.
        cancelled: Option<MessageId>,
    },
    /// Another agent has the conversation.
    Fenced,
    /// The conversation has a newer epoch.
    Superseded,
    /// The log lost its data.
    Lost,
}

impl Redis {
    /// Appends frames: the one gate to a conversation's log.
    ///
    /// # Errors
    /// [`RedisError`]; the same append, with the same running number, may be tried again.
    pub async fn append(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        writer: &Writer,
        append: Append<'_>,
    ) -> Result<Appended, RedisError> {
        let keys = [
            &Key::log(tenant, conversation),
            &Key::frames(tenant, conversation),
            &Key::live(tenant, conversation),
            &Key::cancel(tenant, conversation),
            &Key::appended(tenant, conversation, &writer.name),
        ];
        let stop = append.unless_stopped.map_or_else(String::new, |m| m.to_string());
        let mut args = vec![
            writer.generation.0.to_string(),
            writer.fence.map_or(-1, |f| f.0).to_string(),
            writer.epoch.0.to_string(),
            writer.number.to_string(),
            writer.known.0.to_string(),
            stop,
            FRAMES_MIN.to_string(),
            append.keep_from.map_or(0, |s| s.0).to_string(),
            TTL_SECONDS.to_string(),
        ];
        args.extend(append.events.iter().map(|event| serde_json::to_string(event).unwrap_or_default()));
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let answer: Vec<Value> = self.script(&APPEND, &keys, &args).await?;
        let mut answer = answer.into_iter();
        match text(answer.next()).as_str() {
            "logged" => Ok(Appended::Logged {
                first: number(answer.next()),
                last: number(answer.next()),
                live: live_connections(answer.next()),
            }),
            "fenced" => Ok(Appended::Fenced),
            "superseded" => Ok(Appended::Superseded),
            "stopped" => Ok(Appended::Stopped),
            "held" => Ok(Appended::Held),
            _ => Ok(Appended::Lost),
        }
    }

    /// Begins a log of this generation, unless it or a newer one is there.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn begin_log(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        generation: Generation,
        fence: Fence,
        epoch: Epoch,
    ) -> Result<(), RedisError> {
        let keys = [&Key::log(tenant, conversation), &Key::frames(tenant, conversation)];
        let args = [generation.0, fence.0, epoch.0, TTL_SECONDS].map(|n| n.to_string());
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        self.script::<i64>(&BEGIN, &keys, &args).await.map(|_| ())
    }

    /// Sets the log's fence, the first act under a new lease.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn fence_log(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        writer: &Writer,
    ) -> Result<Fencing, RedisError> {
        let keys = [&Key::log(tenant, conversation), &Key::cancel(tenant, conversation)];
        let fence = writer.fence.map_or(-1, |f| f.0);
        let args = [writer.generation.0, fence, writer.epoch.0, writer.known.0].map(|n| n.to_string());
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let answer: Vec<Value> = self.script(&FENCE, &keys, &args).await?;
        let mut answer = answer.into_iter();
        Ok(match text(answer.next()).as_str() {
            "fenced-off" => {
                Fencing::Done { last: number(answer.next()), cancelled: text(answer.next()).parse().ok() }
            }
            "fenced" => Fencing::Fenced,
            "superseded" => Fencing::Superseded,
            _ => Fencing::Lost,
        })
    }

    /// Raises the log's epoch, where there is a log.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn raise_log_epoch(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        epoch: Epoch,
    ) -> Result<(), RedisError> {
        let keys = [&Key::log(tenant, conversation)];
        self.script::<i64>(&RAISE_EPOCH, &keys, &[epoch.0.to_string().as_bytes()]).await.map(|_| ())
    }

    /// The log as it stands; `None`: there is none.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn log_state(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
    ) -> Result<Option<LogState>, RedisError> {
        let mut get = redis::pipe();
        get.cmd("HMGET").arg(Key::log(tenant, conversation)).arg("generation").arg("n");
        let ((generation, n),): ((Option<i64>, Option<i64>),) = self.pipeline(&get).await?;
        Ok(generation.zip(n).map(|(generation, n)| {
            let generation = Generation(generation);
            LogState { generation, last: Seq(generation.base().0 + n) }
        }))
    }

    /// The frames behind `after`, in order, at most `most`; and whether the log has all of them. A frame that
    /// cannot be read counts as missing.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn frames_after(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        after: Seq,
        most: usize,
    ) -> Result<Vec<(Seq, Event)>, RedisError> {
        let mut range = redis::pipe();
        range
            .cmd("XRANGE")
            .arg(Key::frames(tenant, conversation))
            .arg(format!("({}-1", after.0))
            .arg("+")
            .arg("COUNT")
            .arg(most);
        let (entries,): (Vec<(String, Vec<String>)>,) = self.pipeline(&range).await?;
        Ok(entries
            .into_iter()
            .filter_map(|(id, fields)| {
                let seq = id.split('-').next()?.parse().ok()?;
                Some((Seq(seq), serde_json::from_str(fields.get(1)?).ok()?))
            })
            .collect())
    }

    /// Empties a log (a reset); counter, generation and epoch stay in place.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn empty_log(&self, tenant: TenantId, conversation: ConversationId) -> Result<(), RedisError> {
        let mut del = redis::pipe();
        del.cmd("DEL").arg(Key::frames(tenant, conversation));
        self.pipeline::<(i64,)>(&del).await.map(|_| ())
    }
}

pub(crate) fn text(value: Option<Value>) -> String {
    value.and_then(|value| redis::from_redis_value(value).ok()).unwrap_or_default()
}

pub(crate) fn number(value: Option<Value>) -> Seq {
    Seq(value.and_then(|value| redis::from_redis_value(value).ok()).unwrap_or_default())
}
