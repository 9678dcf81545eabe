//! One batch of records on its way through a function, with its injected copies.
//! A record is deleted as soon as one delivery of it succeeds, and only then.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::Value;

use crate::lambda::{Invoker, Pending};

use super::batch::done;
use super::poller::Source;
use super::record;

/// Records that are deleted but whose copies are still being worked on.
#[derive(Debug, Default)]
pub struct Lingering(AtomicUsize);

impl Lingering {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Delivers `messages` once and `copies` extra times, all at once, and sees to the end of it.
pub async fn deliver(source: &Source, messages: Vec<Value>, pending: Vec<Pending>) {
    let deleted = Mutex::new(HashSet::new());
    let copies = pending.into_iter().map(|pending| one(source, &messages, pending, &deleted));
    join_all(copies).await;
    let deleted = deleted.lock().map_or(0, |deleted| deleted.len());
    source.lingering.0.fetch_sub(deleted, Ordering::Relaxed);
}

/// Starts the function for each delivery, before this returns.
pub fn start(source: &Source, messages: &[Value], copies: u32) -> Vec<Pending> {
    let event = Bytes::from(record::event(&source.spec.queue, messages).to_string());
    let functions: &dyn Invoker = source.functions.as_ref();
    (0..=copies).map(|_| functions.invoke(&source.spec.function, event.clone())).collect()
}

async fn one(source: &Source, messages: &[Value], pending: Pending, deleted: &Mutex<HashSet<String>>) {
    let outcome = pending.outcome().await;
    let ids: Vec<&str> = messages.iter().filter_map(|message| message.get("MessageId")?.as_str()).collect();
    let succeeded = done(&outcome, &ids, source.spec.reports_failures);
    for message in messages {
        let text = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default();
        let id = text("MessageId");
        let first = succeeded.contains(&id) && deleted.lock().is_ok_and(|mut all| all.insert(id.to_string()));
        if first {
            source.lingering.0.fetch_add(1, Ordering::Relaxed);
            // Where it fails the record comes again, as it would on AWS.
            let _ = source.client.delete(&source.spec.queue, text("ReceiptHandle")).await;
            // The next message of its group is free now.
            source.wake.notify_one();
        }
    }
}
