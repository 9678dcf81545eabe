//! `POST /notices`: an administrator's message to everyone connected.

use std::process::ExitCode;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use konstruct_postgres::TenantPool;
use konstruct_protocol::request::content;
use konstruct_protocol::rest::{NewNotice, NoticeSent, Problem};
use konstruct_service::Connections;
use konstruct_service::notices::{self, Audience};

use crate::auth::Verifier;
use crate::parts;
use crate::problem::ProblemAnswer;
use crate::rest::{BASE, Caller, Verifies, fields, json_body, serve};
use crate::start::{StartError, start};

pub(crate) struct Notices {
    db: TenantPool,
    connections: Connections,
    verifier: Verifier,
}

impl Verifies for Notices {
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
    let state = Notices { db: parts::db(1)?, connections, verifier: parts::verifier()? };
    parts::warm(None, Some(&state.db));
    let path = format!("{BASE}/notices");
    serve(Router::new().route(&path, post(notice)).with_state(Arc::new(state))).await
}

/// Sends a notice to a conversation, a tenant, or everyone.
#[utoipa::path(
    post,
    path = "/api/portal/chat/notices",
    request_body = NewNotice,
    responses(
        (status = 202, body = NoticeSent),
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
pub(crate) async fn notice(
    State(state): State<Arc<Notices>>,
    Caller(caller): Caller,
    request: Request<Body>,
) -> Result<(StatusCode, Json<NoticeSent>), ProblemAnswer> {
    let body = json_body(request).await?;
    let body = fields(&body)?;
    let audience = Audience {
        tenant: body.parsed("tenant_id").map_err(ProblemAnswer::field)?,
        conversation: body.parsed("conversation_id").map_err(ProblemAnswer::field)?,
    };
    let text = content(&body, &["text"]).map_err(ProblemAnswer::field)?;
    let connections = notices::send(&state.db, &state.connections, &caller, audience, &text).await?;
    Ok((StatusCode::ACCEPTED, Json(NoticeSent { connections })))
}
