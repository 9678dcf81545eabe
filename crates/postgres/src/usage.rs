//! The bill: what each asking of a model used. Written under any fence and epoch, once per step and asking.

use konstruct_domain::access::Membership;
use konstruct_domain::{AgentId, MessageId, TenantId, UserId};
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::conversations::MEMBER;
use crate::error::DbError;
use crate::members::tenant_role;
use crate::row::{closed, get};
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

impl UsageValues {
    pub(crate) const fn step_and_asking(&self) -> (i32, i32) {
        (self.usage.step, self.usage.asking)
    }
}

/// Books an asking and adds it to its month, once.
pub(crate) const RECORD: &str = "
    WITH booked AS (
        INSERT INTO llm_usage (tenant_id, id, agent_id, turn_id, step, asking, model, prompt_tokens, completion_tokens,
            total_tokens, estimated)
        SELECT $1::uuid, $2::uuid, $3::uuid, $4::uuid, $5::int, $6::int, $7::text, $8::bigint, $9::bigint, $10::bigint,
            $11::boolean
        WHERE $2 IS NOT NULL
        ON CONFLICT (tenant_id, turn_id, step, asking) DO NOTHING
        RETURNING tenant_id, total_tokens
    )
    INSERT INTO token_months AS m (tenant_id, month, spent)
    SELECT tenant_id, date_trunc('month', now() AT TIME ZONE 'UTC')::date, total_tokens FROM booked
    ON CONFLICT (tenant_id, month) DO UPDATE SET spent = m.spent + excluded.spent";

/// An asking is over: its usage is booked, or there is none; what was reserved for it is free.
pub(crate) const SETTLE: &str = "
    UPDATE turn_steps SET settled = greatest(settled, $3), reserved = CASE WHEN asking = $3 THEN 0 ELSE reserved END
    WHERE turn_id = $1 AND number = $2";

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
        let settled = values.step_and_asking();
        // The step first and then the month, as everywhere: else two transactions could wait for each other.
        self.run([(SETTLE, &[&turn.0, &settled.0, &settled.1]), (RECORD, &params(&tenant, Some(&values)))])
            .await?;
        Ok(())
    }

    /// Notes that an asking is over which used nothing.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn settle(self, turn: MessageId, step: i32, asking: i32) -> Result<(), DbError> {
        self.query(SETTLE, &[&turn.0, &step, &asking]).await.map(drop)
    }

    /// What the tenant's agents used from one time (included) to another (not), by agent and model; and the reader's
    /// membership.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn usage(
        self,
        user: UserId,
        from: OffsetDateTime,
        to: OffsetDateTime,
    ) -> Result<(Membership, Vec<UsageLine>), DbError> {
        const SQL: &str = "
            SELECT agent_id, model, count(*) AS calls, sum(prompt_tokens)::bigint AS prompt_tokens,
                sum(completion_tokens)::bigint AS completion_tokens, sum(total_tokens)::bigint AS total_tokens
            FROM llm_usage WHERE created_at >= $1 AND created_at < $2
            GROUP BY agent_id, model ORDER BY agent_id, model";
        let [members, lines] = self.run([(MEMBER, &[&user.0]), (SQL, &[&from, &to])]).await?;
        let membership = members.first().map(|row| closed(row, "role", tenant_role)).transpose()?;
        Ok((membership, lines.iter().map(usage_line).collect::<Result<_, _>>()?))
    }
}

/// What an agent used of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageLine {
    /// The agent.
    pub agent: AgentId,
    /// The model.
    pub model: String,
    /// Calls.
    pub calls: i64,
    /// Tokens of prompts.
    pub prompt_tokens: i64,
    /// Tokens of answers.
    pub completion_tokens: i64,
    /// As the providers count them together.
    pub total_tokens: i64,
}

fn usage_line(row: &Row) -> Result<UsageLine, DbError> {
    Ok(UsageLine {
        agent: AgentId(get(row, "agent_id")?),
        model: get(row, "model")?,
        calls: get(row, "calls")?,
        prompt_tokens: get(row, "prompt_tokens")?,
        completion_tokens: get(row, "completion_tokens")?,
        total_tokens: get(row, "total_tokens")?,
    })
}
