//! `chat.startStream`, `chat.appendStream` and `chat.stopStream`.
//! A stream is a reply, always; its id is its `ts`.

use serde_json::json;

use crate::recorder::arguments::Arguments;

use super::content::{blocks, is_given, metadata, streamed};
use super::post::Post;
use super::{Outcome, Workspace, required, thread_ts};

impl Workspace {
    pub(super) fn start_stream(&mut self, arguments: &Arguments) -> Outcome {
        let channel = required(arguments, "channel")?;
        let thread = thread_ts(arguments)?.ok_or("invalid_arguments")?;
        // In a direct message there is only one who can be meant.
        if !channel.starts_with('D') {
            arguments.text("recipient_team_id").ok_or("missing_recipient_team_id")?;
            arguments.text("recipient_user_id").ok_or("missing_recipient_user_id")?;
        }
        let text = streamed(arguments)?.unwrap_or_default();
        let mut post = Post::new(self.fresh_ts(), Some(thread)).streaming();
        post.text = text;
        let answer = json!({"ok": true, "channel": channel, "ts": post.ts});
        self.rooms.entry(channel).or_default().insert(post.ts.clone(), post);
        Ok(answer)
    }

    pub(super) fn append_stream(&mut self, arguments: &Arguments) -> Outcome {
        let channel = required(arguments, "channel")?;
        let post = self.addressed(arguments)?;
        let text = streamed(arguments)?.ok_or("invalid_arguments")?;
        if !post.takes_more() {
            return Err("message_not_in_streaming_state");
        }
        post.text.push_str(&text);
        Ok(json!({"ok": true, "channel": channel, "ts": post.ts}))
    }

    pub(super) fn stop_stream(&mut self, arguments: &Arguments) -> Outcome {
        let channel = required(arguments, "channel")?;
        let post = self.addressed(arguments)?;
        let text = streamed(arguments)?.unwrap_or_default();
        let (blocks, metadata) = (blocks(arguments)?, metadata(arguments)?);
        if !post.takes_more() {
            return Err("message_not_in_streaming_state");
        }
        post.text.push_str(&text);
        post.blocks = blocks.filter(is_given);
        post.metadata = metadata.filter(is_given);
        post.stop();
        Ok(json!({"ok": true, "channel": channel, "ts": post.ts, "message": post.as_json(true)}))
    }
}
