//! `/_local`: looks at the stack and disturbs it. Exists only here, never in a template.
//! It answers exactly as local-stack.md says: 204 for what only does something, 400 for what it does not know.

use std::path::PathBuf;
use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Context, Error, Result};
use crate::faults::{Fault, Faults};
use crate::gateway::posts::Posts;
use crate::gateway::registry::{Ending, Registry};
use crate::lambda::Host;
use crate::lambda_api;
use crate::services::Services;
use crate::sqs::figures::QueueFigures;

const BODY_MAX: usize = 64 * 1024;

/// What `/_local` looks at and disturbs.
pub struct LocalApi {
    /// The functions.
    pub host: Arc<Host>,
    /// The queues.
    pub queues: QueueFigures,
    /// The Management API's counters.
    pub posts: Arc<Posts>,
    /// What is armed.
    pub faults: Arc<Faults>,
    /// The open connections.
    pub connections: Arc<Registry>,
    /// What can be stopped and started.
    pub services: Arc<Services>,
}

/// Answers a call; `call` is the path behind `/_local/`.
pub async fn handle(api: Arc<LocalApi>, call: &str, request: Request) -> Response {
    let method = request.method().clone();
    match (method, call) {
        (Method::GET, "functions") => axum::Json(api.host.figures()).into_response(),
        (Method::GET, "builds") => axum::Json(api.host.builds()).into_response(),
        (Method::GET, "posts") => axum::Json(api.posts.as_json()).into_response(),
        (Method::GET, "queue") => match api.queues.as_json().await {
            Ok(figures) => axum::Json(figures).into_response(),
            Err(error) => told(StatusCode::SERVICE_UNAVAILABLE, &error),
        },
        (Method::POST, "faults") => done(api.arm(request).await),
        (Method::DELETE, "faults") => {
            api.faults.disarm();
            StatusCode::NO_CONTENT.into_response()
        }
        (Method::POST, call) if let Some(name) = swapped(call) => done(api.swap(name, request).await),
        (Method::POST, call)
            if let Some(name) = call.strip_prefix("lambda/").and_then(lambda_api::invoked) =>
        {
            lambda_api::invoke(&api.host, name, request).await
        }
        (Method::POST, call) if call.starts_with("services/") => done(api.service(call).await),
        _ => told(StatusCode::NOT_FOUND, &Error::new("there is no such call")),
    }
}

impl LocalApi {
    async fn arm(&self, request: Request) -> Result<()> {
        let body = to_bytes(request.into_body(), BODY_MAX).await.context("the body")?;
        let fault: Fault = serde_json::from_slice(&body).context("no fault")?;
        match &fault {
            Fault::KillFunction { function, .. } => {
                let known = self.host.names().any(|name| name == function);
                known.then_some(()).context(format_args!("there is no function {function}"))?;
            }
            Fault::ManagementStatus { status, .. } if ![410, 429, 500].contains(status) => {
                return Err(Error::new("the status must be 410, 429 or 500"));
            }
            Fault::DropConnection { connection_id } => {
                let connection =
                    self.connections.get(connection_id).context("there is no such connection")?;
                // Forgotten first: a post that follows must get 410.
                self.connections.remove(connection_id);
                connection.end(Ending::Cut);
            }
            _ => {}
        }
        self.faults.arm(fault);
        Ok(())
    }

    async fn swap(&self, name: &str, request: Request) -> Result<()> {
        let body = to_bytes(request.into_body(), BODY_MAX).await.context("the body")?;
        let swap: Swap = match body.is_empty() {
            true => Swap::default(),
            false => serde_json::from_slice(&body).context("no swap")?,
        };
        self.host.swap(name, swap.folder.as_deref(), swap.kill)
    }

    async fn service(&self, call: &str) -> Result<()> {
        let mut parts = call.split('/').skip(1);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(name), Some(action), None) => self.services.act(name, action).await,
            _ => Err(Error::new("there is no such call")),
        }
    }
}

/// How functions are swapped for another build.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Swap {
    /// Where the binaries are; not given: where builds put them.
    folder: Option<PathBuf>,
    /// Old processes are killed at once, in mid-invocation.
    #[serde(default)]
    kill: bool,
}

/// The function that `functions/{name}/swap` names; `*`: all of them.
fn swapped(call: &str) -> Option<&str> {
    call.strip_prefix("functions/")?.strip_suffix("/swap").filter(|name| !name.contains('/'))
}

fn done(result: Result<()>) -> Response {
    match result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => told(StatusCode::BAD_REQUEST, &error),
    }
}

fn told(status: StatusCode, error: &Error) -> Response {
    let body: Value = json!({"error": error.to_string()});
    (status, axum::Json(body)).into_response()
}
