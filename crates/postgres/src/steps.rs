//! The journal of a turn's steps: each call of a model or tool is written before it starts and completed with its result.
//! Every write is checked against fence and epoch; what a step means is not decided here.

use konstruct_domain::{ConversationId, MessageId, Seq};
use serde_json::Value;
use time::OffsetDateTime;
use tokio_postgres::Row;

use crate::error::DbError;
use crate::row::{closed, get};
use crate::tenant_tx::TenantTx;
use crate::turns::{LOCK, Work};
use crate::usage::Usage;

/// A step as it is journaled.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRow {
    /// Its place in the turn, from 0.
    pub number: i32,
    /// What it is.
    pub kind: StepKind,
    /// How far it is.
    pub state: StepState,
    /// How often the model was asked for it.
    pub asking: i32,
    /// The last asking whose usage is booked, or of which there is none.
    pub settled: i32,
    /// What was asked, JSON.
    pub request: Value,
    /// What came of it, JSON; `None`: nothing yet.
    pub result: Option<Value>,
    /// A tool step: the call.
    pub call_id: Option<String>,
    /// A call that waits: what its arguments were.
    pub arguments_hash: Option<String>,
    /// A call that waits: until when.
    pub expires_at: Option<OffsetDateTime>,
    /// A call that waited: what was decided.
    pub decision: Option<Decision>,
}

/// What a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// A model is asked.
    Model,
    /// A tool is called.
    Tool,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// It was begun; whether it went on is not known.
    Begun,
    /// It waits for a person.
    Waiting,
    /// It has its result.
    Done,
}

/// What became of a call that waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A person said yes.
    Approved,
    /// A person said no.
    Denied,
    /// Nobody said anything in time.
    Expired,
    /// The person stopped the answer that waited for it.
    Cancelled,
}

impl Decision {
    const ALL: [Self; 4] = [Self::Approved, Self::Denied, Self::Expired, Self::Cancelled];

    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|decision| decision.as_str() == name)
    }
}

/// A call of a model that is about to be made.
#[derive(Debug, Clone, Copy)]
pub struct ModelStep<'a> {
    /// Its place.
    pub number: i32,
    /// `message_id` of the answer it writes on.
    pub answer_id: MessageId,
    /// The model.
    pub model: &'a str,
    /// Tokens of the prompt, as estimated.
    pub prompt_tokens: i64,
    /// Most tokens of the answer; a budget may leave fewer.
    pub tokens_max: i64,
    /// A budget that leaves fewer is spent.
    pub tokens_min: i64,
    /// Invocations that died at work on the turn.
    pub deaths: i32,
}

/// What came of journaling that a model is about to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelStepTry {
    /// It is journaled, its tokens reserved.
    Begun {
        /// The how-manieth asking of this step.
        asking: i32,
        /// Most tokens of the answer that the budget leaves.
        tokens_max: i64,
    },
    /// The month's budget is spent.
    BudgetSpent,
    /// Another agent, or a newer epoch.
    Fenced,
}

/// A call of a tool that is about to be made, or waits, or is not made.
#[derive(Debug, Clone, Copy)]
pub struct ToolStep<'a> {
    /// Its place.
    pub number: i32,
    /// The call.
    pub call_id: &'a str,
    /// What is called with what, JSON.
    pub request: &'a Value,
    /// How it begins.
    pub begins: ToolBegins<'a>,
}

/// How a tool step begins.
#[derive(Debug, Clone, Copy)]
pub enum ToolBegins<'a> {
    /// It runs now.
    Running,
    /// It waits for a person.
    Waiting {
        /// Who may decide.
        person: &'a str,
        /// What its arguments are.
        arguments_hash: &'a str,
        /// For how many seconds.
        seconds: f64,
    },
    /// It is not run: with this result, JSON.
    Done(&'a Value),
}

/// What came of journaling a tool step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolStepTry {
    /// This call inserted it: whoever did may run it. With the time at which its confirmation ends.
    Inserted(Option<OffsetDateTime>),
    /// It was there.
    WasThere,
    /// Another agent, or a newer epoch.
    Fenced,
}

/// What came of parking a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parked {
    /// It waits.
    Yes,
    /// Somebody decided meanwhile: it goes on.
    Decided,
    /// Another agent, or a newer epoch.
    Fenced,
}

impl TenantTx {
    /// The steps of a turn, in order.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn steps(self, turn: MessageId) -> Result<Vec<StepRow>, DbError> {
        const SQL: &str = "
            SELECT number, kind, state, asking, settled, request, result, call_id, arguments_hash, expires_at, decision
            FROM turn_steps WHERE turn_id = $1 ORDER BY number";
        self.query(SQL, &[&turn.0]).await?.iter().map(step_row).collect()
    }

    /// Which of these ids of calls the conversation has already.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn calls_known(
        self,
        conversation: ConversationId,
        ids: &[&str],
    ) -> Result<Vec<String>, DbError> {
        const SQL: &str = "
            SELECT call.value ->> 'id' AS id FROM turns t
            JOIN turn_steps s ON s.tenant_id = t.tenant_id AND s.turn_id = t.id AND s.kind = 'model',
            jsonb_array_elements(s.result -> 'calls') call
            WHERE t.conversation_id = $1 AND call.value ->> 'id' = ANY ($2)";
        let rows = self.query(SQL, &[&conversation.0, &ids]).await?;
        rows.iter().map(|row| get(row, "id")).collect()
    }

    /// Journals that a model is about to be asked, under this answer, and reserves what it may use of the month's
    /// budget.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn begin_model_step(self, work: Work, step: ModelStep<'_>) -> Result<ModelStepTry, DbError> {
        // Of a tenant with a budget one call at a time is weighed: the row of its month is locked.
        const MONTH: &str = "
            INSERT INTO token_months AS m (tenant_id, month)
            SELECT id, date_trunc('month', now() AT TIME ZONE 'UTC')::date FROM tenants WHERE tokens_per_month IS NOT NULL
            ON CONFLICT (tenant_id, month) DO UPDATE SET spent = m.spent";
        const BEGIN: &str = "
            UPDATE turns SET answer_id = $5, attempts = $6, in_progress = true, began_at = coalesce(began_at, now())
            WHERE id = $4 AND state = 'open' AND EXISTS
                (SELECT 1 FROM web_conversations WHERE id = $1 AND fence = $2 AND epoch = $3)
            RETURNING id";
        const STEP: &str = "
            WITH month AS (
                SELECT least($7::bigint, t.tokens_per_month - $8::bigint
                    - coalesce((SELECT m.spent FROM token_months m
                                WHERE m.month = date_trunc('month', now() AT TIME ZONE 'UTC')::date), 0)
                    - coalesce((SELECT sum(s.reserved) FROM turn_steps s
                                WHERE s.reserved > 0 AND NOT (s.turn_id = $4 AND s.number = $5)), 0))::bigint AS tokens_max,
                    t.tokens_per_month IS NOT NULL AS limited
                FROM tenants t
            )
            INSERT INTO turn_steps (tenant_id, turn_id, number, kind, request, reserved)
            SELECT c.tenant_id, $4::uuid, $5::int, 'model', jsonb_build_object('model', $6::text, 'prompt_tokens', $8::bigint),
                CASE WHEN month.limited THEN month.tokens_max + $8::bigint ELSE 0 END
            FROM web_conversations c, month
            WHERE c.id = $1 AND c.fence = $2 AND c.epoch = $3 AND month.tokens_max >= $9::bigint
            ON CONFLICT (tenant_id, turn_id, number)
                DO UPDATE SET asking = turn_steps.asking + 1, began_at = now(), request = excluded.request,
                    reserved = excluded.reserved
                WHERE turn_steps.state = 'begun'
            RETURNING asking, reserved";
        let (conversation, fence, epoch) = work.guard.values();
        let turn = work.turn.0;
        let [_, _, began, steps] = self
            .run([
                (LOCK, &[&conversation, &fence, &epoch]),
                (MONTH, &[]),
                (BEGIN, &[&conversation, &fence, &epoch, &turn, &step.answer_id.0, &step.deaths]),
                (
                    STEP,
                    &[
                        &conversation,
                        &fence,
                        &epoch,
                        &turn,
                        &step.number,
                        &step.model,
                        &step.tokens_max,
                        &step.prompt_tokens,
                        &step.tokens_min,
                    ],
                ),
            ])
            .await?;
        Ok(match (began.is_empty(), steps.first()) {
            (true, _) => ModelStepTry::Fenced,
            (false, None) => ModelStepTry::BudgetSpent,
            (false, Some(row)) => {
                let reserved: i64 = get(row, "reserved")?;
                let tokens_max = if reserved > 0 { reserved - step.prompt_tokens } else { step.tokens_max };
                ModelStepTry::Begun { asking: get(row, "asking")?, tokens_max }
            }
        })
    }

    /// Journals a model's answer that called tools, and books what it used. `false`: fenced off; then only the usage was
    /// written.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn finish_model_step(
        self,
        work: Work,
        number: i32,
        result: &Value,
        usage: &Usage,
    ) -> Result<bool, DbError> {
        let usage = usage.values(work.turn);
        let tenant = self.tenant;
        let (conversation, fence, epoch) = work.guard.values();
        let params = crate::usage::params(&tenant, Some(&usage));
        let settled = usage.step_and_asking();
        let [_, done, _, _] = self
            .run([
                (LOCK, &[&conversation, &fence, &epoch]),
                (FINISH, &[&conversation, &fence, &epoch, &work.turn.0, &number, &result]),
                (crate::usage::RECORD, &params),
                (crate::usage::SETTLE, &[&work.turn.0, &settled.0, &settled.1]),
            ])
            .await?;
        Ok(!done.is_empty())
    }

    /// Journals a tool step. Only who inserted it may run it.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn begin_tool_step(self, work: Work, step: ToolStep<'_>) -> Result<ToolStepTry, DbError> {
        const INSERT: &str = "
            INSERT INTO turn_steps (tenant_id, turn_id, number, kind, state, request, result, call_id, person,
                arguments_hash, expires_at, completed_at)
            SELECT c.tenant_id, $4::uuid, $5::int, 'tool', $6::text, $7::jsonb, $8::jsonb, $9::text, $10::text, $11::text,
                now() + make_interval(secs => $12::float8), CASE WHEN $6 = 'done' THEN now() END
            FROM web_conversations c JOIN turns t ON t.conversation_id = c.id AND t.id = $4 AND t.state = 'open'
            WHERE c.id = $1 AND c.fence = $2 AND c.epoch = $3
            ON CONFLICT DO NOTHING RETURNING expires_at";
        let (conversation, fence, epoch) = work.guard.values();
        let (state, result, person, hash, seconds) = match step.begins {
            ToolBegins::Running => ("begun", None, None, None, None),
            ToolBegins::Waiting { person, arguments_hash, seconds } => {
                ("waiting", None, Some(person), Some(arguments_hash), Some(seconds))
            }
            ToolBegins::Done(result) => ("done", Some(result), None, None, None),
        };
        let [locked, inserted] = self
            .run([
                (LOCK, &[&conversation, &fence, &epoch]),
                (
                    INSERT,
                    &[
                        &conversation,
                        &fence,
                        &epoch,
                        &work.turn.0,
                        &step.number,
                        &state,
                        &step.request,
                        &result,
                        &step.call_id,
                        &person,
                        &hash,
                        &seconds,
                    ],
                ),
            ])
            .await?;
        Ok(match inserted.first() {
            Some(row) => ToolStepTry::Inserted(get(row, "expires_at")?),
            None if locked.is_empty() => ToolStepTry::Fenced,
            None => ToolStepTry::WasThere,
        })
    }

    /// Journals a tool's result; `false`: fenced off, or it has one.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn finish_tool_step(self, work: Work, number: i32, result: &Value) -> Result<bool, DbError> {
        let (conversation, fence, epoch) = work.guard.values();
        let [_, done] = self
            .run([
                (LOCK, &[&conversation, &fence, &epoch]),
                (FINISH, &[&conversation, &fence, &epoch, &work.turn.0, &number, &result]),
            ])
            .await?;
        Ok(!done.is_empty())
    }

    /// Takes a call that was approved, to run it; `false`: fenced off, or another took it.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn claim_tool_step(self, work: Work, number: i32) -> Result<bool, DbError> {
        const CLAIM: &str = "
            UPDATE turn_steps SET state = 'begun', began_at = now()
            WHERE turn_id = $4 AND number = $5 AND state = 'waiting' AND decision = 'approved' AND EXISTS
                (SELECT 1 FROM web_conversations WHERE id = $1 AND fence = $2 AND epoch = $3)
            RETURNING number";
        let (conversation, fence, epoch) = work.guard.values();
        let [_, claimed] = self
            .run([
                (LOCK, &[&conversation, &fence, &epoch]),
                (CLAIM, &[&conversation, &fence, &epoch, &work.turn.0, &number]),
            ])
            .await?;
        Ok(!claimed.is_empty())
    }

    /// Parks a turn whose call waits, and notes how far the log got.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn park(self, work: Work, last_seq: Seq) -> Result<Parked, DbError> {
        const REACHED: &str = "
            UPDATE web_conversations SET last_seq = greatest(last_seq, $4)
            WHERE id = $1 AND fence = $2 AND epoch = $3 RETURNING id";
        const PARK: &str = "
            UPDATE turns t SET state = 'waiting', in_progress = false
            WHERE t.id = $4 AND t.state = 'open'
              AND EXISTS (SELECT 1 FROM web_conversations WHERE id = $1 AND fence = $2 AND epoch = $3)
              AND EXISTS (SELECT 1 FROM turn_steps s
                          WHERE s.turn_id = t.id AND s.state = 'waiting' AND s.decision IS NULL)
            RETURNING t.id";
        let (conversation, fence, epoch) = work.guard.values();
        let [reached, parked] = self
            .run([
                (REACHED, &[&conversation, &fence, &epoch, &last_seq.0]),
                (PARK, &[&conversation, &fence, &epoch, &work.turn.0]),
            ])
            .await?;
        Ok(match (reached.is_empty(), parked.is_empty()) {
            (true, _) => Parked::Fenced,
            (false, true) => Parked::Decided,
            (false, false) => Parked::Yes,
        })
    }
}

/// Completes a step that is not done.
const FINISH: &str = "
    UPDATE turn_steps SET state = 'done', completed_at = now(), result = $6
    WHERE turn_id = $4 AND number = $5 AND state <> 'done' AND EXISTS
        (SELECT 1 FROM web_conversations WHERE id = $1 AND fence = $2 AND epoch = $3)
    RETURNING number";

fn step_row(row: &Row) -> Result<StepRow, DbError> {
    Ok(StepRow {
        number: get(row, "number")?,
        kind: closed(row, "kind", |kind| match kind {
            "model" => Some(StepKind::Model),
            "tool" => Some(StepKind::Tool),
            _ => None,
        })?,
        state: closed(row, "state", |state| match state {
            "begun" => Some(StepState::Begun),
            "waiting" => Some(StepState::Waiting),
            "done" => Some(StepState::Done),
            _ => None,
        })?,
        asking: get(row, "asking")?,
        settled: get(row, "settled")?,
        request: get(row, "request")?,
        result: get(row, "result")?,
        call_id: get(row, "call_id")?,
        arguments_hash: get(row, "arguments_hash")?,
        expires_at: get(row, "expires_at")?,
        decision: get::<Option<&str>>(row, "decision")?.and_then(Decision::parse),
    })
}
