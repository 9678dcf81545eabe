//! The Management API: records every post in order and answers as it was told to. A connection that was closed, or
//! is gone, takes no frame any more.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use konstruct_ports::{BoxFuture, ConnectionGateway, PostOutcome};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::seeds::Chance;

/// A frame that reached a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Post {
    pub connection_id: String,
    pub frame: Value,
}

#[derive(Default)]
struct State {
    arrived: Vec<Post>,
    attempts: HashMap<String, usize>,
    closed: Vec<String>,
    gone: HashSet<String>,
    next: HashMap<String, VecDeque<PostOutcome>>,
    slow: HashMap<String, Duration>,
    in_flight: HashSet<String>,
    overlapped: bool,
    mood: Option<Chance>,
}

/// API Gateway's side of connections.
pub struct FakeGateway {
    state: Mutex<State>,
    failed: AtomicUsize,
    changed: watch::Sender<u64>,
}

impl Default for FakeGateway {
    fn default() -> Self {
        Self { state: Mutex::default(), failed: AtomicUsize::new(0), changed: watch::channel(0).0 }
    }
}

impl FakeGateway {
    /// The next posts to a connection end so. In doubt, the frame did not arrive.
    pub fn script(&self, connection_id: &str, outcomes: impl IntoIterator<Item = PostOutcome>) {
        self.state.lock().unwrap().next.entry(connection_id.to_owned()).or_default().extend(outcomes);
    }

    /// From here on one post in eight fails, in one of the ways there are.
    pub fn moody(&self, seed: u64) {
        self.state.lock().unwrap().mood = Some(Chance::of(seed));
    }

    /// From here on posts succeed.
    pub fn calm(&self) {
        self.state.lock().unwrap().mood = None;
    }

    /// How many posts failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.failed.load(Ordering::Relaxed)
    }

    /// Whether a connection is still open.
    #[must_use]
    pub fn is_open(&self, connection_id: &str) -> bool {
        !self.state.lock().unwrap().gone.contains(connection_id)
    }

    /// The connection is gone: 410 from here on.
    pub fn hang_up(&self, connection_id: &str) {
        self.state.lock().unwrap().gone.insert(connection_id.to_owned());
    }

    /// Every post to a connection takes so long.
    pub fn slow_down(&self, connection_id: &str, pause: Duration) {
        self.state.lock().unwrap().slow.insert(connection_id.to_owned(), pause);
    }

    /// Every frame that arrived, in order.
    #[must_use]
    pub fn posts(&self) -> Vec<Post> {
        self.state.lock().unwrap().arrived.clone()
    }

    /// The frames that reached one connection, in order.
    #[must_use]
    pub fn frames(&self, connection_id: &str) -> Vec<Value> {
        let state = self.state.lock().unwrap();
        state.arrived.iter().filter(|p| p.connection_id == connection_id).map(|p| p.frame.clone()).collect()
    }

    /// How often a post to a connection was tried.
    #[must_use]
    pub fn attempts(&self, connection_id: &str) -> usize {
        self.state.lock().unwrap().attempts.get(connection_id).copied().unwrap_or(0)
    }

    /// The connections that were closed from our side.
    #[must_use]
    pub fn closed(&self) -> Vec<String> {
        self.state.lock().unwrap().closed.clone()
    }

    /// Whether two numbered frames were ever on their way to one connection at once.
    #[must_use]
    pub fn overlapped(&self) -> bool {
        self.state.lock().unwrap().overlapped
    }

    /// Waits until a connection has a frame like this; panics after 10 s.
    pub async fn wait_for(&self, connection_id: &str, like: impl Fn(&Value) -> bool) -> Value {
        let mut changed = self.changed.subscribe();
        let look = async {
            loop {
                if let Some(frame) = self.frames(connection_id).into_iter().find(|frame| like(frame)) {
                    return frame;
                }
                changed.changed().await.unwrap();
            }
        };
        let found = timeout(Duration::from_secs(10), look).await;
        found.unwrap_or_else(|_| {
            panic!("{connection_id} has no such frame: {:#?}", self.frames(connection_id))
        })
    }

    /// Waits until a connection is closed from our side; panics after 10 s.
    pub async fn wait_closed(&self, connection_id: &str) {
        let mut changed = self.changed.subscribe();
        let look = async {
            while !self.closed().iter().any(|closed| closed == connection_id) {
                changed.changed().await.unwrap();
            }
        };
        timeout(Duration::from_secs(10), look).await.expect("the connection is closed");
    }

    fn begin(&self, connection_id: &str, numbered: bool) -> (Fate, Option<Duration>) {
        let mut state = self.state.lock().unwrap();
        *state.attempts.entry(connection_id.to_owned()).or_default() += 1;
        if numbered && !state.in_flight.insert(connection_id.to_owned()) {
            state.overlapped = true;
        }
        let told = state.next.get_mut(connection_id).and_then(VecDeque::pop_front);
        let gone = state.gone.contains(connection_id);
        let fate = match (gone, told) {
            (true, _) => Fate::plain(PostOutcome::Gone),
            (false, Some(outcome)) => Fate::plain(outcome),
            (false, None) => state.mood.as_mut().map_or(Fate::plain(PostOutcome::Delivered), Fate::by_chance),
        };
        (fate, state.slow.get(connection_id).copied())
    }

    fn end(&self, connection_id: &str, frame: &str, fate: Fate) -> PostOutcome {
        let mut state = self.state.lock().unwrap();
        if state.gone.contains(connection_id) {
            return PostOutcome::Gone;
        }
        let Fate { outcome, arrives } = fate;
        if outcome != PostOutcome::Delivered {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        match outcome {
            _ if arrives => {
                let frame = serde_json::from_str(frame).expect("a frame is JSON");
                state.arrived.push(Post { connection_id: connection_id.to_owned(), frame });
            }
            PostOutcome::Gone => drop(state.gone.insert(connection_id.to_owned())),
            PostOutcome::Delivered | PostOutcome::Throttled | PostOutcome::InDoubt => {}
        }
        drop(state);
        self.changed.send_modify(|n| *n += 1);
        outcome
    }
}

/// What becomes of a post.
#[derive(Clone, Copy)]
struct Fate {
    outcome: PostOutcome,
    /// The frame reaches the client, whatever its sender is told.
    arrives: bool,
}

impl Fate {
    fn plain(outcome: PostOutcome) -> Self {
        Self { outcome, arrives: outcome == PostOutcome::Delivered }
    }

    fn by_chance(chance: &mut Chance) -> Self {
        match chance.below(100) {
            0..2 => Self::plain(PostOutcome::Gone),
            2..6 => Self::plain(PostOutcome::Throttled),
            6..9 => Self::plain(PostOutcome::InDoubt),
            9..12 => Self { outcome: PostOutcome::InDoubt, arrives: true },
            _ => Self::plain(PostOutcome::Delivered),
        }
    }
}

/// Takes a post out of flight also when its process dies meanwhile.
struct InFlight<'a>(&'a FakeGateway, &'a str);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().in_flight.remove(self.1);
    }
}

impl ConnectionGateway for FakeGateway {
    fn post<'a>(&'a self, connection_id: &'a str, frame: &'a str) -> BoxFuture<'a, PostOutcome> {
        Box::pin(async move {
            assert!(frame.len() <= 32 * 1024, "API Gateway refuses frames over 32 KB");
            let numbered = frame.contains(r#""seq":"#);
            let (fate, slow) = self.begin(connection_id, numbered);
            let _in_flight = numbered.then_some(InFlight(self, connection_id));
            match slow {
                Some(pause) => sleep(pause).await,
                None => tokio::task::yield_now().await,
            }
            let outcome = self.end(connection_id, frame, fate);
            // The frame arrived; the answer takes a moment: whoever dies now does not know.
            tokio::task::yield_now().await;
            outcome
        })
    }

    fn close<'a>(&'a self, connection_id: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            if state.gone.insert(connection_id.to_owned()) {
                state.closed.push(connection_id.to_owned());
            }
            drop(state);
            self.changed.send_modify(|n| *n += 1);
        })
    }
}
