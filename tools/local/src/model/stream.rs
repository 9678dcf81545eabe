//! Streams an answer, each piece at its time.
//! A piece must go out when it is due: none waits to be sent together with the next.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use crate::error::Error;

use super::calls::Call;
use super::dialect::Dialect;
use super::pieces::Pieces;

/// Pieces sent before a midstream failure.
const BEFORE_THE_CUT: u64 = 3;

/// How a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With its last event.
    Whole,
    /// In the middle: the connection is cut.
    Cut,
}

struct State {
    dialect: Dialect,
    call: Call,
    pieces: Pieces,
    has_begun: bool,
    pause: Option<Duration>,
    started: Option<Instant>,
    ending: Ending,
    /// Events that are due at once, and whether the last of them ends the stream.
    ready: VecDeque<Bytes>,
    over: bool,
}

/// The events of a text.
pub fn text(
    dialect: Dialect,
    call: Call,
    pieces: Pieces,
    pause: Duration,
    ending: Ending,
) -> impl Stream<Item = Result<Bytes, Error>> {
    let state = State {
        dialect,
        call,
        pieces,
        has_begun: false,
        pause: (!pause.is_zero()).then_some(pause),
        started: None,
        ending,
        ready: VecDeque::new(),
        over: false,
    };
    unfold(state, |mut state| async move {
        let event = state.next().await?;
        Some((event, state))
    })
}

impl State {
    async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        if let Some(event) = self.ready.pop_front() {
            return Some(Ok(event));
        }
        if self.over {
            return None;
        }
        if !self.has_begun {
            // At once, whatever comes then: whoever asked knows that it is being worked on.
            self.has_begun = true;
            return Some(Ok(self.dialect.begin(&self.call)));
        }
        if let Some(pause) = self.pause.take() {
            sleep(pause).await;
        }
        let started = *self.started.get_or_insert_with(Instant::now);
        if self.ending == Ending::Cut && self.pieces.given() == BEFORE_THE_CUT {
            // What is listed as told must have gone out: the server flushes where the stream has it wait.
            yield_now().await;
            self.over = true;
            self.call.failed();
            return Some(Err(Error::new("cut on purpose")));
        }
        if let Some(due) = started.checked_add(self.pieces.due()) {
            sleep_until(due).await;
        }
        match self.pieces.next() {
            Some(piece) => {
                self.call.completion_tokens += 1;
                Some(Ok(self.dialect.piece(&self.call, &piece)))
            }
            None => {
                self.over = true;
                self.ready = self.dialect.end(&self.call).into();
                self.call.finished();
                self.ready.pop_front().map(Ok)
            }
        }
    }
}
