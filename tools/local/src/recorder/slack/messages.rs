//! `chat.postMessage`, `chat.postEphemeral`, `chat.update` and `chat.delete`.
//! A message that only one person sees is not kept: Slack does not give it out again either.

use serde_json::json;

use crate::recorder::arguments::Arguments;

use super::content::{Content, is_given};
use super::post::Post;
use super::{Outcome, Workspace, required, thread_ts};

impl Workspace {
    pub(super) fn post_message(&mut self, arguments: &Arguments) -> Outcome {
        let channel = required(arguments, "channel")?;
        let thread = thread_ts(arguments)?;
        let content = Content::of_post(arguments)?;
        let mut post = Post::new(self.fresh_ts(), thread);
        post.broadcast = post.thread_ts.is_some() && arguments.flag("reply_broadcast");
        fill(&mut post, content);
        let answer = json!({"ok": true, "channel": channel, "ts": post.ts, "message": post.as_json(true)});
        self.rooms.entry(channel).or_default().insert(post.ts.clone(), post);
        Ok(answer)
    }

    pub(super) fn post_ephemeral(&mut self, arguments: &Arguments) -> Outcome {
        required(arguments, "channel")?;
        required(arguments, "user")?;
        thread_ts(arguments)?;
        Content::of_post(arguments)?;
        Ok(json!({"ok": true, "message_ts": self.fresh_ts()}))
    }

    pub(super) fn update(&mut self, arguments: &Arguments) -> Outcome {
        let channel = required(arguments, "channel")?;
        let edited = self.fresh_ts();
        let post = self.addressed(arguments)?;
        let content = Content::of_edit(arguments)?;
        if post.is_locked() {
            return Err("streaming_state_conflict");
        }
        post.stop();
        fill(post, content);
        post.edited = Some(edited);
        Ok(json!({
            "ok": true, "channel": channel, "ts": post.ts, "text": post.text, "message": post.as_json(true),
        }))
    }

    pub(super) fn delete(&mut self, arguments: &Arguments) -> Outcome {
        let channel = required(arguments, "channel")?;
        let post = self.addressed(arguments)?;
        if post.is_locked() {
            return Err("cant_delete_message");
        }
        let ts = post.ts.clone();
        if let Some(room) = self.rooms.get_mut(&channel) {
            room.remove(&ts);
        }
        Ok(json!({"ok": true, "channel": channel, "ts": ts}))
    }
}

/// Puts content into a post. What a call does not name stays; what it names empty goes.
fn fill(post: &mut Post, content: Content) {
    post.text = content.text.unwrap_or_default();
    if let Some(blocks) = content.blocks {
        post.blocks = Some(blocks).filter(is_given);
    }
    if let Some(metadata) = content.metadata {
        post.metadata = Some(metadata).filter(is_given);
    }
}
