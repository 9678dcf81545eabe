//! What was said in a conversation, as a prompt needs it: each answer with its question, humans' replies in between, the
//! running summary. What a prompt takes of it is not decided here.

use konstruct_domain::{ConversationId, Epoch, Position};
use time::OffsetDateTime;
use tokio_postgres::Row;

use crate::error::DbError;
use crate::row::get;
use crate::tenant_tx::TenantTx;

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Where the question, or the human's reply, stands.
    pub position: Position,
    /// What.
    pub what: SaidWhat,
}

/// What was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SaidWhat {
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

/// A message that was searched for and found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Whether the person wrote it.
    pub from_user: bool,
    /// What.
    pub content: String,
    /// When.
    pub created_at: OffsetDateTime,
}

/// What was said by people and humans, each with its answer; `WHERE` and `ORDER BY` follow.
const SAID: &str = "
    SELECT q.position, q.role = 'user' AS from_user, q.content, a.content AS answer FROM web_conversation_messages q
    LEFT JOIN web_conversation_messages a ON a.in_reply_to = q.id
    WHERE q.conversation_id = $1 AND (q.role = 'user' OR q.by = 'human') AND q.position > $2 AND q.position < $3
      AND ($5 OR NOT EXISTS (SELECT 1 FROM turns t
          WHERE t.conversation_id = $1 AND t.state <> 'ended' AND t.position <= q.position))
    ORDER BY CASE WHEN $5 THEN -q.position ELSE q.position END LIMIT $4";

impl TenantTx {
    /// The last `most` things said before a position, oldest first.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn said_before(
        self,
        conversation: ConversationId,
        before: Position,
        most: i64,
    ) -> Result<Vec<Said>, DbError> {
        let rows = self.query(SAID, &[&conversation.0, &0_i64, &before.0, &most, &true]).await?;
        rows.iter().rev().map(said).collect()
    }

    /// The first `most` things said between two positions (neither included), oldest first, up to the first turn that has
    /// not ended.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn said_between(
        self,
        conversation: ConversationId,
        after: Position,
        before: Position,
        most: i64,
    ) -> Result<Vec<Said>, DbError> {
        let rows = self.query(SAID, &[&conversation.0, &after.0, &before.0, &most, &false]).await?;
        rows.iter().map(said).collect()
    }

    /// The latest messages before a position that hold a text, whatever the case of its letters; newest first.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn search(
        self,
        conversation: ConversationId,
        before: Position,
        text: &str,
        most: i64,
    ) -> Result<Vec<Found>, DbError> {
        const SQL: &str = r"
            SELECT role = 'user' AS from_user, content, created_at FROM web_conversation_messages
            WHERE conversation_id = $1 AND position < $2 AND content ILIKE $3 ESCAPE '\'
            ORDER BY position DESC LIMIT $4";
        let escaped = text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
        let pattern = format!("%{escaped}%");
        let rows = self.query(SQL, &[&conversation.0, &before.0, &pattern, &most]).await?;
        rows.iter()
            .map(|row| {
                Ok(Found {
                    from_user: get(row, "from_user")?,
                    content: get(row, "content")?,
                    created_at: get(row, "created_at")?,
                })
            })
            .collect()
    }

    /// Keeps a summary of what was said up to a position, if the conversation still has this epoch and no later one.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn keep_summary(
        self,
        conversation: ConversationId,
        epoch: Epoch,
        until: Position,
        summary: &str,
    ) -> Result<(), DbError> {
        const SQL: &str = "
            UPDATE web_conversations SET summary = $4, summary_until = $3
            WHERE id = $1 AND epoch = $2 AND summary_until < $3";
        self.query(SQL, &[&conversation.0, &epoch.0, &until.0, &summary]).await.map(drop)
    }
}

fn said(row: &Row) -> Result<Said, DbError> {
    let content = get(row, "content")?;
    let what = if get(row, "from_user")? {
        SaidWhat::Exchange { question: content, answer: get(row, "answer")? }
    } else {
        SaidWhat::Human(content)
    };
    Ok(Said { position: Position(get(row, "position")?), what })
}
