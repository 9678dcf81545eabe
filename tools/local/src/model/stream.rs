//! Streams an answer, each piece at its time.
//! A piece must go out when it is due: none waits to be sent together with the next.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use crate::error::Error;

use super::calls::Call;
use super::completion::{DONE, Head, tool_call};
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
    head: Head,
    call: Call,
    pieces: Pieces,
    pause: Option<Duration>,
    started: Option<Instant>,
    ending: Ending,
    /// Events that are due at once, and whether the last of them ends the stream.
    ready: VecDeque<Bytes>,
    over: bool,
}

/// The events of a text.
pub fn text(
    head: Head,
    call: Call,
    pieces: Pieces,
    pause: Duration,
    ending: Ending,
) -> impl Stream<Item = Result<Bytes, Error>> {
    let state = State {
        head,
        call,
        pieces,
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
        if let Some(pause) = self.pause.take() {
            sleep(pause).await;
        }
        let Some(started) = self.started else {
            self.started = Some(Instant::now());
            return Some(Ok(self.head.chunk(&json!({"role": "assistant", "content": ""}), None)));
        };
        if self.ending == Ending::Cut && self.pieces.given() == BEFORE_THE_CUT {
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
                Some(Ok(self.head.chunk(&json!({"content": piece}), None)))
            }
            None => {
                self.over = true;
                self.ready = end(&self.head, &self.call, "stop");
                self.call.finished();
                self.ready.pop_front().map(Ok)
            }
        }
    }
}

/// The events of a tool call.
pub fn tool(head: &Head, call: &mut Call, name: &str, arguments: &str) -> Vec<Bytes> {
    let mut first = tool_call(name, "");
    if let Some(members) = first.as_object_mut() {
        members.insert("index".into(), 0.into());
    }
    let mut events =
        vec![head.chunk(&json!({"role": "assistant", "content": null, "tool_calls": [first]}), None)];
    for piece in Pieces::text(arguments) {
        let part = json!({"index": 0, "function": {"arguments": piece}});
        events.push(head.chunk(&json!({"tool_calls": [part]}), None));
    }
    call.completion_tokens = events.len() as u64;
    events.extend(end(head, call, "tool_calls"));
    call.finished();
    events
}

fn end(head: &Head, call: &Call, finish: &str) -> VecDeque<Bytes> {
    let mut events = VecDeque::from([head.chunk(&json!({}), Some(finish))]);
    events.extend(head.usage(call.prompt_tokens, call.completion_tokens));
    events.push_back(DONE);
    events
}
