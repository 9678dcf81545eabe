//! Where an answer goes: the part of a message's `channel_metadata` that Slack needs to be told. It holds no token.

use std::collections::BTreeMap;

use super::event::SlackMessage;
use super::ts::{Ts, is_id};

/// The keys of `channel_metadata` (CHAT-01).
pub mod key {
    /// The id the installation is kept under: a workspace's, or an organisation's.
    pub const WORKSPACE: &str = "workspace_id";
    /// The workspace.
    pub const TEAM: &str = "team_id";
    /// Slack's channel.
    pub const ROOM: &str = "room";
    /// The message.
    pub const TS: &str = "ts";
    /// The thread the message is in; absent where it is in none.
    pub const THREAD_TS: &str = "thread_ts";
    /// Who wrote it.
    pub const USER: &str = "user_id";
    /// The person's own workspace.
    pub const USER_TEAM: &str = "user_team_id";
    /// The bot's user.
    pub const BOT_USER: &str = "bot_user_id";
    /// `channel`, `im`, …
    pub const CHANNEL_TYPE: &str = "channel_type";
    /// The thread's native key.
    pub const SESSION: &str = "session_id";
}

/// Where an answer goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The id the installation is kept under.
    pub workspace: String,
    /// Slack's channel.
    pub room: String,
    /// The message to be answered.
    pub ts: Ts,
    /// The message the thread hangs on: every post of ours has it as `thread_ts`.
    pub root: Ts,
    /// Who is answered.
    pub user: String,
    /// Whose workspace that person is of, where it is known.
    pub user_team: Option<String>,
    /// Our own user there, where it is known.
    pub bot_user: Option<String>,
    /// Whether person and bot are alone in the room.
    pub is_direct: bool,
}

/// Metadata that names no place. Says which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("channel_metadata has no usable {0}")]
pub struct NoPlace(pub &'static str);

impl Place {
    /// Reads back what [`metadata`] wrote.
    ///
    /// # Errors
    /// [`NoPlace`] if a key is missing or has no such form.
    pub fn from_metadata(metadata: &BTreeMap<String, String>) -> Result<Self, NoPlace> {
        let id = |key: &'static str| metadata.get(key).filter(|id| is_id(id)).cloned();
        let required = |key: &'static str| id(key).ok_or(NoPlace(key));
        let ts = |key: &'static str| {
            metadata.get(key).map(|ts| Ts::parse(ts).map_err(|_| NoPlace(key))).transpose()
        };
        let own = ts(key::TS)?.ok_or(NoPlace(key::TS))?;
        let room = required(key::ROOM)?;
        let is_direct = match metadata.get(key::CHANNEL_TYPE) {
            Some(kind) => kind == "im",
            None => room.starts_with('D'),
        };
        Ok(Self {
            workspace: required(key::WORKSPACE)?,
            root: ts(key::THREAD_TS)?.unwrap_or_else(|| own.clone()),
            ts: own,
            user: required(key::USER)?,
            user_team: id(key::USER_TEAM).or_else(|| id(key::TEAM)),
            bot_user: id(key::BOT_USER),
            room,
            is_direct,
        })
    }
}

/// What an answer will need of a message.
#[must_use]
pub fn metadata(message: &SlackMessage) -> BTreeMap<String, String> {
    let entries = [
        (key::WORKSPACE, message.workspace.installation_id().map(str::to_owned)),
        (key::TEAM, message.workspace.team_id.clone()),
        (key::ROOM, Some(message.room.clone())),
        (key::TS, Some(message.ts.to_string())),
        (key::THREAD_TS, message.thread_ts.as_ref().map(Ts::to_string)),
        (key::USER, Some(message.user.clone())),
        (key::USER_TEAM, message.user_team.clone()),
        (key::BOT_USER, message.bot_user.clone()),
        (key::CHANNEL_TYPE, message.channel_type.clone()),
        (key::SESSION, Some(session_id(message))),
    ];
    entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// The thread's native key, `room:ts` of the message it hangs on; unique within an installation.
#[must_use]
pub fn session_id(message: &SlackMessage) -> String {
    format!("{}:{}", message.room, message.root())
}
