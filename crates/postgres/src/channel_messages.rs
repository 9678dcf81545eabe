//! Messages that come from a channel other than the web: their author is no portal user, and their thread becomes a
//! conversation with its first message. Nothing is queued here.

use std::collections::BTreeMap;

use konstruct_domain::tenant::Tenant;
use konstruct_domain::{Channel, Content, ConversationId, MessageId};
use serde_json::Value;

use crate::error::DbError;
use crate::messages::{Stored, stored_as};
use crate::row::get;
use crate::tenant_tx::TenantTx;
use crate::turns::Work;

/// What admission needs to know of a channel's thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadAdmission {
    /// The tenant and its limit.
    pub tenant: Tenant,
    /// Whether a human has the conversation.
    pub human: bool,
}

/// A message of a channel, to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewChannelMessage<'a> {
    /// Its id.
    pub id: MessageId,
    /// Its thread.
    pub conversation: ConversationId,
    /// Which channel.
    pub channel: Channel,
    /// The thread's native key.
    pub session_id: &'a str,
    /// What.
    pub content: &'a Content,
    /// What answering it takes.
    pub metadata: &'a BTreeMap<String, String>,
    /// The placeholder, as the channel's journal has it; JSON.
    pub posts: Option<&'a str>,
}

impl TenantTx {
    /// What admitting a channel's message takes; `None`: no such tenant, or a disabled one.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn thread_admission(
        self,
        conversation: ConversationId,
    ) -> Result<Option<ThreadAdmission>, DbError> {
        const SQL: &str = "
            SELECT t.messages_per_minute, coalesce(c.status = 'human', false) AS human
            FROM tenants t LEFT JOIN web_conversations c ON c.id = $1 WHERE t.is_active";
        let id = self.tenant;
        let rows = self.query(SQL, &[&conversation.0]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let messages_per_minute = u32::try_from(get::<i32>(row, "messages_per_minute")?).unwrap_or(1);
        Ok(Some(ThreadAdmission { tenant: Tenant { id, messages_per_minute }, human: get(row, "human")? }))
    }

    /// Stores a message and its turn, once, and its thread with the tenant's default agent where it is new. While a
    /// human has the conversation the turn is stored as ended and delivered.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn store_channel_message(self, message: NewChannelMessage<'_>) -> Result<Stored, DbError> {
        const OPEN: &str = "
            INSERT INTO web_conversations (tenant_id, id, channel, agent_id, session_id)
            SELECT tenant_id, $1::uuid, $2::text, id, $3::text FROM agents WHERE is_default
            ON CONFLICT DO NOTHING";
        const LOCK: &str =
            "SELECT id FROM web_conversations WHERE id = $1 AND channel = $2 FOR NO KEY UPDATE";
        // Behind the lock, in a statement of its own: it sees what a racing copy committed.
        const STORE: &str = "
            WITH fresh AS (
                SELECT c.id FROM web_conversations c
                WHERE c.id = $1 AND c.channel = $2
                  AND NOT EXISTS (SELECT 1 FROM turns WHERE id = $3)
                  AND NOT EXISTS (SELECT 1 FROM web_conversation_messages WHERE id = $3)
            ), numbered AS (
                UPDATE web_conversations c SET last_position = last_position + 1, updated_at = now()
                FROM fresh WHERE c.id = fresh.id
                RETURNING c.tenant_id, c.id, c.last_position, c.epoch, c.status = 'human' AS human
            ), stored AS (
                INSERT INTO web_conversation_messages (tenant_id, id, conversation_id, position, role, content)
                SELECT tenant_id, $3::uuid, id, last_position, 'user', $4::text FROM numbered
                ON CONFLICT DO NOTHING RETURNING id
            )
            INSERT INTO turns (tenant_id, id, conversation_id, position, epoch, state, ended_at, delivered_at,
                channel_metadata, channel_posts)
            SELECT n.tenant_id, $3::uuid, n.id, n.last_position, n.epoch, CASE WHEN n.human THEN 'ended' ELSE 'open' END,
                CASE WHEN n.human THEN now() END, CASE WHEN n.human THEN now() END, $5::jsonb, $6::jsonb
            FROM numbered n, stored
            ON CONFLICT DO NOTHING RETURNING id";
        const LOOK: &str = "SELECT conversation_id, epoch, state FROM turns WHERE id = $1";
        let (conversation, channel, id) = (message.conversation.0, message.channel.as_str(), message.id.0);
        let metadata = serde_json::to_value(message.metadata).unwrap_or_default();
        let posts = json(message.posts.unwrap_or("{}"))?;
        let [_, locked, stored, turns] = self
            .run([
                (OPEN, &[&conversation, &channel, &message.session_id]),
                (LOCK, &[&conversation, &channel]),
                (STORE, &[&conversation, &channel, &id, &message.content.as_str(), &metadata, &posts]),
                (LOOK, &[&id]),
            ])
            .await?;
        if locked.is_empty() {
            return Ok(Stored::NoConversation);
        }
        stored_as(turns.first(), conversation, stored.is_empty())
    }

    /// Takes the placeholder out of a turn's journal, so that it can be deleted; `false`: an agent is, was or may be at
    /// work on the turn. One that is not stored has none.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn withdraw_placeholder(
        self,
        conversation: ConversationId,
        turn: MessageId,
    ) -> Result<bool, DbError> {
        // Behind the lock no agent can take the lease, and with it read the journal.
        const LOCK: &str = "
            SELECT coalesce(lease_until > now(), false) AS leased FROM web_conversations
            WHERE id = $1 FOR NO KEY UPDATE";
        const WITHDRAW: &str = "
            UPDATE turns t SET channel_posts = '{}' FROM web_conversations c
            WHERE t.id = $2 AND c.id = $1 AND t.began_at IS NULL AND (c.lease_until IS NULL OR c.lease_until <= now())
              AND (t.state = 'open' OR t.delivered_at IS NOT NULL)
            RETURNING t.id";
        const LOOK: &str = "SELECT id FROM turns WHERE id = $1";
        let (conversation, turn) = (conversation.0, turn.0);
        let [_, withdrawn, stored] = self
            .run([(LOCK, &[&conversation]), (WITHDRAW, &[&conversation, &turn]), (LOOK, &[&turn])])
            .await?;
        Ok(!withdrawn.is_empty() || stored.is_empty())
    }

    /// Journals what an answer has posted on its channel; `false`: fenced off, or a newer epoch.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn keep_channel_posts(self, work: Work, posts: &str) -> Result<bool, DbError> {
        const SQL: &str = "
            UPDATE turns SET channel_posts = $5 WHERE id = $4 AND EXISTS
                (SELECT 1 FROM web_conversations WHERE id = $1 AND fence = $2 AND epoch = $3)
            RETURNING id";
        let (guard, posts) = (work.guard, json(posts)?);
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&guard.conversation.0, &guard.fence.0, &guard.epoch.0, &work.turn.0, &posts];
        Ok(!self.query(SQL, &values).await?.is_empty())
    }
}

fn json(text: &str) -> Result<Value, DbError> {
    serde_json::from_str(text)
        .map_err(|_| DbError::Configuration("a channel's journal is no JSON".to_owned()))
}
