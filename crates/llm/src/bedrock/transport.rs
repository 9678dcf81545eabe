//! The SDK's HTTP, done by our one client. It never hands on a body whose messages no memory can hold.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_sdk_bedrockruntime::config::http::{HttpRequest, HttpResponse};
use aws_sdk_bedrockruntime::config::{HttpClient, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::Frame;
use konstruct_http::{Body, Client};

use crate::failure::error_body;
use crate::stream::EVENT_MAX;

/// Our client, as the SDK wants it.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    client: Client,
}

impl Transport {
    pub(super) const fn new(client: Client) -> Self {
        Self { client }
    }

    async fn carry(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        // What we send is in memory, always.
        let request = request.map(|body| body.bytes().map(Bytes::copy_from_slice).unwrap_or_default());
        let answer = self.client.send(request).await.map_err(|error| ConnectorError::io(error.into()))?;
        let body = if answer.status.is_success() {
            SdkBody::from_body_1_x(Messages::new(answer.body))
        } else {
            SdkBody::from(error_body(answer.body).await)
        };
        let mut response = http::Response::new(body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
    }
}

impl HttpConnector for Transport {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().carry(request))
    }
}

impl HttpClient for Transport {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// A message says that it is longer than any may be, or what comes is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stream has a message that does not end")]
pub(super) struct Endless;

/// A body of messages, each of which begins with its length: the SDK waits for all of it, however long.
#[derive(Debug)]
struct Messages {
    body: Body,
    lengths: Lengths,
}

impl Messages {
    fn new(body: Body) -> Self {
        Self { body, lengths: Lengths::default() }
    }
}

impl http_body::Body for Messages {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let piece = match ready!(self.body.poll_chunk(context)) {
            Ok(None) => return Poll::Ready(None),
            Ok(Some(piece)) => piece,
            Err(error) => return Poll::Ready(Some(Err(error.into()))),
        };
        let measured = self.lengths.measure(&piece);
        Poll::Ready(Some(measured.map(|()| Frame::data(piece)).map_err(BoxError::from)))
    }
}

/// Where in a message the stream is.
#[derive(Debug, Default)]
struct Lengths {
    /// What has come of the four bytes that say the length, and how many have.
    length: usize,
    come: u8,
    /// Bytes of the message that are still to come.
    left: usize,
}

impl Lengths {
    fn measure(&mut self, mut piece: &[u8]) -> Result<(), Endless> {
        loop {
            let passed = self.left.min(piece.len());
            self.left -= passed;
            let Some((&byte, behind)) = piece.get(passed..).and_then(<[u8]>::split_first) else {
                return Ok(());
            };
            self.length = (self.length << 8) | usize::from(byte);
            self.come += 1;
            piece = behind;
            if self.come == 4 {
                if self.length > EVENT_MAX {
                    return Err(Endless);
                }
                *self = Self { left: self.length.saturating_sub(4), ..Self::default() };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u32) -> Vec<u8> {
        let mut message = length.to_be_bytes().to_vec();
        message.resize(length as usize, 0xff);
        message
    }

    #[test]
    fn messages_are_measured_however_they_are_cut() {
        let stream = [message(16), message(4), message(300)].concat();
        for size in 1..stream.len() {
            let mut lengths = Lengths::default();
            assert!(stream.chunks(size).all(|piece| lengths.measure(piece).is_ok()));
            assert_eq!((lengths.left, lengths.come), (0, 0));
        }
    }

    #[test]
    fn a_message_that_no_memory_can_hold_is_refused_by_its_length() {
        let most = u32::try_from(EVENT_MAX).unwrap();
        assert_eq!(Lengths::default().measure(&most.to_be_bytes()), Ok(()));
        assert_eq!(Lengths::default().measure(&(most + 1).to_be_bytes()), Err(Endless));
        assert_eq!(Lengths::default().measure(b"<html>"), Err(Endless));
        let mut lengths = Lengths::default();
        assert_eq!(lengths.measure(&[&message(20)[..], &[0xff, 0xff]].concat()), Ok(()));
        assert_eq!(lengths.measure(&[0, 0]), Err(Endless));
    }
}
