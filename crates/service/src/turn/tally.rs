//! What is measured of a turn while one invocation works on it, told in one line when the turn ends or is left. The bill
//! is `llm_usage`; this is for graphs and alarms, and may be lost with its invocation.

use konstruct_postgres::usage::Usage;
use konstruct_protocol::ErrorCode;
use tokio::time::{Duration, Instant};

use crate::telemetry::METRICS;

/// The measurements.
#[derive(Debug)]
pub(super) struct Tally {
    began: Instant,
    first_token: Option<Duration>,
    prompt_tokens: i64,
    completion_tokens: i64,
    told: bool,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), first_token: None, prompt_tokens: 0, completion_tokens: 0, told: false }
    }

    /// An asking was booked.
    pub(super) fn used(&mut self, usage: &Usage) {
        self.prompt_tokens += usage.prompt_tokens;
        self.completion_tokens += usage.completion_tokens;
    }

    /// The first piece of the answer is in the log.
    pub(super) fn spoke(&mut self) {
        let after = self.began.elapsed();
        if self.first_token.is_none() {
            tracing::info!(after_ms = millis(after), "first token");
            self.first_token = Some(after);
        }
    }

    /// The turn has ended, and that is stored; `failed`: without an answer.
    pub(super) fn ended(&mut self, outcome: &'static str, failed: Option<ErrorCode>) {
        self.told = true;
        tracing::info!(
            target: METRICS,
            outcome,
            code = failed.map(|code| code.as_str()),
            TurnDuration = millis(self.began.elapsed()),
            FirstToken = self.first_token.map(millis),
            PromptTokens = self.prompt_tokens,
            CompletionTokens = self.completion_tokens,
            TurnsFailed = u64::from(failed.is_some()),
            "turn ended"
        );
    }

    /// The invocation is done with the turn, which goes on later, or elsewhere.
    pub(super) fn left(&mut self, outcome: &'static str) {
        if !self.told {
            tracing::info!(
                target: METRICS,
                outcome,
                PromptTokens = self.prompt_tokens,
                CompletionTokens = self.completion_tokens,
                "turn left"
            );
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
