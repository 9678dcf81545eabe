//! `POST /conversations/{id}/replies`: a tenant admin answers in the agent's place.

use std::process::ExitCode;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use konstruct_domain::{ConversationId, MessageId};
use konstruct_ports::Ids as _;
use konstruct_protocol::request::content;
use konstruct_protocol::rest::{NewReply, Problem, ReplySent};
use konstruct_service::replies;

use crate::auth::Verifier;
use crate::operator::Operator;
use crate::parts;
use crate::problem::ProblemAnswer;
use crate::rest::{BASE, Caller, PathId, Traced, Verifies, fields, json_body, patiently, serve};
use crate::start::{StartError, start};
use crate::system::SystemIds;
use crate::telemetry;

pub(crate) struct Reply {
    operator: Operator,
    verifier: Verifier,
}

impl Verifies for Reply {
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
    let state = Reply { operator: Operator::new()?, verifier: parts::verifier()? };
    parts::warm(None, Some(&state.operator.wake.db));
    let path = format!("{BASE}/conversations/{{id}}/replies");
    serve(Router::new().route(&path, post(reply)).with_state(Arc::new(state))).await
}

/// Replies in the agent's place; takes the conversation over if the AI has it.
#[utoipa::path(
    post,
    path = "/api/portal/chat/conversations/{id}/replies",
    params(("id" = uuid::Uuid, Path)),
    request_body = NewReply,
    responses(
        (status = 202, body = ReplySent),
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
pub(crate) async fn reply(
    State(state): State<Arc<Reply>>,
    Caller(caller): Caller,
    PathId(conversation_id): PathId<ConversationId>,
    Traced(trace): Traced,
    request: Request<Body>,
) -> Result<(StatusCode, Json<ReplySent>), ProblemAnswer> {
    let body = json_body(request).await?;
    let body = fields(&body)?;
    let chosen: Option<MessageId> = body.parsed("id").map_err(ProblemAnswer::field)?;
    let content = content(&body, &["content"]).map_err(ProblemAnswer::field)?;
    let on_behalf = state.operator.on_behalf();
    let tenant = patiently(|| replies::administered(&on_behalf, &caller, conversation_id)).await?;
    telemetry::about(Some(tenant), Some(conversation_id));
    let id = chosen.unwrap_or(MessageId(SystemIds.new_id()));
    replies::reply(&on_behalf, tenant, conversation_id, id, &content, trace).await?;
    Ok((StatusCode::ACCEPTED, Json(ReplySent { id, conversation_id })))
}
