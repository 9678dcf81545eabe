//! The recorder: stands in for the APIs of Slack, WhatsApp and Telegram, and tells what it was sent.
//! It must log nothing: what it is sent are people's messages and the tenants' tokens.
//!
//! | path | is |
//! | --- | --- |
//! | `/slack/api/{method}` | Slack's Web API ([`slack`]) |
//! | `/whatsapp/…/{method}` | WhatsApp's Cloud API; the method is the last part of the path ([`whatsapp`]) |
//! | `/telegram/bot{token}/{method}` | Telegram's Bot API ([`telegram`]) |
//! | `/_recorder/calls`, `/_recorder/script` | what came in, and what is to go wrong |
//! | `/tickets/mcp`, `/_tickets/calls` | the demo's server of tools, and what of it ran ([`tickets`]) |
//!
//! Any token is taken, or none, and any room. Everything is in memory: a restart forgets the posts, too.

mod answer;
mod arguments;
mod calls;
mod script;
mod slack;
mod telegram;
#[cfg(test)]
mod tests;
mod tickets;
mod whatsapp;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Deserialize;

use crate::gateway::parameters::query;

use answer::Answer;
use arguments::{Arguments, Told};
use calls::{Call, Calls};
use script::{Script, Scripts};

/// More than any of the services takes.
const BODY_MAX: usize = 16 * 1024 * 1024;

/// The services that are stood in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Channel {
    Slack,
    WhatsApp,
    Telegram,
}

impl Channel {
    fn name(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::WhatsApp => "whatsapp",
            Self::Telegram => "telegram",
        }
    }
}

/// All that the recorder knows. One lock for everything: a call takes effect and is listed in one step.
#[derive(Debug, Default)]
struct Books {
    calls: Calls,
    scripts: Scripts,
    slack: slack::Workspace,
    telegram: telegram::Chats,
}

#[derive(Debug, Default)]
struct Recorder(Mutex<Books>);

impl Recorder {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// What the service answers; only here a call takes effect.
    fn answer(&mut self, channel: Channel, method: &str, arguments: &Arguments) -> Answer {
        match channel {
            Channel::Slack => self.slack.answer(method, arguments),
            Channel::WhatsApp => whatsapp::answer(method, arguments),
            Channel::Telegram => self.telegram.answer(method, arguments),
        }
    }
}

/// The three APIs, the recorder's own, and the demo's server of tools.
pub fn router() -> Router {
    Router::new()
        .route("/slack/api/{method}", any(to_slack))
        .route("/whatsapp/{*path}", any(to_whatsapp))
        .route("/telegram/{bot}/{method}", any(to_telegram))
        .route("/_recorder/calls", get(list))
        .route("/_recorder/script", post(arm).delete(disarm))
        .with_state(Arc::<Recorder>::default())
        .merge(tickets::router())
}

async fn to_slack(
    State(recorder): State<Arc<Recorder>>,
    Path(method): Path<String>,
    request: Request,
) -> Response {
    let token = arguments::bearer(request.headers());
    take(&recorder, Channel::Slack, method, token, request).await
}

async fn to_whatsapp(
    State(recorder): State<Arc<Recorder>>,
    Path(path): Path<String>,
    request: Request,
) -> Response {
    let token = arguments::bearer(request.headers());
    let method = path.rsplit('/').next().unwrap_or_default().to_string();
    take(&recorder, Channel::WhatsApp, method, token, request).await
}

async fn to_telegram(
    State(recorder): State<Arc<Recorder>>,
    Path((bot, method)): Path<(String, String)>,
    request: Request,
) -> Response {
    let token = bot.strip_prefix("bot").unwrap_or_default().to_string();
    take(&recorder, Channel::Telegram, method, token, request).await
}

/// One call, from its arrival to its answer.
async fn take(
    recorder: &Arc<Recorder>,
    channel: Channel,
    method: String,
    token: String,
    request: Request,
) -> Response {
    // From here on whoever drops this future has seen the caller hang up.
    let mut call = Call::arrived(recorder, channel, method, token);
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let told = Told::read(&head, &body);
    call.told(&told);
    let script = recorder.books().scripts.take(channel, call.method());
    tokio::time::sleep(script.delay()).await;
    call.end(&told, &script)
}

async fn list(State(recorder): State<Arc<Recorder>>, request: Request) -> Response {
    let mut wanted = None;
    for (name, value) in query(request.uri().query().unwrap_or_default()) {
        let known = [Channel::Slack, Channel::WhatsApp, Channel::Telegram];
        match known.into_iter().find(|channel| name == "channel" && channel.name() == value) {
            Some(channel) => wanted = Some(channel),
            None => return StatusCode::BAD_REQUEST.into_response(),
        }
    }
    let listed = recorder.books().calls.as_json(wanted);
    ([(CONTENT_TYPE, "application/json")], listed).into_response()
}

async fn arm(State(recorder): State<Arc<Recorder>>, body: Bytes) -> Response {
    match Script::read(&body) {
        Ok(script) => {
            recorder.books().scripts.arm(script);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, axum::Json(serde_json::json!({"error": error.to_string()})))
            .into_response(),
    }
}

async fn disarm(State(recorder): State<Arc<Recorder>>) -> StatusCode {
    recorder.books().scripts.forget();
    StatusCode::NO_CONTENT
}
