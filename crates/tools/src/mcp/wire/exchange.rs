//! One request and its answer. It reads no more than it must, and nothing of what answers a mere note.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderName, Method, Request};
use konstruct_http::{Body, HttpError, Response};
use rmcp::model::{ClientJsonRpcMessage, ClientRequest, JsonRpcMessage, RequestId, ServerJsonRpcMessage};
use rmcp::transport::common::http_header::{
    EVENT_STREAM_MIME_TYPE, HEADER_LAST_EVENT_ID, HEADER_SESSION_ID, JSON_MIME_TYPE,
};
use rmcp::transport::streamable_http_client::StreamableHttpPostResponse;
use sse_stream::SseStream;
use tokio::time::timeout_at;

use super::trouble::Trouble;
use super::{Counts, Events, Wire};

/// What an answer may be.
const BOTH: &str = "application/json, text/event-stream";
/// Largest body that is read, and the most of a stream.
const BODY_MAX: usize = 1024 * 1024;

impl Wire {
    /// One request, until its answer's head is there.
    async fn send(&self, request: Request<Bytes>) -> Result<Response, Trouble> {
        let sending = self.shared.client.send(request);
        match timeout_at(self.shared.deadline, sending).await {
            Ok(answered) => answered.map_err(Trouble::Http),
            Err(_) => Err(Trouble::TooLate),
        }
    }

    async fn collect(&self, body: Body) -> Result<Bytes, Trouble> {
        match timeout_at(self.shared.deadline, body.collect(BODY_MAX)).await {
            Ok(collected) => collected.map_err(Trouble::Http),
            Err(_) => Err(Trouble::TooLate),
        }
    }

    /// A body as events: it ends with an error at the deadline and where there is too much of it.
    fn events(&self, body: Body) -> Events {
        let pieces = stream::unfold(Some((self.clone(), body, BODY_MAX)), |state| async move {
            let (wire, mut body, left) = state?;
            let trouble = match timeout_at(wire.shared.deadline, body.chunk()).await {
                Ok(Ok(None)) => return None,
                Ok(Ok(Some(piece))) => match left.checked_sub(piece.len()) {
                    Some(left) => return Some((Ok(piece), Some((wire, body, left)))),
                    None => Trouble::Http(HttpError::TooLarge { limit: BODY_MAX }),
                },
                Ok(Err(error)) => Trouble::Http(error),
                Err(_) => Trouble::TooLate,
            };
            wire.note(trouble.clone());
            Some((Err(trouble), None))
        });
        SseStream::from_bytes_stream(pieces).boxed()
    }

    /// Sends a message. Of what answers none but a request, nothing is read.
    pub(super) async fn post(
        &self,
        uri: &str,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Trouble> {
        let body = serde_json::to_vec(&message).map_err(|_| Trouble::Unfit)?;
        let mut request = self.request(Method::POST, uri, session, headers, body)?;
        let fields = request.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(JSON_MIME_TYPE));
        fields.insert(ACCEPT, HeaderValue::from_static(BOTH));
        let counts = match self.shared.counts {
            Counts::Everything => true,
            Counts::ToolCalls => is_tool_call(&message),
        };
        // Before it is sent: whoever is stopped while it is under way must think that it ran.
        self.told().was_asked |= counts;
        let response = match self.send(request).await {
            Ok(response) => response,
            Err(trouble) => {
                if counts && trouble.was_not_sent() {
                    self.told().was_asked = false;
                }
                return Err(trouble);
            }
        };
        if response.status.is_redirection() {
            return Err(Trouble::Redirect(response.status));
        }
        if !response.status.is_success() {
            return Err(Trouble::Status(response.status));
        }
        match message {
            JsonRpcMessage::Request(request) => self.answer(response, &request.id).await,
            _ => Ok(StreamableHttpPostResponse::Accepted),
        }
    }

    async fn answer(
        &self,
        response: Response,
        id: &RequestId,
    ) -> Result<StreamableHttpPostResponse, Trouble> {
        let session = response.headers.get(HEADER_SESSION_ID).and_then(|value| value.to_str().ok());
        let session = session.map(str::to_owned);
        let kind = response.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let is = |kind: &[u8], wanted: &str| {
            kind.get(..wanted.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(wanted.as_bytes()))
        };
        if is(kind, EVENT_STREAM_MIME_TYPE) {
            return Ok(StreamableHttpPostResponse::Sse(self.events(response.body), session));
        }
        if !is(kind, JSON_MIME_TYPE) {
            return Err(Trouble::ContentType);
        }
        let body = self.collect(response.body).await?;
        let message: ServerJsonRpcMessage = serde_json::from_slice(&body).map_err(|_| Trouble::Unreadable)?;
        let answered = match &message {
            JsonRpcMessage::Response(response) => Some(&response.id),
            JsonRpcMessage::Error(error) => error.id.as_ref(),
            _ => return Err(Trouble::Unreadable),
        };
        // Some servers make a text of a number.
        if answered.is_some_and(|answered| answered.to_string() != id.to_string()) {
            return Err(Trouble::WrongId);
        }
        Ok(StreamableHttpPostResponse::Json(message, session))
    }

    pub(super) fn request(
        &self,
        method: Method,
        uri: &str,
        session: Option<Arc<str>>,
        headers: HashMap<HeaderName, HeaderValue>,
        body: Vec<u8>,
    ) -> Result<Request<Bytes>, Trouble> {
        let mut request =
            Request::builder().method(method).uri(uri).body(Bytes::from(body)).map_err(|_| Trouble::Unfit)?;
        let fields = request.headers_mut();
        for (name, value) in headers {
            fields.insert(name, value);
        }
        if let Some(key) = &self.shared.key {
            fields.insert(AUTHORIZATION, key.clone());
        }
        if let Some(session) = session {
            let session = HeaderValue::from_str(&session).map_err(|_| Trouble::Unfit)?;
            fields.insert(HEADER_SESSION_ID, session);
        }
        Ok(request)
    }

    /// Takes up a stream that ended before its answer.
    pub(super) async fn resume(
        &self,
        uri: &str,
        session: Option<Arc<str>>,
        last: &str,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<Events, Trouble> {
        let mut request = self.request(Method::GET, uri, session, headers, Vec::new())?;
        let fields = request.headers_mut();
        fields.insert(ACCEPT, HeaderValue::from_static(EVENT_STREAM_MIME_TYPE));
        fields.insert(HEADER_LAST_EVENT_ID, HeaderValue::from_str(last).map_err(|_| Trouble::Unfit)?);
        let response = self.send(request).await?;
        if response.status.is_success() {
            Ok(self.events(response.body))
        } else {
            Err(Trouble::Status(response.status))
        }
    }
}

fn is_tool_call(message: &ClientJsonRpcMessage) -> bool {
    match message {
        JsonRpcMessage::Request(request) => matches!(request.request, ClientRequest::CallToolRequest(_)),
        _ => false,
    }
}
