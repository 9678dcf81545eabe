//! `POST /slack/events`: what Slack tells us. Verified before anything else; what is correctly signed is answered 200
//! within Slack's 3 s, but for a message that could not be stored or queued: 503, so that it comes again. It answers
//! no message itself.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use konstruct_channels::slack::event::{self, Addressed as SlackAddressed, Received, SlackMessage};
use konstruct_channels::slack::normalise::{NoMessage, message_id, normalise};
use konstruct_channels::slack::place::{metadata, session_id};
use konstruct_channels::slack::signature::SigningSecret;
use konstruct_domain::{Channel, TenantId};
use konstruct_ports::{Addressee, Clock as _};
use konstruct_protocol::{ErrorCode, TraceParent};
use konstruct_service::inbound::{Arrival, Inbound};
use konstruct_service::installations;
use konstruct_service::outgoing::{Installed, Outgoing};
use konstruct_service::patience::Patience;
use konstruct_service::threads::Addressed;
use konstruct_service::{Connections, Error};

use time::OffsetDateTime;

use crate::problem::ProblemAnswer;
use crate::rest::{Traced, serve};
use crate::start::{StartError, start};
use crate::system::SystemClock;
use crate::{config, parts, telemetry};

/// The path; no other is below `/slack/events`.
const PATH: &str = "/slack/events";
/// How long to try while something is away (delivery.md section 2).
const PATIENCE: Duration = Duration::from_secs(2);
/// And all in all: Slack waits for 3 s.
const ANSWERED_WITHIN: Duration = Duration::from_millis(2_700);
/// Longest time for a sentence in a thread.
const TOLD_WITHIN: Duration = Duration::from_millis(1_200);
/// Largest body, bytes: an event with its blocks is some 100 KB at most.
const BODY_BYTES_MAX: usize = 1024 * 1024;

pub(crate) struct Events {
    inbound: Inbound,
    outgoing: Outgoing,
    secret: SigningSecret,
    app_id: Option<String>,
}

/// Runs the function.
#[must_use]
pub fn main() -> ExitCode {
    start(run)
}

async fn run() -> Result<(), StartError> {
    let sdk = parts::sdk()?;
    let secret = SigningSecret::new(&config::required("SLACK_SIGNING_SECRET")?)
        .map_err(|error| StartError(error.to_string()))?;
    let inbound = Inbound {
        db: parts::db(1)?,
        connections: Connections::without_gateway(parts::redis()?),
        queue: Arc::new(parts::queue(&sdk, "QUEUE_URL")?),
        clock: Arc::new(SystemClock),
        patience: PATIENCE,
    };
    let outgoing = parts::outgoing()?;
    let app_id = config::optional("SLACK_APP_ID");
    parts::warm(None, Some(&inbound.db));
    let state = Events { inbound, outgoing, secret, app_id };
    let limit = DefaultBodyLimit::max(BODY_BYTES_MAX);
    serve(Router::new().route(PATH, post(events)).layer(limit).with_state(Arc::new(state))).await
}

async fn events(
    State(state): State<Arc<Events>>,
    Traced(trace): Traced,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let now = SystemClock.now();
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let value = values.next().and_then(|value| value.to_str().ok());
        value.filter(|_| values.next().is_none())
    };
    let (stamp, signature) = (one("x-slack-request-timestamp"), one("x-slack-signature"));
    if let Err(error) = state.secret.verify(&body, stamp, signature, now.unix_timestamp()) {
        tracing::warn!(%error, "a request that Slack did not sign");
        let text = "The request is not signed by Slack.";
        return ProblemAnswer::new(401, ErrorCode::AuthFailed, text).into_response();
    }
    let kind = one(header::CONTENT_TYPE.as_str());
    match event::parse(&body, kind, state.app_id.as_deref()) {
        Received::UrlVerification { challenge } => {
            let plain = [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            return (plain, challenge).into_response();
        }
        Received::SslCheck => {}
        Received::RateLimited { team_id } => {
            tracing::error!(?team_id, "Slack drops events: more than 30,000 in an hour");
        }
        Received::Ignored(why) => tracing::info!(why = why.as_str(), "an event was ignored"),
        Received::Uninstalled { workspace, at } | Received::TokensRevoked { workspace, bot: true, at } => {
            return state.uninstalled(workspace.installation_id(), at.unwrap_or(now)).await;
        }
        Received::TokensRevoked { bot: false, .. } => {}
        Received::Message(message) => {
            let handled = tokio::time::timeout(ANSWERED_WITHIN, state.message(&message, trace));
            return answer(handled.await.unwrap_or_else(|_| Err(Error::Away("too slow".to_owned()))));
        }
    }
    StatusCode::OK.into_response()
}

/// 200, and 503 for what must come again.
fn answer(handled: Result<(), Error>) -> Response {
    match handled {
        Ok(()) => StatusCode::OK.into_response(),
        Err(Error::Refused(refusal)) => {
            telemetry::refused(refusal.code);
            StatusCode::OK.into_response()
        }
        Err(error) => {
            tracing::error!(%error, "an event could not be handled: it is to come again");
            let text = "The event could not be handled now.";
            let mut problem = ProblemAnswer::new(503, ErrorCode::Internal, text).into_response();
            problem.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
            problem
        }
    }
}

impl Events {
    async fn uninstalled(&self, workspace: Option<&str>, at: OffsetDateTime) -> Response {
        let Some(workspace) = workspace else { return StatusCode::OK.into_response() };
        let done = Patience::of(PATIENCE)
            .retry(|| installations::uninstalled(&self.inbound.db, Channel::Slack, workspace, at));
        answer(done.await.map(|_| ()))
    }

    async fn message(&self, message: &SlackMessage, trace: TraceParent) -> Result<(), Error> {
        let Some(workspace) = message.workspace.installation_id() else { return Ok(()) };
        let db = &self.inbound.db;
        let patience = Patience::of(PATIENCE);
        let found = patience.retry(|| db.installation(Channel::Slack, workspace)).await?;
        let Some((tenant, _)) = found else {
            tracing::warn!(workspace, "an event of an unknown workspace was dropped");
            return Ok(());
        };
        let normalised = normalise(message, tenant, message.ts.time());
        if let (SlackAddressed::MaybeFollowed, Ok(reply)) = (message.addressed, &normalised) {
            // Most of what is said in rooms is not for us: no key is asked for it.
            if !patience.retry(|| self.inbound.follows(reply)).await? {
                return Ok(());
            }
        }
        let open = || self.outgoing.installation(db, tenant, Channel::Slack, workspace);
        let Some(installed) = patience.retry(open).await? else {
            tracing::warn!(workspace, tenant_id = %tenant, "an event of a workspace that was removed was dropped");
            return Ok(());
        };
        let inbound = Inbound { patience: patience.left(), ..self.inbound.clone() };
        let normalised = match normalised {
            Ok(normalised) => normalised,
            Err(why) => {
                self.tell_why_not(message, tenant, &installed, why).await;
                return Ok(());
            }
        };
        let arrival =
            Arrival { channel: installed.channel, token: installed.token, session_id: session_id(message) };
        let addressed = match message.addressed {
            SlackAddressed::Mention | SlackAddressed::Direct => Addressed::ToUs,
            SlackAddressed::MaybeFollowed => Addressed::InThread,
        };
        telemetry::about(Some(tenant), Some(normalised.thread_id));
        let outcome = inbound.receive(normalised, &arrival, addressed, trace).await?;
        // What was accepted names its message by itself.
        tracing::info!(?outcome, "a message from Slack");
        Ok(())
    }

    /// A message that names us and says nothing, or too much, gets a sentence; failing is no harm.
    async fn tell_why_not(
        &self,
        message: &SlackMessage,
        tenant: TenantId,
        installed: &Installed,
        why: NoMessage,
    ) {
        let sentence = match why {
            NoMessage::NoText => "I can read text only: please write what you need.",
            NoMessage::TooLong => "That is too long for me: please send at most 32,000 bytes.",
        };
        if message.addressed == SlackAddressed::MaybeFollowed {
            return;
        }
        let id = message_id(message);
        let to = Addressee { metadata: metadata(message), token: installed.token.clone(), message_id: id.0 };
        // One mention comes as two events.
        let first = self.inbound.may_tell(tenant, Channel::Slack, &id.to_string(), 3_600).await;
        if first {
            let told = installed.channel.tell(&to, sentence, TOLD_WITHIN).await;
            if let Err(error) = told {
                tracing::warn!(%error, "a person could not be told why there is no answer");
            }
        }
    }
}
