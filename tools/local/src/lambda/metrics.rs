//! Figures of one function for `/_local/functions`.
//! They must stay cheap: they are written on every invocation.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

/// Samples kept for the percentiles; beyond it the oldest go.
const KEPT: usize = 20_000;

/// The figures of one function.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Figures>);

#[derive(Debug, Default)]
struct Figures {
    invocations: u64,
    cold_starts: u64,
    errors: u64,
    init: Samples,
    duration: Samples,
    max_rss_bytes: u64,
}

impl Metrics {
    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An invocation began.
    pub fn invoked(&self) {
        self.figures().invocations += 1;
    }

    /// A process was started for it.
    pub fn cold_start(&self) {
        self.figures().cold_starts += 1;
    }

    /// An invocation ended in an error.
    pub fn failed(&self) {
        self.figures().errors += 1;
    }

    /// A process asked for its first event after so long.
    pub fn initialised(&self, took: Duration) {
        self.figures().init.add(took);
    }

    /// An invocation took so long.
    pub fn answered(&self, took: Duration) {
        self.figures().duration.add(took);
    }

    /// A process was seen to have used so much memory at most.
    pub fn memory(&self, bytes: u64) {
        let mut figures = self.figures();
        figures.max_rss_bytes = figures.max_rss_bytes.max(bytes);
    }

    /// As `/_local/functions` shows them.
    pub fn as_json(&self) -> Value {
        let figures = self.figures();
        json!({
            "invocations": figures.invocations,
            "cold_starts": figures.cold_starts,
            "errors": figures.errors,
            "init_ms": figures.init.as_json(),
            "duration_ms": figures.duration.as_json(),
            "max_rss_bytes": figures.max_rss_bytes,
        })
    }
}

#[derive(Debug, Default)]
struct Samples {
    ms: std::collections::VecDeque<f64>,
    range: Option<(f64, f64)>,
}

impl Samples {
    fn add(&mut self, took: Duration) {
        let ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        let (min, max) = self.range.unwrap_or((ms, ms));
        self.range = Some((min.min(ms), max.max(ms)));
        if self.ms.len() == KEPT {
            self.ms.pop_front();
        }
        self.ms.push_back(ms);
    }

    fn as_json(&self) -> Value {
        let mut sorted: Vec<f64> = self.ms.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |share: usize| sorted.get((sorted.len() * share / 100).min(sorted.len().saturating_sub(1)));
        let (min, max) = self.range.unwrap_or_default();
        json!({"min": min, "p50": at(50).copied().unwrap_or(0.0), "p99": at(99).copied().unwrap_or(0.0), "max": max})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_added() {
        let metrics = Metrics::default();
        assert_eq!(metrics.as_json()["init_ms"], json!({"min": 0.0, "p50": 0.0, "p99": 0.0, "max": 0.0}));
        (1..=100).for_each(|ms| metrics.answered(Duration::from_millis(ms)));
        assert_eq!(
            metrics.as_json()["duration_ms"],
            json!({"min": 1.0, "p50": 51.0, "p99": 100.0, "max": 100.0})
        );
    }
}
