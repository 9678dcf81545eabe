//! The event source: takes records from a queue and starts the function for each batch at once.
//! No record may wait for another one's function; only the mapping's concurrency bounds it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use crate::faults::Faults;
use crate::lambda::Functions;
use crate::template::MappingSpec;

use super::client::SqsClient;
use super::delivery::{self, Lingering};

/// Finds what became visible by itself: delays and ended visibility time-outs. A send wakes at once.
const SLOW_POLL: Duration = Duration::from_millis(200);

/// One mapping at work.
pub struct Source {
    /// Its queue, function and batch size.
    pub spec: MappingSpec,
    /// The queues' server.
    pub client: SqsClient,
    /// Who runs the function.
    pub functions: Functions,
    /// What is armed.
    pub faults: Arc<Faults>,
    /// Told when there may be something to receive.
    pub wake: Arc<Notify>,
    /// Records that are deleted but still being worked on.
    pub lingering: Lingering,
}

/// Feeds the function for ever.
pub async fn run(source: Arc<Source>) {
    let permits = Arc::new(Semaphore::new(source.spec.max_concurrency));
    loop {
        // A wake-up during the round is kept, so none is missed between the two.
        let _ = tokio::time::timeout(SLOW_POLL, source.wake.notified()).await;
        while round(&source, &permits).await {}
    }
}

/// Receives one batch and starts its function; false where there is nothing (more) to receive.
async fn round(source: &Arc<Source>, permits: &Arc<Semaphore>) -> bool {
    let Ok(permit) = permits.clone().acquire_owned().await else {
        return false;
    };
    // An error means that ministack is not there: the next poll tries again.
    let messages =
        source.client.receive(&source.spec.queue, source.spec.batch_size).await.unwrap_or_default();
    if messages.is_empty() {
        return false;
    }
    let source = source.clone();
    let pending = delivery::start(&source, &messages, source.faults.duplicates());
    tokio::spawn(async move {
        delivery::deliver(&source, messages, pending).await;
        drop(permit);
        source.wake.notify_one();
    });
    true
}
