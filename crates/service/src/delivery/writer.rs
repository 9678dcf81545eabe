//! The writer of a conversation's frame log: appends, waits while the log is held, and begins a new generation
//! when the log lost its data. It never posts.

use std::time::Duration;

use konstruct_domain::{ConversationId, Epoch, Fence, Generation, MessageId, Seq, TenantId};
use konstruct_postgres::TenantPool;
use konstruct_postgres::lease::GenerationSet;
use konstruct_redis::Redis;
use konstruct_redis::frame_log::{Append, Appended, Fencing, Writer};
use konstruct_redis::live::LiveConnection;
use tokio::time::sleep;

use crate::error::Error;
use crate::failpoint::reach;
use crate::patience::Patience;

/// A joining connection holds the log for 500 ms at most.
const HELD_PAUSE: Duration = Duration::from_millis(15);
/// An outage of Redis never ends a turn: a writer waits for so long, then its lease is long gone.
const PATIENCE: Duration = Duration::from_secs(600);

/// Writes to one conversation's log.
#[derive(Debug, Clone)]
pub struct LogWriter {
    redis: Redis,
    db: TenantPool,
    tenant: TenantId,
    conversation: ConversationId,
    identity: Writer,
}

/// What came of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Logged.
    Logged {
        /// `seq` of the first frame.
        first: Seq,
        /// `seq` of the last.
        last: Seq,
        /// Whom to push to.
        live: Vec<LiveConnection>,
        /// The log had lost its data and was begun anew: whoever was connected must come back.
        begun_anew: bool,
    },
    /// The person stopped this answer: nothing more is shown of it.
    Stopped,
    /// Another agent, or a newer epoch: this writer has nothing to say any more.
    GiveUp,
}

/// What the log says when its fence is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Ours.
    Open {
        /// The last `seq` in the log.
        last: Seq,
        /// The message whose answer is to be stopped.
        cancelled: Option<MessageId>,
    },
    /// Another agent, or a newer epoch.
    Shut,
}

impl LogWriter {
    /// A writer for a conversation as Postgres describes it.
    #[must_use]
    pub fn new(
        redis: Redis,
        db: TenantPool,
        tenant: TenantId,
        conversation: ConversationId,
        identity: Writer,
    ) -> Self {
        Self { redis, db, tenant, conversation, identity }
    }

    /// An agent's identity: its fence is its name.
    #[must_use]
    pub fn agent(generation: Option<Generation>, fence: Fence, epoch: Epoch, known: Seq) -> Writer {
        Writer {
            generation: generation.unwrap_or(Generation(-1)),
            fence: Some(fence),
            epoch,
            name: format!("f{}", fence.0),
            number: 0,
            known,
        }
    }

    /// The identity of anybody else: a random name.
    #[must_use]
    pub fn other(generation: Option<Generation>, epoch: Epoch, name: String, known: Seq) -> Writer {
        Writer {
            generation: generation.unwrap_or(Generation(-1)),
            fence: None,
            epoch,
            name,
            number: 0,
            known,
        }
    }

    /// Whose log.
    #[must_use]
    pub const fn place(&self) -> (TenantId, ConversationId) {
        (self.tenant, self.conversation)
    }

    /// Sets the log's fence; begins a log where there is none.
    ///
    /// # Errors
    /// Postgres or Redis stayed away.
    pub async fn open_gate(&mut self) -> Result<Gate, Error> {
        for _ in 0..3 {
            if self.identity.generation.0 >= 0 {
                let fence = || self.redis.fence_log(self.tenant, self.conversation, &self.identity);
                match Patience::of(PATIENCE).retry(fence).await? {
                    Fencing::Done { last, cancelled } => {
                        self.identity.known = self.identity.known.max(last);
                        return Ok(Gate::Open { last, cancelled });
                    }
                    Fencing::Fenced | Fencing::Superseded => return Ok(Gate::Shut),
                    Fencing::Lost => {}
                }
            }
            if !self.begin_anew().await? {
                return Ok(Gate::Shut);
            }
        }
        Err(Error::Away("the frame log is lost again and again".to_owned()))
    }

    /// Appends frames.
    ///
    /// # Errors
    /// Postgres or Redis stayed away.
    pub async fn write(&mut self, append: Append<'_>) -> Result<Write, Error> {
        self.identity.number += 1;
        let mut begun_anew = false;
        loop {
            let outcome = if self.identity.generation.0 < 0 {
                Appended::Lost
            } else {
                let try_once = || self.redis.append(self.tenant, self.conversation, &self.identity, append);
                Patience::of(PATIENCE).retry(try_once).await?
            };
            match outcome {
                Appended::Logged { first, last, live } => {
                    self.identity.known = last;
                    reach("log.appended").await;
                    return Ok(Write::Logged { first, last, live, begun_anew });
                }
                Appended::Stopped => return Ok(Write::Stopped),
                Appended::Fenced | Appended::Superseded => return Ok(Write::GiveUp),
                Appended::Held => sleep(HELD_PAUSE).await,
                Appended::Lost => {
                    begun_anew = self.identity.generation.0 >= 0;
                    if !self.begin_anew().await? {
                        return Ok(Write::GiveUp);
                    }
                }
            }
        }
    }

    /// Begins a log of a higher generation: first in Postgres, so that no number is ever used twice. `false`:
    /// fence or epoch hold no more.
    async fn begin_anew(&mut self) -> Result<bool, Error> {
        let old = Some(self.identity.generation).filter(|g| g.0 >= 0);
        let new = Generation(self.identity.generation.0 + 1);
        if old.is_none() {
            // The first log is begun before Postgres knows of it: nothing is appended until then, so whoever dies in
            // between leaves an empty one, and no client is told of a gap.
            let (fence, epoch) = (self.identity.fence.unwrap_or(Fence(0)), self.identity.epoch);
            let begin = || self.redis.begin_log(self.tenant, self.conversation, new, fence, epoch);
            Patience::of(PATIENCE).retry(begin).await?;
            reach("log.first_begun").await;
        }
        let raise =
            || async { self.db.begin(self.tenant).await?.set_generation(self.conversation, old, new).await };
        let Some(set) = Patience::of(PATIENCE).retry(raise).await? else {
            return Ok(false);
        };
        reach("log.generation_raised").await;
        let GenerationSet { generation, raised, fence, epoch } = set;
        let fenced = self.identity.fence.is_some_and(|ours| ours < fence);
        if fenced || epoch > self.identity.epoch {
            return Ok(false);
        }
        self.identity.generation = generation;
        self.identity.known = self.identity.known.max(generation.base());
        if !raised {
            // Another's: its log was begun, or is being begun, by whoever raised it. It may have been lost since,
            // so beginning it once more could use its numbers twice.
            return Ok(true);
        }
        let begin = || self.redis.begin_log(self.tenant, self.conversation, generation, fence, epoch);
        Patience::of(PATIENCE).retry(begin).await?;
        reach("log.begun").await;
        Ok(true)
    }

    /// Another has written up to here.
    pub(crate) fn saw(&mut self, last: Seq) {
        self.identity.known = self.identity.known.max(last);
    }

    /// The log's end as this writer knows it.
    #[must_use]
    pub const fn known(&self) -> Seq {
        self.identity.known
    }
}
