//! Plays Slack's Web API for one thread, on tokio's clock, with whatever faults it is told to have. It checks that
//! nothing it is given could ping, and that a 429 is honoured.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use konstruct_channels::slack::api::{NoAnswer, RawAnswer, RawCall, Transport};
use konstruct_ports::{BoxFuture, JournalError, PostJournal};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::chance::Chance;

pub const BOT: &str = "UBOT";
pub const ROOT: &str = "1700000000.000100";
pub const QUESTION: &str = "1700000000.000200";

/// A message of the thread.
#[derive(Debug, Clone, Default)]
pub struct Message {
    pub user: String,
    pub text: String,
    pub is_streaming: bool,
    metadata: Option<Value>,
}

/// What may go wrong, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// One call in so many; 0: none.
    pub once_in: u64,
    /// So many faults at most: in the end Slack answers.
    pub left: u32,
    /// Whether processes die.
    pub deaths: bool,
}

/// A call as it came.
#[derive(Debug, Clone)]
pub struct Call {
    pub at: Instant,
    pub method: &'static str,
    pub args: Value,
    /// Whether it did something.
    pub had_effect: bool,
}

pub struct World {
    pub chance: Chance,
    pub faults: Faults,
    pub has_streaming: bool,
    /// Refuses this method once with this code.
    pub refuse_next: Vec<(&'static str, &'static str)>,
    pub messages: BTreeMap<u64, Message>,
    pub calls: Vec<Call>,
    pub journal: Option<String>,
    next: u64,
    /// Refusals in a row that sound final: three are believed.
    refused: u32,
    limited: BTreeMap<&'static str, Instant>,
}

/// The world outside of the machine: Slack and the journal. Survives every process.
pub struct Fake {
    pub world: Mutex<World>,
    /// The process has died.
    pub death: Notify,
}

enum Fate {
    Served,
    Limited(u64),
    Refused(&'static str),
    NotSent,
    /// (with the effect, then)
    Lost(bool, Then),
}

#[derive(Clone, Copy)]
enum Then {
    Broken,
    Status(u16),
    Silence,
    Death,
}

impl Fake {
    pub fn new(seed: u64, faults: Faults) -> Arc<Self> {
        let world = World {
            chance: Chance::of(seed ^ 0x51AC),
            faults,
            has_streaming: true,
            refuse_next: Vec::new(),
            messages: BTreeMap::new(),
            calls: Vec::new(),
            journal: None,
            next: 1_700_000_000_000_300,
            refused: 0,
            limited: BTreeMap::new(),
        };
        Arc::new(Self { world: Mutex::new(world), death: Notify::new() })
    }

    /// A new process knows nothing of the limits of the one before.
    pub fn new_process(&self) {
        self.world.lock().unwrap().limited.clear();
    }

    /// What stands in the thread and is ours.
    pub fn ours(&self) -> Vec<Message> {
        let world = self.world.lock().unwrap();
        world.messages.values().filter(|message| message.user == BOT).cloned().collect()
    }

    pub fn count(&self, method: &str) -> usize {
        self.world.lock().unwrap().calls.iter().filter(|call| call.method == method).count()
    }

    /// A message that the machine has nothing to do with.
    pub fn put(&self, user: &str, text: &str) {
        let mut world = self.world.lock().unwrap();
        let message = Message { user: user.to_owned(), text: text.to_owned(), ..Message::default() };
        world.put(message);
    }

    async fn serve(&self, call: RawCall<'_>) -> Result<RawAnswer, NoAnswer> {
        let args = decode(&call);
        let (latency, fate, answer) = {
            let mut world = self.world.lock().unwrap();
            check(&args);
            world.check_limit(call.method);
            let latency = world.chance.below(400);
            let fate = world.fate(call.method);
            let had_effect = matches!(fate, Fate::Served | Fate::Lost(true, _));
            if matches!(fate, Fate::Refused("message_not_in_streaming_state")) && world.chance.once_in(2) {
                // It is over indeed; else Slack only says so for now.
                let _ = world.message(&args).map(|message| message.is_streaming = false);
            }
            let answer = if had_effect { world.serve(call.method, &args) } else { Ok(json!({})) };
            let at = Instant::now();
            let had_effect = had_effect && answer.is_ok();
            if matches!(fate, Fate::Served) && had_effect {
                world.refused = 0;
            }
            world.calls.push(Call { at, method: call.method, args, had_effect });
            if let Fate::Limited(seconds) = fate {
                world.limited.insert(call.method, at + Duration::from_secs(seconds));
            }
            (latency, fate, answer)
        };
        sleep(Duration::from_millis(latency)).await;
        let said = |status, retry_after: Option<u64>, body: Value| {
            let retry_after = retry_after.map(Duration::from_secs);
            Ok(RawAnswer { status, retry_after, body: Bytes::from(body.to_string()) })
        };
        match fate {
            Fate::Served => match answer {
                Ok(mut body) => {
                    body["ok"] = json!(true);
                    said(200, None, body)
                }
                Err(code) => said(200, None, json!({"ok": false, "error": code})),
            },
            Fate::Limited(seconds) => said(429, Some(seconds), json!("slow down")),
            Fate::Refused(code) => said(200, None, json!({"ok": false, "error": code})),
            Fate::NotSent => Err(NoAnswer::NotSent),
            Fate::Lost(_, Then::Broken) => Err(NoAnswer::InDoubt),
            Fate::Lost(_, Then::Status(status)) => said(status, None, json!(null)),
            Fate::Lost(_, Then::Silence) => std::future::pending().await,
            Fate::Lost(_, Then::Death) => {
                self.death.notify_one();
                std::future::pending().await
            }
        }
    }
}

impl World {
    fn put(&mut self, message: Message) -> String {
        let ts = self.next;
        self.next += 1 + self.chance.below(900_000);
        self.messages.insert(ts, message);
        format!("{}.{:06}", ts / 1_000_000, ts % 1_000_000)
    }

    fn fate(&mut self, method: &'static str) -> Fate {
        if let Some(at) = self.refuse_next.iter().position(|(refused, _)| *refused == method) {
            return Fate::Refused(self.refuse_next.remove(at).1);
        }
        let faults = &mut self.faults;
        if faults.left == 0 || faults.once_in == 0 || !self.chance.once_in(faults.once_in) {
            return Fate::Served;
        }
        faults.left -= 1;
        let with_effect = self.chance.once_in(2);
        match self.chance.below(if faults.deaths { 10 } else { 8 }) {
            0 | 1 => Fate::Limited(self.chance.below(4)),
            2 | 3 => {
                let code = self.chance.one_of(refusals(method));
                let passes = code.ends_with("l_error") || code == "service_unavailable";
                if !passes && self.refused == 2 {
                    return Fate::Served;
                }
                self.refused += u32::from(!passes);
                Fate::Refused(code)
            }
            4 => Fate::NotSent,
            5 => Fate::Lost(with_effect, Then::Broken),
            6 => Fate::Lost(with_effect, Then::Status(self.chance.one_of(&[500, 503, 504]))),
            7 => Fate::Lost(with_effect, Then::Silence),
            _ => Fate::Lost(with_effect, Then::Death),
        }
    }

    /// 0 and 2: before it was written; 1 and 3: behind; the process dies of 2 and 3.
    fn fate_of_journal(&mut self) -> u64 {
        let Faults { once_in, left, deaths } = self.faults;
        if left == 0 || once_in == 0 || !self.chance.once_in(once_in * 2) {
            return 9;
        }
        self.faults.left -= 1;
        self.chance.below(if deaths { 4 } else { 2 })
    }

    fn check_limit(&self, method: &str) {
        if let Some(until) = self.limited.get(method) {
            assert!(Instant::now() >= *until, "{method} was called within its Retry-After");
        }
    }

    fn message(&mut self, args: &Value) -> Result<&mut Message, &'static str> {
        let ts: u64 = args["ts"].as_str().unwrap().replace('.', "").parse().unwrap();
        self.messages.get_mut(&ts).filter(|message| message.user == BOT).ok_or("message_not_found")
    }

    fn serve(&mut self, method: &str, args: &Value) -> Result<Value, &'static str> {
        match method {
            "chat.postMessage" => {
                assert_eq!(args["thread_ts"], ROOT);
                let text = args["text"].as_str().unwrap().to_owned();
                let metadata = args.get("metadata").cloned();
                let ts = self.put(Message { user: BOT.to_owned(), text, metadata, is_streaming: false });
                Ok(json!({"channel": "C1", "ts": ts}))
            }
            "chat.startStream" => {
                assert_eq!((&args["thread_ts"], &args["recipient_user_id"]), (&json!(ROOT), &json!("U1")));
                if !self.has_streaming {
                    return Err("feature_not_enabled");
                }
                let message = Message { user: BOT.to_owned(), is_streaming: true, ..Message::default() };
                Ok(json!({"channel": "C1", "ts": self.put(message)}))
            }
            "chat.appendStream" | "chat.stopStream" => {
                let message = self.message(args)?;
                if !message.is_streaming {
                    return Err("message_not_in_streaming_state");
                }
                message.text.push_str(args["markdown_text"].as_str().unwrap_or_default());
                if method == "chat.stopStream" {
                    message.is_streaming = false;
                    message.metadata = args.get("metadata").cloned();
                }
                Ok(json!({}))
            }
            "chat.update" => {
                let message = self.message(args)?;
                if message.is_streaming {
                    return Err("streaming_state_conflict");
                }
                let text = args.get("text").or_else(|| args.get("markdown_text")).unwrap();
                text.as_str().unwrap().clone_into(&mut message.text);
                Ok(json!({}))
            }
            "chat.delete" => {
                let message = self.message(args)?;
                if message.is_streaming {
                    return Err("streaming_state_conflict");
                }
                let ts: u64 = args["ts"].as_str().unwrap().replace('.', "").parse().unwrap();
                self.messages.remove(&ts);
                Ok(json!({}))
            }
            "conversations.replies" => {
                let shown = self.messages.iter().map(|(ts, message)| {
                    let mut shown = json!({"ts": format!("{}.{:06}", ts / 1_000_000, ts % 1_000_000),
                                           "user": message.user, "text": message.text});
                    if let Some(metadata) = &message.metadata {
                        shown["metadata"] = metadata.clone();
                    }
                    shown
                });
                Ok(json!({"messages": shown.collect::<Vec<_>>()}))
            }
            other => panic!("unexpected call of {other}"),
        }
    }
}

/// What each method may say although another try would do.
fn refusals(method: &str) -> &'static [&'static str] {
    match method {
        "chat.startStream" => &[
            "feature_not_enabled",
            "unknown_method",
            "method_deprecated",
            "channel_type_not_supported",
            "internal_error",
            "missing_recipient_team_id",
        ],
        "chat.appendStream" | "chat.stopStream" => {
            &["message_not_in_streaming_state", "internal_error", "invalid_chunks"]
        }
        "chat.update" => {
            &["internal_error", "cant_update_message", "update_failed", "edit_window_closed", "surprise"]
        }
        _ => &[
            "internal_error",
            "fatal_error",
            "channel_not_found",
            "ratelimited",
            "service_unavailable",
            "surprise",
        ],
    }
}

/// Nothing that is posted may name, ping or link.
fn check(args: &Value) {
    for text in ["text", "markdown_text"].iter().filter_map(|name| args[name].as_str()) {
        assert!(!text.contains(['<', '>']), "live markup: {text}");
        assert!(text.encode_utf16().count() <= 4_000, "too long: {}", text.len());
    }
}

fn decode(call: &RawCall<'_>) -> Value {
    let body = std::str::from_utf8(&call.body).unwrap();
    if call.content_type.starts_with("application/json") {
        return serde_json::from_str(body).unwrap();
    }
    body.split('&').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.to_owned(), json!(v))).collect()
}

impl Transport for Fake {
    fn post<'a>(&'a self, call: RawCall<'a>) -> BoxFuture<'a, Result<RawAnswer, NoAnswer>> {
        Box::pin(self.serve(call))
    }
}

impl PostJournal for Fake {
    fn keep<'a>(&'a self, posts: &'a str) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            let fate = {
                let mut world = self.world.lock().unwrap();
                assert!(posts.len() < 4_000, "a journal of {} bytes", posts.len());
                let fate = world.fate_of_journal();
                if !matches!(fate, 0 | 2) {
                    world.journal = Some(posts.to_owned());
                }
                fate
            };
            sleep(Duration::from_millis(2)).await;
            match fate {
                0 | 1 => Err(JournalError::Away),
                2 | 3 => {
                    self.death.notify_one();
                    std::future::pending().await
                }
                _ => Ok(()),
            }
        })
    }
}
