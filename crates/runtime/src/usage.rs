//! `GET /api/portal/usage`: what a tenant's agents used of their models.

use std::process::ExitCode;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use konstruct_postgres::TenantPool;
use konstruct_protocol::rest::{Problem, UsageLine};
use konstruct_service::usage;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::auth::Verifier;
use crate::parts;
use crate::problem::ProblemAnswer;
use crate::rest::{Caller, Query, Verifies, patiently, serve};
use crate::start::{StartError, start};

pub(crate) struct Usage {
    db: TenantPool,
    verifier: Verifier,
}

impl Verifies for Usage {
    fn verifier(&self) -> &Verifier {
        &self.verifier
    }
}

/// Runs the function.
#[must_use]
pub fn main() -> ExitCode {
    start(run)
}

async fn run() -> Result<(), StartError> {
    let state = Usage { db: parts::db(1)?, verifier: parts::verifier()? };
    parts::warm(None, Some(&state.db));
    serve(Router::new().route("/api/portal/usage", get(used)).with_state(Arc::new(state))).await
}

/// Tokens by agent and model, from one time (included) to another (not).
#[utoipa::path(
    get,
    path = "/api/portal/usage",
    params(
        ("tenant_id" = Option<uuid::Uuid>, Query, description = "Absent: the token's."),
        ("from" = String, Query, description = "RFC 3339; included."),
        ("to" = String, Query, description = "RFC 3339; not included."),
    ),
    responses(
        (status = 200, body = [UsageLine]),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = [])),
)]
pub(crate) async fn used(
    State(state): State<Arc<Usage>>,
    Caller(caller): Caller,
    query: Query,
) -> Result<Json<Vec<UsageLine>>, ProblemAnswer> {
    let tenant = query.tenant(&caller)?;
    let (from, to) = (moment(&query, "from")?, moment(&query, "to")?);
    if from > to {
        return Err(ProblemAnswer::parameter("to", "is before from"));
    }
    let lines = patiently(|| usage::report(&state.db, &caller, tenant, from, to)).await?;
    let lines = lines.into_iter().map(|line| UsageLine {
        agent_id: line.agent,
        model: line.model,
        calls: line.calls,
        prompt_tokens: line.prompt_tokens,
        completion_tokens: line.completion_tokens,
        total_tokens: line.total_tokens,
    });
    Ok(Json(lines.collect()))
}

fn moment(query: &Query, name: &str) -> Result<OffsetDateTime, ProblemAnswer> {
    let Some(text) = query.text(name)? else {
        return Err(ProblemAnswer::parameter(name, "is missing"));
    };
    // A `+` that was not encoded arrives as a blank.
    OffsetDateTime::parse(&text.replace(' ', "+"), &Rfc3339)
        .map_err(|_| ProblemAnswer::parameter(name, "is no time as RFC 3339 has it"))
}
