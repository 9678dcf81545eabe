//! The only reads before a tenant is known: functions of `konstruct_directory`, narrow by construction. They
//! tell ids, never content.

use std::time::Duration;

use konstruct_domain::{Channel, ConversationId, Epoch, MessageId, TenantId, TraceId};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::error::DbError;
use crate::row::get;
use crate::tenant_tx::TenantPool;

/// A turn that nobody is at work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueTurn {
    /// Whose.
    pub tenant_id: TenantId,
    /// In which conversation.
    pub conversation_id: ConversationId,
    /// The person's message.
    pub message_id: MessageId,
    /// The turn's epoch.
    pub epoch: Epoch,
    /// The trace its message was accepted in; `None`: before there was one.
    pub trace: Option<TraceId>,
}

/// A call that nobody decided in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiredConfirmation {
    /// Whose.
    pub tenant_id: TenantId,
    /// In which conversation.
    pub conversation_id: ConversationId,
    /// The person's message.
    pub message_id: MessageId,
}

impl TenantPool {
    /// The tenant of a conversation, for a platform admin who names only the conversation.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn conversation_tenant(
        &self,
        conversation: ConversationId,
    ) -> Result<Option<TenantId>, DbError> {
        let client = self.raw().await?;
        let rows = client
            .query_typed(
                "SELECT directory.conversation_tenant($1) AS tenant_id",
                &[(&conversation.0, Type::UUID)],
            )
            .await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(get::<Option<Uuid>>(row, "tenant_id")?.map(TenantId))
    }

    /// Whose active installation a workspace is, and its id; of several the first.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn installation(
        &self,
        channel: Channel,
        workspace_id: &str,
    ) -> Result<Option<(TenantId, Uuid)>, DbError> {
        const SQL: &str = "SELECT tenant_id, id FROM directory.installation($1, $2)";
        let client = self.raw().await?;
        let rows =
            client.query_typed(SQL, &[(&channel.as_str(), Type::TEXT), (&workspace_id, Type::TEXT)]).await?;
        rows.first().map(|row| Ok((TenantId(get(row, "tenant_id")?), get(row, "id")?))).transpose()
    }

    /// Turns that are due and have waited for longer than `age`, oldest first (the janitor's list).
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn due_turns(&self, age: Duration, most: i32) -> Result<Vec<DueTurn>, DbError> {
        const SQL: &str = "SELECT tenant_id, conversation_id, message_id, epoch, trace_id
            FROM directory.due_turns(make_interval(secs => $1), $2)";
        let client = self.raw().await?;
        let rows =
            client.query_typed(SQL, &[(&age.as_secs_f64(), Type::FLOAT8), (&most, Type::INT4)]).await?;
        rows.iter()
            .map(|row| {
                Ok(DueTurn {
                    tenant_id: TenantId(get(row, "tenant_id")?),
                    conversation_id: ConversationId(get(row, "conversation_id")?),
                    message_id: MessageId(get(row, "message_id")?),
                    epoch: Epoch(get(row, "epoch")?),
                    trace: crate::turns::trace(row)?,
                })
            })
            .collect()
    }

    /// Calls that nobody decided in time, oldest first (the janitor's list).
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn expired_confirmations(&self, most: i32) -> Result<Vec<ExpiredConfirmation>, DbError> {
        const SQL: &str =
            "SELECT tenant_id, conversation_id, message_id FROM directory.expired_confirmations($1)";
        let client = self.raw().await?;
        let rows = client.query_typed(SQL, &[(&most, Type::INT4)]).await?;
        rows.iter()
            .map(|row| {
                Ok(ExpiredConfirmation {
                    tenant_id: TenantId(get(row, "tenant_id")?),
                    conversation_id: ConversationId(get(row, "conversation_id")?),
                    message_id: MessageId(get(row, "message_id")?),
                })
            })
            .collect()
    }
}
