//! Faults that are armed, and which of them strikes next.
//! It only keeps the books: each part of the stack asks when its turn comes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;

/// A fault as it is armed; an unknown kind or field is refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Every record is delivered so many extra times.
    SqsDuplicate {
        /// Extra deliveries.
        times: u32,
    },
    /// SIGKILL into the next invocations.
    KillFunction {
        /// The function's folder.
        function: String,
        /// How long into an invocation.
        after_ms: u64,
        /// How many invocations.
        times: u32,
    },
    /// The next posts get this status.
    ManagementStatus {
        /// 410, 429 or 500.
        status: u16,
        /// How many posts.
        times: u32,
    },
    /// Every call waits.
    Latency {
        /// Whose calls.
        target: Target,
        /// How long.
        ms: u64,
    },
    /// A socket is cut.
    DropConnection {
        /// Whose.
        connection_id: String,
    },
    /// The next sends to a queue fail.
    SqsSendFails {
        /// How many.
        times: u32,
    },
}

/// Whose calls are slowed down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The Management API's.
    Management,
    /// SQS's.
    Sqs,
}

#[derive(Debug, Default)]
struct Armed {
    duplicates: u32,
    kills: Vec<(String, Duration, u32)>,
    statuses: VecDeque<(u16, u32)>,
    latency_management: Duration,
    latency_sqs: Duration,
    send_failures: u32,
}

/// What is armed.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Armed>);

impl Faults {
    fn armed(&self) -> MutexGuard<'_, Armed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Arms a fault beside those that are armed. A `drop_connection` strikes at once, elsewhere.
    pub fn arm(&self, fault: Fault) {
        let mut armed = self.armed();
        match fault {
            Fault::SqsDuplicate { times } => armed.duplicates = armed.duplicates.saturating_add(times),
            Fault::KillFunction { function, after_ms, times } => {
                armed.kills.push((function, Duration::from_millis(after_ms), times));
            }
            Fault::ManagementStatus { status, times } => armed.statuses.push_back((status, times)),
            Fault::Latency { target, ms } => {
                let latency = match target {
                    Target::Management => &mut armed.latency_management,
                    Target::Sqs => &mut armed.latency_sqs,
                };
                *latency = latency.saturating_add(Duration::from_millis(ms));
            }
            Fault::SqsSendFails { times } => armed.send_failures = armed.send_failures.saturating_add(times),
            Fault::DropConnection { .. } => {}
        }
    }

    /// Disarms everything.
    pub fn disarm(&self) {
        *self.armed() = Armed::default();
    }

    /// How many extra times a record is delivered.
    pub fn duplicates(&self) -> u32 {
        self.armed().duplicates
    }

    /// Uses up one mark against `function`: how long its invocation may live.
    pub fn take_kill(&self, function: &str) -> Option<Duration> {
        let mut armed = self.armed();
        let (_, after, times) =
            armed.kills.iter_mut().find(|(name, _, times)| name == function && *times > 0)?;
        *times -= 1;
        Some(*after)
    }

    /// Uses up one injected status of the Management API.
    pub fn take_status(&self) -> Option<u16> {
        let mut armed = self.armed();
        while let Some((status, times)) = armed.statuses.front_mut() {
            if *times > 0 {
                *times -= 1;
                return Some(*status);
            }
            armed.statuses.pop_front();
        }
        None
    }

    /// Uses up one failure of a send to a queue.
    pub fn take_send_failure(&self) -> bool {
        let mut armed = self.armed();
        let fails = armed.send_failures > 0;
        armed.send_failures = armed.send_failures.saturating_sub(1);
        fails
    }

    /// Waits as long as each call of `target` must.
    pub async fn delay(&self, target: Target) {
        let latency = match target {
            Target::Management => self.armed().latency_management,
            Target::Sqs => self.armed().latency_sqs,
        };
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Fault, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn unknown_kinds_fields_and_targets_are_refused() {
        assert!(parse(r#"{"kind":"sqs_duplicate","times":2}"#).is_ok());
        for bad in [
            "{}",
            r#"{"kind":"rain"}"#,
            r#"{"kind":"latency","target":"moon","ms":1}"#,
            r#"{"kind":"sqs_send_fails","times":1,"colour":"red"}"#,
            r#"{"kind":"sqs_send_fails","times":-1}"#,
            r#"{"kind":"kill_function","function":"agent"}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn faults_add_up_and_are_used_up() {
        let faults = Faults::default();
        faults.arm(Fault::ManagementStatus { status: 429, times: 1 });
        faults.arm(Fault::ManagementStatus { status: 500, times: 2 });
        let taken: Vec<_> = std::iter::from_fn(|| faults.take_status()).collect();
        assert_eq!(taken, [429, 500, 500]);
        faults.arm(Fault::KillFunction { function: "agent".into(), after_ms: 5, times: 1 });
        assert_eq!(faults.take_kill("other"), None);
        assert_eq!(faults.take_kill("agent"), Some(Duration::from_millis(5)));
        assert_eq!(faults.take_kill("agent"), None);
        faults.arm(Fault::SqsSendFails { times: 3 });
        faults.disarm();
        assert!(!faults.take_send_failure());
    }
}
