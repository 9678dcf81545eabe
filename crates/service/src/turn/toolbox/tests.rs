//! Which calls may run: by name, grant and schema, whatever the model writes.

use proptest::prelude::*;

use super::*;

fn grant(tool: &str, needs_confirmation: bool) -> Grant {
    Grant { tool: tool.to_owned(), needs_confirmation }
}

fn spec(name: &str) -> ToolSpec {
    ToolSpec { name: name.to_owned(), description: String::new(), parameters: Map::new() }
}

fn call(name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: "c".to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

fn good(_: &Map<String, Value>, _: &Map<String, Value>) -> Result<(), String> {
    Ok(())
}

fn toolbox(grants: &[Grant]) -> Toolbox {
    let servers =
        [("shop".to_owned(), vec![spec("find"), spec("buy")]), ("current".to_owned(), vec![spec("time")])];
    Toolbox::new(&servers, grants)
}

/// proves AGNT-04
#[test]
fn what_is_not_there_or_not_granted_is_not_run() {
    let toolbox = toolbox(&[grant("shop_find", false)]);
    let why = |name: &str| match toolbox.judge(&call(name, "{}"), good) {
        Verdict::NotRun(why) => why,
        Verdict::Run(..) => "run".to_owned(),
    };
    assert_eq!(why("nothing"), "not run: unknown tool");
    assert_eq!(why("find"), "not run: unknown tool", "a server's own name is not the tool's");
    assert_eq!(why("shop_buy"), "not run: not granted");
    assert_eq!(why("http_get"), "not run: not granted");
    assert_eq!(why("shop_find"), "run");
    assert_eq!(toolbox.offered().iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["shop_find"]);
}

#[test]
fn a_server_cannot_take_a_built_in_tools_place() {
    let toolbox = toolbox(&[grant("current_time", false)]);
    match toolbox.judge(&call("current_time", ""), good) {
        Verdict::Run(tool, ..) => assert_eq!(tool.runner, Runner::Time),
        other => panic!("{other:?}"),
    }
}

/// proves AGNT-05
#[test]
fn whether_a_person_is_asked_is_the_grants_word() {
    let toolbox = toolbox(&[grant("shop_buy", true), grant("shop_find", false)]);
    let asks = |name: &str, arguments: &str| match toolbox.judge(&call(name, arguments), good) {
        Verdict::Run(_, _, confirmation) => Some(confirmation),
        Verdict::NotRun(..) => None,
    };
    assert_eq!(
        asks("shop_buy", r#"{"confirmed": true, "needs_confirmation": false}"#),
        Some(Confirmation::Needed)
    );
    assert_eq!(asks("shop_find", "{}"), Some(Confirmation::NotNeeded));
}

#[test]
fn arguments_that_are_no_object_or_break_the_schema_are_told() {
    let toolbox = toolbox(&[grant("shop_find", false)]);
    for written in ["[1]", "null", "x", "{", "\"{}\""] {
        let verdict = toolbox.judge(&call("shop_find", written), good);
        let why = "not run: invalid arguments: they are no JSON object".to_owned();
        assert_eq!(verdict, Verdict::NotRun(why), "{written}");
    }
    let verdict = toolbox.judge(&call("shop_find", r#"{"a":1}"#), |_, _| Err("a is not text".into()));
    assert_eq!(verdict, Verdict::NotRun("not run: invalid arguments: a is not text".to_owned()));
}

#[test]
fn equal_arguments_have_equal_hashes_and_others_do_not() {
    let hash = |tool: &str, written: &str| arguments_hash(tool, &arguments(written).unwrap());
    assert_eq!(hash("t", r#"{"a":1,"b":{"c":2,"d":3}}"#), hash("t", r#"{ "b": {"d":3,"c":2}, "a": 1 }"#));
    assert_ne!(hash("t", r#"{"a":1}"#), hash("t", r#"{"a":2}"#));
    assert_ne!(hash("t", r#"{"a":1}"#), hash("u", r#"{"a":1}"#));
    assert_ne!(hash("t", r#"{"a":"1"}"#), hash("t", r#"{"a":1}"#));
}

proptest! {
    #[test]
    fn no_call_whatever_it_says_runs_what_is_not_granted(name in "(shop_buy|http_get|escalate_to_human|[a-z_]{0,20})", written in ".{0,60}") {
        let toolbox = toolbox(&[grant("shop_find", false)]);
        let verdict = toolbox.judge(&call(&name, &written), good);
        prop_assert!(matches!(verdict, Verdict::NotRun(..)) || name == "shop_find");
    }

    #[test]
    fn no_arguments_hold_a_nul(text in "[a\u{0}b]{0,8}") {
        let written = json!({"k": [text], "o": {"k": text}}).to_string();
        let parsed = Value::Object(arguments(&written).unwrap()).to_string();
        prop_assert!(!parsed.contains("u0000"));
    }
}
