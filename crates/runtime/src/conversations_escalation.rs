//! `PUT /conversations/{id}/escalation`: a tenant admin hands a conversation to a human, or back to the AI.

use std::process::ExitCode;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::routing::put;
use axum::{Json, Router};
use konstruct_domain::ConversationId;
use konstruct_protocol::event::Holder;
use konstruct_protocol::rest::{Escalation, Problem};
use konstruct_service::replies;

use crate::auth::Verifier;
use crate::operator::Operator;
use crate::parts;
use crate::problem::ProblemAnswer;
use crate::rest::{BASE, Caller, PathId, Verifies, fields, json_body, patiently, serve};
use crate::start::{StartError, start};
use crate::telemetry;

pub(crate) struct HandOver {
    operator: Operator,
    verifier: Verifier,
}

impl Verifies for HandOver {
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
    let state = HandOver { operator: Operator::new()?, verifier: parts::verifier()? };
    parts::warm(None, Some(&state.operator.wake.db));
    let path = format!("{BASE}/conversations/{{id}}/escalation");
    serve(Router::new().route(&path, put(hand_over)).with_state(Arc::new(state))).await
}

/// Hands a conversation to a human, or back. Asking for what holds already changes nothing.
#[utoipa::path(
    put,
    path = "/api/portal/chat/conversations/{id}/escalation",
    params(("id" = uuid::Uuid, Path)),
    request_body = Escalation,
    responses(
        (status = 200, body = Escalation),
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
pub(crate) async fn hand_over(
    State(state): State<Arc<HandOver>>,
    Caller(caller): Caller,
    PathId(id): PathId<ConversationId>,
    request: Request<Body>,
) -> Result<Json<Escalation>, ProblemAnswer> {
    let body = json_body(request).await?;
    let body = fields(&body)?;
    let status: Holder = body.required("status", "human or ai").map_err(ProblemAnswer::field)?;
    let on_behalf = state.operator.on_behalf();
    let tenant = patiently(|| replies::administered(&on_behalf, &caller, id)).await?;
    telemetry::about(Some(tenant), Some(id));
    on_behalf.hand_over(tenant, id, status == Holder::Human).await?;
    Ok(Json(Escalation { status }))
}
