//! Slack's Web API, as far as an agent needs it. Errors are HTTP 200 with `{"ok":false,"error"}`.
//! It must not know better than Slack: what Slack refuses is refused here, too.
//!
//! How a stream behaves follows contracts.md 4.5 and what users of the real service report: while it is open
//! `chat.update` is refused (`streaming_state_conflict`) and so is `chat.delete` (`cant_delete_message`); once
//! it is over, by `chat.stopStream` or five minutes after its start, so are `chat.appendStream` and
//! `chat.stopStream` (`message_not_in_streaming_state`).

mod content;
mod installation;
mod messages;
mod post;
mod streams;
mod threads;

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::clock::now_us;

use super::answer::Answer;
use super::arguments::Arguments;

use post::Post;

/// The bot everything is posted by, whatever the token.
const BOT_USER: &str = "U00FAKEBOT01";
const BOT: &str = "B00FAKEBOT01";
const APP: &str = "A00FAKEAPP01";

/// What a method answers: a body with `ok: true`, or the error's name.
type Outcome = Result<Value, &'static str>;

/// All rooms with the posts in them. A room's id is enough to find it: workspaces share none.
#[derive(Debug, Default)]
pub struct Workspace {
    /// Posts by room and ts; the text of a ts orders as its time does.
    rooms: HashMap<String, BTreeMap<String, Post>>,
    last_us: u64,
}

impl Workspace {
    /// What Slack answers to a call.
    pub fn answer(&mut self, method: &str, arguments: &Arguments) -> Answer {
        let outcome = match method {
            "chat.postMessage" => self.post_message(arguments),
            "chat.postEphemeral" => self.post_ephemeral(arguments),
            "chat.update" => self.update(arguments),
            "chat.delete" => self.delete(arguments),
            "chat.startStream" => self.start_stream(arguments),
            "chat.appendStream" => self.append_stream(arguments),
            "chat.stopStream" => self.stop_stream(arguments),
            "conversations.replies" => self.replies(arguments),
            "conversations.history" => self.history(arguments),
            "assistant.threads.setStatus" => set_status(arguments),
            "oauth.v2.access" => installation::access(arguments),
            "auth.revoke" => Ok(json!({"ok": true, "revoked": true})),
            "apps.uninstall" => installation::uninstall(arguments),
            _ => Err("unknown_method"),
        };
        outcome.map_or_else(Answer::refusal, Answer::new)
    }

    /// A script has answered in Slack's place. Nothing changes by that, but what it claimed is not
    /// contradicted: a stream of which it said that it is over may be edited and deleted.
    pub fn was_told(&mut self, error: &str, arguments: &Arguments) {
        if error == "message_not_in_streaming_state"
            && let Ok(post) = self.addressed(arguments)
        {
            post.stream_is_said_to_be_over();
        }
    }

    /// A time stamp that no post has and that is after all others.
    fn fresh_ts(&mut self) -> String {
        self.last_us = now_us().max(self.last_us + 1);
        format!("{}.{:06}", self.last_us / 1_000_000, self.last_us % 1_000_000)
    }

    /// The post that `channel` and `ts` name.
    fn addressed(&mut self, arguments: &Arguments) -> Result<&mut Post, &'static str> {
        let (channel, ts) = (required(arguments, "channel")?, required(arguments, "ts")?);
        let room = self.rooms.get_mut(&channel).ok_or("message_not_found")?;
        room.get_mut(&ts).ok_or("message_not_found")
    }
}

fn set_status(arguments: &Arguments) -> Outcome {
    required(arguments, "channel_id")?;
    thread_ts(arguments)?.ok_or("invalid_arguments")?;
    // An empty status is one: it clears.
    arguments.has("status").then_some(json!({"ok": true})).ok_or("invalid_arguments")
}

fn required(arguments: &Arguments, name: &str) -> Result<String, &'static str> {
    arguments.text(name).ok_or("invalid_arguments")
}

/// The thread a call speaks of. Whether it exists cannot be known: people's messages do not come here.
fn thread_ts(arguments: &Arguments) -> Result<Option<String>, &'static str> {
    match arguments.text("thread_ts") {
        Some(ts) if is_ts(&ts) => Ok(Some(ts)),
        Some(_) => Err("invalid_arguments"),
        None => Ok(None),
    }
}

/// Seconds and six decimals.
fn is_ts(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('.')
        .is_some_and(|(seconds, micros)| digits(seconds) && digits(micros) && micros.len() == 6)
}
