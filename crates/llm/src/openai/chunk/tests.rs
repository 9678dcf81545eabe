//! Chunks as OpenAI and its compatibles send them, each oddity by its own test.

use konstruct_ports::ToolCall;
use proptest::prelude::*;
use serde_json::json;

use super::*;

type Outcome = Result<Vec<ModelEvent>, ModelError>;

fn decode<T: ToString>(chunks: impl IntoIterator<Item = T>) -> Outcome {
    let mut decoder = ChunkDecoder::new();
    let mut events = Vec::new();
    for chunk in chunks {
        events.extend(decoder.push(&chunk.to_string())?);
    }
    events.extend(decoder.finish()?);
    Ok(events)
}

fn says(content: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": null}]})
}

fn stops(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

fn text(text: &str) -> ModelEvent {
    ModelEvent::Text(text.to_owned())
}

fn usage(prompt_tokens: u32, completion_tokens: u32, total_tokens: u32) -> ModelEvent {
    ModelEvent::Usage(TokenUsage { prompt_tokens, completion_tokens, total_tokens })
}

fn call(id: &str, name: &str, arguments: &str) -> ModelEvent {
    let (id, name, arguments) = (id.to_owned(), name.to_owned(), arguments.to_owned());
    ModelEvent::ToolCall(ToolCall { id, name, arguments })
}

const END: ModelEvent = ModelEvent::Finished(StopReason::End);

#[test]
fn text_comes_piece_by_piece_and_then_the_end() {
    let outcome = decode([says(""), says("Hello"), says(" you"), stops("stop")]);
    assert_eq!(outcome, Ok(vec![text("Hello"), text(" you"), END]));
}

#[test]
fn usage_may_come_without_choices_or_with_the_finish() {
    let counts = json!({"prompt_tokens": 16, "completion_tokens": 300, "total_tokens": 316});
    let alone = decode([says("a"), stops("stop"), json!({"choices": [], "usage": counts})]);
    let with = json!({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}], "usage": counts});
    assert_eq!(alone, Ok(vec![text("a"), usage(16, 300, 316), END]));
    assert_eq!(decode([says("a"), with]), alone);
}

#[test]
fn usage_that_grows_is_told_as_it_grows_and_never_twice() {
    let chunk =
        |tokens: u32| json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": tokens}});
    let outcome = decode([chunk(1), chunk(1), chunk(2), says("a"), chunk(2), chunk(3), stops("stop")]);
    let told = vec![usage(5, 1, 6), usage(5, 2, 7), text("a"), usage(5, 3, 8), END];
    assert_eq!(outcome, Ok(told));
}

#[test]
fn a_total_larger_than_both_is_the_providers() {
    let counts = json!({"prompt_tokens": 1, "completion_tokens": 2.0, "total_tokens": 5_000_000_000_u64});
    let outcome = decode([stops("stop"), json!({"choices": [], "usage": counts})]);
    assert_eq!(outcome, Ok(vec![usage(1, 2, u32::MAX), END]));
}

#[test]
fn usage_that_counts_nothing_is_none() {
    for counts in [json!(null), json!({}), json!("many"), json!({"prompt_tokens": null})] {
        assert_eq!(decode([stops("stop"), json!({"choices": [], "usage": counts})]), Ok(vec![END]));
    }
}

#[test]
fn nothing_is_missed_where_fields_are_null_missing_or_unknown() {
    let outcome = decode([
        json!({"choices": [{"delta": {"role": "assistant", "content": null, "reasoning_content": "hm"}}]}),
        json!({"choices": [{"delta": {"content": "a", "tool_calls": null}, "logprobs": null}], "x_groq": {}}),
        json!({"choices": [{"delta": null, "index": 0}]}),
        json!({"choices": [{"index": 0}]}),
        json!({"choices": null, "obfuscation": "xyz"}),
        json!({}),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": ""}], "error": null}),
        stops("stop"),
    ]);
    assert_eq!(outcome, Ok(vec![text("a"), END]));
}

#[test]
fn only_the_first_choice_counts() {
    let other = json!({"choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": "length"}]});
    assert_eq!(decode([says("a"), other, stops("stop")]), Ok(vec![text("a"), END]));
}

#[test]
fn content_may_be_a_list_of_parts() {
    let parts = json!([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}]);
    let chunk = json!({"choices": [{"delta": {"content": parts}, "finish_reason": "stop"}]});
    assert_eq!(decode([chunk]), Ok(vec![text("a"), END]));
}

#[test]
fn a_whole_message_counts_as_one_piece() {
    let message = json!({"choices": [{"message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}});
    assert_eq!(decode([message]), Ok(vec![text("a"), usage(1, 1, 2), END]));
}

#[test]
fn tool_calls_come_whole_right_before_the_end() {
    let piece = |piece: Value| json!({"id": "c1", "choices": [{"delta": {"tool_calls": [piece]}}]});
    let outcome = decode([
        piece(json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}})),
        piece(json!({"index": 0, "function": {"arguments": "{\"x\":"}})),
        piece(json!({"index": 0, "function": {"arguments": "1}"}})),
        stops("tool_calls"),
        json!({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}),
    ]);
    let call = call("a", "f", "{\"x\":1}");
    assert_eq!(outcome, Ok(vec![usage(1, 2, 3), call, ModelEvent::Finished(StopReason::ToolCalls)]));
}

#[test]
fn a_stop_with_tool_calls_means_tool_calls_and_tool_calls_without_any_mean_the_end() {
    let call = json!({"choices": [{"delta": {"tool_calls": [{"id": "a", "function": {"name": "f"}}]}}]});
    let outcome = decode([call, stops("stop")]).unwrap();
    assert_eq!(outcome.last(), Some(&ModelEvent::Finished(StopReason::ToolCalls)));
    assert_eq!(decode([says("a"), stops("tool_calls")]), Ok(vec![text("a"), END]));
}

#[test]
fn the_old_function_call_is_a_tool_call() {
    let piece = |function: Value| json!({"id": "c1", "choices": [{"delta": {"function_call": function}}]});
    let outcome = decode([
        piece(json!({"name": "f", "arguments": ""})),
        piece(json!({"arguments": "{}"})),
        stops("function_call"),
    ]);
    let call = call("call_c1_0", "f", "{}");
    assert_eq!(outcome, Ok(vec![call, ModelEvent::Finished(StopReason::ToolCalls)]));
}

#[test]
fn a_call_cut_by_the_limit_or_a_filter_is_none() {
    let call = json!({"choices": [{"delta": {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{\"x"}}]}}]});
    for (reason, stop) in [("length", StopReason::Length), ("content_filter", StopReason::Refused)] {
        assert_eq!(decode([call.clone(), stops(reason)]), Ok(vec![ModelEvent::Finished(stop)]));
    }
}

#[test]
fn a_refusal_is_shown_and_told() {
    let refusal = |words: &str| json!({"choices": [{"delta": {"refusal": words}}]});
    let outcome = decode([refusal(""), refusal("I can't "), refusal("help."), stops("stop")]);
    assert_eq!(outcome, Ok(vec![text("I can't "), text("help."), ModelEvent::Finished(StopReason::Refused)]));
}

#[test]
fn every_reason_to_stop_has_a_meaning() {
    for (reason, stop) in [
        ("stop", StopReason::End),
        ("eos", StopReason::End),
        ("length", StopReason::Length),
        ("model_length", StopReason::Length),
        ("content_filter", StopReason::Refused),
    ] {
        assert_eq!(
            decode([says("a"), stops(reason)]),
            Ok(vec![text("a"), ModelEvent::Finished(stop)]),
            "{reason}"
        );
    }
    assert!(decode([says("a"), stops("error")]).unwrap_err().is_retryable());
}

#[test]
fn a_missing_done_does_not_matter_and_nothing_counts_behind_it() {
    let events = vec![text("a"), END];
    assert_eq!(decode([says("a"), stops("stop")]), Ok(events.clone()));
    let done = Value::String("[DONE]".to_owned()).as_str().map(str::to_owned).unwrap();
    let chunks = [says("a").to_string(), stops("stop").to_string(), done, says("b").to_string()];
    assert_eq!(decode(chunks), Ok(events));
}

#[test]
fn a_stream_without_a_finish_is_worth_another_try() {
    assert!(decode([says("a")]).unwrap_err().is_retryable());
    assert!(decode([says("a").to_string(), "[DONE]".to_owned()]).unwrap_err().is_retryable());
    assert!(decode::<Value>([]).unwrap_err().is_retryable());
}

#[test]
fn garbage_is_worth_another_try_unless_the_answer_is_whole() {
    for garbage in ["<html>", "{\"choices\":", "[]", "7", "\"[DONE]\""] {
        assert!(decode([garbage.to_owned()]).unwrap_err().is_retryable(), "{garbage}");
        assert_eq!(decode([stops("stop").to_string(), garbage.to_owned()]), Ok(vec![END]));
    }
}

#[test]
fn an_error_within_the_stream_is_an_error_with_its_kind() {
    let error = |error: Value| decode([says("a"), json!({"error": error})]).unwrap_err();
    assert!(error(json!({"message": "m", "type": "server_error", "code": null})).is_retryable());
    assert!(error(json!("overloaded")).is_retryable());
    assert!(error(json!({"message": "m", "code": 429})).is_retryable());
    assert!(error(json!({"message": "m", "code": 502})).is_retryable());
    assert!(!error(json!({"message": "m", "code": 400})).is_retryable());
    assert!(!error(json!({"message": "m", "code": "401"})).is_retryable());
    assert!(!error(json!({"message": "m", "type": "insufficient_quota"})).is_retryable());
    assert!(!error(json!({"message": "m", "type": "invalid_request_error"})).is_retryable());
    let flat = decode([json!({"object": "error", "message": "m", "type": "BadRequestError", "code": 400})]);
    assert!(!flat.unwrap_err().is_retryable());
}

#[test]
fn half_a_character_does_not_kill_the_stream() {
    let chunk = |content: &str| format!(r#"{{"choices":[{{"delta":{{"content":"{content}"}}}}]}}"#);
    let outcome = decode([
        chunk(r"a\ud83d"),
        chunk(r"\ude00b"),
        chunk(r"\u0000"),
        chunk(r"c\u0000"),
        stops("stop").to_string(),
    ]);
    assert_eq!(outcome, Ok(vec![text("a"), text("b"), text("c"), END]));
}

/// JSON of all shapes, with the names that mean something in all the wrong places.
fn wild() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "stop|length|tool_calls|text|.{0,4}".prop_map(Value::from),
    ];
    let name = "choices|delta|index|content|refusal|tool_calls|function|function_call|id|name|arguments|finish_reason\
        |usage|prompt_tokens|type|text|message";
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(name, inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_chunk_breaks_the_rules_of_the_port(chunks in proptest::collection::vec(wild(), 0..8), whole in any::<bool>()) {
        let end = whole.then(|| stops("stop"));
        if let Ok(events) = decode(chunks.into_iter().chain(end)) {
            let (last, before) = events.split_last().unwrap();
            prop_assert!(matches!(last, ModelEvent::Finished(_)));
            let mut counted = None;
            for event in before {
                match event {
                    ModelEvent::Text(text) => prop_assert!(!text.is_empty() && !text.contains('\0')),
                    ModelEvent::ToolCall(ToolCall { name, id, arguments }) => {
                        prop_assert!(!name.is_empty() && !id.is_empty() && !arguments.is_empty());
                    }
                    ModelEvent::Usage(usage) => prop_assert_ne!(counted.replace(*usage), Some(*usage)),
                    ModelEvent::Finished(_) => prop_assert!(false, "two ends"),
                }
            }
        }
    }
}
