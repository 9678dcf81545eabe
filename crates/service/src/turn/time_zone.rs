//! A moment in a time zone: pure; the zones are compiled in. It never reads a clock.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use jiff::tz::TimeZone;
use time::OffsetDateTime;

/// RFC 3339, in a zone by its IANA name (empty: UTC); or one sentence that there is no such zone.
#[must_use]
pub fn time_in(now: OffsetDateTime, zone: &str) -> String {
    let zone = if zone.is_empty() { "UTC" } else { zone };
    let Ok(time_zone) = TimeZone::get(zone) else {
        return format!("failed: there is no time zone {zone:?}");
    };
    let Ok(moment) = Timestamp::from_second(now.unix_timestamp()) else {
        return "failed: there is no such time".to_owned();
    };
    let offset = time_zone.to_offset(moment);
    let mut text = String::new();
    match DateTimePrinter::new().print_timestamp_with_offset(&moment, offset, &mut text) {
        Ok(()) => text,
        Err(_) => "failed: there is no such time".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    /// proves AGNT-04
    #[test]
    fn a_moment_is_told_in_the_zones_own_time_summer_and_winter() {
        let winter = datetime!(2026-11-21 12:00:00.5 UTC);
        assert_eq!(time_in(winter, "Europe/Berlin"), "2026-11-21T13:00:00+01:00");
        assert_eq!(time_in(datetime!(2026-07-01 12:00:00 UTC), "Europe/Berlin"), "2026-07-01T14:00:00+02:00");
        assert_eq!(time_in(winter, "Asia/Kolkata"), "2026-11-21T17:30:00+05:30");
        assert_eq!(time_in(winter, ""), "2026-11-21T12:00:00+00:00");
    }

    #[test]
    fn an_unknown_zone_is_told() {
        assert_eq!(
            time_in(datetime!(2026-11-21 12:00:00 UTC), "Mars/Base"),
            "failed: there is no time zone \"Mars/Base\""
        );
    }
}
