//! Wall-clock time in the forms AWS uses.
//! It must not be used to measure: `Instant` does that.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::macros::format_description;

/// Milliseconds since the epoch.
#[allow(clippy::disallowed_methods, reason = "the local stack's one clock")]
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0))
}

/// Microseconds since the epoch.
#[allow(clippy::disallowed_methods, reason = "the local stack's one clock")]
pub fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(0))
}

fn at(ms: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// `19/Feb/2024:07:11:42 +0000`, as in API Gateway's events.
pub fn clf(ms: u64) -> String {
    at(ms)
        .format(format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000"))
        .unwrap_or_default()
}

/// `2024-02-19T07:11:42.789Z`.
pub fn rfc3339(ms: u64) -> String {
    at(ms)
        .format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_aws_writes_them() {
        assert_eq!(clf(1_708_326_702_789), "19/Feb/2024:07:11:42 +0000");
        assert_eq!(rfc3339(1_708_326_702_789), "2024-02-19T07:11:42.789Z");
    }
}
