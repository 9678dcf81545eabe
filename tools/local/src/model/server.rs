//! The model's server, on a thread and runtime of its own: stopping it cuts every connection at once.
//! The list of calls must outlive a stop.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;
use tokio::sync::{Mutex, oneshot};

use crate::error::{Context, Error, Result};
use crate::server::{listen, serve};

use super::answer::{Answer, decide};
use super::anthropic;
use super::calls::{Call, Calls};
use super::completion::Head;
use super::dialect::Dialect;
use super::directive::ErrorKind;
use super::pieces::Pieces;
use super::request::Asked;
use super::stream::{self as events, Ending};

/// The model.
#[derive(Debug)]
pub struct ModelServer {
    port: u16,
    calls: Arc<Calls>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl ModelServer {
    /// A model for this port; starts nothing yet.
    pub fn new(port: u16) -> Self {
        Self { port, calls: Arc::default(), running: Mutex::default() }
    }

    /// Starts it, where it is down.
    pub async fn start(&self) -> Result<()> {
        let mut running = self.running.lock().await;
        if running.is_some() {
            return Ok(());
        }
        self.calls.set_stopping(false);
        let (stop, stopped) = oneshot::channel();
        let (started, start) = oneshot::channel();
        let (port, router) = (self.port, router(self.calls.clone()));
        let thread = std::thread::spawn(move || {
            let result = host(port, router, stopped, started);
            // It fails only before `started` was told, which is seen there.
            drop(result);
        });
        start.await.unwrap_or_else(|_| Err(Error::new("the model does not start")))?;
        *running = Some(Running { stop, thread });
        Ok(())
    }

    /// Stops it; returns once its port is free.
    pub async fn stop(&self) {
        if let Some(running) = self.running.lock().await.take() {
            self.calls.set_stopping(true);
            let _ = running.stop.send(());
            let _ = tokio::task::spawn_blocking(move || running.thread.join()).await;
        }
    }
}

fn host(
    port: u16,
    router: Router,
    stopped: oneshot::Receiver<()>,
    started: oneshot::Sender<Result<()>>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("the model")?;
    runtime.block_on(async {
        let listener = match listen(port, "development model") {
            Ok(listener) => listener,
            Err(error) => return drop(started.send(Err(error))),
        };
        let _ = started.send(Ok(()));
        tokio::select! {
            () = serve(listener, router) => {}
            _ = stopped => {}
        }
    });
    // Dropping the runtime drops every connection with its call.
    Ok(())
}

/// The model's API and its list of calls.
pub fn router(calls: Arc<Calls>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(complete))
        .route("/v1/messages", post(message))
        .route("/v1/models", get(models))
        .route("/_model/calls", get(list).delete(clear))
        .layer(DefaultBodyLimit::max(64 * 1024 * 1024))
        .with_state(calls)
}

async fn list(State(calls): State<Arc<Calls>>) -> Response {
    axum::Json(calls.as_json()).into_response()
}

async fn clear(State(calls): State<Arc<Calls>>) -> StatusCode {
    calls.clear();
    StatusCode::NO_CONTENT
}

async fn models() -> Response {
    axum::Json(
        json!({"object": "list", "data": [{"id": "development", "object": "model", "owned_by": "local"}]}),
    )
    .into_response()
}

async fn complete(State(calls): State<Arc<Calls>>, body: Bytes) -> Response {
    match Asked::read(&body) {
        Some(asked) => answer(&calls, &asked, Dialect::OpenAi(Head::new(&asked.model, asked.usage))).await,
        None => refusal(&Dialect::OpenAi(Head::new("", false)), 400),
    }
}

async fn message(State(calls): State<Arc<Calls>>, body: Bytes) -> Response {
    match Asked::read_anthropic(&body) {
        Some(asked) => answer(&calls, &asked, Dialect::Anthropic(anthropic::Head::new(&asked.model))).await,
        None => refusal(&Dialect::Anthropic(anthropic::Head::new("")), 400),
    }
}

async fn answer(calls: &Arc<Calls>, asked: &Asked, dialect: Dialect) -> Response {
    let mut call = Call::arrived(calls, asked);
    match decide(asked, calls) {
        Answer::Error(ErrorKind::Status(status)) => {
            call.refused();
            refusal(&dialect, status)
        }
        Answer::Error(kind) => broken(kind, dialect, call),
        Answer::Text(pieces, pause) if asked.stream => {
            event_stream(Body::from_stream(events::text(dialect, call, pieces, pause, Ending::Whole)))
        }
        Answer::Tool { name, arguments } if asked.stream => {
            let events = dialect.tool(&mut call, &name, &arguments);
            call.finished();
            event_stream(Body::from_stream(stream::iter(events.into_iter().map(Ok::<_, Error>))))
        }
        Answer::Text(pieces, pause) => {
            tokio::time::sleep(pause).await;
            let text = collect(pieces, &mut call).await;
            call.finished();
            axum::Json(dialect.whole_text(&call, &text)).into_response()
        }
        Answer::Tool { name, arguments } => {
            call.completion_tokens = arguments.split_whitespace().count() as u64 + 1;
            call.finished();
            axum::Json(dialect.whole_tool(&call, &name, &arguments)).into_response()
        }
    }
}

async fn collect(mut pieces: Pieces, call: &mut Call) -> String {
    let started = tokio::time::Instant::now();
    let mut text = String::new();
    loop {
        if let Some(due) = started.checked_add(pieces.due()) {
            tokio::time::sleep_until(due).await;
        }
        let Some(piece) = pieces.next() else { return text };
        text.push_str(&piece);
        call.completion_tokens += 1;
    }
}

/// A stream that begins as any other and goes wrong.
fn broken(kind: ErrorKind, dialect: Dialect, mut call: Call) -> Response {
    let begin = dialect.begin(&call);
    match kind {
        ErrorKind::Midstream => {
            let pieces = Pieces::text("This answer will never be told to its end, and that is on purpose.");
            event_stream(Body::from_stream(events::text(dialect, call, pieces, Duration::ZERO, Ending::Cut)))
        }
        ErrorKind::Hang => {
            // Then nothing: the call ends when the client hangs up.
            let forever = stream::once(async move {
                let _call = call;
                std::future::pending::<std::result::Result<Bytes, Error>>().await
            });
            event_stream(Body::from_stream(stream::iter([Ok(begin)]).chain(forever)))
        }
        ErrorKind::Garbage | ErrorKind::Status(_) => {
            call.failed();
            event_stream(Body::from([&begin, GARBAGE].concat()))
        }
    }
}

const GARBAGE: &[u8] = b"\x00\xff<<<garbage>>>\xfe{not: json\r\n\x80\x81";

fn event_stream(body: Body) -> Response {
    ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn refusal(dialect: &Dialect, status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(dialect.refusal(status))).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert("retry-after", http::HeaderValue::from_static("1"));
    }
    response
}
