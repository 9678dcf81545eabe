//! The official worked example of contracts.md 4.1, and everything that must not pass. No other vector is trusted.

use super::*;

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const TIMESTAMP: &str = "1531420618";
const NOW: i64 = 1_531_420_618;
const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
    &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
    &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
    &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

fn secret() -> SigningSecret {
    SigningSecret::new(SECRET).expect("a secret")
}

fn verdict(timestamp: Option<&str>, signature: Option<&str>, now: i64) -> Result<(), SignatureError> {
    secret().verify(BODY.as_bytes(), timestamp, signature, now)
}

/// proves SLACK-01
#[test]
fn the_official_example_passes() {
    assert_eq!(BODY.len(), 362);
    assert_eq!(verdict(Some(TIMESTAMP), Some(SIGNATURE), NOW), Ok(()));
}

/// proves SLACK-01
#[test]
fn five_minutes_are_the_window_in_the_past_and_in_the_future() {
    for now in [NOW + 300, NOW - 300] {
        assert_eq!(verdict(Some(TIMESTAMP), Some(SIGNATURE), now), Ok(()));
    }
    for now in [NOW + 301, NOW - 301, 0, i64::MAX, i64::MIN] {
        assert_eq!(verdict(Some(TIMESTAMP), Some(SIGNATURE), now), Err(SignatureError::Stale), "{now}");
    }
}

/// proves SLACK-01
#[test]
fn a_changed_body_does_not_pass() {
    let changed = format!("{BODY}------");
    let verdict = secret().verify(changed.as_bytes(), Some(TIMESTAMP), Some(SIGNATURE), NOW);
    assert_eq!(verdict, Err(SignatureError::Mismatch));
    let mut body = BODY.as_bytes().to_vec();
    for at in [0, 100, body.len() - 1] {
        body[at] ^= 1;
        let verdict = secret().verify(&body, Some(TIMESTAMP), Some(SIGNATURE), NOW);
        assert_eq!(verdict, Err(SignatureError::Mismatch), "byte {at}");
        body[at] ^= 1;
    }
    assert_eq!(secret().verify(&[], Some(TIMESTAMP), Some(SIGNATURE), NOW), Err(SignatureError::Mismatch));
}

/// proves SLACK-01
#[test]
fn a_missing_header_does_not_pass() {
    assert_eq!(verdict(None, Some(SIGNATURE), NOW), Err(SignatureError::Missing));
    assert_eq!(verdict(Some(TIMESTAMP), None, NOW), Err(SignatureError::Missing));
    assert_eq!(verdict(None, None, NOW), Err(SignatureError::Missing));
}

/// proves SLACK-01
#[test]
fn a_timestamp_that_is_no_number_does_not_pass() {
    let twice = format!("{TIMESTAMP},{TIMESTAMP}");
    let full_width = "１５３１４２０６１８";
    for timestamp in [
        "",
        " ",
        "now",
        "1531420618.0",
        "+1531420618",
        "-1",
        " 1531420618",
        "1e9",
        "9999999999999",
        full_width,
        &twice,
    ] {
        let verdict = verdict(Some(timestamp), Some(SIGNATURE), NOW);
        assert_eq!(verdict, Err(SignatureError::Malformed), "{timestamp:?}");
    }
}

/// proves SLACK-01
#[test]
fn a_signature_of_another_form_or_version_does_not_pass() {
    let hex = &SIGNATURE[3..];
    let (v1, bare, upper) = (format!("v1={hex}"), hex.to_owned(), format!("v0={}", hex.to_uppercase()));
    let (twice, long, short) =
        (format!("{SIGNATURE},{SIGNATURE}"), format!("{SIGNATURE}0"), SIGNATURE[..66].to_owned());
    let not_hex = format!("v0={}", "g".repeat(64));
    let wide = format!("v0={}", "é".repeat(32));
    for signature in ["", "v0=", "v0=bad", &v1, &bare, &upper, &twice, &long, &short, &not_hex, &wide] {
        let verdict = verdict(Some(TIMESTAMP), Some(signature), NOW);
        assert_eq!(verdict, Err(SignatureError::Malformed), "{signature:?}");
    }
}

/// proves SLACK-01
#[test]
fn a_wrong_digest_of_the_right_length_or_another_secret_does_not_pass() {
    let wrong = format!("v0={}", "0".repeat(64));
    assert_eq!(verdict(Some(TIMESTAMP), Some(&wrong), NOW), Err(SignatureError::Mismatch));
    let other = SigningSecret::new("another").expect("a secret");
    let verdict = other.verify(BODY.as_bytes(), Some(TIMESTAMP), Some(SIGNATURE), NOW);
    assert_eq!(verdict, Err(SignatureError::Mismatch));
}

/// proves SLACK-01
#[test]
fn the_timestamp_is_signed_too() {
    assert_eq!(verdict(Some("1531420619"), Some(SIGNATURE), NOW), Err(SignatureError::Mismatch));
    assert_eq!(verdict(Some("01531420618"), Some(SIGNATURE), NOW), Err(SignatureError::Mismatch));
}

/// proves SLACK-01
#[test]
fn an_empty_secret_is_an_error_at_start_and_no_secret_is_shown() {
    for empty in ["", " ", "\n"] {
        assert_eq!(SigningSecret::new(empty).map(|_| ()), Err(EmptySecret));
    }
    assert_eq!(format!("{:?}", secret()), "SigningSecret(…)");
}
