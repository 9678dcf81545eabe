//! A conversation and the numbers that order and guard it. Never decides who may see it: that is `access`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{AgentId, ConversationId, TenantId, UserId};

/// Grows on reset, take-over and hand-back; a write under an old one writes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub i64);

/// Grows each time an agent takes the conversation's lease; the older holder can write no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub i64);

/// Orders messages and answers of a conversation as they were stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub i64);

/// Number of a frame log: raised each time a log was lost, so that no `seq` is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub i64);

/// The number of a frame of a conversation: generation · 10⁹ + n, n from 1; 0 is "none yet".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Seq(pub i64);

/// Frames that one generation of a log can number.
pub const FRAMES_PER_GENERATION: i64 = 1_000_000_000;

impl Generation {
    /// The `seq` just below the first frame of this generation.
    #[must_use]
    pub const fn base(self) -> Seq {
        Seq(self.0 * FRAMES_PER_GENERATION)
    }
}

/// A client's free-form name of a session: 1–128 characters of `A-Z a-z 0-9 . _ - @ +` (protocol.md section 2).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(String);

/// A text that is no session id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not 1 to 128 characters of A-Z a-z 0-9 . _ - @ +")]
pub struct NotASessionId;

impl SessionId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionId {
    type Err = NotASessionId;
    fn from_str(text: &str) -> Result<Self, NotASessionId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-@+".contains(&b);
        if text.is_empty() || text.len() > 128 || !text.bytes().all(allowed) {
            return Err(NotASessionId);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for SessionId {
    type Error = NotASessionId;
    fn try_from(text: String) -> Result<Self, NotASessionId> {
        text.parse()
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose a conversation is and with whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// Whose tenant.
    pub tenant_id: TenantId,
    /// The agent that answers.
    pub agent_id: AgentId,
    /// The portal user; `None` off the web.
    pub user_id: Option<UserId>,
    /// The session under which it was opened; `None`: the empty session.
    pub session_id: Option<SessionId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_is_one_to_128_of_its_alphabet() {
        for good in ["a", "own.session_1-@+", &"x".repeat(128)] {
            assert!(good.parse::<SessionId>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a:b", "ü", &"x".repeat(129), "a\0"] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn generations_do_not_share_numbers() {
        assert_eq!(Generation(0).base(), Seq(0));
        assert_eq!(Generation(3).base(), Seq(3_000_000_000));
    }
}
