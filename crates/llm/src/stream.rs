//! An answer under way, whoever serves it: what a source reads goes through a decoder, and what that makes of it is
//! handed on. Dropping it closes the connection. It never holds back text that has arrived.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use konstruct_http::Body;
use konstruct_ports::{BoxFuture, ModelError, ModelEvent, ModelStream};
use tokio::time::Instant;

use crate::failure::{broken, of_transport};
use crate::sse;

/// How long usage is waited for once the answer is whole, and how long the end of the body once nothing more can
/// come (hanging up before it would look like a cut to the server).
const USAGE_WAIT: Duration = Duration::from_secs(5);
const END_WAIT: Duration = Duration::from_millis(250);

/// Most bytes of one event. An answer of 256 KB in a single event is far below; what is far above fills a Lambda's
/// memory, and is no answer.
pub(crate) const EVENT_MAX: usize = 16 * 1024 * 1024;

/// Where events come from.
pub(crate) trait Source: Send {
    /// An event as the provider frames it.
    type Item: Send;

    /// The next one; `None` at the end. Safe to drop and call again.
    fn read(&mut self) -> impl Future<Output = Result<Option<Self::Item>, ModelError>> + Send;
}

/// What events mean. Pure.
pub(crate) trait Decode: Send {
    /// As the source's.
    type Item;

    /// Takes one; returns what is to be told at once.
    fn take(&mut self, item: Self::Item) -> Result<Vec<ModelEvent>, ModelError>;

    /// Whether the answer is whole: only usage may still come.
    fn has_stopped(&self) -> bool;

    /// Whether nothing at all may still come.
    fn is_done(&self) -> bool;

    /// What comes at the end: tool calls and the stop.
    fn finish(&mut self) -> Result<Vec<ModelEvent>, ModelError>;
}

/// The stream behind `ModelStream`.
pub(crate) struct AnswerStream<S, D> {
    /// None once it has ended or broken.
    source: Option<S>,
    decoder: D,
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

impl<S: Source, D: Decode<Item = S::Item>> AnswerStream<S, D> {
    pub(crate) fn new(source: S, decoder: D) -> Self {
        Self { source: Some(source), decoder, ready: VecDeque::new(), until: None, state: State::Reading }
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
            // The only await; nothing is taken out of the source before it, so that dropping it loses nothing.
            let item = self.read().await;
            if let Err(error) = self.take(item) {
                self.end(State::Failed(error));
            }
        }
    }

    /// The next event; none at the end, and where an answer that is whole keeps us waiting.
    async fn read(&mut self) -> Result<Option<S::Item>, ModelError> {
        let Some(source) = &mut self.source else {
            return Ok(None);
        };
        match self.until {
            None => source.read().await,
            Some(until) => tokio::time::timeout_at(until, source.read()).await.unwrap_or(Ok(None)),
        }
    }

    fn take(&mut self, item: Result<Option<S::Item>, ModelError>) -> Result<(), ModelError> {
        let (stopped, done) = (self.decoder.has_stopped(), self.decoder.is_done());
        let item = match item {
            Ok(Some(item)) => item,
            Ok(None) => return self.finish(),
            // Whole is whole, whatever happened to the connection afterwards.
            Err(_) if stopped => return self.finish(),
            Err(error) => return Err(error),
        };
        self.ready.extend(self.decoder.take(item)?);
        if self.decoder.is_done() && !done {
            self.until = Some(Instant::now() + END_WAIT);
        } else if self.decoder.has_stopped() && !stopped {
            self.until = Some(Instant::now() + USAGE_WAIT);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ModelError> {
        let last = self.decoder.finish()?;
        self.ready.extend(last);
        self.end(State::Over);
        Ok(())
    }

    fn end(&mut self, state: State) {
        self.source = None;
        self.state = state;
    }
}

impl<S: Source, D: Decode<Item = S::Item>> ModelStream for AnswerStream<S, D> {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<ModelEvent>, ModelError>> {
        Box::pin(self.advance())
    }
}

/// Server-sent events out of a body.
pub(crate) struct SseSource {
    body: Body,
    decoder: sse::Decoder,
    waiting: VecDeque<sse::Event>,
}

impl SseSource {
    pub(crate) fn new(body: Body) -> Self {
        Self { body, decoder: sse::Decoder::new(), waiting: VecDeque::new() }
    }
}

impl Source for SseSource {
    type Item = sse::Event;

    async fn read(&mut self) -> Result<Option<sse::Event>, ModelError> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Ok(Some(event));
            }
            if self.decoder.pending() > EVENT_MAX {
                return Err(broken("stream has an event that does not end"));
            }
            match self.body.chunk().await {
                Ok(Some(piece)) => self.waiting.extend(self.decoder.push(&piece)),
                Ok(None) => return Ok(None),
                Err(error) => return Err(of_transport(&error)),
            }
        }
    }
}
