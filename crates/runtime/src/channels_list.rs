//! `GET /api/portal/channels`: a tenant's links to channels, removed ones too. It connects as a role that cannot read
//! what they keep.

use std::process::ExitCode;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use konstruct_postgres::TenantPool;
use konstruct_protocol::rest::{ChannelConnection, ChannelStatus, Problem};
use konstruct_service::installations;

use crate::auth::Verifier;
use crate::parts;
use crate::problem::ProblemAnswer;
use crate::rest::{Caller, Query, Verifies, patiently, serve};
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

/// Runs the function.
#[must_use]
pub fn main() -> ExitCode {
    start(run)
}

async fn run() -> Result<(), StartError> {
    let state = Channels { db: parts::db(1)?, verifier: parts::verifier()? };
    parts::warm(None, Some(&state.db));
    serve(Router::new().route("/api/portal/channels", get(channels)).with_state(Arc::new(state))).await
}

/// A tenant's links to channels, oldest first.
#[utoipa::path(
    get,
    path = "/api/portal/channels",
    params(("tenant_id" = Option<uuid::Uuid>, Query)),
    responses(
        (status = 200, body = [ChannelConnection]),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = [])),
)]
pub(crate) async fn channels(
    State(state): State<Arc<Channels>>,
    Caller(caller): Caller,
    query: Query,
) -> Result<Json<Vec<ChannelConnection>>, ProblemAnswer> {
    let tenant = query.tenant(&caller)?;
    let rows = patiently(|| installations::list(&state.db, &caller, tenant)).await?;
    let connections = rows.into_iter().map(|row| ChannelConnection {
        id: row.id,
        channel: row.channel,
        workspace_id: row.workspace_id,
        status: if row.active { ChannelStatus::Active } else { ChannelStatus::Removed },
        created_at: row.created_at,
    });
    Ok(Json(connections.collect()))
}
