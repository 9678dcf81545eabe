//! The list of calls for `/_model/calls`.
//! It keeps counts and outcomes, never a text.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::clock::{now_ms, rfc3339};

use super::request::Asked;

#[derive(Debug, Default)]
struct Books {
    listed: Vec<(u64, Value)>,
    failed_once: HashSet<u64>,
    arrivals: u64,
}

/// All calls so far; they outlive a stop of the model.
#[derive(Debug, Default)]
pub struct Calls {
    books: Mutex<Books>,
    stopping: AtomicBool,
}

impl Calls {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether these messages were not seen here before.
    pub fn is_first(&self, messages: &[Value]) -> bool {
        let mut hasher = DefaultHasher::new();
        messages.iter().for_each(|message| message.to_string().hash(&mut hasher));
        self.books().failed_once.insert(hasher.finish())
    }

    /// Whether the server is being stopped: what ends now is its fault, not the client's.
    pub fn set_stopping(&self, stopping: bool) {
        self.stopping.store(stopping, Ordering::Relaxed);
    }

    /// Every call that is over, in the order of arrival.
    pub fn as_json(&self) -> Value {
        let mut listed = self.books().listed.clone();
        listed.sort_by_key(|(arrival, _)| *arrival);
        listed.into_iter().map(|(_, call)| call).collect()
    }

    /// Empties the list.
    pub fn clear(&self) {
        self.books().listed.clear();
    }
}

/// One call under way; it is listed when this ends or is dropped.
#[derive(Debug)]
pub struct Call {
    calls: Arc<Calls>,
    arrival: u64,
    time: String,
    model: String,
    messages: usize,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer so far.
    pub completion_tokens: u64,
    listed: bool,
}

impl Call {
    /// A call that has just arrived.
    pub fn arrived(calls: &Arc<Calls>, asked: &Asked) -> Self {
        let arrival = {
            let mut books = calls.books();
            books.arrivals += 1;
            books.arrivals
        };
        Self {
            calls: calls.clone(),
            arrival,
            time: rfc3339(now_ms()),
            model: asked.model.clone(),
            messages: asked.messages.len(),
            prompt_tokens: asked.prompt_tokens(),
            completion_tokens: 0,
            listed: false,
        }
    }

    /// It was answered to its end.
    pub fn finished(&mut self) {
        self.list("finished");
    }

    /// It failed.
    pub fn failed(&mut self) {
        self.list("failed");
    }

    /// It was answered with an HTTP error, which costs nothing.
    pub fn refused(&mut self) {
        self.prompt_tokens = 0;
        self.completion_tokens = 0;
        self.failed();
    }

    fn list(&mut self, outcome: &str) {
        if self.listed {
            return;
        }
        self.listed = true;
        let call = json!({
            "time": self.time, "model": self.model, "messages": self.messages,
            "prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens,
            "outcome": outcome,
        });
        self.calls.books().listed.push((self.arrival, call));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Whoever drops it before its end has seen the client hang up.
        let stopping = self.calls.stopping.load(Ordering::Relaxed);
        self.list(if stopping { "failed" } else { "cut" });
    }
}
