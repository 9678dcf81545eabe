//! `POST /conversations/{id}/messages`: accepts a message; with `wait` it answers with the answer.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use konstruct_domain::{ConversationId, MessageId};
use konstruct_ports::{Clock as _, Ids as _};
use konstruct_protocol::request::content;
use konstruct_protocol::rest::{AnswerBody, NewMessage, Problem, SentMessage};
use konstruct_service::inbound::{Author, Inbound, Normalised};
use konstruct_service::{conversations, wait};

use tokio::time::Instant;

use crate::auth::Verifier;
use crate::parts;
use crate::problem::ProblemAnswer;
use crate::rest::{BASE, Caller, PathId, Query, Traced, Verifies, fields, json_body, patiently, serve};
use crate::start::{StartError, start};
use crate::system::{SystemClock, SystemIds};
use crate::telemetry;

/// Longest `wait`, seconds: API Gateway cuts an answer at 29.
const WAIT_MAX: u16 = 28;

pub(crate) struct Send {
    inbound: Inbound,
    redis: konstruct_redis::Redis,
    verifier: Verifier,
}

impl Verifies for Send {
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
    let sdk = parts::sdk()?;
    let inbound = Inbound {
        db: parts::db(1)?,
        connections: parts::connections(&sdk)?,
        queue: Arc::new(parts::queue(&sdk, "QUEUE_URL")?),
        clock: Arc::new(SystemClock),
        patience: konstruct_service::patience::REST,
    };
    let state = Send { inbound, redis: parts::redis()?, verifier: parts::verifier()? };
    parts::warm(None, Some(&state.inbound.db));
    let path = format!("{BASE}/conversations/{{id}}/messages");
    serve(Router::new().route(&path, post(send)).with_state(Arc::new(state))).await
}

/// Sends a message.
#[utoipa::path(
    post,
    path = "/api/portal/chat/conversations/{id}/messages",
    params(
        ("id" = uuid::Uuid, Path),
        ("wait" = Option<u16>, Query, description = "Seconds to wait for the answer, 0 to 28, default 0.", minimum = 0, maximum = 28),
    ),
    request_body = NewMessage,
    responses(
        (status = 200, body = SentMessage, description = "Answered; `response` is there."),
        (status = 202, body = SentMessage, description = "Accepted."),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = [])),
)]
pub(crate) async fn send(
    State(state): State<Arc<Send>>,
    Caller(caller): Caller,
    PathId(conversation_id): PathId<ConversationId>,
    Traced(trace): Traced,
    query: Query,
    request: Request<Body>,
) -> Result<(StatusCode, Json<SentMessage>), ProblemAnswer> {
    let wait = query.number("wait", 0, WAIT_MAX, 0)?;
    // From here on: what accepting takes is not on top.
    let until = Instant::now() + Duration::from_secs(wait.into());
    let body = json_body(request).await?;
    let body = fields(&body)?;
    let chosen: Option<MessageId> = body.parsed("id").map_err(ProblemAnswer::field)?;
    let content = content(&body, &["content"]).map_err(ProblemAnswer::field)?;
    let db = &state.inbound.db;
    let tenant = patiently(|| conversations::tenant_of(db, &caller, conversation_id)).await?;
    telemetry::about(Some(tenant), Some(conversation_id));
    let id = chosen.unwrap_or(MessageId(SystemIds.new_id()));
    let at = SystemClock.now();
    let message =
        konstruct_channels::web::normalise(id, tenant, caller.user_id, conversation_id, content, at);
    let subscription = match wait {
        0 => None,
        _ => wait::subscribe(&state.redis, tenant, conversation_id).await,
    };
    let author = Author::Member(caller.user_id, None);
    let accepted = state.inbound.accept(Normalised { message, author, trace }).await?;
    let answer = if wait > 0 || accepted.duplicate {
        wait::answer(db, subscription, tenant, id, until).await
    } else {
        None
    };
    let status = if answer.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let response = answer.map(|(id, content)| AnswerBody { id, content });
    Ok((status, Json(SentMessage { id, conversation_id, response })))
}
