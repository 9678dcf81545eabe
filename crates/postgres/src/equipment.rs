//! What an agent works with beside its persona: models, tools, keys. Secrets come sealed, and only `konstruct_agent` may
//! read them.

use konstruct_domain::{AgentId, ConversationId, Position, Provider};
use serde_json::Value;
use uuid::Uuid;

use crate::error::DbError;
use crate::row::{closed, get};
use crate::tenant_tx::TenantTx;

/// An agent's models, tools and keys, and the summary of its conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct EquipmentRow {
    /// Which models it asks, in order.
    pub models: Vec<(Provider, String)>,
    /// What it may call.
    pub grants: Vec<Grant>,
    /// The tenant's servers of tools.
    pub servers: Vec<ToolServerRow>,
    /// The tenant's own keys, sealed: the row, the provider, the key.
    pub keys: Vec<(Uuid, Provider, Value)>,
    /// Hosts that `http_get` may ask.
    pub http_hosts: Vec<String>,
    /// So many turns in a row without an answer, and a human gets the conversation.
    pub failures_until_human: Option<i32>,
    /// How many turns of the conversation failed in a row, up to now.
    pub failures_in_a_row: i64,
    /// What was said before, in short; empty: nothing.
    pub summary: String,
    /// Up to which position it goes.
    pub summary_until: Position,
    /// What is left of the month's budget; `None`: there is none.
    pub tokens_left: Option<i64>,
}

/// A tool that an agent may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its name.
    pub tool: String,
    /// Whether a person is asked first.
    pub needs_confirmation: bool,
}

/// A server of tools.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolServerRow {
    /// Its row.
    pub id: Uuid,
    /// Comes before its tools' names.
    pub name: String,
    /// Its endpoint.
    pub url: String,
    /// What it wants to be shown, sealed.
    pub key: Option<Value>,
}

impl TenantTx {
    /// What an agent works with in a conversation. As `konstruct_agent` only.
    ///
    /// # Errors
    /// [`DbError`]; as any other role `Query`.
    pub async fn equipment(
        self,
        agent: AgentId,
        conversation: ConversationId,
    ) -> Result<EquipmentRow, DbError> {
        const MODELS: &str = "SELECT provider, model FROM agent_models WHERE agent_id = $1 ORDER BY place";
        const GRANTS: &str =
            "SELECT tool, needs_confirmation FROM agent_tools WHERE agent_id = $1 ORDER BY tool";
        const SERVERS: &str =
            "SELECT id, name, url, key FROM tool_servers WHERE status = 'active' ORDER BY name LIMIT 32";
        const KEYS: &str = "SELECT id, provider, key FROM provider_keys";
        const FACTS: &str = "
            SELECT a.http_hosts, a.failures_until_human, c.summary, c.summary_until,
                (SELECT count(*) FROM web_conversation_messages q
                 WHERE q.conversation_id = c.id AND q.error = 'agent_failed' AND q.position > coalesce(
                     (SELECT max(p.position) FROM web_conversation_messages p
                      WHERE p.conversation_id = c.id AND p.role = 'assistant'), 0)) AS failures_in_a_row,
                (t.tokens_per_month - coalesce((SELECT m.spent FROM token_months m
                        WHERE m.month = date_trunc('month', now() AT TIME ZONE 'UTC')::date), 0)
                    - coalesce((SELECT sum(s.reserved) FROM turn_steps s WHERE s.reserved > 0), 0))::bigint AS tokens_left
            FROM agents a, web_conversations c, tenants t WHERE a.id = $1 AND c.id = $2";
        let (agent, conversation) = (agent.0, conversation.0);
        let [models, grants, servers, keys, facts] = self
            .run([
                (MODELS, &[&agent]),
                (GRANTS, &[&agent]),
                (SERVERS, &[]),
                (KEYS, &[]),
                (FACTS, &[&agent, &conversation]),
            ])
            .await?;
        let facts = facts.first().ok_or_else(|| DbError::Configuration("no such agent".to_owned()))?;
        let models =
            models.iter().map(|row| Ok((closed(row, "provider", Provider::parse)?, get(row, "model")?)));
        let grants = grants.iter().map(|row| {
            Ok(Grant { tool: get(row, "tool")?, needs_confirmation: get(row, "needs_confirmation")? })
        });
        let servers = servers.iter().map(|row| {
            Ok(ToolServerRow {
                id: get(row, "id")?,
                name: get(row, "name")?,
                url: get(row, "url")?,
                key: get(row, "key")?,
            })
        });
        let keys = keys
            .iter()
            .map(|row| Ok((get(row, "id")?, closed(row, "provider", Provider::parse)?, get(row, "key")?)));
        Ok(EquipmentRow {
            models: models.collect::<Result<_, DbError>>()?,
            grants: grants.collect::<Result<_, DbError>>()?,
            servers: servers.collect::<Result<_, DbError>>()?,
            keys: keys.collect::<Result<_, DbError>>()?,
            http_hosts: get(facts, "http_hosts")?,
            failures_until_human: get(facts, "failures_until_human")?,
            failures_in_a_row: get(facts, "failures_in_a_row")?,
            summary: get(facts, "summary")?,
            summary_until: Position(get(facts, "summary_until")?),
            tokens_left: get(facts, "tokens_left")?,
        })
    }
}
