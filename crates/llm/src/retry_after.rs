//! How long a provider asks us to wait (contracts.md 6.5). It has no clock: a date counts from the answer's own.

use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use time::PrimitiveDateTime;
use time::format_description::FormatItem;
use time::macros::format_description;

/// RFC 9110's IMF-fixdate; the two obsolete forms are not read.
const HTTP_DATE: &[FormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// `retry-after-ms`, else `retry-after`: seconds (fractions allowed), or a date. None if absent or unreadable.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text =
        |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok()).map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(number) {
        return seconds(millis / 1000.0);
    }
    let wish = text(RETRY_AFTER.as_str())?;
    if let Some(wait) = number(wish) {
        return seconds(wait);
    }
    let now = date(text(DATE.as_str())?)?;
    Some(Duration::try_from(date(wish)? - now).unwrap_or_default())
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| !number.is_nan())
}

/// Never less than nothing; more than a duration can hold is its maximum.
fn seconds(seconds: f64) -> Option<Duration> {
    Some(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX))
}

fn date(text: &str) -> Option<PrimitiveDateTime> {
    PrimitiveDateTime::parse(text, HTTP_DATE).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn wish(headers: &[(&'static str, &str)]) -> Option<Duration> {
        let entries = headers.iter();
        let map = entries.map(|(name, value)| {
            (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        });
        retry_after(&map.collect())
    }

    #[test]
    fn seconds_may_have_fractions() {
        assert_eq!(wish(&[("retry-after", "2")]), Some(Duration::from_secs(2)));
        assert_eq!(wish(&[("retry-after", " 0.25 ")]), Some(Duration::from_millis(250)));
    }

    #[test]
    fn milliseconds_win() {
        assert_eq!(
            wish(&[("retry-after", "9"), ("retry-after-ms", "1500")]),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(wish(&[("retry-after", "9"), ("retry-after-ms", "soon")]), Some(Duration::from_secs(9)));
    }

    #[test]
    fn a_date_counts_from_the_answers_own() {
        let now = ("date", "Fri, 21 Nov 2026 23:59:50 GMT");
        let now = (now.0, now.1.replace("Fri", "Sat"));
        let now = (now.0, now.1.as_str());
        assert_eq!(
            wish(&[now, ("retry-after", "Sun, 22 Nov 2026 00:00:20 GMT")]),
            Some(Duration::from_secs(30))
        );
        assert_eq!(wish(&[now, ("retry-after", "Sat, 21 Nov 2026 00:00:20 GMT")]), Some(Duration::ZERO));
        assert_eq!(wish(&[("retry-after", "Sun, 22 Nov 2026 00:00:20 GMT")]), None);
    }

    #[test]
    fn nonsense_is_no_wish_and_less_than_nothing_is_nothing() {
        assert_eq!(wish(&[]), None);
        assert_eq!(wish(&[("retry-after", "soon")]), None);
        assert_eq!(wish(&[("retry-after", "nan")]), None);
        assert_eq!(wish(&[("retry-after", "-5")]), Some(Duration::ZERO));
        assert_eq!(wish(&[("retry-after", "inf")]), Some(Duration::MAX));
        assert_eq!(wish(&[("retry-after", "1e300")]), Some(Duration::MAX));
    }
}
