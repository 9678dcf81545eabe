//! `POST /conversations`: get or create. Two callers that race end in one conversation.

use std::process::ExitCode;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use konstruct_domain::{AgentId, SessionId, TenantId};
use konstruct_postgres::TenantPool;
use konstruct_postgres::conversations::ConversationRow;
use konstruct_protocol::FieldError;
use konstruct_protocol::rest::{ConversationDetail, NewConversation, Problem};
use konstruct_service::conversations;

use crate::auth::Verifier;
use crate::parts;
use crate::problem::ProblemAnswer;
use crate::rest::{BASE, Caller, Verifies, fields, json_body, patiently, serve};
use crate::start::{StartError, start};
use crate::system::SystemIds;

pub(crate) struct Create {
    db: TenantPool,
    verifier: Verifier,
}

impl Verifies for Create {
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
    let state = Create { db: parts::db(1)?, verifier: parts::verifier()? };
    parts::warm(None, Some(&state.db));
    let path = format!("{BASE}/conversations");
    serve(Router::new().route(&path, post(create)).with_state(Arc::new(state))).await
}

/// The caller's conversation with an agent, made if it is not there.
#[utoipa::path(
    post,
    path = "/api/portal/chat/conversations",
    request_body = NewConversation,
    responses(
        (status = 200, body = ConversationDetail, description = "It was there already."),
        (status = 201, body = ConversationDetail, description = "It was made."),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = [])),
)]
pub(crate) async fn create(
    State(state): State<Arc<Create>>,
    Caller(caller): Caller,
    request: Request<Body>,
) -> Result<(StatusCode, Json<ConversationDetail>), ProblemAnswer> {
    let body = json_body(request).await?;
    let body = fields(&body)?;
    let missing = |field| ProblemAnswer::field(FieldError::new(field, "is missing"));
    let tenant: TenantId =
        body.parsed("tenant_id").map_err(ProblemAnswer::field)?.ok_or_else(|| missing("tenant_id"))?;
    let agent: AgentId =
        body.parsed("agent_id").map_err(ProblemAnswer::field)?.ok_or_else(|| missing("agent_id"))?;
    let session: Option<SessionId> = body.parsed("session_id").map_err(ProblemAnswer::field)?;
    let open = || conversations::open(&state.db, &SystemIds, &caller, tenant, agent, session.as_ref());
    let (row, made) = patiently(open).await?;
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(detail(row, &caller))))
}

fn detail(row: ConversationRow, caller: &konstruct_domain::Principal) -> ConversationDetail {
    ConversationDetail {
        id: row.conversation.id,
        tenant_id: row.conversation.tenant_id,
        agent_id: row.conversation.agent_id,
        agent_name: row.agent_name,
        user_id: row.conversation.user_id.unwrap_or(caller.user_id),
        session_id: row.conversation.session_id,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}
