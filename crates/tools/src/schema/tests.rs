//! Schemas as tools have them, and as nobody should.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn object(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

fn judged(schema: Value, arguments: Value) -> Result<(), String> {
    check(&object(schema), &object(arguments))
}

/// Judges within a time that no honest schema comes near.
#[expect(clippy::disallowed_methods, reason = "measures what runs without a runtime")]
fn quickly(schema: Value, arguments: Value) -> Result<(), String> {
    let began = Instant::now();
    let judged = judged(schema, arguments);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    judged
}

/// proves AGNT-04
#[test]
fn arguments_are_judged_and_the_first_problem_is_named_with_its_place() {
    let schema = json!({
        "type": "object",
        "properties": {"ticket": {"type": "string"}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}}},
        "required": ["ticket"],
        "additionalProperties": false,
    });
    assert_eq!(judged(schema.clone(), json!({"ticket": "X", "tags": ["a"]})), Ok(()));
    let said = |arguments| judged(schema.clone(), arguments).unwrap_err();
    assert_eq!(said(json!({})), "at the top: \"ticket\" is a required property");
    assert_eq!(said(json!({"ticket": 5})), "at `/ticket`: 5 is not of type \"string\"");
    assert!(said(json!({"ticket": "X", "tags": ["a", "c"]})).starts_with("at `/tags/1`: "));
    assert!(said(json!({"ticket": "X", "more": 1})).contains("more"));
    assert_eq!(judged(json!({}), json!({"any": "thing"})), Ok(()));
}

#[test]
fn a_long_value_is_not_repeated_and_a_sentence_is_short() {
    let secret = "secret ".repeat(1000);
    let said = judged(json!({"properties": {"a": {"type": "number"}}}), json!({"a": secret})).unwrap_err();
    assert_eq!(said, "at `/a`: the value is not of type \"number\"");
    let long = "k".repeat(5000);
    let said = judged(json!({"additionalProperties": {"type": "number"}}), json!({long.as_str(): "x"}));
    assert!(said.unwrap_err().chars().count() <= SENTENCE_MAX);
    let names: Vec<String> = (0..500).map(|at| format!("name-{at}")).collect();
    let said = judged(json!({"properties": {"a": {"enum": names}}}), json!({"a": "x"})).unwrap_err();
    assert!(said.chars().count() <= SENTENCE_MAX);
}

#[test]
fn a_schema_is_read_as_the_draft_it_names_and_else_as_the_newest() {
    let tuple = |draft: &str| json!({"$schema": draft, "properties": {"a": {"items": [{"type": "string"}]}}});
    let old = tuple("http://json-schema.org/draft-07/schema#");
    assert!(judged(old, json!({"a": [1]})).is_err());
    let new = json!({"properties": {"a": {"prefixItems": [{"type": "string"}]}}});
    assert!(judged(new, json!({"a": [1]})).is_err());
    assert!(judged(tuple("https://example.com/mine"), json!({"a": ["x"]})).is_err());
}

#[test]
fn references_within_a_schema_are_followed_and_others_refused() {
    let tree = json!({
        "$defs": {"node": {"type": "object", "properties": {
            "name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}},
        "$ref": "#/$defs/node",
    });
    assert_eq!(
        judged(tree.clone(), json!({"name": "a", "children": [{"name": "b", "children": []}]})),
        Ok(())
    );
    let said = judged(tree, json!({"children": [{"children": [{"name": 1}]}]})).unwrap_err();
    assert!(said.starts_with("at `/children/0/children/0/name`"), "{said}");
    for reference in [
        "https://example.com/schema.json",
        "http://169.254.169.254/",
        "file:///etc/passwd",
        "other.json#/a",
        "#/$defs/none",
        "#anchor",
        "urn:x:y",
    ] {
        assert!(judged(json!({"properties": {"a": {"$ref": reference}}}), json!({})).is_err(), "{reference}");
    }
    assert!(judged(json!({"$defs": {"a": {"$id": "https://example.com/x"}}}), json!({})).is_err());
    assert!(judged(json!({"$dynamicRef": "#a", "$dynamicAnchor": "a"}), json!({})).is_err());
    // A property of that name is none of it.
    let named = json!({"properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}}});
    assert_eq!(judged(named, json!({"$ref": "x"})), Ok(()));
}

#[test]
fn what_is_no_schema_is_said_so() {
    for schema in [
        json!({"type": 5}),
        json!({"type": "strange"}),
        json!({"properties": 5}),
        json!({"required": "a"}),
        json!({"properties": {"a": {"pattern": "("}}}),
        json!({"properties": {"a": {"pattern": "(?=x)y"}}}),
        json!({"properties": {"a": {"pattern": "(a)\\1"}}}),
        json!({"properties": {"a\u{0}": {}}}),
        json!({"properties": {"a": {"const": "\u{0}"}}}),
        json!({"description": "x".repeat(SCHEMA_MAX)}),
    ] {
        let said = judged(schema.clone(), json!({})).unwrap_err();
        assert!(said.contains("the tool's schema") && said.chars().count() <= SENTENCE_MAX, "{said}");
        assert!(!is_usable(&object(schema)));
    }
}

#[test]
fn endless_work_is_refused() {
    // Each definition refers twice to the next: 2^100 steps.
    let mut definitions = Map::new();
    for at in 0..100 {
        let next = json!({"$ref": format!("#/$defs/d{}", at + 1)});
        definitions.insert(format!("d{at}"), json!({"allOf": [next, next]}));
    }
    definitions.insert("d100".into(), json!({"type": "object"}));
    let doubling = json!({"$defs": definitions, "$ref": "#/$defs/d0"});
    assert!(quickly(doubling, json!({"a": 1})).unwrap_err().contains("too long"));
    // Twice for each level of the arguments.
    let down = json!({"$ref": "#/$defs/n"});
    let node = json!({"properties": {"a": {"anyOf": [{"not": down}, down]}}});
    let deep = (0..60).fold(json!(1), |inner, _| json!({"a": inner}));
    let by_depth = json!({"$defs": {"n": node}, "$ref": "#/$defs/n"});
    assert!(quickly(by_depth.clone(), deep).unwrap_err().contains("too long"));
    assert_eq!(quickly(by_depth, json!({"a": {"a": 1}})), Ok(()));
    // Referring to itself without end.
    assert!(quickly(json!({"$ref": "#"}), json!({})).unwrap_err().contains("too long"));
    let circle =
        json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"});
    assert!(quickly(circle, json!({})).unwrap_err().contains("too long"));
    // What was not evaluated, within what was not evaluated.
    let inner =
        (0..100).fold(json!({}), |inner, _| json!({"allOf": [inner], "unevaluatedProperties": false}));
    assert!(quickly(inner, json!({"a": 1})).is_err());
}

#[test]
fn large_arguments_deep_nesting_and_many_patterns_take_bounded_time() {
    let nested =
        (0..100).fold(json!({"type": "string"}), |inner, _| json!({"anyOf": [inner, {"type": "null"}]}));
    assert!(quickly(json!({"properties": {"a": nested}}), json!({"a": 1})).is_err());
    let chain: Map<String, Value> =
        (0..200).map(|at| (format!("d{at}"), json!({"$ref": format!("#/$defs/d{}", at + 1)}))).collect();
    let mut chain = json!({"$defs": chain, "$ref": "#/$defs/d0"});
    chain["$defs"]["d200"] = json!({"type": "object"});
    assert_eq!(quickly(chain, json!({})), Ok(()));
    let longer: Map<String, Value> =
        (0..430).map(|at| (format!("d{at}"), json!({"$ref": format!("#/$defs/d{}", at + 1)}))).collect();
    let mut longer = json!({"$defs": longer, "$ref": "#/$defs/d0"});
    longer["$defs"]["d430"] = json!({"type": "object"});
    assert!(quickly(longer, json!({})).unwrap_err().contains("too long"));
    let all: Vec<Value> = (0..24).map(|at| json!({"$ref": format!("#/$defs/d{at}")})).collect();
    let each: Map<String, Value> =
        (0..24).map(|at| (format!("d{at}"), json!({"properties": {"a": {"allOf": all}}}))).collect();
    let everyone = json!({"$defs": each, "allOf": all});
    assert!(quickly(everyone, json!({"a": {"a": {"a": {"a": {}}}}})).unwrap_err().contains("too long"));
    let items: Vec<Value> = (0..200_000).map(Value::from).collect();
    let each = json!({"properties": {"a": {"items": {"type": "number"}}}});
    assert!(quickly(each, json!({"a": items})).is_err());
    // Backtracking would never end; this engine does not.
    let evil = json!({"properties": {"a": {"pattern": "^(a+)+$"}}});
    assert!(quickly(evil, json!({"a": format!("{}!", "a".repeat(20_000))})).is_err());
    let large = json!({"properties": {"a": {"pattern": "(\\w{100}){100}"}}});
    assert!(quickly(large, json!({"a": "x"})).unwrap_err().contains("not valid"));
    let patterns: Map<String, Value> =
        (0..200).map(|at| (format!("p{at}"), json!({"pattern": format!("\\w{{20}}{at}")}))).collect();
    assert!(quickly(json!({"properties": patterns}), json!({})).unwrap_err().contains("patterns"));
    let most: Map<String, Value> =
        (0..60).map(|at| (format!("p{at}"), json!({"pattern": format!("^\\w{{1,20}}{at}$")}))).collect();
    assert_eq!(quickly(json!({"properties": most}), json!({})), Ok(()));
}

fn any_json() -> impl Strategy<Value = Value> {
    let keyword = prop_oneof![
        Just("type"),
        Just("properties"),
        Just("items"),
        Just("allOf"),
        Just("anyOf"),
        Just("not"),
        Just("$ref"),
        Just("required"),
        Just("enum"),
        Just("pattern"),
        Just("a"),
        Just("unevaluatedProperties"),
        Just("$defs"),
        Just("additionalProperties"),
        Just("minLength"),
        Just("if"),
        Just("then"),
        Just("contains"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..3).prop_map(Value::from),
        prop_oneof![Just("string"), Just("object"), Just("#"), Just("#/a"), Just("#/$defs/a"), Just("a")]
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 5, move |inner| {
        let object = prop::collection::btree_map(keyword.clone(), inner.clone(), 0..5)
            .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        prop_oneof![prop::collection::vec(inner, 0..4).prop_map(Value::Array), object]
    })
}

proptest! {
    #[test]
    fn no_schema_and_no_arguments_break_it(schema in any_json(), arguments in any_json()) {
        if let (Value::Object(schema), Value::Object(arguments)) = (schema, arguments)
            && let Err(said) = check(&schema, &arguments)
        {
            prop_assert!(said.chars().count() <= SENTENCE_MAX && !said.is_empty());
        }
    }
}
