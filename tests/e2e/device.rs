//! A device as a portal has it: it reads all the time, pings, comes back with the last `seq` it saw whenever it is
//! closed, and sends again what was not acknowledged. It hides nothing: every frame is kept, in order of arrival.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, interval, sleep, timeout};
use uuid::Uuid;

use crate::client::{Ws, text_of};
use crate::stack::{Stack, User};

/// Faster than a client should (every 5 minutes): a registry that was lost is noticed by the next one.
const PING_EVERY: Duration = Duration::from_secs(2);
/// What is not acknowledged within this is sent again (protocol.md section 2.3).
const ACK_WITHIN: Duration = Duration::from_secs(10);
/// Between two tries to connect.
const RECONNECT: Duration = Duration::from_millis(200);

/// A device of one conversation.
pub struct Device {
    pub stack: &'static Stack,
    pub user: User,
    kept: Arc<Mutex<Kept>>,
    orders: mpsc::UnboundedSender<Order>,
    changed: watch::Receiver<()>,
}

/// A frame and when it came.
#[derive(Clone)]
pub struct Came {
    pub at: Instant,
    pub frame: Value,
}

/// What a device has seen.
#[derive(Default)]
pub struct Kept {
    /// Every frame over all connections, in order of arrival.
    pub frames: Vec<Came>,
    /// Connections that were authenticated.
    pub connections: usize,
    /// Messages sent a second time, or more often.
    pub resends: usize,
    up: bool,
    last: i64,
    joined: i64,
    unacknowledged: Vec<Unacknowledged>,
}

struct Unacknowledged {
    id: String,
    frame: Value,
    again_at: Instant,
}

enum Order {
    /// Send a frame; tells when it was about to be written.
    Send(Value, oneshot::Sender<Instant>),
    /// Lose the connection without a close frame and come back after so long.
    Cut(Duration),
}

struct Life {
    stack: &'static Stack,
    token: String,
    query: String,
    kept: Arc<Mutex<Kept>>,
    orders: mpsc::UnboundedReceiver<Order>,
    changed: watch::Sender<()>,
}

impl Kept {
    /// Numbered frames, in order of arrival.
    pub fn numbered(&self) -> impl Iterator<Item = &Value> {
        self.frames.iter().map(|came| &came.frame).filter(|f| f["seq"].is_i64())
    }

    /// The frames that end the turn of a message.
    pub fn ends(&self, id: &str) -> Vec<&Value> {
        let ends =
            |f: &&Value| f["in_reply_to"] == id || f["type"] == "error" && f["id"] == id && f["seq"].is_i64();
        self.numbered().filter(ends).collect()
    }

    /// The pieces of an answer.
    pub fn pieces(&self, message_id: &Value) -> impl Iterator<Item = &Came> {
        let of_answer = move |came: &&Came| {
            let f = &came.frame;
            f["message_id"] == *message_id && (f["type"] == "chunk" || f["streaming"] == true)
        };
        self.frames.iter().filter(of_answer)
    }

    /// The pieces of an answer, put together.
    pub fn text(&self, message_id: &Value) -> String {
        self.pieces(message_id).map(|came| text_of(&came.frame)).collect()
    }

    /// How often it was told that something is no longer in the log.
    pub fn gaps(&self) -> usize {
        self.frames.iter().filter(|came| came.frame["code"] == "replay_gap").count()
    }

    /// Refusals: errors without a place in the log, but for `replay_gap`.
    pub fn refusals(&self) -> Vec<&Value> {
        let refused = |f: &&Value| f["type"] == "error" && !f["seq"].is_i64() && f["code"] != "replay_gap";
        self.frames.iter().map(|came| &came.frame).filter(refused).collect()
    }

    fn acknowledged(&self, id: &str) -> bool {
        self.frames.iter().any(|came| came.frame["type"] == "ack" && came.frame["id"] == id)
    }
}

impl Device {
    /// A device of a fresh session.
    pub async fn fresh(stack: &'static Stack, user: &User) -> Self {
        Self::of(stack, user, &format!("session_id=e2e-{}", Uuid::new_v4())).await
    }

    /// A device with this query, once it is connected.
    pub async fn of(stack: &'static Stack, user: &User, query: &str) -> Self {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let (orders, taken) = mpsc::unbounded_channel();
        let (changed, seen) = watch::channel(());
        let life = Life {
            stack,
            token: user.token.clone(),
            query: query.to_owned(),
            kept: Arc::clone(&kept),
            orders: taken,
            changed,
        };
        tokio::spawn(life.live());
        let device = Self { stack, user: user.clone(), kept, orders, changed: seen };
        device.wait("to be connected", Duration::from_secs(60), |kept| kept.up.then_some(())).await;
        device
    }

    /// Looks at what it has seen.
    pub fn look<T>(&self, at: impl FnOnce(&Kept) -> T) -> T {
        at(&self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn conversation(&self) -> String {
        let first = self.look(|kept| {
            kept.frames.iter().map(|came| came.frame.clone()).find(|f| f["type"] == "connection")
        });
        first.and_then(|f| f["conversation_id"].as_str().map(str::to_owned)).expect("connected")
    }

    /// Says something without waiting; the message's id.
    pub fn say(&self, content: &str) -> String {
        let id = Uuid::new_v4().to_string();
        let frame = json!({"type": "message", "id": id, "content": content});
        // Kept before it is sent, so that it is sent again where the connection is lost at this moment.
        let entry =
            Unacknowledged { id: id.clone(), frame: frame.clone(), again_at: Instant::now() + ACK_WITHIN };
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).unacknowledged.push(entry);
        let (written, _) = oneshot::channel();
        assert!(self.orders.send(Order::Send(frame, written)).is_ok(), "the device has ended");
        id
    }

    /// Says something and waits until it is acknowledged.
    pub async fn said(&self, content: &str) -> String {
        let id = self.say(content);
        self.acknowledged(&id, Duration::from_secs(60)).await;
        id
    }

    pub async fn acknowledged(&self, id: &str, within: Duration) {
        self.wait("the ack", within, |kept| kept.acknowledged(id).then_some(())).await;
    }

    /// Stops the answer; when the frame was about to be written.
    pub async fn cancel(&self) -> Instant {
        let (written, when) = oneshot::channel();
        let order = Order::Send(json!({"type": "cancel"}), written);
        assert!(self.orders.send(order).is_ok(), "the device has ended");
        when.await.expect("it is connected")
    }

    /// Loses the connection without a close frame; it comes back after so long.
    pub fn cut(&self, away: Duration) {
        assert!(self.orders.send(Order::Cut(away)).is_ok(), "the device has ended");
    }

    /// Waits for the frame that ends a turn.
    pub async fn end_of(&self, id: &str, within: Duration) -> Value {
        self.wait("the end", within, |kept| kept.ends(id).first().map(|f| (*f).clone())).await
    }

    /// Waits for the first piece of the answer under way.
    pub async fn first_piece(&self, within: Duration) {
        let piece = |f: &Value| f["type"] == "chunk" || f["streaming"] == true;
        self.wait("a piece", within, |kept| kept.numbered().any(piece).then_some(())).await;
    }

    /// Waits until something is so.
    pub async fn wait<T>(&self, what: &str, within: Duration, test: impl Fn(&Kept) -> Option<T>) -> T {
        let mut changed = self.changed.clone();
        let waited = timeout(within, async {
            loop {
                if let Some(found) = self.look(&test) {
                    return found;
                }
                assert!(changed.changed().await.is_ok(), "the device has ended while it waited for {what}");
            }
        });
        match waited.await {
            Ok(found) => found,
            Err(_) => panic!("no sign of {what} within {within:?}: {}", self.look(told)),
        }
    }
}

/// What a device saw last: types only, no text.
fn told(kept: &Kept) -> String {
    let last = kept.frames.iter().rev().take(12).rev().map(|came| {
        let f = &came.frame;
        format!("{} {} {}", f["type"], f["seq"], f["code"])
    });
    let last: Vec<String> = last.collect();
    format!(
        "{} frames over {} connections, up: {}, not acknowledged: {}, last {last:?}",
        kept.frames.len(),
        kept.connections,
        kept.up,
        kept.unacknowledged.len()
    )
}

impl Life {
    fn kept<T>(&self, act: impl FnOnce(&mut Kept) -> T) -> T {
        let result = act(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_replace(());
        result
    }

    async fn live(mut self) {
        loop {
            let Some(mut ws) = self.connect().await else {
                sleep(RECONNECT).await;
                continue;
            };
            let away = self.serve(&mut ws).await;
            drop(ws);
            self.kept(|kept| kept.up = false);
            match away {
                Some(away) => sleep(away).await,
                // Nobody gives orders any more: the device is gone.
                None => return,
            }
        }
    }

    /// Connects and authenticates with the last `seq` seen.
    async fn connect(&mut self) -> Option<Ws> {
        let mut ws = Ws::handshake_with(self.stack, &self.query, &[]).await.ok()?;
        let last = self.kept(|kept| kept.last);
        let auth = json!({"type": "auth", "token": self.token, "last_seq": last});
        if !ws.offer(&auth.to_string()).await {
            return None;
        }
        loop {
            let frame = ws.next().await?;
            self.take(&frame);
            match frame["type"].as_str() {
                Some("connection") => break,
                Some("error") => {
                    assert_eq!(frame["code"], "internal", "a good token is refused only in an outage");
                    return None;
                }
                _ => {}
            }
        }
        self.kept(|kept| {
            kept.up = true;
            kept.connections += 1;
            // What was not acknowledged may have been lost with the connection.
            let now = Instant::now();
            kept.unacknowledged.iter_mut().for_each(|waiting| waiting.again_at = now);
        });
        Some(ws)
    }

    /// Serves a connection until it is lost; how long to stay away, `None`: for good.
    async fn serve(&mut self, ws: &mut Ws) -> Option<Duration> {
        let mut ping = interval(PING_EVERY);
        ping.reset();
        let mut look = interval(Duration::from_millis(250));
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv() => match order? {
                    Order::Send(frame, written) => {
                        let _ = written.send(Instant::now());
                        if !ws.offer(&frame.to_string()).await {
                            return Some(Duration::ZERO);
                        }
                    }
                    Order::Cut(away) => return Some(away),
                },
                frame = ws.next() => match frame {
                    Some(frame) => self.take(&frame),
                    None => return Some(Duration::ZERO),
                },
                _ = ping.tick() => {
                    if !ws.offer(&json!({"type": "ping"}).to_string()).await {
                        return Some(Duration::ZERO);
                    }
                }
                _ = look.tick() => {
                    for frame in self.due() {
                        if !ws.offer(&frame.to_string()).await {
                            return Some(Duration::ZERO);
                        }
                    }
                }
            }
        }
    }

    /// Messages whose acknowledgement is overdue.
    fn due(&self) -> Vec<Value> {
        self.kept(|kept| {
            let now = Instant::now();
            let due = kept.unacknowledged.iter_mut().filter(|waiting| waiting.again_at <= now);
            let due: Vec<Value> = due
                .map(|waiting| {
                    waiting.again_at = now + ACK_WITHIN;
                    waiting.frame.clone()
                })
                .collect();
            kept.resends += due.len();
            due
        })
    }

    fn take(&self, frame: &Value) {
        self.kept(|kept| {
            kept.frames.push(Came { at: Instant::now(), frame: frame.clone() });
            let id = frame["id"].as_str();
            match frame["type"].as_str() {
                Some("connection") => kept.joined = frame["last_seq"].as_i64().unwrap_or_default(),
                Some("ack") => kept.unacknowledged.retain(|waiting| Some(waiting.id.as_str()) != id),
                Some("error") if frame["code"] == "replay_gap" => kept.last = kept.joined,
                Some("error") if !frame["seq"].is_i64() => {
                    let pause = Duration::from_secs(frame["retry_after"].as_u64().unwrap_or(1));
                    let refused =
                        kept.unacknowledged.iter_mut().find(|waiting| Some(waiting.id.as_str()) == id);
                    if let Some(waiting) = refused {
                        waiting.again_at = Instant::now() + pause;
                    }
                }
                _ => {}
            }
            if let Some(seq) = frame["seq"].as_i64() {
                kept.last = seq;
            }
        });
    }
}
