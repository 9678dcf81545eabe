//! `GET /agents`: a tenant's agents, inactive ones too.

use std::process::ExitCode;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use konstruct_domain::TenantId;
use konstruct_postgres::TenantPool;
use konstruct_protocol::rest::{AgentSummary, Problem};
use konstruct_service::conversations;

use crate::auth::Verifier;
use crate::parts;
use crate::problem::ProblemAnswer;
use crate::rest::{BASE, Caller, Query, Verifies, patiently, serve};
use crate::start::{StartError, start};

pub(crate) struct Agents {
    db: TenantPool,
    verifier: Verifier,
}

impl Verifies for Agents {
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
    let state = Agents { db: parts::db(1)?, verifier: parts::verifier()? };
    parts::warm(None, Some(&state.db));
    let path = format!("{BASE}/agents");
    serve(Router::new().route(&path, get(agents)).with_state(Arc::new(state))).await
}

/// A tenant's agents by name.
#[utoipa::path(
    get,
    path = "/api/portal/chat/agents",
    params(("tenant_id" = uuid::Uuid, Query)),
    responses(
        (status = 200, body = [AgentSummary]),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = [])),
)]
pub(crate) async fn agents(
    State(state): State<Arc<Agents>>,
    Caller(caller): Caller,
    query: Query,
) -> Result<Json<Vec<AgentSummary>>, ProblemAnswer> {
    let tenant: TenantId =
        query.optional("tenant_id")?.ok_or_else(|| ProblemAnswer::parameter("tenant_id", "is missing"))?;
    let agents = patiently(|| conversations::agents(&state.db, &caller, tenant)).await?;
    let summaries = agents.into_iter().map(|agent| AgentSummary {
        id: agent.id,
        name: agent.name,
        role: agent.role,
        is_active: agent.is_active,
    });
    Ok(Json(summaries.collect()))
}
