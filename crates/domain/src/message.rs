//! A person's message, as every channel hands it on (CHAT-01). Parsing a channel's own JSON is not done here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::channel::Channel;
use crate::id::{ConversationId, MessageId, TenantId};

/// Most bytes of a message's text after trimming (protocol.md section 2.1).
pub const CONTENT_BYTES_MAX: usize = 32_000;

/// A message's text: trimmed of Unicode white space, 1 to 32,000 bytes, no NUL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Content(String);

/// Why a text is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Nothing but white space.
    #[error("is empty")]
    Empty,
    /// Postgres cannot store it and no person writes it.
    #[error("contains a NUL character")]
    Nul,
    /// More than [`CONTENT_BYTES_MAX`].
    #[error("is larger than 32,000 bytes")]
    TooLarge,
}

impl Content {
    /// Trims and checks a text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ContentError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ContentError::Empty);
        }
        if text.len() > CONTENT_BYTES_MAX {
            return Err(ContentError::TooLarge);
        }
        if text.contains('\0') {
            return Err(ContentError::Nul);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Content {
    type Error = ContentError;
    fn try_from(text: String) -> Result<Self, ContentError> {
        Self::parse(&text)
    }
}

impl From<Content> for String {
    fn from(content: Content) -> Self {
        content.0
    }
}

/// Who wrote a message, in the channel's own terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// On the web the portal user's UUID.
    pub user_id: String,
}

/// The one shape of a message of a person, whatever channel it came from (CHAT-01).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundMessage {
    /// The client's id of it, else ours.
    pub id: MessageId,
    /// Whose tenant.
    pub tenant_id: TenantId,
    /// Where it came from.
    pub channel: Channel,
    /// What the channel's adapter needs to answer; no secret.
    pub channel_metadata: BTreeMap<String, String>,
    /// Who wrote it.
    pub sender: Sender,
    /// What was written.
    pub content: Content,
    /// When we took it.
    #[serde(with = "time::serde::rfc3339")]
    pub timestamp: OffsetDateTime,
    /// The conversation: scopes memory.
    pub thread_id: ConversationId,
    /// The message it answers, where the channel tells.
    pub reply_to: Option<MessageId>,
    /// More about it, where the channel tells.
    pub context: Option<BTreeMap<String, String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_trimmed_and_bounded() {
        assert_eq!(Content::parse(" \u{2003}hi\n").map(String::from), Ok("hi".to_owned()));
        assert_eq!(Content::parse("\u{2003} \n"), Err(ContentError::Empty));
        assert_eq!(Content::parse("a\0b"), Err(ContentError::Nul));
        assert!(Content::parse(&"x".repeat(CONTENT_BYTES_MAX)).is_ok());
        assert_eq!(Content::parse(&"x".repeat(CONTENT_BYTES_MAX + 1)), Err(ContentError::TooLarge));
        assert_eq!(Content::parse(&"ü".repeat(16_001)), Err(ContentError::TooLarge));
    }
}
