//! Tool calls as they are told to a provider again. Models make up names, providers forbid each other's ids, and
//! what a provider refuses once it refuses in every later turn of the conversation; so what is told is always
//! acceptable. It never changes what a call was.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use konstruct_ports::{ModelRequest, PromptMessage};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Longest name that all providers take.
const NAME_MAX: usize = 64;
/// Longest id that all providers take: OpenAI's limit, the lowest.
const ID_MAX: usize = 40;

/// A name of letters, digits, `_` and `-`.
pub(crate) fn name(name: &str) -> Cow<'_, str> {
    if (1..=NAME_MAX).contains(&name.len()) && name.chars().all(is_plain) {
        return Cow::Borrowed(name);
    }
    let plain: String =
        name.chars().take(NAME_MAX).map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
    Cow::Owned(if plain.is_empty() { "_".to_owned() } else { plain })
}

/// An id that is not too long for anyone; any other becomes one, always the same.
pub(crate) fn id(id: &str) -> Cow<'_, str> {
    if (1..=ID_MAX).contains(&id.len()) { Cow::Borrowed(id) } else { Cow::Owned(another(id)) }
}

/// [`id`], for providers that take letters, digits, `_` and `-` only.
pub(crate) fn plain_id(id: &str) -> Cow<'_, str> {
    if id.chars().all(is_plain) { self::id(id) } else { Cow::Owned(another(id)) }
}

/// Arguments: a JSON object, as the model wrote it; none where it wrote anything else.
pub(crate) fn arguments(arguments: &str) -> &str {
    if object(arguments).is_some() { arguments } else { "{}" }
}

/// [`arguments`], to be written into JSON as they are.
pub(crate) fn raw_arguments(arguments: &str) -> &RawValue {
    serde_json::from_str(self::arguments(arguments).trim()).unwrap_or(RawValue::NULL)
}

/// [`arguments`], taken apart.
pub(crate) fn object(arguments: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(arguments).ok()
}

/// Names of tools that the conversation called, where the request offers none: Anthropic and Bedrock refuse calls
/// that no tool declares.
pub(crate) fn withdrawn(request: &ModelRequest) -> Vec<Cow<'_, str>> {
    let mut names: Vec<Cow<'_, str>> = Vec::new();
    if request.tools.is_empty() {
        for message in &request.messages {
            let PromptMessage::Assistant { calls, .. } = message else {
                continue;
            };
            for called in calls.iter().map(|call| name(&call.name)) {
                if !names.contains(&called) {
                    names.push(called);
                }
            }
        }
    }
    names
}

fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '-'
}

fn another(id: &str) -> String {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    format!("call_{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_model_made_up_becomes_one_that_providers_take() {
        for (made_up, told) in [
            ("get_weather-2", "get_weather-2"),
            ("web.search()", "web_search__"),
            ("größe", "gr__e"),
            ("", "_"),
        ] {
            assert_eq!(name(made_up), told);
        }
        assert_eq!(name(&"n".repeat(99)).len(), 64);
    }

    #[test]
    fn an_id_that_is_too_long_becomes_another_always_the_same() {
        assert_eq!(id("functions.f:0"), "functions.f:0");
        let long = "x".repeat(41);
        assert_eq!((id(&long), id(&long).len()), (id(&long), 21));
        assert_ne!(id(&long), id(&"x".repeat(42)));
        assert_ne!(id(""), "");
    }

    #[test]
    fn a_plain_id_has_no_sign_that_anthropic_refuses() {
        assert_eq!(plain_id("toolu_01-A"), "toolu_01-A");
        assert!(plain_id("functions.f:0").starts_with("call_"));
        assert_ne!(plain_id("functions.f:0"), plain_id("functions.f:1"));
    }

    #[test]
    fn arguments_are_an_object_or_none() {
        for object in ["{}", " {\"a\":1e2}\n", "{\"a\":{\"b\":[1,null]}}"] {
            assert_eq!(arguments(object), object);
            assert_eq!(raw_arguments(object).get(), object.trim());
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        for other in ["", "null", "[1]", "\"{}\"", "{\"a\":", "{}{}", "get weather", "{\"a\":1e999}", &deep] {
            assert_eq!((arguments(other), raw_arguments(other).get()), ("{}", "{}"));
        }
    }
}
