//! `GET /slack/install`: where a tenant's admin agrees that our app enters his Slack workspace. It needs no secret of
//! the app.

use std::process::ExitCode;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use konstruct_channels::slack::install::authorize_url;
use konstruct_domain::Channel;
use konstruct_postgres::TenantPool;
use konstruct_protocol::ErrorCode;
use konstruct_protocol::rest::{InstallPage, Problem};
use konstruct_redis::Redis;
use konstruct_service::installations;

use crate::auth::Verifier;
use crate::config::{optional, required};
use crate::parts;
use crate::problem::ProblemAnswer;
use crate::rest::{Caller, Query, Verifies, patiently, serve};
use crate::start::{StartError, start};
use crate::system::SystemIds;

pub(crate) struct Install {
    db: TenantPool,
    redis: Redis,
    verifier: Verifier,
    /// `None`: this deployment has no Slack app.
    client_id: Option<String>,
    redirect_url: String,
}

impl Verifies for Install {
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
    let state = Install {
        db: parts::db(1)?,
        redis: parts::redis()?,
        verifier: parts::verifier()?,
        client_id: optional("SLACK_CLIENT_ID"),
        redirect_url: required("SLACK_REDIRECT_URL")?,
    };
    parts::warm(Some(&state.redis), Some(&state.db));
    serve(Router::new().route("/slack/install", get(install)).with_state(Arc::new(state))).await
}

/// Slack's page on which a tenant admin agrees: the portal navigates there.
#[utoipa::path(
    get,
    path = "/slack/install",
    params(("tenant_id" = Option<uuid::Uuid>, Query)),
    responses(
        (status = 200, body = InstallPage),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = [])),
)]
pub(crate) async fn install(
    State(state): State<Arc<Install>>,
    Caller(caller): Caller,
    query: Query,
) -> Result<impl IntoResponse, ProblemAnswer> {
    let tenant = query.tenant(&caller)?;
    let (db, redis) = (&state.db, &state.redis);
    let begin = || installations::begin(db, redis, &SystemIds, &caller, tenant, Channel::Slack);
    let begun = patiently(begin).await?;
    let Some(client_id) = &state.client_id else {
        let text = "Slack is not set up on this deployment.";
        return Err(ProblemAnswer::new(503, ErrorCode::Internal, text));
    };
    let page = InstallPage { url: authorize_url(client_id, &state.redirect_url, &begun) };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(page)))
}
