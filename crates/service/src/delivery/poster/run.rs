//! The poster's loop and what it knows of each connection. It waits for nothing inside the loop but Redis: posts and
//! closings run beside each other.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use konstruct_domain::{ConversationId, Seq, TenantId};
use konstruct_ports::PostOutcome;
use konstruct_protocol::{Event, Viewer};
use konstruct_redis::live::LiveConnection;
use konstruct_redis::push::PushLease;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::{Posts, Signals, Tell};
use crate::connections::Connections;
use crate::delivery::batch::next_batch;
use crate::error::Error;
use crate::failpoint::reach;

/// How often the holder looks for foreign frames, joined connections and what cuts an answer off.
const TICK: Duration = Duration::from_millis(100);
/// Longest wait for another holder's lease: it lasts 10 s.
const LEASE_WAIT: Duration = Duration::from_secs(12);
/// So often what came in the meantime is posted before the lease goes to whoever appended it.
const GROWN_MAX: usize = 3;

type Posting = Pin<Box<dyn Future<Output = (String, Seq, PostOutcome)> + Send>>;
type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A live connection, as the poster sees it.
struct Target {
    viewer: Viewer,
    /// It has everything up to here.
    has: Seq,
    busy: bool,
}

/// A poster at work.
pub(super) struct Run {
    connections: Connections,
    tenant: TenantId,
    conversation: ConversationId,
    holder: String,
    signal: watch::Sender<Signals>,
    /// The log behind `start`, without a hole.
    frames: Vec<(Seq, Event)>,
    /// Everything up to here was posted before this poster's time.
    start: Seq,
    /// Everything up to here is nobody's to wait for: its log, or who was to get it, is gone.
    given_up: Seq,
    targets: HashMap<String, Target>,
    /// Ids are never used twice: a snapshot of the live set that still has one of these is an old one.
    dropped: HashSet<String>,
    postings: FuturesUnordered<Posting>,
    closings: FuturesUnordered<Closing>,
    waiting: Vec<(Seq, oneshot::Sender<Posts>)>,
    posts: Posts,
    /// Since when the lease is not ours; `None`: it is.
    unleased: Option<Instant>,
    grown: usize,
}

impl Run {
    pub(super) fn new(
        connections: Connections,
        tenant: TenantId,
        conversation: ConversationId,
        holder: String,
        signal: watch::Sender<Signals>,
    ) -> Self {
        Self {
            connections,
            tenant,
            conversation,
            holder,
            signal,
            frames: Vec::new(),
            start: Seq(0),
            given_up: Seq(0),
            targets: HashMap::new(),
            dropped: HashSet::new(),
            postings: FuturesUnordered::new(),
            closings: FuturesUnordered::new(),
            waiting: Vec::new(),
            posts: Posts::default(),
            unleased: Some(Instant::now()),
            grown: 0,
        }
    }

    pub(super) async fn run(mut self, mut told: mpsc::UnboundedReceiver<Tell>) {
        self.try_lease().await;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut open = true;
        loop {
            self.post();
            self.answer_waiting();
            if !open && self.idle() && self.release().await {
                return;
            }
            tokio::select! {
                biased;
                Some((id, seq, outcome)) = self.postings.next(), if !self.postings.is_empty() => {
                    self.posted(&id, seq, outcome);
                }
                Some(()) = self.closings.next(), if !self.closings.is_empty() => {}
                tell = told.recv(), if open => match tell {
                    Some(tell) => self.hear(tell).await,
                    None => open = false,
                },
                _ = tick.tick() => self.look_around().await,
            }
        }
    }

    /// Asks for the push lease. Where its last holder died, those that may or may not have got its frames are
    /// closed: they come back with what they have.
    async fn try_lease(&mut self) -> bool {
        let taken = self.connections.redis.take_push(self.tenant, self.conversation, &self.holder).await;
        reach("push.taken").await;
        match taken {
            Ok(PushLease::Taken { posted, live, in_doubt }) => {
                self.unleased = None;
                self.start = self.start.max(posted);
                for connection in in_doubt {
                    self.drop_connection(&connection.connection_id, true);
                }
                self.meet(live);
            }
            Ok(PushLease::Busy(_)) => {}
            Err(error) => tracing::warn!(%error, "no push lease yet"),
        }
        self.unleased.is_none()
    }

    async fn hear(&mut self, tell: Tell) {
        match tell {
            Tell::Logged { first, events, live } => {
                if let Err(error) = self.read_log(Seq(first.0 - 1)).await {
                    tracing::warn!(%error, "the log is read at the next tick");
                } else if self.end() < first {
                    self.frames.extend((first.0..).map(Seq).zip(events));
                }
                self.meet(live);
            }
            Tell::BegunAnew => self.start_over(),
            Tell::PostedTo(seq, done) => self.waiting.push((seq, done)),
        }
    }

    /// The log or the lease was lost: nobody knows who got what, so everyone must come back.
    fn start_over(&mut self) {
        self.given_up = self.given_up.max(self.end());
        for id in self.targets.keys().cloned().collect::<Vec<_>>() {
            self.drop_connection(&id, true);
        }
        self.frames.clear();
        self.start = Seq(0);
        self.unleased = Some(Instant::now());
    }

    /// Foreign frames, connections that joined, what cuts an answer off; keeps the lease.
    async fn look_around(&mut self) {
        if self.unleased.is_some() && !self.try_lease().await {
            return;
        }
        let posted = self.posted_to();
        let tick =
            self.connections.redis.tick_push(self.tenant, self.conversation, &self.holder, posted).await;
        match tick {
            Ok(tick) => {
                let signals = Signals { cancelled: tick.cancelled, epoch: tick.epoch };
                self.signal.send_if_modified(|told| std::mem::replace(told, signals) != signals);
                if !tick.held {
                    tracing::warn!("the push lease was lost");
                    return self.start_over();
                }
                if let Err(error) = self.read_log(tick.last).await {
                    tracing::warn!(%error, "could not read the log");
                }
                self.meet(tick.live);
            }
            Err(error) => tracing::warn!(%error, "could not look around"),
        }
    }

    /// Reads what others appended, up to `last`.
    async fn read_log(&mut self, last: Seq) -> Result<(), Error> {
        while self.end() < last {
            let end = self.end();
            let more = self.connections.redis.frames_after(self.tenant, self.conversation, end, 500).await?;
            let before = self.frames.len();
            self.frames.extend(more.into_iter().take_while(|(seq, _)| *seq <= last));
            if self.frames.len() == before {
                break;
            }
        }
        Ok(())
    }

    fn end(&self) -> Seq {
        self.frames.last().map_or(self.start, |(seq, _)| self.start.max(*seq))
    }

    /// Takes in the live set: who joined, who left.
    fn meet(&mut self, live: Vec<LiveConnection>) {
        self.targets.retain(|id, target| target.busy || live.iter().any(|c| c.connection_id == *id));
        for LiveConnection { connection_id, joined, viewer } in live {
            if self.dropped.contains(&connection_id) {
                continue;
            }
            let has = joined.max(self.start);
            self.targets
                .entry(connection_id)
                .and_modify(|target| target.has = target.has.max(joined))
                .or_insert(Target { viewer, has, busy: false });
        }
    }

    /// Starts a post to every connection that has none in flight and something to get.
    fn post(&mut self) {
        if self.unleased.is_some() {
            return;
        }
        for (id, target) in &mut self.targets {
            while !target.busy {
                let from = self.frames.partition_point(|(seq, _)| *seq <= target.has);
                let rest = self.frames.iter().skip(from).map(|(seq, event)| (*seq, event));
                let Some(batch) = next_batch(rest, &target.viewer) else { break };
                match batch.frame {
                    None => target.has = batch.up_to,
                    Some(frame) => {
                        target.busy = true;
                        let (connections, id) = (self.connections.clone(), id.clone());
                        self.postings.push(Box::pin(async move {
                            reach("push.posting").await;
                            let outcome = connections.post(&id, &frame).await;
                            reach("push.posted").await;
                            (id, batch.up_to, outcome)
                        }));
                    }
                }
            }
        }
    }

    fn posted(&mut self, id: &str, seq: Seq, outcome: PostOutcome) {
        self.posts.sent += 1;
        self.posts.failed += u64::from(outcome != PostOutcome::Delivered);
        match outcome {
            PostOutcome::Delivered => {
                if let Some(target) = self.targets.get_mut(id) {
                    target.busy = false;
                    target.has = target.has.max(seq);
                }
            }
            PostOutcome::Gone => self.drop_connection(id, false),
            PostOutcome::Throttled | PostOutcome::InDoubt => self.drop_connection(id, true),
        }
    }

    /// Its own `last_seq` is the truth: it comes back with it. Runs beside the posts: a closing may take seconds.
    fn drop_connection(&mut self, id: &str, close: bool) {
        self.targets.remove(id);
        if !self.dropped.insert(id.to_owned()) {
            return;
        }
        let (connections, id) = (self.connections.clone(), id.to_owned());
        let (tenant, conversation) = (self.tenant, self.conversation);
        self.closings.push(Box::pin(async move {
            let forgotten = async {
                // Closed first: should this process die in between, the live set still tells the next one of it.
                if close {
                    connections.close(&id).await?;
                    reach("push.closed").await;
                } else {
                    connections.disconnect(&id).await?;
                }
                // Also where its own record was gone already.
                connections.redis.leave(tenant, conversation, &id).await?;
                Ok::<_, Error>(())
            };
            if let Err(error) = forgotten.await {
                tracing::warn!(%error, "a dropped connection could not be forgotten");
            }
        }));
    }

    /// Everything up to here is posted to everyone who is live.
    fn posted_to(&self) -> Seq {
        self.targets.values().map(|target| target.has).min().unwrap_or(self.end()).min(self.end())
    }

    /// Whether the lease is not to be had any more.
    fn hopeless(&self) -> bool {
        self.unleased.is_some_and(|since| since.elapsed() > LEASE_WAIT)
    }

    fn idle(&self) -> bool {
        let posted = match self.unleased {
            None => self.posted_to() >= self.end(),
            Some(_) => self.frames.is_empty() || self.hopeless(),
        };
        posted && self.postings.is_empty() && self.closings.is_empty()
    }

    fn answer_waiting(&mut self) {
        let reached = match self.unleased {
            None => self.posted_to().max(self.given_up),
            Some(_) if self.hopeless() => Seq(i64::MAX),
            Some(_) => self.given_up,
        };
        let mut still = Vec::new();
        for (seq, done) in self.waiting.drain(..) {
            if seq <= reached {
                let _ = done.send(self.posts);
            } else {
                still.push((seq, done));
            }
        }
        self.waiting = still;
    }

    /// Gives the lease back; `false`: the log has grown meanwhile, and what came is to be posted first. Who appends
    /// without end is an agent of its own, which then posts for itself.
    async fn release(&mut self) -> bool {
        if self.unleased.is_some() {
            return true;
        }
        let (end, force) = (self.end(), self.grown >= GROWN_MAX);
        let released = self
            .connections
            .redis
            .release_push(self.tenant, self.conversation, &self.holder, end, force)
            .await;
        reach("push.released").await;
        match released {
            Ok(None) => true,
            Ok(Some(last)) => {
                self.grown += 1;
                // A log that cannot be read is another's problem by now.
                self.read_log(last).await.is_err()
            }
            Err(error) => {
                tracing::warn!(%error, "the push lease runs out by itself");
                true
            }
        }
    }
}
