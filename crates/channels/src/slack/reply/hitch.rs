//! What holds an answer up, and for how long. Nothing is called here.

use std::time::Duration;

use crate::slack::api::{ApiError, ErrorCode};

/// A refusal is believed when it came so often in a row: some pass.
const REFUSALS_MAX: u32 = 3;

/// Least and most wait after no clear answer, doubling.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));

/// Least wait after a 429: "0" is no invitation to hammer.
const LIMITED_LEAST: Duration = Duration::from_millis(100);

/// Why a step was not made.
#[derive(Debug)]
pub(super) enum Hitch {
    /// The same step after so long.
    Wait(Duration),
    /// The journal is away.
    Away,
    /// Somebody else has the turn.
    Fenced,
    /// Slack says no, again and again.
    Refused(ErrorCode),
}

/// Counts what goes wrong in a row.
#[derive(Debug, Default)]
pub(super) struct Patience {
    refusals: u32,
    unclear: u32,
}

impl Patience {
    /// A call did what was asked.
    pub(super) const fn anew(&mut self) {
        (self.refusals, self.unclear) = (0, 0);
    }

    /// Whether a refusal has come too often to be tried again; counts it.
    const fn is_over(&mut self) -> bool {
        self.refusals += 1;
        self.refusals >= REFUSALS_MAX
    }

    /// A pause after no clear answer.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = AGAIN.0.saturating_mul(2_u32.saturating_pow(self.unclear)).min(AGAIN.1);
        self.unclear += 1;
        pause
    }

    /// For a call that may be repeated whatever became of it.
    pub(super) fn again(&mut self, error: ApiError) -> Hitch {
        match error {
            ApiError::RateLimited { retry_after } => Hitch::Wait(limited(retry_after)),
            ApiError::InDoubt | ApiError::Unreachable => Hitch::Wait(self.pause()),
            ApiError::Refused(code) if !code.will_pass() && self.is_over() => Hitch::Refused(code),
            ApiError::Refused(_) => Hitch::Wait(self.pause()),
        }
    }
}

/// What a 429 asks for.
pub(super) fn limited(retry_after: Duration) -> Duration {
    retry_after.max(LIMITED_LEAST)
}
