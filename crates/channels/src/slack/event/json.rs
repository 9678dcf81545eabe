//! Reads an object's fields one by one, and takes what is not of the expected form for absent. It never recurses
//! into what it is not asked for, so depth and huge numbers are harmless; lone surrogates become U+FFFD.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// An object, not yet looked into. Of a repeated name the last counts.
pub(super) struct Object(BTreeMap<String, Box<RawValue>>);

impl Object {
    /// Splits an object into its fields; none if it is no object.
    pub(super) fn parse(json: &str) -> Option<Self> {
        if let Ok(fields) = serde_json::from_str(json) {
            return Some(Self(fields));
        }
        // A name with a lone surrogate.
        serde_json::from_str(&without_lone_surrogates(json)).ok().map(Self)
    }

    /// A string.
    pub(super) fn text(&self, field: &str) -> Option<String> {
        let raw = self.0.get(field)?.get();
        serde_json::from_str(raw).or_else(|_| serde_json::from_str(&without_lone_surrogates(raw))).ok()
    }

    /// A whole number.
    pub(super) fn number(&self, field: &str) -> Option<i64> {
        serde_json::from_str(self.0.get(field)?.get()).ok()
    }

    /// Whether a field is `true` (or 1, which forms turn it into).
    pub(super) fn is(&self, field: &str) -> bool {
        self.0.get(field).is_some_and(|raw| matches!(raw.get(), "true" | "1" | "\"1\"" | "\"true\""))
    }

    /// Whether a field is there and not `null`.
    pub(super) fn has(&self, field: &str) -> bool {
        self.0.get(field).is_some_and(|raw| raw.get() != "null")
    }

    /// An object.
    pub(super) fn object(&self, field: &str) -> Option<Self> {
        Self::parse(self.0.get(field)?.get())
    }

    /// A list; empty if it is none.
    pub(super) fn list<T: DeserializeOwned>(&self, field: &str) -> Vec<T> {
        self.0.get(field).and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    /// The objects of a list.
    pub(super) fn objects(&self, field: &str) -> Vec<Self> {
        self.list::<Box<RawValue>>(field).iter().filter_map(|raw| Self::parse(raw.get())).collect()
    }
}

/// JSON in which an escaped surrogate that has no partner is U+FFFD.
fn without_lone_surrogates(json: &str) -> String {
    let mut kept = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        kept.push_str(before);
        let length = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                kept.push('\u{FFFD}');
                rest = escape.get(6..).unwrap_or_default();
                continue;
            }
            (Some(_), _) => 6,
            // The escape and what it escapes, which may be no ASCII where this is no JSON.
            (None, _) => escape.char_indices().nth(2).map_or(escape.len(), |(end, _)| end),
        };
        let (escape, behind) = escape.split_at(length);
        kept.push_str(escape);
        rest = behind;
    }
    kept.push_str(rest);
    kept
}

/// The UTF-16 unit of a `\uXXXX` at the beginning.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        u16::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_of_another_form_counts_as_absent() {
        let object =
            Object::parse(r#"{"a":1,"b":null,"c":[{"x":"y"},2],"d":{"e":true}}"#).expect("an object");
        assert_eq!(
            (object.text("a"), object.has("a"), object.has("b"), object.has("z")),
            (None, true, false, false)
        );
        assert_eq!(object.objects("c").len(), 1);
        assert!(object.object("d").is_some_and(|d| d.is("e")));
        assert!(object.object("c").is_none() && object.objects("d").is_empty());
        assert!(Object::parse("[]").is_none() && Object::parse("{").is_none());
    }

    #[test]
    fn depth_numbers_and_lone_surrogates_are_harmless() {
        let deep = format!(
            r#"{{"a":{}1{},"n":1e999,"\udc00":1,"s":"x\ud800\n\ud83d\ude00\\ud800","t":"y"}}"#,
            "[".repeat(10_000),
            "]".repeat(10_000)
        );
        let object = Object::parse(&deep).expect("an object");
        assert_eq!(object.text("t").as_deref(), Some("y"));
        assert_eq!(object.text("s").as_deref(), Some("x\u{FFFD}\n😀\\ud800"));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_good_json_is_left_as_it_is(text in "\\PC*", junk in "[\\\\u{d8}0-9a-f\"é]{0,40}") {
            let json = serde_json::to_string(&text).expect("JSON");
            prop_assert_eq!(without_lone_surrogates(&json), json);
            without_lone_surrogates(&junk);
        }
    }
}
