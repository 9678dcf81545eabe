//! A platform admin's list over all tenants: its own role, its own door, each use written to the log. It reads
//! nothing but what a list shows.

use deadpool_postgres::Pool;
use konstruct_domain::UserId;
use tokio_postgres::types::Type;

use crate::conversations::{ListCursor, SummaryRow, summary_row};
use crate::error::DbError;
use crate::login::Login;
use crate::tenant_tx::pool;
use crate::tls::Roots;

/// Connections as `konstruct_platform`.
#[derive(Clone)]
pub struct PlatformPool {
    pool: Pool,
}

impl std::fmt::Debug for PlatformPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PlatformPool")
    }
}

impl PlatformPool {
    /// A pool of one connection, with what the URL says. None is opened yet.
    ///
    /// # Errors
    /// The URL is not one.
    pub fn new(url: &str) -> Result<Self, DbError> {
        Self::of(Login::new(url, Roots::CompiledIn)?)
    }

    /// A pool of one connection. None is opened yet.
    ///
    /// # Errors
    /// None that a login could bring about.
    pub fn of(login: Login) -> Result<Self, DbError> {
        Ok(Self { pool: pool(login, 1)? })
    }

    /// A page of every tenant's conversations, newest first; of those that a human has (`Some(true)`), or the AI.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn conversations(
        &self,
        admin: UserId,
        human: Option<bool>,
        cursor: Option<ListCursor>,
        limit: i64,
    ) -> Result<Vec<SummaryRow>, DbError> {
        const LIST: &str = "
            SELECT c.tenant_id, c.id, c.agent_id, c.user_id, c.session_id, c.updated_at, a.name AS agent_name,
                (SELECT left(m.content, 200) FROM web_conversation_messages m
                 WHERE m.tenant_id = c.tenant_id AND m.conversation_id = c.id
                 ORDER BY m.position DESC LIMIT 1) AS preview
            FROM web_conversations c JOIN agents a ON a.tenant_id = c.tenant_id AND a.id = c.agent_id
            WHERE ($1::timestamptz IS NULL OR (c.updated_at, c.id) < ($1, $2))
              AND ($4::boolean IS NULL OR (c.status = 'human') = $4)
            ORDER BY c.updated_at DESC, c.id DESC LIMIT $3";
        tracing::info!(target: "audit", user_id = %admin, "a platform admin lists the conversations of all tenants");
        let (at, id) = (cursor.map(|c| c.updated_at), cursor.map(|c| c.id.0));
        let client = self.pool.get().await?;
        let rows = client
            .query_typed(
                LIST,
                &[(&at, Type::TIMESTAMPTZ), (&id, Type::UUID), (&limit, Type::INT8), (&human, Type::BOOL)],
            )
            .await?;
        rows.iter().map(summary_row).collect()
    }
}
