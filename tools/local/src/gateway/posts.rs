//! Counters of the Management API for `/_local/posts`.
//! They count every post, injected statuses included, and keep nothing of what was posted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

#[derive(Debug, Default)]
struct Counters {
    posts: u64,
    bytes: u64,
    by_status: BTreeMap<u16, u64>,
}

/// What was posted so far.
#[derive(Debug, Default)]
pub struct Posts(Mutex<Counters>);

impl Posts {
    /// Counts one post.
    pub fn count(&self, bytes: usize, status: u16) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counters.posts += 1;
        counters.bytes += bytes as u64;
        *counters.by_status.entry(status).or_default() += 1;
    }

    /// As `/_local/posts` shows them.
    pub fn as_json(&self) -> Value {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let by_status: serde_json::Map<_, _> =
            counters.by_status.iter().map(|(status, count)| (status.to_string(), json!(count))).collect();
        json!({"posts": counters.posts, "bytes": counters.bytes, "by_status": by_status})
    }
}
