//! Which route a frame takes.
//! It must survive any body: what cannot be read goes to `$default`.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The route key the body names, if it names one that may be chosen. What lies beside the path is not
/// looked into, so neither depth nor a huge number there can do harm.
pub fn named_route(body: &str, path: &[String]) -> Option<String> {
    let mut value = body;
    for name in path {
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(value).ok()?;
        value = fields.get(name)?.get();
    }
    let key = match value.as_bytes().first()? {
        b'"' => serde_json::from_str(value).ok()?,
        b'{' | b'[' | b'n' => return None,
        _ => value.to_string(),
    };
    // `$connect` and the like are reserved: a body cannot choose them.
    (!key.is_empty() && !key.starts_with('$')).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(body: &str) -> Option<String> {
        named_route(body, &["type".to_string()])
    }

    #[test]
    fn a_string_names_its_route() {
        assert_eq!(route(r#"{"type":"message","content":"x"}"#).as_deref(), Some("message"));
        assert_eq!(route(r#"{"type":5}"#).as_deref(), Some("5"));
        let deep = format!(r#"{{"x":{}{},"n":1e999,"type":"ping"}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(route(&deep).as_deref(), Some("ping"));
    }

    #[test]
    fn what_names_no_route_goes_to_default() {
        for body in
            ["", "x", "[]", "5", "{}", r#"{"type":null}"#, r#"{"type":""}"#, r#"{"type":["message"]}"#]
        {
            assert_eq!(route(body), None, "{body}");
        }
    }

    #[test]
    fn reserved_routes_cannot_be_chosen() {
        for key in ["$connect", "$disconnect", "$default", "$x"] {
            assert_eq!(route(&format!(r#"{{"type":"{key}"}}"#)), None, "{key}");
        }
    }

    #[test]
    fn deep_nesting_is_survived() {
        let (open, close) = ("[".repeat(60_000), "]".repeat(60_000));
        assert_eq!(route(&format!(r#"{{"type":"message","x":{open}{close}}}"#)).as_deref(), Some("message"));
        assert_eq!(route(&format!(r#"{{"type":{open}{close}}}"#)), None);
        assert_eq!(route(&open), None);
    }
}
