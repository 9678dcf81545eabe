//! The bill: what each asking of a model used. Written under any fence and epoch, once per step and asking.

use konstruct_domain::{AgentId, MessageId, TenantId};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::error::DbError;
use crate::tenant_tx::TenantTx;

/// What one asking of a model used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The row's id.
    pub id: Uuid,
    /// For which agent.
    pub agent: AgentId,
    /// In which step of the turn.
    pub step: i32,
    /// The how-manieth asking of it.
    pub asking: i32,
    /// The model's name.
    pub model: String,
    /// Tokens of the prompt.
    pub prompt_tokens: i64,
    /// Tokens of the answer.
    pub completion_tokens: i64,
    /// As the provider counts them together.
    pub total_tokens: i64,
    /// The provider gave no count: ours.
    pub estimated: bool,
}

/// The values of a usage row; `None` fields: nothing is to be written.
pub(crate) struct UsageValues {
    turn: Uuid,
    usage: Usage,
}

impl Usage {
    pub(crate) fn values(&self, turn: MessageId) -> UsageValues {
        UsageValues { turn: turn.0, usage: self.clone() }
    }
}

pub(crate) const RECORD: &str = "
    INSERT INTO llm_usage (tenant_id, id, agent_id, turn_id, step, asking, model, prompt_tokens, completion_tokens,
        total_tokens, estimated)
    SELECT $1::uuid, $2::uuid, $3::uuid, $4::uuid, $5::int, $6::int, $7::text, $8::bigint, $9::bigint, $10::bigint,
        $11::boolean
    WHERE $2 IS NOT NULL
    ON CONFLICT (tenant_id, turn_id, step, asking) DO NOTHING";

/// The values of [`RECORD`]; without a usage all but the tenant are NULL and nothing is written.
pub(crate) fn params<'a>(
    tenant: &'a TenantId,
    values: Option<&'a UsageValues>,
) -> [&'a (dyn ToSql + Sync); 11] {
    match values {
        Some(UsageValues { turn, usage: u }) => [
            &tenant.0,
            &u.id,
            &u.agent.0,
            turn,
            &u.step,
            &u.asking,
            &u.model,
            &u.prompt_tokens,
            &u.completion_tokens,
            &u.total_tokens,
            &u.estimated,
        ],
        None => [
            &tenant.0,
            &None::<Uuid>,
            &None::<Uuid>,
            &None::<Uuid>,
            &None::<i32>,
            &None::<i32>,
            &None::<&str>,
            &None::<i64>,
            &None::<i64>,
            &None::<i64>,
            &None::<bool>,
        ],
    }
}

impl TenantTx {
    /// Books what an asking used that ended in nothing else to write (it failed, or was cut).
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn record_usage(self, turn: MessageId, usage: &Usage) -> Result<(), DbError> {
        let values = usage.values(turn);
        let tenant = self.tenant;
        self.query(RECORD, &params(&tenant, Some(&values))).await?;
        Ok(())
    }
}
