//! Slack's names for a message: a `ts` is a decimal string with six digits behind the point, unique within its room.
//! It is compared as two whole numbers and never read as a floating point number.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// A message's `ts`, as Slack writes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ts(String);

/// A text that is no `ts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no ts")]
pub struct NotATs;

impl Ts {
    /// Checks the form: 1 to 12 digits, a point, 6 digits.
    ///
    /// # Errors
    /// [`NotATs`].
    pub fn parse(text: &str) -> Result<Self, NotATs> {
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        match text.split_once('.') {
            Some((seconds, fraction))
                if (1..=12).contains(&seconds.len())
                    && fraction.len() == 6
                    && digits(seconds)
                    && digits(fraction) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(NotATs),
        }
    }

    /// As Slack writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When it was posted.
    #[must_use]
    pub fn time(&self) -> OffsetDateTime {
        let micros = i128::from(self.number().unwrap_or(0));
        OffsetDateTime::from_unix_timestamp_nanos(micros * 1_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// Whether this message is younger than another one of its room.
    #[must_use]
    pub fn is_after(&self, other: &Self) -> bool {
        self.number() > other.number()
    }

    fn number(&self) -> Option<u64> {
        let (seconds, fraction) = self.0.split_once('.')?;
        Some(seconds.parse::<u64>().ok()? * 1_000_000 + fraction.parse::<u64>().ok()?)
    }
}

impl TryFrom<String> for Ts {
    type Error = NotATs;
    fn try_from(text: String) -> Result<Self, NotATs> {
        Self::parse(&text)
    }
}

impl From<Ts> for String {
    fn from(ts: Ts) -> Self {
        ts.0
    }
}

impl fmt::Display for Ts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether a text may be an id of Slack's (of a workspace, a room, a person, an app): 1 to 64 ASCII letters, digits,
/// `_` or `-`.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ts_keeps_its_digits_and_its_order() {
        let [early, late] = ["999999999.999999", "1766458026.240809"].map(|ts| Ts::parse(ts).expect("a ts"));
        assert_eq!(late.as_str(), "1766458026.240809");
        assert!(late.is_after(&early) && !early.is_after(&late) && !late.is_after(&late));
        assert_eq!(serde_json::to_string(&late).expect("JSON"), "\"1766458026.240809\"");
    }

    #[test]
    fn what_is_no_ts_is_refused() {
        for bad in
            ["", ".", "1", "1.", "1.00000", "1.0000000", "-1.000000", "1e3.000000", "1.00000x", "1,000000"]
        {
            assert_eq!(Ts::parse(bad), Err(NotATs), "{bad}");
        }
        assert!(serde_json::from_str::<Ts>("\"x\"").is_err());
    }

    #[test]
    fn an_id_breaks_out_of_nothing() {
        assert!(is_id("T00FAKE00AA") && is_id("C-1_x"));
        for bad in ["", "T 1", "T:1", "T/1", "T\0", "Ü1"] {
            assert!(!is_id(bad), "{bad}");
        }
        assert!(!is_id(&"T".repeat(65)));
    }
}
