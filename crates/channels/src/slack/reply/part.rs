//! One message of an answer: found, posted, set, and replaced where it cannot be set. It is never posted while a post
//! of it is in doubt.

use tokio::time::Instant;

use super::hitch::{Hitch, limited};
use super::posts::{Part, Placeholder, Stream};
use super::{CALL_LIMIT, SlackReply};
use crate::slack::api::{ApiError, Body, ErrorCode, Post};
use crate::slack::mrkdwn::{markdown_text, mrkdwn};
use crate::slack::ts::Ts;

impl SlackReply {
    /// What a part shows in the end.
    fn rendered(&self, number: usize, part: &str) -> String {
        let markdown = self.posts.parts.get(number).is_some_and(|part| part.markdown);
        if markdown { markdown_text(part) } else { mrkdwn(part) }
    }

    pub(super) fn shows(&self, number: usize, part: &str) -> bool {
        self.shown.get(number).is_some_and(|shown| shown.as_deref() == Some(&self.rendered(number, part)))
    }

    pub(super) fn set_shown(&mut self, number: usize, text: Option<String>) {
        if self.shown.len() <= number {
            self.shown.resize(number + 1, None);
        }
        if let Some(shown) = self.shown.get_mut(number) {
            *shown = text;
        }
    }

    /// Sets a part to its text, creating it if need be.
    pub(super) async fn bring_part(&mut self, number: usize, part: &str) -> Result<(), Hitch> {
        if self.shows(number, part) {
            return Ok(());
        }
        if self.posts.parts.len() <= number {
            self.posts.parts.resize(number + 1, Part::default());
        }
        if number == 0 && self.ts_of(0).is_none() {
            self.adopt_placeholder().await?;
        }
        if self.ts_of(number).is_none() && self.is_in_doubt(number) {
            self.look().await?;
        }
        let text = self.rendered(number, part);
        match self.ts_of(number) {
            Some(ts) => self.set(number, &ts, text).await,
            None => self.post(number, text).await,
        }
    }

    fn ts_of(&self, number: usize) -> Option<Ts> {
        self.posts.parts.get(number).and_then(|part| part.ts.clone())
    }

    fn is_in_doubt(&self, number: usize) -> bool {
        self.posts.parts.get(number).is_some_and(|part| part.doubt)
    }

    fn change(&mut self, number: usize, change: impl FnOnce(&mut Part)) {
        if let Some(part) = self.posts.parts.get_mut(number) {
            change(part);
            self.dirty = true;
        }
    }

    /// The placeholder becomes part 0. Where it is not known whether there is one, that is found out; an answer does
    /// not wait for it.
    async fn adopt_placeholder(&mut self) -> Result<(), Hitch> {
        if self.posts.placeholder == Placeholder::Unsure && !self.is_in_doubt(0) {
            match self.look().await {
                Ok(()) | Err(Hitch::Wait(_) | Hitch::Refused(_)) => {}
                Err(hitch) => return Err(hitch),
            }
        }
        // A part 0 that was found meanwhile comes first; and one that had to be replaced is not the placeholder.
        let is_first = self.posts.parts.first().is_none_or(|part| part.ts.is_none() && part.generation == 0);
        if let Placeholder::At(ts) = self.posts.placeholder.clone()
            && is_first
            && !self.is_in_doubt(0)
        {
            self.change(0, |part| part.ts = Some(ts));
            self.posts.placeholder = Placeholder::Absent;
        }
        Ok(())
    }

    async fn set(&mut self, number: usize, ts: &Ts, text: String) -> Result<(), Hitch> {
        let markdown = self.posts.parts.get(number).is_some_and(|part| part.markdown);
        let body = if markdown { Body::Markdown(&text) } else { Body::Mrkdwn(&text) };
        let line = &self.line;
        self.last_update = Some(Instant::now());
        let updated = line.api.update(&line.token, &line.place, ts, body, CALL_LIMIT).await;
        match updated {
            Ok(()) => {
                self.patience.anew();
                self.set_shown(number, Some(text));
                Ok(())
            }
            Err(ApiError::Refused(code)) => Err(self.not_set(number, code)),
            Err(error) => {
                self.set_shown(number, None);
                Err(self.again(error))
            }
        }
    }

    /// A message that Slack does not let us set is replaced, unless no other would be better.
    fn not_set(&mut self, number: usize, code: ErrorCode) -> Hitch {
        self.set_shown(number, None);
        if code.as_str() == "streaming_state_conflict" && number == 0 {
            // It was taken for stopped.
            (self.posts.stream, self.sure) = (Stream::Open, false);
        }
        match code.as_str() {
            "message_not_found"
            | "cant_update_message"
            | "edit_window_closed"
            | "block_mismatch"
            | "msg_too_long"
            | "markdown_text_conflict" => {
                self.replace(number);
                Hitch::Wait(self.patience.pause())
            }
            _ => match self.again(ApiError::Refused(code)) {
                Hitch::Refused(code) if !is_final(&code) => {
                    self.patience.anew();
                    self.replace(number);
                    Hitch::Wait(self.patience.pause())
                }
                hitch => hitch,
            },
        }
    }

    /// The part, and all behind it (or they would come in the wrong order), get new messages; the old ones go.
    fn replace(&mut self, number: usize) {
        for (at, part) in self.posts.parts.iter_mut().enumerate().skip(number) {
            self.posts.stale.extend(part.ts.take());
            if !part.doubt {
                part.generation += 1;
            }
            part.markdown = false;
            if let Some(shown) = self.shown.get_mut(at) {
                *shown = None;
            }
        }
        if number == 0 {
            self.posts.stream = if self.posts.stream == Stream::Begun { Stream::Begun } else { Stream::Over };
        }
        self.dirty = true;
    }

    async fn post(&mut self, number: usize, text: String) -> Result<(), Hitch> {
        self.change(number, |part| part.doubt = true);
        if let Err(hitch) = self.keep().await {
            // Nothing was posted, whatever the journal says.
            self.change(number, |part| part.doubt = false);
            return Err(hitch);
        }
        let generation = self.posts.parts.get(number).map_or(0, |part| part.generation);
        let marker = self.line.part_marker(number, generation);
        let post = Post { body: Body::Mrkdwn(&text), marker: Some(&marker) };
        let line = &self.line;
        self.last_update = Some(Instant::now());
        let posted = line.api.post_message(&line.token, &line.place, &post, CALL_LIMIT).await;
        match posted {
            Ok(ts) => {
                self.patience.anew();
                self.change(number, |part| (part.ts, part.doubt) = (Some(ts), false));
                self.set_shown(number, Some(text));
                self.keep().await
            }
            // It may be there: looked for before the next try.
            Err(ApiError::InDoubt) => Err(Hitch::Wait(self.patience.pause())),
            Err(ApiError::Refused(code)) if code.may_have_happened() => {
                Err(self.again(ApiError::Refused(code)))
            }
            Err(error) => {
                self.change(number, |part| part.doubt = false);
                Err(match error {
                    ApiError::RateLimited { retry_after } => Hitch::Wait(limited(retry_after)),
                    error => self.again(error),
                })
            }
        }
    }
}

/// Refusals that another message would meet as well.
fn is_final(code: &ErrorCode) -> bool {
    matches!(
        code.as_str(),
        "account_inactive"
            | "access_denied"
            | "channel_not_found"
            | "ekm_access_denied"
            | "invalid_auth"
            | "is_archived"
            | "is_inactive"
            | "missing_scope"
            | "no_permission"
            | "not_allowed_token_type"
            | "not_authed"
            | "not_in_channel"
            | "team_access_not_granted"
            | "team_not_found"
            | "token_expired"
            | "token_revoked"
    )
}
