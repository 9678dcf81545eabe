//! `GET /conversations/{id}/messages`: the history, oldest first, paged backwards.

use std::process::ExitCode;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::routing::get;
use axum::{Json, Router};
use konstruct_domain::{ConversationId, MessageId};
use konstruct_postgres::TenantPool;
use konstruct_postgres::messages::MessageRow;
use konstruct_protocol::ErrorCode;
use konstruct_protocol::rest::{HistoryMessage, MessageRole, Problem};
use konstruct_service::conversations;

use crate::auth::Verifier;
use crate::parts;
use crate::problem::ProblemAnswer;
use crate::rest::{BASE, Caller, PathId, Query, Verifies, patiently, serve};
use crate::start::{StartError, start};
use crate::telemetry;

pub(crate) struct History {
    db: TenantPool,
    verifier: Verifier,
}

impl Verifies for History {
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
    let state = History { db: parts::db(1)?, verifier: parts::verifier()? };
    parts::warm(None, Some(&state.db));
    let path = format!("{BASE}/conversations/{{id}}/messages");
    serve(Router::new().route(&path, get(history)).with_state(Arc::new(state))).await
}

/// The latest messages before one of them, oldest first.
#[utoipa::path(
    get,
    path = "/api/portal/chat/conversations/{id}/messages",
    params(
        ("id" = uuid::Uuid, Path),
        ("limit" = Option<u16>, Query, description = "1 to 200, default 50.", minimum = 1, maximum = 200),
        ("before" = Option<uuid::Uuid>, Query, description = "A message of the conversation."),
    ),
    responses(
        (status = 200, body = [HistoryMessage], headers(("Link" = String, description = "`rel=\"next\"`: the page before this one; absent on the last."))),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = [])),
)]
pub(crate) async fn history(
    State(state): State<Arc<History>>,
    Caller(caller): Caller,
    PathId(id): PathId<ConversationId>,
    query: Query,
) -> Result<(HeaderMap, Json<Vec<HistoryMessage>>), ProblemAnswer> {
    telemetry::about(None, Some(id));
    let limit = query.limit()?;
    let before: Option<MessageId> = query.optional("before")?;
    let (rows, more) = patiently(|| conversations::history(&state.db, &caller, id, before, limit)).await?;
    let mut headers = HeaderMap::new();
    if let Some(first) = rows.first().filter(|_| more) {
        let path = format!("{BASE}/conversations/{id}/messages");
        let link = query.next_link(&path, "before", &first.id.to_string());
        headers.extend(link.map(|link| (header::LINK, link)));
    }
    Ok((headers, Json(rows.into_iter().map(message).collect())))
}

fn message(row: MessageRow) -> HistoryMessage {
    HistoryMessage {
        id: row.id,
        role: if row.from_user { MessageRole::User } else { MessageRole::Assistant },
        content: row.content,
        created_at: row.created_at,
        in_reply_to: row.in_reply_to,
        stopped: row.stopped.then_some(true),
        by: row.by_human.then(|| "human".to_owned()),
        error: row.error.as_deref().and_then(ErrorCode::parse),
    }
}
