//! The queues' figures for `/_local/queue`.
//! A dead-letter queue has no entry of its own: its messages are counted where they came from.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::error::Result;
use crate::template::QueueSpec;

use super::client::SqsClient;
use super::poller::Source;

/// What the figures are made of.
pub struct QueueFigures {
    /// The queues' server.
    pub client: SqsClient,
    /// Every queue.
    pub queues: Vec<QueueSpec>,
    /// Every event source.
    pub sources: Vec<Arc<Source>>,
}

impl QueueFigures {
    /// As `/_local/queue` shows them.
    pub async fn as_json(&self) -> Result<Value> {
        let is_dead_letter = |name: &str| self.queues.iter().any(|q| q.dead_letter.as_deref() == Some(name));
        let mut shown = Vec::new();
        for queue in self.queues.iter().filter(|queue| !is_dead_letter(&queue.name)) {
            // Asked first: a record that is deleted in between is then counted twice, not missed.
            let lingering = self.sources.iter().filter(|source| source.spec.queue == queue.name);
            let lingering: usize = lingering.map(|source| source.lingering.count()).sum();
            let (visible, in_flight) = self.client.counts(&queue.name).await?;
            let dead = match &queue.dead_letter {
                Some(name) => self.client.counts(name).await?,
                None => (0, 0),
            };
            shown.push(json!({
                "name": queue.name,
                "visible": visible,
                "in_flight": in_flight + lingering as u64,
                "dead_lettered": dead.0 + dead.1,
            }));
        }
        Ok(json!({"queues": shown}))
    }
}
