//! Typed ids, so that a tenant's id cannot stand where a user's is meant. They do not make random ids:
//! those come in from the `Ids` port.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is no UUID in its hyphenated form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a UUID")]
pub struct NotAnId;

/// Parses the hyphenated form in either case; the braced, URN and bare forms are refused.
///
/// # Errors
/// [`NotAnId`] for everything else.
pub fn parse_uuid(text: &str) -> Result<Uuid, NotAnId> {
    if text.len() != 36 {
        return Err(NotAnId);
    }
    Uuid::try_parse(text).map_err(|_| NotAnId)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                parse_uuid(text).map(Self)
            }
        }
    };
}

id!(
    /// A company that employs agents.
    TenantId
);
id!(
    /// A portal user: the `sub` of a token.
    UserId
);
id!(
    /// An AI agent of one tenant.
    AgentId
);
id!(
    /// A conversation; on every channel also the `thread_id`.
    ConversationId
);
id!(
    /// A message of a person or an answer of the agent.
    MessageId
);

/// What the log lines of one message have in common, whichever function wrote them: W3C's `trace-id`, 32 hex digits,
/// not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(Uuid);

impl TraceId {
    /// From 16 bytes; the nil id is none.
    #[must_use]
    pub fn new(id: Uuid) -> Option<Self> {
        (!id.is_nil()).then_some(Self(id))
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }

    /// Parses 32 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        Uuid::try_parse(text).ok().filter(|_| hex).and_then(Self::new)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hyphenated_form_is_an_id_in_either_case() {
        let lower = "0191e1a2-7b3c-7d4e-8f50-617283940a1b";
        assert_eq!(lower.parse::<TenantId>().map(|t| t.to_string()), Ok(lower.to_owned()));
        assert_eq!(lower.to_uppercase().parse::<TenantId>().map(|t| t.to_string()), Ok(lower.to_owned()));
        for bad in ["", "x", "0191e1a27b3c7d4e8f50617283940a1b", "{0191e1a2-7b3c-7d4e-8f50-617283940a1b}"] {
            assert_eq!(bad.parse::<TenantId>(), Err(NotAnId), "{bad}");
        }
    }

    /// proves OPS-04
    #[test]
    fn a_trace_id_is_32_lower_case_hex_digits_that_are_not_all_zero() {
        let text = "65d2ff2e718990494fd688f062bf1571";
        assert_eq!(TraceId::parse(text).map(|id| id.to_string()).as_deref(), Some(text));
        for bad in
            ["", &text.to_uppercase(), &text[1..], &"0".repeat(32), "65d2ff2e-7189-9049-4fd6-88f062bf1571"]
        {
            assert_eq!(TraceId::parse(bad), None, "{bad}");
        }
    }
}
