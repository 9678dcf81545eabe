//! JSON as YAML that people read: what a thing is called and says comes before what it holds. Only the order of keys
//! is decided here.

use serde_json::Value;
use yaml_serde::{Mapping, Value as Yaml};

/// These come first, in this order; all others follow by name.
const FIRST: [&str; 12] = [
    "asyncapi",
    "openapi",
    "info",
    "type",
    "name",
    "title",
    "action",
    "channel",
    "summary",
    "operationId",
    "description",
    "in",
];

/// A file's text.
pub fn text(value: &Value) -> String {
    yaml_serde::to_string(&ordered(value)).expect("JSON is YAML")
}

fn ordered(value: &Value) -> Yaml {
    match value {
        Value::Array(array) => Yaml::Sequence(array.iter().map(ordered).collect()),
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort_by_key(|key| (place(key), *key));
            let pairs = keys.into_iter().filter_map(|key| Some((key, object.get(key)?)));
            Yaml::Mapping(
                pairs.map(|(key, value)| (Yaml::from(key.as_str()), ordered(value))).collect::<Mapping>(),
            )
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            yaml_serde::to_value(value).expect("a scalar")
        }
    }
}

fn place(key: &str) -> usize {
    FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len())
}

#[test]
fn yaml_says_what_the_json_says() {
    let json = serde_json::json!({
        "paths": { "/a/{id}": { "200": ["no", "1.0", "a: b # c", "", null, true, -1, "ü\n\"x\""] } },
        "openapi": "3.1.0",
    });
    let text = text(&json);
    assert!(text.starts_with("openapi: 3.1.0\n"), "{text}");
    assert_eq!(yaml_serde::from_str::<Value>(&text).ok(), Some(json));
}
