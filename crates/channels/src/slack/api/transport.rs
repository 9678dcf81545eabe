//! How a call gets to Slack: HTTP, or in tests whatever plays Slack. It does not look into bodies.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Request};
use konstruct_http::{Client, HttpError};
use konstruct_ports::BoxFuture;

/// Most bytes of an answer: a page of 100 long messages with room to spare.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One call.
pub struct RawCall<'a> {
    /// `chat.postMessage`, …
    pub method: &'static str,
    /// The header, marked as sensitive.
    pub authorization: &'a HeaderValue,
    /// What the body is.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

/// One answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawAnswer {
    /// HTTP's.
    pub status: u16,
    /// The header of that name, in whole seconds on the wire.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// The call was never sent.
    NotSent,
    /// It may have been sent, and served.
    InDoubt,
}

/// Gets a call to Slack and its answer back. Dropping the future hangs up.
pub trait Transport: Send + Sync {
    /// Sends.
    fn post<'a>(&'a self, call: RawCall<'a>) -> BoxFuture<'a, Result<RawAnswer, NoAnswer>>;
}

/// The real one.
#[derive(Debug)]
pub struct HttpTransport {
    client: Client,
    base_url: String,
}

impl HttpTransport {
    pub(super) const fn new(client: Client, base_url: String) -> Self {
        Self { client, base_url }
    }

    async fn send(&self, call: RawCall<'_>) -> Result<RawAnswer, NoAnswer> {
        let request = Request::post(format!("{}/{}", self.base_url, call.method))
            .header(CONTENT_TYPE, call.content_type)
            .header(AUTHORIZATION, call.authorization)
            .body(call.body)
            .map_err(|_| NoAnswer::NotSent)?;
        let response = self.client.send(request).await.map_err(|error| no_answer(&error, call.method))?;
        let (status, retry_after) = (response.status.as_u16(), retry_after(&response.headers));
        let body = response.body.collect(ANSWER_BYTES_MAX).await;
        // A limit's body does not matter.
        let body = if status == 429 { Ok(body.unwrap_or_default()) } else { body };
        let body = body.map_err(|error| no_answer(&error, call.method))?;
        Ok(RawAnswer { status, retry_after, body })
    }
}

impl Transport for HttpTransport {
    fn post<'a>(&'a self, call: RawCall<'a>) -> BoxFuture<'a, Result<RawAnswer, NoAnswer>> {
        Box::pin(self.send(call))
    }
}

fn no_answer(error: &HttpError, method: &str) -> NoAnswer {
    tracing::warn!(%error, method, "no answer from Slack");
    match error {
        HttpError::Broken { .. } | HttpError::TooLarge { .. } => NoAnswer::InDoubt,
        HttpError::Address(_)
        | HttpError::Tls(_)
        | HttpError::Connect { .. }
        | HttpError::ConnectTimeout { .. } => NoAnswer::NotSent,
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    seconds.parse().ok().map(Duration::from_secs)
}
