//! A channel that people write on elsewhere: bringing an answer into the thread it belongs to, and the little talk
//! around it. What a channel calls its rooms and messages is not known here; the web, whose answers are frames, is
//! no such channel.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::BoxFuture;

/// What an installation's calls are made with. Never shown.
#[derive(Clone)]
pub struct ChannelToken(String);

impl ChannelToken {
    /// A token, as it was decrypted.
    #[must_use]
    pub const fn new(token: String) -> Self {
        Self(token)
    }

    /// The token itself: for the header of a call and nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ChannelToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ChannelToken(…)")
    }
}

/// A person's message on a channel: where it stands, and what answering it takes.
#[derive(Debug, Clone)]
pub struct Addressee {
    /// The message's `channel_metadata`.
    pub metadata: BTreeMap<String, String>,
    /// The installation's token.
    pub token: ChannelToken,
    /// The message's id. Posts are marked with it, so that one in doubt can be looked for.
    pub message_id: Uuid,
}

/// Why something did not get to the channel. Holds no text and no token, so that it can be logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// Not now: the channel asks to be left alone for so long, or does not answer. What was done is journaled;
    /// the same call, also by another process that is handed the journal, goes on from there.
    #[error("the channel asks to come again in {} s", .0.as_secs())]
    Later(Duration),
    /// The journal cannot be written now. As [`Later`](Self::Later).
    #[error("the journal of posts is away")]
    Away,
    /// Another process writes this answer now: nothing more may be posted.
    #[error("another process has taken over")]
    Fenced,
    /// For good: the room is archived, the token revoked, the bot not a member.
    #[error("the channel refuses: {0}")]
    Refused(String),
    /// Metadata or token that cannot be used: a bug, or a row written by another version.
    #[error("unusable: {0}")]
    Unusable(&'static str),
}

impl ChannelError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Later(_) | Self::Away)
    }
}

/// Why a journal did not keep something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// This process no longer has the turn.
    #[error("another process has taken over")]
    Fenced,
    /// The database does not answer.
    #[error("the database is away")]
    Away,
}

/// Keeps what one answer has posted: the column `channel_posts` of its turn.
pub trait PostJournal: Send + Sync {
    /// Replaces what was kept, checked against the turn's fence. `posts` is a JSON object of a few hundred bytes
    /// that only the channel understands. Once this returns `Ok`, the next invocation will be handed it.
    fn keep<'a>(&'a self, posts: &'a str) -> BoxFuture<'a, Result<(), JournalError>>;
}

/// What became of a placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// The first state of the journal, to be stored with the turn, whatever the outcome: it also says that a
    /// placeholder may be there of which nobody knows.
    pub posts: String,
    /// Whether the person sees it. A failure must not keep the message from being stored.
    pub outcome: Result<(), ChannelError>,
}

/// What an answer is posted with.
#[derive(Clone)]
pub struct ReplyTo {
    /// The message it answers.
    pub addressee: Addressee,
    /// The journal as it was left; none where nothing was ever kept.
    pub posts: Option<String>,
    /// Where it goes on.
    pub journal: Arc<dyn PostJournal>,
    /// Whether this installation is believed to have the channel's streaming; see [`ChannelReply::lost_streaming`].
    pub streams: bool,
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Final<'a> {
    /// The answer, Markdown.
    Answer {
        /// All of it.
        text: &'a str,
        /// Whether the person stopped it.
        stopped: bool,
    },
    /// There is none: one plain sentence takes its place, and that of what was shown of it.
    Sentence(&'a str),
}

/// An answer on its way into a thread. It has one writer, and is dropped without harm at any await: whoever is handed
/// the journal next finds out what was posted.
pub trait ChannelReply: Send {
    /// Shows as much of an answer under way as the channel's limits allow now; never sleeps. `text` is all that the
    /// model wrote so far, Markdown; one that does not begin with what was shown before (the model began anew)
    /// replaces it. `Ok(Some(wait))`: call again after that long with the newest text, also if no more came;
    /// `Ok(None)`: all of it is shown.
    ///
    /// # Errors
    /// `Fenced` and `Refused` only: showing is of no more use. Whatever else goes wrong is tried again.
    fn show<'a>(&'a mut self, text: &'a str) -> BoxFuture<'a, Result<Option<Duration>, ChannelError>>;

    /// Brings the end into the thread, whole and once, and takes away the placeholder and what was shown otherwise.
    /// Waits as the channel asks, but not beyond `patience`. Called again, also by a later process, it only does
    /// what is left to do.
    ///
    /// # Errors
    /// [`ChannelError`]; after `Later` and `Away` it must be called again, or the answer is not complete.
    fn end<'a>(&'a mut self, last: Final<'a>, patience: Duration) -> BoxFuture<'a, Result<(), ChannelError>>;

    /// Whether the channel said that this installation has no streaming: to be remembered, so that the next answer
    /// does not try.
    fn lost_streaming(&self) -> bool;
}

/// A channel's outgoing side.
pub trait Channel: Send + Sync {
    /// Posts the placeholder into the thread, within `limit`.
    fn announce<'a>(&'a self, to: &'a Addressee, limit: Duration) -> BoxFuture<'a, Announced>;

    /// Takes the placeholder back; `posts` is what [`announce`](Self::announce) returned. One that is not there is
    /// no error.
    ///
    /// # Errors
    /// [`ChannelError`]: it may still be there.
    fn retract<'a>(
        &'a self,
        to: &'a Addressee,
        posts: &'a str,
        limit: Duration,
    ) -> BoxFuture<'a, Result<(), ChannelError>>;

    /// Says a plain sentence in the thread that only the message's author sees.
    ///
    /// # Errors
    /// [`ChannelError`].
    fn tell<'a>(
        &'a self,
        to: &'a Addressee,
        sentence: &'a str,
        limit: Duration,
    ) -> BoxFuture<'a, Result<(), ChannelError>>;

    /// The journal of something that was never announced: there is no placeholder to look for.
    fn unannounced(&self) -> String;

    /// Begins an answer, or goes on with one. Nothing is called yet.
    ///
    /// # Errors
    /// [`ChannelError::Unusable`].
    fn reply(&self, to: ReplyTo) -> Result<Box<dyn ChannelReply>, ChannelError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// proves SLACK-06
    #[test]
    fn a_token_is_in_no_debug_output() {
        let token = ChannelToken::new("xoxb-secret".to_owned());
        let to = Addressee { metadata: BTreeMap::new(), token, message_id: Uuid::nil() };
        assert!(!format!("{to:?}").contains("secret"));
        assert_eq!(to.token.reveal(), "xoxb-secret");
    }
}
