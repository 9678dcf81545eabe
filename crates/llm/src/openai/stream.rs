//! An answer under way: bytes → events → chunks → model events. Dropping it closes the connection. It never holds
//! back text that has arrived.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use konstruct_http::{Body, HttpError};
use konstruct_ports::{BoxFuture, ModelError, ModelEvent, ModelStream};
use tokio::time::Instant;

use super::chunk::ChunkDecoder;
use super::failure::{broken, of_transport};
use crate::sse::Decoder;

/// How long usage is waited for once the answer is whole, and how long the end of the body once `[DONE]` has come
/// (hanging up before it would look like a cut to the server).
const USAGE_WAIT: Duration = Duration::from_secs(5);
const END_WAIT: Duration = Duration::from_millis(250);

/// Most bytes of one event. An answer of 256 KB in a single event is far below; what is far above fills a Lambda's
/// memory, and is no answer.
const EVENT_MAX: usize = 16 * 1024 * 1024;

/// The stream behind `ModelStream`.
pub(super) struct OpenAiStream {
    /// None once it has ended or broken.
    body: Option<Body>,
    sse: Decoder,
    chunks: ChunkDecoder,
    ready: VecDeque<ModelEvent>,
    /// Until when more is waited for; none while the answer is not whole.
    until: Option<Instant>,
    state: State,
}

/// What an answer can still do.
enum State {
    Reading,
    /// What is ready is the last.
    Over,
    Failed(ModelError),
}

impl OpenAiStream {
    pub(super) fn new(body: Body) -> Self {
        Self {
            body: Some(body),
            sse: Decoder::new(),
            chunks: ChunkDecoder::new(),
            ready: VecDeque::new(),
            until: None,
            state: State::Reading,
        }
    }

    async fn advance(&mut self) -> Result<Option<ModelEvent>, ModelError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            match &self.state {
                State::Reading => {}
                State::Over => return Ok(None),
                State::Failed(error) => return Err(error.clone()),
            }
            // The only await; nothing is taken out of the stream before it, so that dropping it loses nothing.
            let piece = self.read().await;
            if let Err(error) = self.take(piece) {
                self.end(State::Failed(error));
            }
        }
    }

    /// The next piece; none at the end, and where an answer that is whole keeps us waiting.
    async fn read(&mut self) -> Result<Option<Bytes>, HttpError> {
        let Some(body) = &mut self.body else {
            return Ok(None);
        };
        match self.until {
            None => body.chunk().await,
            Some(until) => tokio::time::timeout_at(until, body.chunk()).await.unwrap_or(Ok(None)),
        }
    }

    fn take(&mut self, piece: Result<Option<Bytes>, HttpError>) -> Result<(), ModelError> {
        let piece = match piece {
            Ok(Some(piece)) => piece,
            Ok(None) => return self.finish(),
            // Whole is whole, whatever happened to the connection afterwards.
            Err(_) if self.chunks.has_stopped() => return self.finish(),
            Err(error) => return Err(of_transport(&error)),
        };
        let (stopped, done) = (self.chunks.has_stopped(), self.chunks.is_done());
        for event in self.sse.push(&piece) {
            // What came before an error in the same piece has been said, and is shown.
            self.ready.extend(self.chunks.push(&event.data)?);
        }
        if self.sse.pending() > EVENT_MAX {
            return Err(broken("stream has an event that does not end"));
        }
        if self.chunks.is_done() && !done {
            self.until = Some(Instant::now() + END_WAIT);
        } else if self.chunks.has_stopped() && !stopped {
            self.until = Some(Instant::now() + USAGE_WAIT);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ModelError> {
        let last = self.chunks.finish()?;
        self.ready.extend(last);
        self.end(State::Over);
        Ok(())
    }

    fn end(&mut self, state: State) {
        self.body = None;
        self.state = state;
    }
}

impl ModelStream for OpenAiStream {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<ModelEvent>, ModelError>> {
        Box::pin(self.advance())
    }
}
