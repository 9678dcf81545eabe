//! The channels people write on (CHAN-02). Knows their names only; each adapter is a file of its own elsewhere.

use serde::{Deserialize, Serialize};

/// A channel; the database CHECK on channel types lists the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Channel {
    Web,
    Slack,
    Whatsapp,
    Telegram,
    Teams,
    Mattermost,
    Rocketchat,
    Signal,
}

impl Channel {
    /// Every channel, in the order of CHAN-02.
    pub const ALL: [Self; 8] = [
        Self::Web,
        Self::Slack,
        Self::Whatsapp,
        Self::Telegram,
        Self::Teams,
        Self::Mattermost,
        Self::Rocketchat,
        Self::Signal,
    ];

    /// The channel of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.as_str() == name)
    }

    /// Its name in the database, in keys and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Slack => "slack",
            Self::Whatsapp => "whatsapp",
            Self::Telegram => "telegram",
            Self::Teams => "teams",
            Self::Mattermost => "mattermost",
            Self::Rocketchat => "rocketchat",
            Self::Signal => "signal",
        }
    }
}
