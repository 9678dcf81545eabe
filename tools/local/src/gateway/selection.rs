//! Which route a frame takes.
//! It must survive any body: what cannot be read goes to `$default`.

use serde_json::Value;

/// The route key the body names, if it names one that may be chosen. The parser gives up on deep
/// nesting, so no body can exhaust the stack.
pub fn named_route(body: &str, path: &[String]) -> Option<String> {
    let parsed: Value = serde_json::from_str(body).ok()?;
    let mut value = &parsed;
    for name in path {
        value = value.get(name)?;
    }
    let key = match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
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
        assert_eq!(
            route(r#"{"type":"message","content":"x"}"#).as_deref(),
            Some("message")
        );
        assert_eq!(route(r#"{"type":5}"#).as_deref(), Some("5"));
    }

    #[test]
    fn what_names_no_route_goes_to_default() {
        for body in [
            "",
            "x",
            "[]",
            "5",
            "{}",
            r#"{"type":null}"#,
            r#"{"type":""}"#,
            r#"{"type":["message"]}"#,
        ] {
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
        let deep = format!(
            r#"{{"type":"message","x":{}{}}}"#,
            "[".repeat(60_000),
            "]".repeat(60_000)
        );
        assert_eq!(route(&deep), None);
    }
}
