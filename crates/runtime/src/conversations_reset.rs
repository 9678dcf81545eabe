//! `DELETE /conversations/{id}`: the reset. The conversation itself stays, and its numbers go on.

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::delete;
use konstruct_domain::ConversationId;
use konstruct_domain::access::Access;
use konstruct_postgres::TenantPool;
use konstruct_protocol::rest::Problem;
use konstruct_service::hand_over::OnBehalf;
use konstruct_service::{Connections, conversations};

use crate::auth::Verifier;
use crate::parts;
use crate::problem::ProblemAnswer;
use crate::rest::{BASE, Caller, PathId, Verifies, patiently, serve};
use crate::start::{StartError, start};
use crate::system::{SystemClock, SystemIds};
use crate::telemetry;

pub(crate) struct Reset {
    db: TenantPool,
    connections: Connections,
    verifier: Verifier,
}

impl Verifies for Reset {
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
    let connections = parts::connections(&parts::sdk()?)?;
    let state = Reset { db: parts::db(1)?, connections, verifier: parts::verifier()? };
    parts::warm(None, Some(&state.db));
    let path = format!("{BASE}/conversations/{{id}}");
    serve(Router::new().route(&path, delete(reset)).with_state(Arc::new(state))).await
}

/// Stops an answer under way; then messages, frame log and agent memory are gone.
#[utoipa::path(
    delete,
    path = "/api/portal/chat/conversations/{id}",
    params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 204),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = [])),
)]
pub(crate) async fn reset(
    State(state): State<Arc<Reset>>,
    Caller(caller): Caller,
    PathId(id): PathId<ConversationId>,
) -> Result<StatusCode, ProblemAnswer> {
    let row = patiently(|| conversations::find(&state.db, &caller, id, Access::Write)).await?;
    telemetry::about(Some(row.conversation.tenant_id), Some(id));
    let on_behalf = OnBehalf {
        db: state.db.clone(),
        connections: state.connections.clone(),
        ids: &SystemIds,
        clock: &SystemClock,
        wake: None,
    };
    on_behalf.reset(&row).await?;
    Ok(StatusCode::NO_CONTENT)
}
