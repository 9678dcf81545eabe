//! Slack's own streaming: part 0 grows in one message. Whatever goes wrong, the stream is stopped and its message set
//! by updates from then on; nothing is ever appended twice.

use std::time::Duration;

use tokio::time::Instant;

use super::hitch::{Hitch, limited};
use super::posts::{Part, Placeholder, Stream};
use super::{APPEND_CHARACTERS, APPEND_LATEST, APPEND_SOONEST, CALL_LIMIT, SlackReply};
use crate::slack::api::{ApiError, ErrorCode, Recipient};
use crate::slack::mrkdwn::markdown_text;
use crate::slack::ts::Ts;

/// A workspace that says one of these has no streaming, and will not have it at the next answer either.
const NO_STREAMING: [&str; 3] = ["feature_not_enabled", "unknown_method", "method_deprecated"];

/// The stream is none any more: Slack ends it by itself after some five minutes.
const STOPPED_ALREADY: [&str; 2] = ["message_not_in_streaming_state", "message_not_found"];

impl SlackReply {
    /// Whether a stream is to be tried: never two, and not where Slack would ask for whom and we do not know.
    pub(super) fn may_stream(&self) -> bool {
        self.streams
            && self.posts.stream == Stream::Unused
            && self.posts.parts.is_empty()
            && (self.line.place.is_direct || self.line.place.user_team.is_some())
    }

    pub(super) async fn start_stream(&mut self) -> Result<(), Hitch> {
        self.posts.stream = Stream::Begun;
        if let Err(hitch) = self.keep().await {
            self.posts.stream = Stream::Unused;
            return Err(hitch);
        }
        let line = &self.line;
        let place = &line.place;
        let person = place.user_team.as_deref().map(|team| (place.user.as_str(), team));
        let started = line.api.start_stream(&line.token, place, &Recipient { person }, CALL_LIMIT).await;
        self.dirty = true;
        match started {
            Ok(ts) => {
                self.patience.anew();
                self.posts.parts.push(Part { ts: Some(ts), markdown: true, ..Part::default() });
                (self.posts.stream, self.sure) = (Stream::Open, true);
                self.sent.clear();
                self.keep().await
            }
            // An answer need not wait for a stream.
            Err(ApiError::RateLimited { .. }) => {
                self.posts.stream = Stream::Over;
                Ok(())
            }
            Err(error @ ApiError::Unreachable) => {
                self.posts.stream = Stream::Unused;
                Err(self.again(error))
            }
            Err(ApiError::InDoubt) => Ok(()),
            Err(ApiError::Refused(code)) => {
                self.not_started(&code);
                Ok(())
            }
        }
    }

    fn not_started(&mut self, code: &ErrorCode) {
        tracing::info!(%code, "no stream");
        if NO_STREAMING.contains(&code.as_str()) {
            (self.lost_streaming, self.streams) = (true, false);
        }
        if !code.may_have_happened() {
            self.posts.stream = Stream::Over;
        }
    }

    /// Goes on with the open stream, or ends it.
    pub(super) async fn bring_stream(&mut self, parts: &[String], end: bool) -> Result<(), Hitch> {
        let (Some(ts), Some(first)) = (self.stream_ts(), parts.first()) else {
            self.posts.stream = Stream::Over;
            return Ok(());
        };
        let whole = markdown_text(first);
        let pending = whole.strip_prefix(self.sent.as_str()).filter(|_| self.sure);
        match pending {
            Some(pending) if end || parts.len() > 1 => self.finish_stream(&ts, pending, &whole).await?,
            Some(pending) => self.append(&ts, pending).await?,
            // In doubt, or the model began anew.
            None => {}
        }
        if self.posts.stream == Stream::Open && !(self.sure && whole.starts_with(&self.sent)) {
            self.stop_stream(&ts).await?;
        }
        Ok(())
    }

    fn stream_ts(&self) -> Option<Ts> {
        self.posts.parts.first().and_then(|part| part.ts.clone())
    }

    /// Appends what has come, unless it is too little yet.
    async fn append(&mut self, ts: &Ts, pending: &str) -> Result<(), Hitch> {
        if pending.is_empty() {
            return Ok(());
        }
        let enough = pending.chars().count() >= APPEND_CHARACTERS;
        let wait = if enough { APPEND_SOONEST } else { APPEND_LATEST };
        let wait = self
            .last_append
            .map_or(Duration::ZERO, |last| (last + wait).saturating_duration_since(Instant::now()));
        if !wait.is_zero() {
            self.hold_back(wait);
            return Ok(());
        }
        // Until Slack says so: whoever drops this future does not know.
        (self.sure, self.last_append) = (false, Some(Instant::now()));
        let line = &self.line;
        match line.api.append_stream(&line.token, &line.place, ts, pending, CALL_LIMIT).await {
            Ok(()) => {
                self.patience.anew();
                self.sent.push_str(pending);
                self.sure = true;
                self.retire_placeholder();
                Ok(())
            }
            Err(ApiError::RateLimited { retry_after }) => {
                self.sure = true;
                Err(Hitch::Wait(limited(retry_after)))
            }
            Err(error @ ApiError::Unreachable) => {
                self.sure = true;
                Err(self.again(error))
            }
            Err(error) => {
                tracing::info!(%error, "the stream is given up");
                Ok(())
            }
        }
    }

    /// The stream shows something: the placeholder may go.
    fn retire_placeholder(&mut self) {
        if let Placeholder::At(ts) = &self.posts.placeholder {
            self.posts.stale.push(ts.clone());
            self.posts.placeholder = Placeholder::Absent;
            self.dirty = true;
        }
    }

    /// Stops it with the last of its text.
    async fn finish_stream(&mut self, ts: &Ts, pending: &str, whole: &str) -> Result<(), Hitch> {
        self.sure = false;
        let marker = self.line.part_marker(0, 0);
        let last = (Some(pending).filter(|text| !text.is_empty()), &marker);
        let line = &self.line;
        match line.api.stop_stream(&line.token, &line.place, ts, last, CALL_LIMIT).await {
            Ok(()) => {
                self.patience.anew();
                self.posts.stream = Stream::Over;
                self.dirty = true;
                self.set_shown(0, Some(whole.to_owned()));
                Ok(())
            }
            Err(ApiError::RateLimited { retry_after }) => {
                self.sure = true;
                Err(Hitch::Wait(limited(retry_after)))
            }
            Err(error @ ApiError::Unreachable) => {
                self.sure = true;
                Err(self.again(error))
            }
            Err(error) => {
                tracing::info!(%error, "the stream is given up");
                Ok(())
            }
        }
    }

    /// Stops it without text, which may be repeated; its message is set by updates from then on.
    async fn stop_stream(&mut self, ts: &Ts) -> Result<(), Hitch> {
        self.set_shown(0, None);
        let marker = self.line.part_marker(0, 0);
        let line = &self.line;
        match line.api.stop_stream(&line.token, &line.place, ts, (None, &marker), CALL_LIMIT).await {
            Ok(()) => self.patience.anew(),
            Err(ApiError::Refused(code)) if STOPPED_ALREADY.contains(&code.as_str()) => {}
            Err(error) => match self.again(error) {
                // An update will tell.
                Hitch::Refused(_) => self.patience.anew(),
                hitch => return Err(hitch),
            },
        }
        self.posts.stream = Stream::Over;
        self.dirty = true;
        Ok(())
    }
}
