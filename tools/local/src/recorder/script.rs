//! What is to go wrong: scripts of one method queue up, each for so many calls.
//! A script decides about a call when it arrives; what is armed or forgotten later does not touch it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Context, Error, Result};

use super::Channel;

/// What happens to the next calls of one method; an unknown field or channel is refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    channel: Channel,
    method: String,
    #[serde(default = "once")]
    times: u64,
    /// The HTTP status.
    #[serde(default = "fine")]
    pub status: u16,
    /// The error in the body.
    #[serde(default)]
    pub error: Option<String>,
    /// `Retry-After` in seconds.
    #[serde(default)]
    pub retry_after: Option<u64>,
    #[serde(default)]
    delay_ms: u64,
}

fn once() -> u64 {
    1
}

fn fine() -> u16 {
    200
}

impl Script {
    /// Reads a script.
    pub fn read(body: &[u8]) -> Result<Self> {
        let script: Self = serde_json::from_slice(body).context("no script")?;
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '.' || letter == '_';
        if script.method.is_empty() || !script.method.chars().all(plain) {
            return Err(Error::new("no script: this is no method"));
        }
        // Below 200 is no answer, but the promise of one.
        if !(200..=599).contains(&script.status) {
            return Err(Error::new("no script: the status must be from 200 to 599"));
        }
        Ok(script)
    }

    /// How long the call waits before anything else happens.
    pub fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    /// A call for which nothing is armed.
    fn none(channel: Channel) -> Self {
        Self {
            channel,
            method: String::new(),
            times: 0,
            status: fine(),
            error: None,
            retry_after: None,
            delay_ms: 0,
        }
    }
}

/// What is armed.
#[derive(Debug, Default)]
pub struct Scripts(HashMap<(Channel, String), VecDeque<Script>>);

impl Scripts {
    /// Arms a script behind those of the same method.
    pub fn arm(&mut self, script: Script) {
        self.0.entry((script.channel, script.method.clone())).or_default().push_back(script);
    }

    /// Uses up one time of the script that is next for this method.
    pub fn take(&mut self, channel: Channel, method: &str) -> Script {
        let Some(queue) = self.0.get_mut(&(channel, method.to_string())) else {
            return Script::none(channel);
        };
        while let Some(script) = queue.front_mut() {
            if script.times > 0 {
                script.times -= 1;
                return script.clone();
            }
            queue.pop_front();
        }
        Script::none(channel)
    }

    /// Forgets all.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}
