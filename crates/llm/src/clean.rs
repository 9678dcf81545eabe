//! Takes out of a model's JSON what no Rust string or Postgres text can hold: lone surrogates and U+0000
//! (delivery.md section 3). It never touches an escape that means something.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;

/// Parses JSON; where that fails, once more without what it cannot hold.
pub(crate) fn parse(json: &str) -> Option<Value> {
    if let Ok(value) = serde_json::from_str(json) {
        return Some(value);
    }
    match without_unspeakable(json) {
        Cow::Borrowed(_) => None,
        Cow::Owned(cleaned) => serde_json::from_str(&cleaned).ok(),
    }
}

/// Text without U+0000.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "")) } else { Cow::Borrowed(text) }
}

/// Arguments of a tool call. They are JSON inside of a string, so that their own escapes may name what the outer
/// JSON did not; arguments that are no JSON stay as the model wrote them, but for U+0000. None at all mean none.
pub(crate) fn arguments(arguments: &str) -> String {
    let plain = text(arguments);
    if plain.trim().is_empty() {
        return "{}".to_owned();
    }
    let cleaned = without_unspeakable(&plain);
    if matches!(cleaned, Cow::Owned(_)) && serde_json::from_str::<&RawValue>(&cleaned).is_ok() {
        return cleaned.into_owned();
    }
    plain.into_owned()
}

/// JSON without escapes of lone surrogates and of U+0000, and without raw U+0000.
fn without_unspeakable(json: &str) -> Cow<'_, str> {
    let mut kept = String::new();
    let mut from = 0;
    let mut at = 0;
    let bytes = json.as_bytes();
    // Every index is that of an ASCII byte or right behind one, so that slices end on characters.
    while let Some(&byte) = bytes.get(at) {
        let (length, drop) = match byte {
            0 => (1, true),
            b'\\' => escape(json, at),
            _ => (1, false),
        };
        if drop {
            kept.push_str(json.get(from..at).unwrap_or_default());
            from = at + length;
        }
        at += length;
    }
    if from == 0 {
        return Cow::Borrowed(json);
    }
    kept.push_str(json.get(from..).unwrap_or_default());
    Cow::Owned(kept)
}

/// Length of the escape that begins here, and whether to drop it.
fn escape(json: &str, at: usize) -> (usize, bool) {
    match code(json, at) {
        None => (2, false),
        Some(0) => (6, true),
        Some(0xd800..=0xdbff) => match code(json, at + 6) {
            Some(0xdc00..=0xdfff) => (12, false),
            _ => (6, true),
        },
        Some(0xdc00..=0xdfff) => (6, true),
        Some(_) => (6, false),
    }
}

/// The code unit, where `\uXXXX` stands.
fn code(json: &str, at: usize) -> Option<u32> {
    let digits = json.get(at..at + 6)?.strip_prefix("\\u")?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn lone_surrogates_are_dropped_and_pairs_are_kept() {
        for (json, text) in [
            (r#""a\ud83db""#, "ab"),
            (r#""\ude00 low""#, " low"),
            (r#""\ud83d\ud83d\ude00""#, "\u{1f600}"),
            (r#""\uD83D\uDE00\uDE00""#, "\u{1f600}"),
            (r#""cut \ud83d""#, "cut "),
            (r#""\ud83d\n""#, "\n"),
            (r#""\ud83dA\\\ude00""#, "A\\"),
        ] {
            assert_eq!(parse(json), Some(json!(text)), "{json}");
        }
    }

    #[test]
    fn an_escaped_backslash_before_a_u_is_no_escape() {
        assert_eq!(parse(r#""\\ud83d""#), Some(json!("\\ud83d")));
        assert_eq!(parse(r#""\\\ud83d\\ud83d""#), Some(json!("\\\\ud83d")));
    }

    #[test]
    fn what_is_no_json_stays_none() {
        for garbage in ["", "{", "hello", "\"\\ud83d", "\\", "\\u", "\\u12", "\"\\u00e", "{\"a\":\\ud83d}x"] {
            assert_eq!(parse(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn nul_is_dropped_from_text() {
        assert_eq!(text("a\0b\0"), "ab");
        assert_eq!(text("ab"), "ab");
    }

    #[test]
    fn arguments_lose_only_what_cannot_be_stored() {
        assert_eq!(arguments(r#"{"a":"\u0000x\ud83d"}"#), r#"{"a":"x"}"#);
        assert_eq!(arguments(r#"{"a":"\ud83d\ude00\\u0000"}"#), r#"{"a":"\ud83d\ude00\\u0000"}"#);
        assert_eq!(arguments(r"not \ud83d json"), r"not \ud83d json");
        assert_eq!(arguments(" "), "{}");
        assert_eq!(arguments(""), "{}");
    }

    proptest! {
        #[test]
        fn cleaned_json_parses_whatever_escapes_it_had(units in proptest::collection::vec(any::<u16>(), 0..20)) {
            let json = format!("\"{}\"", units.iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>());
            let expected: String =
                char::decode_utf16(units).filter_map(Result::ok).filter(|&character| character != '\0').collect();
            let parsed = parse(&json).unwrap();
            let cleaned = text(parsed.as_str().unwrap()).into_owned();
            prop_assert_eq!(cleaned, expected);
        }

        #[test]
        fn any_text_is_survived(wild in ".*", escaped in r#"[\\u0-9a-fdD"é]{0,40}"#) {
            parse(&wild);
            parse(&escaped);
            arguments(&escaped);
            arguments(&wild);
        }
    }
}
