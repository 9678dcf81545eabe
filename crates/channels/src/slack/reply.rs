//! Brings one answer into a thread, whole and once, whatever fails in between (delivery.md section 8).
//!
//! The rules. A message is known by its `ts`, and every `ts` is journaled as soon as it is known. Before a message is
//! created that is to stay, the intention is journaled; its post carries a marker, so that one in doubt is looked for
//! before it is posted again. What is known is set by `chat.update`, which may be repeated at will. A stream cannot be
//! marked when it starts: it is started without text, and after a start in doubt no other is tried; at the end an
//! empty message of ours that nobody knows is deleted. That is the safe way: an answer is never empty, so no answer
//! can be taken for such a leftover. An append or a stop in doubt is never repeated: the stream is stopped and its
//! message set to the whole text.
//!
//! It never decides whether an answer is due: whoever calls it holds the turn.

mod bring;
mod hitch;
mod look;
mod part;
mod posts;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use konstruct_ports::{BoxFuture, ChannelError, ChannelReply, Final, JournalError, PostJournal};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use self::hitch::{Hitch, Patience};
pub(super) use self::posts::{Placeholder, Posts};
use super::api::{ApiError, BotToken, Marker, SlackApi};
use super::place::Place;
use super::split::split;

/// Longest time that one call may take.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(8);

/// Between two updates: Slack allows 50 a minute of them (tier 3).
const UPDATE_EVERY: Duration = Duration::from_millis(1_200);

/// A stream is appended to when so much text has come …
const APPEND_CHARACTERS: usize = 256;

/// … but not more often than this (tier 4: 100 a minute) …
const APPEND_SOONEST: Duration = Duration::from_millis(600);

/// … and with less text after this.
const APPEND_LATEST: Duration = Duration::from_secs(1);

/// Tried again after this where the journal is away.
const JOURNAL_AGAIN: Duration = Duration::from_secs(1);

/// Stands for an answer of which there is nothing.
const NOTHING: &str = "I have nothing to say to that.";

/// Stands for an answer that was stopped before its first word.
const STOPPED: &str = "Stopped.";

/// Who is called, and for which message.
pub(super) struct Line {
    pub(super) api: SlackApi,
    pub(super) token: BotToken,
    pub(super) place: Place,
    pub(super) message_id: Uuid,
}

impl Line {
    /// The marker of the placeholder.
    pub(super) fn placeholder_marker(&self) -> Marker {
        Marker(format!("{}/placeholder", self.message_id))
    }

    /// The marker of a part; one that takes another's place has one of its own.
    fn part_marker(&self, part: usize, generation: u32) -> Marker {
        Marker(format!("{}/{part}.{generation}", self.message_id))
    }
}

/// One answer on its way.
pub(super) struct SlackReply {
    line: Line,
    journal: Arc<dyn PostJournal>,
    posts: Posts,
    /// Whether the journal does not have `posts` yet.
    dirty: bool,
    streams: bool,
    lost_streaming: bool,
    /// What was appended to the stream, escaped.
    sent: String,
    /// Whether the stream holds that and nothing else.
    sure: bool,
    /// What each part is known to show.
    shown: Vec<Option<String>>,
    patience: Patience,
    last_append: Option<Instant>,
    last_update: Option<Instant>,
    /// Nothing is called before.
    not_before: Option<Instant>,
    /// Slack allows some apps one look a minute.
    no_look_before: Option<Instant>,
    /// How long what was held back has to wait.
    held_back: Option<Duration>,
}

impl SlackReply {
    pub(super) fn new(line: Line, journal: Arc<dyn PostJournal>, posts: Posts, streams: bool) -> Self {
        Self {
            line,
            journal,
            posts,
            dirty: false,
            streams,
            lost_streaming: false,
            sent: String::new(),
            // What an earlier process appended is not known.
            sure: false,
            shown: Vec::new(),
            patience: Patience::default(),
            last_append: None,
            last_update: None,
            not_before: None,
            no_look_before: None,
            held_back: None,
        }
    }

    async fn show_some(&mut self, text: &str) -> Result<Option<Duration>, ChannelError> {
        let parts = split(text);
        if self.posts.settled || parts.is_empty() {
            return Ok(None);
        }
        if let Some(rest) = self.rest_of_waiting() {
            return Ok(Some(rest));
        }
        self.held_back = None;
        match self.bring_and_tidy(&parts).await {
            Ok(()) => Ok(self.held_back),
            Err(Hitch::Wait(wait)) => Ok(Some(self.wait(wait))),
            Err(Hitch::Away) => Ok(Some(self.wait(JOURNAL_AGAIN))),
            Err(Hitch::Fenced) => Err(ChannelError::Fenced),
            Err(Hitch::Refused(code)) => Err(ChannelError::Refused(code.to_string())),
        }
    }

    async fn bring_and_tidy(&mut self, parts: &[String]) -> Result<(), Hitch> {
        self.bring(parts, false).await?;
        // The placeholder of an answer that is streamed.
        self.clear_stale().await
    }

    async fn end_all(&mut self, last: Final<'_>, patience: Duration) -> Result<(), ChannelError> {
        if self.posts.settled && !self.dirty {
            return Ok(());
        }
        let parts = match last {
            Final::Answer { text, stopped } => {
                let parts = split(text);
                let instead = if stopped { STOPPED } else { NOTHING };
                if parts.is_empty() { vec![instead.to_owned()] } else { parts }
            }
            Final::Sentence(sentence) => split(sentence),
        };
        let deadline = Instant::now() + patience;
        self.patience.anew();
        loop {
            let hitch = match self.rest_of_waiting() {
                Some(rest) => Hitch::Wait(rest),
                None => match self.conclude(&parts).await {
                    Ok(()) => return Ok(()),
                    Err(hitch) => hitch,
                },
            };
            let (wait, error) = match hitch {
                Hitch::Wait(wait) => (wait, ChannelError::Later(wait)),
                Hitch::Away => (JOURNAL_AGAIN, ChannelError::Away),
                Hitch::Fenced => return Err(ChannelError::Fenced),
                Hitch::Refused(code) => return Err(ChannelError::Refused(code.to_string())),
            };
            if Instant::now() + wait > deadline {
                return Err(error);
            }
            sleep(wait).await;
        }
    }

    /// Everything that is left to do.
    async fn conclude(&mut self, parts: &[String]) -> Result<(), Hitch> {
        self.bring(parts, true).await?;
        self.retire_surplus(parts.len());
        if self.posts.is_in_doubt() {
            self.look().await?;
            // What was found may be more than is wanted.
            self.retire_surplus(parts.len());
        }
        self.clear_stale().await?;
        self.posts.settle(parts.len());
        self.keep().await
    }

    /// Parts that the end does not have, and a placeholder that became no part.
    fn retire_surplus(&mut self, wanted: usize) {
        for part in self.posts.parts.iter_mut().skip(wanted) {
            if let Some(ts) = part.ts.take() {
                self.posts.stale.push(ts);
                part.generation += 1;
                self.dirty = true;
            }
        }
        self.shown.truncate(wanted);
        if let Placeholder::At(ts) = &self.posts.placeholder {
            self.posts.stale.push(ts.clone());
            self.posts.placeholder = Placeholder::Absent;
            self.dirty = true;
        }
    }

    /// Writes the journal.
    async fn keep(&mut self) -> Result<(), Hitch> {
        self.dirty = true;
        match self.journal.keep(&self.posts.to_json()).await {
            Ok(()) => {
                self.dirty = false;
                Ok(())
            }
            Err(JournalError::Fenced) => Err(Hitch::Fenced),
            Err(JournalError::Away) => Err(Hitch::Away),
        }
    }

    fn wait(&mut self, wait: Duration) -> Duration {
        self.not_before = Some(Instant::now() + wait);
        wait
    }

    fn rest_of_waiting(&mut self) -> Option<Duration> {
        let rest = self.not_before?.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            self.not_before = None;
            return None;
        }
        Some(rest)
    }

    /// What a call that may be repeated came to.
    fn again(&mut self, error: ApiError) -> Hitch {
        self.patience.again(error)
    }
}

impl ChannelReply for SlackReply {
    fn show<'a>(&'a mut self, text: &'a str) -> BoxFuture<'a, Result<Option<Duration>, ChannelError>> {
        Box::pin(self.show_some(text))
    }

    fn end<'a>(&'a mut self, last: Final<'a>, patience: Duration) -> BoxFuture<'a, Result<(), ChannelError>> {
        Box::pin(self.end_all(last, patience))
    }

    fn lost_streaming(&self) -> bool {
        self.lost_streaming
    }
}
