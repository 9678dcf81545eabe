//! `DELETE /api/portal/channels/{id}`: ends a link to a channel. What it kept is overwritten unread.

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::delete;
use konstruct_domain::id::{NotAnId, parse_uuid};
use konstruct_postgres::TenantPool;
use konstruct_protocol::rest::Problem;
use konstruct_service::installations;
use uuid::Uuid;

use crate::auth::Verifier;
use crate::parts;
use crate::problem::ProblemAnswer;
use crate::rest::{Caller, PathId, Query, Verifies, patiently, serve};
use crate::start::{StartError, start};

pub(crate) struct Channels {
    db: TenantPool,
    verifier: Verifier,
}

impl Verifies for Channels {
    fn verifier(&self) -> &Verifier {
        &self.verifier
    }
}

/// The id of a link to a channel.
pub(crate) struct LinkId(Uuid);

impl std::str::FromStr for LinkId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        parse_uuid(text).map(Self)
    }
}

/// Runs the function.
#[must_use]
pub fn main() -> ExitCode {
    start(run)
}

async fn run() -> Result<(), StartError> {
    let state = Channels { db: parts::db(1)?, verifier: parts::verifier()? };
    parts::warm(None, Some(&state.db));
    serve(Router::new().route("/api/portal/channels/{id}", delete(remove)).with_state(Arc::new(state))).await
}

/// Ends a link to a channel; its secrets are gone. One that was ended before is no error.
#[utoipa::path(
    delete,
    path = "/api/portal/channels/{id}",
    params(("id" = uuid::Uuid, Path), ("tenant_id" = Option<uuid::Uuid>, Query)),
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
pub(crate) async fn remove(
    State(state): State<Arc<Channels>>,
    Caller(caller): Caller,
    PathId(id): PathId<LinkId>,
    query: Query,
) -> Result<StatusCode, ProblemAnswer> {
    let tenant = query.optional("tenant_id")?;
    patiently(|| installations::remove(&state.db, &caller, tenant, id.0)).await?;
    Ok(StatusCode::NO_CONTENT)
}
