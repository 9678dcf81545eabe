//! A clock that stands, and ids that count. They are never taken for times or ids of the real world.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use konstruct_ports::{Clock, Ids};
use time::OffsetDateTime;
use uuid::Uuid;

/// Tells the time it was set to.
#[derive(Debug)]
pub struct FixedClock(Mutex<OffsetDateTime>);

impl FixedClock {
    #[must_use]
    pub fn at(now: OffsetDateTime) -> Self {
        Self(Mutex::new(now))
    }

    pub fn set(&self, now: OffsetDateTime) {
        *self.0.lock().unwrap() = now;
    }
}

impl Clock for FixedClock {
    fn now(&self) -> OffsetDateTime {
        *self.0.lock().unwrap()
    }
}

/// Counts up from a random beginning, so that two tests share no id.
#[derive(Debug)]
pub struct CountingIds {
    high: u64,
    next: AtomicU64,
}

impl Default for CountingIds {
    fn default() -> Self {
        Self { high: Uuid::new_v4().as_u64_pair().0, next: AtomicU64::new(1) }
    }
}

impl Ids for CountingIds {
    fn new_id(&self) -> Uuid {
        Uuid::from_u64_pair(self.high, self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn new_nonce(&self) -> String {
        format!("{}{}", self.new_id().simple(), self.new_id().simple())
    }
}
