//! `GET /slack/oauth/callback`: a browser comes back from Slack, with a code and a state, or without consent. It answers
//! with pages of a sentence; nothing of what came is in them, nor in a log.

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use konstruct_channels::slack::install::SlackInstaller;
use konstruct_domain::Channel;
use konstruct_service::installations::Installing;

use crate::config::{optional, required};
use crate::parts;
use crate::problem::ProblemAnswer;
use crate::respond;
use crate::rest::{Query, serve};
use crate::start::{StartError, start};
use crate::system::{SystemClock, SystemIds};

/// Longest code or state that is looked at, bytes.
const PARAMETER_BYTES_MAX: usize = 512;

/// Of a page without scripts, styles or links.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

pub(crate) struct Callback {
    /// `None`: this deployment has no Slack app.
    installing: Option<Installing>,
}

/// Runs the function.
#[must_use]
pub fn main() -> ExitCode {
    start(run)
}

async fn run() -> Result<(), StartError> {
    let installing = installing()?;
    if let Some(installing) = &installing {
        parts::warm(Some(&installing.redis), Some(&installing.db));
    }
    let state = Arc::new(Callback { installing });
    serve(Router::new().route("/slack/oauth/callback", get(callback)).with_state(state)).await
}

fn installing() -> Result<Option<Installing>, StartError> {
    let (Some(client_id), Some(client_secret)) =
        (optional("SLACK_CLIENT_ID"), optional("SLACK_CLIENT_SECRET"))
    else {
        return Ok(None);
    };
    let redirect_url = required("SLACK_REDIRECT_URL")?;
    let installer = SlackInstaller::new(parts::slack()?, client_id, client_secret, redirect_url);
    Ok(Some(Installing {
        db: parts::db(1)?,
        redis: parts::redis()?,
        secrets: parts::secrets()?,
        installer: Arc::new(installer),
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemIds),
        channel: Channel::Slack,
    }))
}

/// Takes the state back, once, and completes the installation. A browser comes here from Slack.
#[utoipa::path(
    get,
    path = "/slack/oauth/callback",
    params(
        ("state" = Option<String>, Query),
        ("code" = Option<String>, Query),
        ("error" = Option<String>, Query),
    ),
    responses(
        (status = 200, body = String, content_type = "text/html"),
        (status = 400, body = String, content_type = "text/html"),
        (status = 403, body = String, content_type = "text/html"),
        (status = 503, body = String, content_type = "text/html"),
    ),
)]
pub(crate) async fn callback(
    State(state): State<Arc<Callback>>,
    query: Result<Query, ProblemAnswer>,
) -> Response {
    let Some(installing) = &state.installing else {
        return page(503, "Slack is not set up on this deployment.");
    };
    let query = query.ok();
    let Some((outcome, state)) = query.as_ref().and_then(returned) else {
        return page(400, "This is not a link that Slack makes. Please begin again in the portal.");
    };
    let done = match outcome {
        Outcome::Agreed(code) => installing.complete(code, state).await.map(drop),
        Outcome::NotAgreed => installing.cancel(state).await,
    };
    match (done, outcome) {
        (Ok(()), Outcome::Agreed(_)) => page(200, "Slack is connected. You can go back to the portal."),
        (Ok(()), Outcome::NotAgreed) => page(200, "Slack is not connected: nothing was changed."),
        (Err(error), _) => {
            let retryable = error.is_retryable();
            let (code, text, _) = respond::parts(&error);
            page(respond::status(code, retryable), &format!("{text} Please begin again in the portal."))
        }
    }
}

/// What the person said to Slack.
#[derive(Clone, Copy)]
enum Outcome<'a> {
    Agreed(&'a str),
    NotAgreed,
}

/// What Slack's link says, with its state; `None`: it is none of Slack's.
fn returned(query: &Query) -> Option<(Outcome<'_>, &str)> {
    let parameter = |name| {
        let text = query.text(name).ok()?;
        Some(text.filter(|text| (1..=PARAMETER_BYTES_MAX).contains(&text.len())))
    };
    let (state, code, error) = (parameter("state")?, parameter("code")?, parameter("error")?);
    match (code, error) {
        (Some(code), None) => Some((Outcome::Agreed(code), state?)),
        (None, Some(_)) => Some((Outcome::NotAgreed, state?)),
        _ => None,
    }
}

/// A page of one sentence. The sentences are ours; they are escaped nevertheless.
fn page(status: u16, sentence: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let sentence = sentence.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Slack</title></head>\
         <body><p>{sentence}</p></body></html>\n"
    );
    (status, HEADERS, html).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::extract::FromRequestParts as _;
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn said(query: &str) -> Option<String> {
        let (mut parts, ()) = Request::get(format!("/x?{query}")).body(()).unwrap().into_parts();
        let query = Query::from_request_parts(&mut parts, &()).await.ok()?;
        returned(&query).map(|(outcome, state)| match outcome {
            Outcome::Agreed(code) => format!("agreed {code} {state}"),
            Outcome::NotAgreed => format!("not agreed {state}"),
        })
    }

    #[tokio::test]
    async fn a_link_has_a_state_and_either_a_code_or_an_error() {
        assert_eq!(said("code=c&state=s").await.as_deref(), Some("agreed c s"));
        assert_eq!(said("error=access_denied&state=s&x=y").await.as_deref(), Some("not agreed s"));
        let long = "x".repeat(PARAMETER_BYTES_MAX + 1);
        for none in ["", "code=c", "state=s", "code=&state=s", "code=c&state=", "code=c&error=e&state=s"] {
            assert_eq!(said(none).await, None, "{none}");
        }
        for none in
            [format!("code=c&state={long}"), format!("code={long}&state=s"), "code=%ff&state=s".to_owned()]
        {
            assert_eq!(said(&none).await.filter(|said| said.is_ascii()), None, "{none}");
        }
        assert_eq!(said("code=c&code=d&state=s").await, None);
    }

    /// proves SLACK-06
    #[tokio::test]
    async fn without_an_app_the_page_says_so_and_repeats_nothing() {
        let state = Arc::new(Callback { installing: None });
        let router = Router::new().route("/x", get(callback)).with_state(state);
        let request = Request::get("/x?code=%3Cscript%3E&state=secret").body(Body::empty()).unwrap();
        let answer = router.oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        for (name, value) in HEADERS {
            assert_eq!(answer.headers().get(name).unwrap(), value);
        }
        let body = to_bytes(answer.into_body(), 10_000).await.unwrap();
        let body = std::str::from_utf8(&body).unwrap();
        assert!(body.contains("Slack is not set up") && !body.contains("script") && !body.contains("secret"));
    }

    #[tokio::test]
    async fn a_page_escapes_what_it_says() {
        let answer = page(200, "<&>");
        let body = to_bytes(answer.into_body(), 10_000).await.unwrap();
        assert!(std::str::from_utf8(&body).unwrap().contains("<p>&lt;&amp;&gt;</p>"));
    }
}
