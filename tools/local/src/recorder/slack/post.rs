//! One post of ours in a room, and how Slack shows it.
//! A post keeps its text as it was sent: what Slack makes of Markdown and entities is not imitated.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{APP, BOT, BOT_USER};

/// How long Slack keeps a stream open (not documented; users of the real service measured it).
const STREAM_LIFETIME: Duration = Duration::from_secs(300);

/// A message, be it posted or streamed.
#[derive(Debug)]
pub struct Post {
    /// Its time stamp, which is its id in the room.
    pub ts: String,
    /// The ts of the message that starts its thread.
    pub thread_ts: Option<String>,
    /// Whether a reply is shown in the room, too.
    pub broadcast: bool,
    pub text: String,
    pub blocks: Option<Value>,
    pub metadata: Option<Value>,
    /// The ts of its last edit.
    pub edited: Option<String>,
    stream: Option<Stream>,
}

#[derive(Debug)]
struct Stream {
    since: Instant,
    stopped: bool,
    /// A script said that it is over.
    doubtful: bool,
}

impl Stream {
    fn is_open(&self) -> bool {
        !self.stopped && self.since.elapsed() < STREAM_LIFETIME
    }
}

impl Post {
    /// A post without anything in it.
    pub fn new(ts: String, thread_ts: Option<String>) -> Self {
        Self {
            ts,
            thread_ts,
            broadcast: false,
            text: String::new(),
            blocks: None,
            metadata: None,
            edited: None,
            stream: None,
        }
    }

    /// The same post, being streamed from now on.
    pub fn streaming(self) -> Self {
        let stream = Stream { since: Instant::now(), stopped: false, doubtful: false };
        Self { stream: Some(stream), ..self }
    }

    /// Whether it takes more of a stream.
    pub fn takes_more(&self) -> bool {
        self.stream.as_ref().is_some_and(Stream::is_open)
    }

    /// Whether an open stream keeps it from being edited or deleted.
    pub fn is_locked(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.is_open() && !stream.doubtful)
    }

    /// Its stream is over.
    pub fn stop(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.stopped = true;
        }
    }

    /// A script said so; see [`super::Workspace::was_told`].
    pub fn stream_is_said_to_be_over(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.doubtful = true;
        }
    }

    /// Whether it belongs to the thread that `ts` started.
    pub fn is_in_thread(&self, ts: &str) -> bool {
        self.ts == ts || self.thread_ts.as_deref() == Some(ts)
    }

    /// Whether it is seen in the room itself.
    pub fn is_in_room(&self) -> bool {
        self.broadcast || self.thread_ts.as_ref().is_none_or(|thread| *thread == self.ts)
    }

    /// It as Slack writes a message.
    pub fn as_json(&self, with_metadata: bool) -> Value {
        let mut message = json!({
            "type": "message", "user": BOT_USER, "bot_id": BOT, "app_id": APP, "ts": self.ts, "text": self.text,
        });
        let edited = self.edited.as_ref().map(|ts| json!({"user": BOT_USER, "ts": ts}));
        let state = self.stream.as_ref().map(|s| if s.is_open() { "in_progress" } else { "completed" });
        let more = [
            ("thread_ts", self.thread_ts.clone().map(Value::from)),
            ("subtype", self.broadcast.then(|| "thread_broadcast".into())),
            ("blocks", self.blocks.clone()),
            ("metadata", self.metadata.clone().filter(|_| with_metadata)),
            ("edited", edited),
            ("streaming_state", state.map(Value::from)),
        ];
        if let Some(members) = message.as_object_mut() {
            let present = more.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?)));
            members.extend(present);
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_ends_by_itself_after_its_lifetime() {
        let mut post = Post::new("1766458026.240809".into(), None).streaming();
        assert!(post.takes_more() && post.is_locked());
        let since = Instant::now().checked_sub(STREAM_LIFETIME).unwrap();
        post.stream = Some(Stream { since, stopped: false, doubtful: false });
        assert!(!post.takes_more() && !post.is_locked());
        assert_eq!(post.as_json(false)["streaming_state"], "completed");
    }
}
