//! What Slack answers where it is of use. What is not of the expected form is left out, and an answer without its
//! main part counts as none: the call may have been served.

use std::fmt;

use konstruct_ports::ChannelToken;
use serde_json::Value;

use super::ApiError;
use super::call::EVENT_TYPE;
use crate::slack::ts::{Ts, is_id};

/// A message of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Which.
    pub ts: Ts,
    /// Whose user posted it.
    pub user: Option<String>,
    /// Our marker, if it has one.
    pub marker: Option<String>,
    /// Whether it shows nothing: no text, nothing attached.
    pub is_empty: bool,
}

/// An installation that was just made.
#[derive(Clone, PartialEq, Eq)]
pub struct Installed {
    /// The app.
    pub app_id: Option<String>,
    /// The workspace; none where it is for a whole organisation.
    pub team_id: Option<String>,
    /// The workspace's name.
    pub team_name: Option<String>,
    /// The organisation.
    pub enterprise_id: Option<String>,
    /// Whether it is for the whole organisation.
    pub is_enterprise_install: bool,
    /// The bot's user.
    pub bot_user_id: Option<String>,
    /// Who installed it.
    pub authed_user_id: Option<String>,
    /// What the token may do, comma-separated.
    pub scope: Option<String>,
    /// The bot's token.
    token: String,
    /// With token rotation on: a token to get the next one with, and the seconds until it is needed.
    rotation: Option<(String, u64)>,
}

impl Installed {
    /// The bot's token, to be encrypted at once.
    #[must_use]
    pub fn token(&self) -> ChannelToken {
        ChannelToken::new(self.token.clone())
    }

    /// With token rotation on: the token to get the next one with, and how many seconds this one is good for.
    #[must_use]
    pub fn rotation(&self) -> Option<(ChannelToken, u64)> {
        self.rotation.clone().map(|(token, seconds)| (ChannelToken::new(token), seconds))
    }

    /// The id the installation is kept under.
    #[must_use]
    pub fn installation_id(&self) -> Option<&str> {
        let (team, enterprise) = (self.team_id.as_deref(), self.enterprise_id.as_deref());
        if self.is_enterprise_install { enterprise.or(team) } else { team.or(enterprise) }
    }
}

impl fmt::Debug for Installed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Installed")
            .field("team_id", &self.team_id)
            .field("enterprise_id", &self.enterprise_id)
            .field("is_enterprise_install", &self.is_enterprise_install)
            .finish_non_exhaustive()
    }
}

pub(super) fn ts(answer: &Value, field: &str) -> Result<Ts, ApiError> {
    // It is said to be done, but not which message it is.
    text(answer, field).and_then(|ts| Ts::parse(&ts).ok()).ok_or(ApiError::InDoubt)
}

pub(super) fn replies(answer: &Value) -> Vec<Reply> {
    let messages = answer.get("messages").and_then(Value::as_array);
    messages.into_iter().flatten().filter_map(reply).collect()
}

fn reply(message: &Value) -> Option<Reply> {
    let metadata = message.get("metadata").filter(|m| text(m, "event_type").as_deref() == Some(EVENT_TYPE));
    let marker = metadata.and_then(|m| m.get("event_payload")).and_then(|payload| text(payload, "id"));
    let something = |field: &str| match message.get(field) {
        Some(Value::String(text)) => !text.trim().is_empty(),
        Some(Value::Array(list)) => !list.is_empty(),
        _ => false,
    };
    Some(Reply {
        ts: text(message, "ts").and_then(|ts| Ts::parse(&ts).ok())?,
        user: text(message, "user"),
        marker,
        is_empty: !["text", "files", "attachments"].into_iter().any(something),
    })
}

pub(super) fn next_cursor(answer: &Value) -> Option<String> {
    let cursor = answer.get("response_metadata").and_then(|metadata| text(metadata, "next_cursor"));
    cursor.filter(|cursor| !cursor.is_empty())
}

pub(super) fn installed(answer: &Value) -> Result<Installed, ApiError> {
    let id = |value: Option<&Value>, field: &str| value.and_then(|v| text(v, field)).filter(|id| is_id(id));
    let (team, enterprise) = (answer.get("team"), answer.get("enterprise"));
    let is_bot = text(answer, "token_type").is_none_or(|kind| kind == "bot");
    let token = text(answer, "access_token").filter(|token| is_bot && !token.is_empty());
    let seconds = answer.get("expires_in").and_then(Value::as_u64);
    Ok(Installed {
        app_id: id(Some(answer), "app_id"),
        team_id: id(team, "id"),
        team_name: team.and_then(|team| text(team, "name")),
        enterprise_id: id(enterprise, "id"),
        is_enterprise_install: answer.get("is_enterprise_install").and_then(Value::as_bool) == Some(true),
        bot_user_id: id(Some(answer), "bot_user_id"),
        authed_user_id: id(answer.get("authed_user"), "id"),
        scope: text(answer, "scope"),
        token: token.ok_or(ApiError::InDoubt)?,
        rotation: text(answer, "refresh_token").zip(seconds),
    })
}

fn text(object: &Value, field: &str) -> Option<String> {
    object.get(field).and_then(Value::as_str).map(str::to_owned)
}
