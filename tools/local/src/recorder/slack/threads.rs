//! `conversations.replies` and `conversations.history`, from the posts made here.
//! People's messages are unknown here: a thread's first message is missing unless it is a post of ours, and a
//! thread without posts is empty, where Slack would give the person's message that starts it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::recorder::arguments::Arguments;

use super::post::Post;
use super::{Outcome, Workspace, is_ts, required};

/// Messages of one answer, at most and where no limit is told.
const PAGE: usize = 1000;

impl Workspace {
    /// A thread, oldest first.
    pub(super) fn replies(&self, arguments: &Arguments) -> Outcome {
        let channel = required(arguments, "channel")?;
        let ts = required(arguments, "ts")?;
        if !is_ts(&ts) {
            return Err("thread_not_found");
        }
        let posts = self.rooms.get(&channel).into_iter().flat_map(|room| room.values());
        page(posts.filter(|post| post.is_in_thread(&ts)).collect(), arguments)
    }

    /// What is seen in the room, newest first.
    pub(super) fn history(&self, arguments: &Arguments) -> Outcome {
        let channel = required(arguments, "channel")?;
        let posts = self.rooms.get(&channel).into_iter().flat_map(|room| room.values().rev());
        page(posts.filter(|post| post.is_in_room()).collect(), arguments)
    }
}

/// The part of `posts` that the call asks for.
fn page(mut posts: Vec<&Post>, arguments: &Arguments) -> Outcome {
    let inclusive = arguments.flag("inclusive");
    if let Some(oldest) = bound(arguments, "oldest", "invalid_ts_oldest")? {
        posts.retain(|post| post.ts > oldest || (inclusive && post.ts == oldest));
    }
    if let Some(latest) = bound(arguments, "latest", "invalid_ts_latest")? {
        posts.retain(|post| post.ts < latest || (inclusive && post.ts == latest));
    }
    let limit = match (arguments.text("limit"), arguments.number("limit")) {
        (None, _) => PAGE,
        (Some(_), Some(limit)) => {
            usize::try_from(limit).ok().filter(|limit| (1..=PAGE).contains(limit)).ok_or("invalid_limit")?
        }
        (Some(_), None) => return Err("invalid_limit"),
    };
    if let Some(cursor) = arguments.text("cursor") {
        let ts = BASE64_STANDARD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let start = posts.iter().position(|post| Some(&post.ts) == ts.as_ref()).ok_or("invalid_cursor")?;
        posts.drain(..start);
    }
    let next = posts.get(limit).map(|post| BASE64_STANDARD.encode(&post.ts));
    posts.truncate(limit);
    let with_metadata = arguments.flag("include_all_metadata");
    let messages: Vec<_> = posts.iter().map(|post| post.as_json(with_metadata)).collect();
    let mut answer = json!({"ok": true, "messages": messages, "has_more": next.is_some()});
    if let (Some(next), Some(members)) = (next, answer.as_object_mut()) {
        members.insert("response_metadata".into(), json!({"next_cursor": next}));
    }
    Ok(answer)
}

/// A bound in time; `0` and whole seconds are good, too: as texts they order as they should.
fn bound(arguments: &Arguments, name: &str, error: &'static str) -> Result<Option<String>, &'static str> {
    let Some(text) = arguments.text(name) else {
        return Ok(None);
    };
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { Ok(Some(text)) } else { Err(error) }
}
