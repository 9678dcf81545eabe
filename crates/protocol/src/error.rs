//! The stable error codes of both wires. What an error means for a log is not said here.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An error code (protocol.md sections 2.2 and 3). Adding one is a change of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not JSON.
    InvalidJson,
    /// JSON, but not what the frame or body must be.
    InvalidMessage,
    /// No frame type that is known here.
    UnknownType,
    /// Before authentication, or without a token.
    Unauthenticated,
    /// The token, or what was claimed with it, is not good.
    AuthFailed,
    /// The token ran out on a live connection: renew it with `auth`.
    TokenExpired,
    /// Known, but not yours.
    Forbidden,
    /// Unknown, or in another tenant.
    NotFound,
    /// Too many messages; comes with `retry_after`.
    RateLimited,
    /// Larger than the protocol takes.
    TooLarge,
    /// The conversation's agent is not active.
    AgentUnavailable,
    /// The model or a tool failed for good.
    AgentFailed,
    /// The tenant's token budget is spent.
    BudgetSpent,
    /// What is asked for is no longer in the frame log: reload the history.
    ReplayGap,
    /// REST only: the path exists, the method does not.
    MethodNotAllowed,
    /// Our fault; may come with `retry_after`.
    Internal,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 16] = [
        Self::InvalidJson,
        Self::InvalidMessage,
        Self::UnknownType,
        Self::Unauthenticated,
        Self::AuthFailed,
        Self::TokenExpired,
        Self::Forbidden,
        Self::NotFound,
        Self::RateLimited,
        Self::TooLarge,
        Self::AgentUnavailable,
        Self::AgentFailed,
        Self::BudgetSpent,
        Self::ReplayGap,
        Self::MethodNotAllowed,
        Self::Internal,
    ];

    /// The code on the wire, in the database and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidMessage => "invalid_message",
            Self::UnknownType => "unknown_type",
            Self::Unauthenticated => "unauthenticated",
            Self::AuthFailed => "auth_failed",
            Self::TokenExpired => "token_expired",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::RateLimited => "rate_limited",
            Self::TooLarge => "too_large",
            Self::AgentUnavailable => "agent_unavailable",
            Self::AgentFailed => "agent_failed",
            Self::BudgetSpent => "budget_spent",
            Self::ReplayGap => "replay_gap",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Internal => "internal",
        }
    }

    /// The code of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_name_everywhere() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).ok(), Some(code.as_str().into()));
            assert_eq!(ErrorCode::parse(code.as_str()), Some(code));
        }
    }
}
