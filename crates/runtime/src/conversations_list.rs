//! `GET /conversations`: the caller's conversations, newest first; for a platform admin a tenant's, or everyone's.

use std::process::ExitCode;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use konstruct_domain::{ConversationId, TenantId};
use konstruct_postgres::conversations::{ListCursor, SummaryRow};
use konstruct_postgres::{PlatformPool, TenantPool};
use konstruct_protocol::event::Holder;
use konstruct_protocol::rest::{ConversationSummary, Problem};
use konstruct_service::conversations::{self, Filter};
use time::OffsetDateTime;

use crate::auth::Verifier;
use crate::parts;
use crate::problem::ProblemAnswer;
use crate::rest::{BASE, Caller, Query, Verifies, patiently, serve};
use crate::start::{StartError, start};

pub(crate) struct List {
    db: TenantPool,
    platform: PlatformPool,
    verifier: Verifier,
}

impl Verifies for List {
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
    let state = List { db: parts::db(1)?, platform: parts::platform()?, verifier: parts::verifier()? };
    parts::warm(None, Some(&state.db));
    let path = format!("{BASE}/conversations");
    serve(Router::new().route(&path, get(list)).with_state(Arc::new(state))).await
}

/// Conversations, newest `updated_at` first.
#[utoipa::path(
    get,
    path = "/api/portal/chat/conversations",
    params(
        ("tenant_id" = Option<uuid::Uuid>, Query, description = "Required but for a platform admin, who then sees all tenants."),
        ("status" = Option<Holder>, Query, description = "Who has them. A tenant admin sees everybody's of the tenant then."),
        ("limit" = Option<u16>, Query, description = "1 to 200, default 50.", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "Of a `Link` header; opaque."),
    ),
    responses(
        (status = 200, body = [ConversationSummary], headers(("Link" = String, description = "`rel=\"next\"`; absent on the last page."))),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = [])),
)]
pub(crate) async fn list(
    State(state): State<Arc<List>>,
    Caller(caller): Caller,
    query: Query,
) -> Result<(HeaderMap, Json<Vec<ConversationSummary>>), ProblemAnswer> {
    let tenant: Option<TenantId> = query.optional("tenant_id")?;
    if tenant.is_none() && !caller.is_platform_admin() {
        return Err(ProblemAnswer::parameter("tenant_id", "is missing"));
    }
    let limit = query.limit()?;
    let human = match query.text("status")? {
        None => None,
        Some("human") => Some(true),
        Some("ai") => Some(false),
        Some(_) => return Err(ProblemAnswer::parameter("status", "must be human or ai")),
    };
    let cursor = match query.text("cursor")? {
        Some(text) => {
            Some(decode(text).ok_or_else(|| ProblemAnswer::parameter("cursor", "is not one of ours"))?)
        }
        None => None,
    };
    let filter = Filter { tenant, human, cursor, limit };
    let (rows, more) = patiently(|| conversations::list(&state.db, &state.platform, &caller, filter)).await?;
    let mut headers = HeaderMap::new();
    if let Some(last) = rows.last().filter(|_| more) {
        let link = query.next_link(&format!("{BASE}/conversations"), "cursor", &encode(last));
        headers.extend(link.map(|link| (header::LINK, link)));
    }
    Ok((headers, Json(rows.into_iter().map(summary).collect())))
}

fn summary(row: SummaryRow) -> ConversationSummary {
    let SummaryRow { conversation, agent_name, updated_at, preview } = row;
    ConversationSummary {
        id: conversation.id,
        tenant_id: conversation.tenant_id,
        agent_id: conversation.agent_id,
        agent_name,
        session_id: conversation.session_id,
        updated_at,
        last_message_preview: preview,
    }
}

/// The cursor behind a line: its time (microseconds, as Postgres keeps them) and id.
fn encode(row: &SummaryRow) -> String {
    let micros = row.updated_at.unix_timestamp_nanos() / 1_000;
    URL_SAFE_NO_PAD.encode(format!("{micros} {}", row.conversation.id))
}

fn decode(cursor: &str) -> Option<ListCursor> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (micros, id) = text.split_once(' ')?;
    let updated_at =
        OffsetDateTime::from_unix_timestamp_nanos(micros.parse::<i64>().ok().map(i128::from)? * 1_000)
            .ok()?;
    Some(ListCursor { updated_at, id: id.parse::<ConversationId>().ok()? })
}
