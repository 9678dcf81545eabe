//! Short memory: the last exchanges of a thread, so that a prompt needs no query. It is a cache: what it does not
//! have is rebuilt from Postgres, and memory of another epoch counts as empty.

use konstruct_domain::{Epoch, MessageId};
use serde::{Deserialize, Serialize};

use crate::client::Redis;
use crate::error::RedisError;
use crate::key::Key;

/// A day without a message, and memory is rebuilt.
const TTL_SECONDS: u64 = 24 * 3600;

/// What is remembered of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortMemory {
    /// The epoch it belongs to.
    pub epoch: Epoch,
    /// The last of the person's messages in it: it is complete up to and with its answer.
    pub last_question: MessageId,
    /// What was said, oldest first.
    pub said: Vec<Remembered>,
}

/// Something that was said, as a prompt takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remembered {
    /// A person's message, and the agent's answer if it has one.
    Exchange {
        /// What was asked.
        question: String,
        /// What was answered.
        answer: Option<String>,
    },
    /// A human's reply, in the agent's place.
    Human(String),
}

impl Remembered {
    /// How many messages it is.
    #[must_use]
    pub const fn messages(&self) -> usize {
        match self {
            Self::Exchange { answer: Some(_), .. } => 2,
            Self::Exchange { answer: None, .. } | Self::Human(_) => 1,
        }
    }
}

impl Redis {
    /// What is remembered under a key; `None`: nothing, or nothing that can be read.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn memory(&self, key: &Key) -> Result<Option<ShortMemory>, RedisError> {
        let mut get = redis::pipe();
        get.cmd("GET").arg(key);
        let (json,): (Option<String>,) = self.pipeline(&get).await?;
        Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
    }

    /// Remembers.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn remember(&self, key: &Key, memory: &ShortMemory) -> Result<(), RedisError> {
        let json = serde_json::to_string(memory).unwrap_or_default();
        let mut set = redis::pipe();
        set.cmd("SET").arg(key).arg(json).arg("EX").arg(TTL_SECONDS);
        self.pipeline::<((),)>(&set).await.map(|_| ())
    }

    /// Forgets.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn forget(&self, key: &Key) -> Result<(), RedisError> {
        let mut del = redis::pipe();
        del.cmd("DEL").arg(key);
        self.pipeline::<(i64,)>(&del).await.map(|_| ())
    }
}
