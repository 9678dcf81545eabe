//! The poster's loop and what it knows of each connection.

use std::collections::HashMap;
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
use tokio::time::{Instant, sleep};

use super::{Signals, Tell};
use crate::connections::Connections;
use crate::delivery::batch::next_batch;

/// How often the holder looks for foreign frames, joined connections and a cancel mark.
const TICK: Duration = Duration::from_millis(100);
/// Longest wait for another holder's lease.
const LEASE_WAIT: Duration = Duration::from_secs(12);

type Posting = Pin<Box<dyn Future<Output = (String, Seq, PostOutcome)> + Send>>;

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
    targets: HashMap<String, Target>,
    postings: FuturesUnordered<Posting>,
    waiting: Vec<(Seq, oneshot::Sender<()>)>,
    leased: bool,
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
            targets: HashMap::new(),
            postings: FuturesUnordered::new(),
            waiting: Vec::new(),
            leased: false,
        }
    }

    pub(super) async fn run(mut self, mut told: mpsc::UnboundedReceiver<Tell>) {
        self.take_lease().await;
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
                    self.posted(&id, seq, outcome).await;
                }
                tell = told.recv(), if open => match tell {
                    Some(tell) => self.hear(tell).await,
                    None => open = false,
                },
                _ = tick.tick() => self.look_around().await,
            }
        }
    }

    /// Takes the push lease; while another holds it, frames wait in the log.
    async fn take_lease(&mut self) {
        let until = Instant::now() + LEASE_WAIT;
        loop {
            match self.connections.redis.take_push(self.tenant, self.conversation, &self.holder).await {
                Ok(PushLease::Taken { posted, live, in_doubt }) => {
                    self.leased = true;
                    self.start = posted;
                    for connection in in_doubt {
                        self.drop_connection(&connection.connection_id, true).await;
                    }
                    self.meet(live);
                    return;
                }
                Ok(PushLease::Busy(_)) if Instant::now() < until => sleep(TICK).await,
                Ok(PushLease::Busy(_)) => {
                    tracing::error!("the push lease could not be had");
                    return;
                }
                Err(error) if Instant::now() < until => {
                    tracing::warn!(%error, "no push lease yet");
                    sleep(TICK).await;
                }
                Err(error) => {
                    tracing::error!(%error, "the push lease could not be had");
                    return;
                }
            }
        }
    }

    async fn hear(&mut self, tell: Tell) {
        match tell {
            Tell::Logged { first, events, live } => {
                // Also what a dead process logged and nobody posted.
                self.read_log(Seq(first.0 - 1)).await;
                if self.end() < first {
                    self.frames.extend((first.0..).map(Seq).zip(events));
                }
                self.meet(live);
            }
            Tell::BegunAnew => {
                for id in self.targets.keys().cloned().collect::<Vec<_>>() {
                    self.drop_connection(&id, true).await;
                }
                self.frames.clear();
                self.start = Seq(0);
                self.leased = false;
                self.take_lease().await;
            }
            Tell::PostedTo(seq, done) => self.waiting.push((seq, done)),
        }
    }

    /// Foreign frames, connections that joined, a cancel mark; keeps the lease.
    async fn look_around(&mut self) {
        if !self.leased {
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
                    self.leased = false;
                    self.targets.clear();
                    return;
                }
                self.read_log(tick.last).await;
                self.meet(tick.live);
            }
            Err(error) => tracing::warn!(%error, "could not look around"),
        }
    }

    /// Reads what others appended, up to `last`.
    async fn read_log(&mut self, last: Seq) {
        while self.end() < last {
            let end = self.end();
            match self.connections.redis.frames_after(self.tenant, self.conversation, end, 500).await {
                Ok(more) if more.is_empty() => return,
                Ok(more) => self.frames.extend(more),
                Err(error) => {
                    tracing::warn!(%error, "could not read the log");
                    return;
                }
            }
        }
    }

    fn end(&self) -> Seq {
        self.frames.last().map_or(self.start, |(seq, _)| *seq)
    }

    /// Takes in the live set: who joined, who left.
    fn meet(&mut self, live: Vec<LiveConnection>) {
        self.targets.retain(|id, target| target.busy || live.iter().any(|c| c.connection_id == *id));
        for LiveConnection { connection_id, joined, viewer } in live {
            let has = joined.max(self.start);
            self.targets
                .entry(connection_id)
                .and_modify(|target| target.has = target.has.max(joined))
                .or_insert(Target { viewer, has, busy: false });
        }
    }

    /// Starts a post to every connection that has none in flight and something to get.
    fn post(&mut self) {
        if !self.leased {
            return;
        }
        for (id, target) in &mut self.targets {
            while !target.busy {
                let from = self.frames.partition_point(|(seq, _)| *seq <= target.has);
                let rest = self.frames.iter().skip(from).map(|(seq, event)| (*seq, event));
                let Some(batch) = next_batch(rest, &target.viewer) else {
                    break;
                };
                match batch.frame {
                    None => target.has = batch.up_to,
                    Some(frame) => {
                        target.busy = true;
                        let (connections, id) = (self.connections.clone(), id.clone());
                        self.postings.push(Box::pin(async move {
                            let outcome = connections.post(&id, &frame).await;
                            (id, batch.up_to, outcome)
                        }));
                    }
                }
            }
        }
    }

    async fn posted(&mut self, id: &str, seq: Seq, outcome: PostOutcome) {
        match outcome {
            PostOutcome::Delivered => {
                if let Some(target) = self.targets.get_mut(id) {
                    target.busy = false;
                    target.has = target.has.max(seq);
                }
            }
            PostOutcome::Gone => self.drop_connection(id, false).await,
            PostOutcome::Throttled | PostOutcome::InDoubt => self.drop_connection(id, true).await,
        }
    }

    /// Its own `last_seq` is the truth: it comes back with it.
    async fn drop_connection(&mut self, id: &str, close: bool) {
        self.targets.remove(id);
        let dropped =
            if close { self.connections.close(id).await } else { self.connections.disconnect(id).await };
        if let Err(error) = dropped {
            tracing::warn!(%error, "a dropped connection could not be forgotten");
        }
    }

    /// Everything up to here is posted to everyone who is live.
    fn posted_to(&self) -> Seq {
        self.targets.values().map(|target| target.has).min().unwrap_or(self.end()).min(self.end())
    }

    fn idle(&self) -> bool {
        !self.leased || (self.postings.is_empty() && self.posted_to() >= self.end())
    }

    fn answer_waiting(&mut self) {
        let reached = if self.leased { self.posted_to() } else { Seq(i64::MAX) };
        let mut still = Vec::new();
        for (seq, done) in self.waiting.drain(..) {
            if seq <= reached {
                let _ = done.send(());
            } else {
                still.push((seq, done));
            }
        }
        self.waiting = still;
    }

    /// Gives the lease back; `false`: the log has grown meanwhile.
    async fn release(&mut self) -> bool {
        if !self.leased {
            return true;
        }
        let end = self.end();
        match self.connections.redis.release_push(self.tenant, self.conversation, &self.holder, end).await {
            Ok(None) => true,
            Ok(Some(last)) => {
                self.read_log(last).await;
                // A log that cannot be read to its end is another's problem by now.
                self.end() < last
            }
            Err(error) => {
                tracing::warn!(%error, "the push lease runs out by itself");
                true
            }
        }
    }
}
