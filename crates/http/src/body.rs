//! An answer and its body, which streams. A body never holds more than the piece it hands over.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use hyper::body::{Body as _, Incoming};

use crate::HttpError;
use crate::error::cause_of;

/// An answer whose headers have arrived.
#[derive(Debug)]
pub struct Response {
    /// The status; none is an error here, redirects included.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, still arriving.
    pub body: Body,
}

/// A body that is still arriving. Dropping it before its end closes the connection, so that the server stops.
#[derive(Debug)]
pub struct Body {
    host: Arc<str>,
    incoming: Incoming,
}

impl Body {
    pub(crate) const fn new(host: Arc<str>, incoming: Incoming) -> Self {
        Self { host, incoming }
    }

    /// The next piece, never empty; `None` at the end. Safe to drop and call again: nothing that arrived is lost.
    ///
    /// # Errors
    /// [`HttpError::Broken`] if the connection ends before the body does.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        poll_fn(|context| self.poll_chunk(context)).await
    }

    /// [`Self::chunk`] for whoever has a context at hand instead of a task.
    ///
    /// # Errors
    /// As [`Self::chunk`].
    pub fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, HttpError>> {
        loop {
            let frame = match ready!(Pin::new(&mut self.incoming).poll_frame(context)) {
                None => return Poll::Ready(Ok(None)),
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    let (host, cause) = (self.host.to_string(), cause_of(&error));
                    return Poll::Ready(Err(HttpError::Broken { host, cause }));
                }
            };
            // Trailers are of no interest.
            if let Ok(data) = frame.into_data()
                && !data.is_empty()
            {
                return Poll::Ready(Ok(Some(data)));
            }
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`HttpError::TooLarge`] as soon as it is known to have more than `limit` bytes, [`HttpError::Broken`] if the
    /// connection ends before the body does.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, HttpError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.chunk().await? {
            if whole.len().saturating_add(piece.len()) > limit {
                return Err(HttpError::TooLarge { limit });
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}
