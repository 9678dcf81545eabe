//! Events as Anthropic and its proxies send them, each oddity by its own test.

#![allow(clippy::needless_pass_by_value, reason = "JSON is written where it is used")]

use konstruct_ports::ToolCall;
use proptest::prelude::*;
use serde_json::json;

use super::*;

type Outcome = Result<Vec<ModelEvent>, ModelError>;

fn decode(events: impl IntoIterator<Item = Value>) -> Outcome {
    decode_data(events.into_iter().map(|event| event.to_string()))
}

fn decode_data(data: impl IntoIterator<Item = String>) -> Outcome {
    let mut decoder = MessageDecoder::new();
    let mut events = Vec::new();
    for data in data {
        events.extend(decoder.push(&Event { name: String::new(), data })?);
    }
    events.extend(decoder.finish()?);
    Ok(events)
}

fn begins(id: &str, input_tokens: u32) -> Value {
    json!({"type": "message_start", "message": {"id": id, "content": [], "usage": {"input_tokens": input_tokens, "output_tokens": 1}}})
}

fn block(index: u32, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: u32, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn says(text: &str) -> Value {
    delta(0, json!({"type": "text_delta", "text": text}))
}

fn calls(index: u32, id: &str) -> Value {
    block(index, json!({"type": "tool_use", "id": id, "name": "f", "input": {}}))
}

fn piece(index: u32, json: &str) -> Value {
    delta(index, json!({"type": "input_json_delta", "partial_json": json}))
}

fn stops(reason: &str) -> Value {
    json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}, "usage": {"output_tokens": 9}})
}

fn ends() -> Value {
    json!({"type": "message_stop"})
}

fn text(text: &str) -> ModelEvent {
    ModelEvent::Text(text.to_owned())
}

fn call(id: &str, arguments: &str) -> ModelEvent {
    let (id, name, arguments) = (id.to_owned(), "f".to_owned(), arguments.to_owned());
    ModelEvent::ToolCall(ToolCall { id, name, arguments })
}

fn usage(prompt_tokens: u32, completion_tokens: u32) -> ModelEvent {
    let total_tokens = prompt_tokens + completion_tokens;
    ModelEvent::Usage(TokenUsage { prompt_tokens, completion_tokens, total_tokens })
}

const END: ModelEvent = ModelEvent::Finished(StopReason::End);
const CALLS: ModelEvent = ModelEvent::Finished(StopReason::ToolCalls);

#[test]
fn text_comes_piece_by_piece_between_what_was_counted() {
    let ping = || json!({"type": "ping"});
    let outcome = decode([
        ping(),
        begins("m", 5),
        block(0, json!({"type": "text", "text": ""})),
        ping(),
        says("Hello"),
        says(" you"),
        json!({"type": "content_block_stop", "index": 0}),
        stops("end_turn"),
        ping(),
        ends(),
    ]);
    assert_eq!(outcome, Ok(vec![usage(5, 1), text("Hello"), text(" you"), usage(5, 9), END]));
}

/// proves AGNT-02
#[test]
fn a_cut_answer_has_been_counted() {
    let mut decoder = MessageDecoder::new();
    let event = Event { name: "message_start".to_owned(), data: begins("m", 5).to_string() };
    assert_eq!(decoder.push(&event), Ok(vec![usage(5, 1)]));
    assert!(decoder.finish().unwrap_err().is_retryable());
}

#[test]
fn what_the_cache_took_and_gave_is_part_of_the_prompt() {
    let counts = json!({"input_tokens": 3, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 100, "output_tokens": 1});
    let start = json!({"type": "message_start", "message": {"usage": counts}});
    let zeros = json!({"input_tokens": 0, "cache_creation_input_tokens": null, "output_tokens": 4.0});
    let delta =
        |usage: Value| json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage});
    assert_eq!(decode([start.clone(), delta(zeros)]), Ok(vec![usage(123, 1), usage(123, 4), END]));
    let more = json!({"input_tokens": 10, "output_tokens": 5_000_000_000_u64});
    let outcome = decode([start, delta(more)]).unwrap();
    let most = TokenUsage { prompt_tokens: 130, completion_tokens: u32::MAX, total_tokens: u32::MAX };
    assert_eq!(outcome[1], ModelEvent::Usage(most));
}

#[test]
fn output_tokens_are_cumulative_and_never_told_twice() {
    let outcome = decode([begins("m", 5), stops("end_turn"), stops("end_turn"), ends()]);
    assert_eq!(outcome, Ok(vec![usage(5, 1), usage(5, 9), END]));
    for nothing in [json!(null), json!({}), json!({"input_tokens": 0, "output_tokens": 0}), json!("many")] {
        let start = json!({"type": "message_start", "message": {"usage": nothing}});
        let delta = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}});
        assert_eq!(decode([start, delta]), Ok(vec![END]));
    }
}

#[test]
fn tool_calls_come_whole_at_the_end() {
    let outcome = decode([
        says("I'll look."),
        calls(1, "a"),
        piece(1, ""),
        piece(1, "{\"x\""),
        calls(2, "b"),
        piece(1, ":1}"),
        piece(2, ""),
        stops("tool_use"),
        ends(),
    ]);
    let told = vec![text("I'll look."), usage(0, 9), call("a", "{\"x\":1}"), call("b", "{}"), CALLS];
    assert_eq!(outcome, Ok(told));
}

#[test]
fn arguments_may_come_with_the_beginning_of_the_call() {
    let whole = block(0, json!({"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}));
    let told = Ok(vec![usage(0, 9), call("a", "{\"x\":1}"), CALLS]);
    assert_eq!(decode([whole.clone(), stops("tool_use")]), told);
    assert_eq!(decode([whole, piece(0, ""), stops("end_turn")]), told);
}

#[test]
fn thinking_and_tools_of_the_providers_own_are_passed_over() {
    let outcome = decode([
        block(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": "hm"})),
        delta(0, json!({"type": "signature_delta", "signature": "x"})),
        block(1, json!({"type": "redacted_thinking", "data": "x"})),
        block(2, json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})),
        piece(2, "{\"query\":1}"),
        block(3, json!({"type": "web_search_tool_result", "content": [{"text": "x"}]})),
        json!({"type": "yet_to_be_invented", "text": "x"}),
        block(4, json!({"type": "text", "text": "a"})),
        delta(4, json!({"type": "citations_delta", "citation": {}})),
        stops("end_turn"),
        ends(),
    ]);
    assert_eq!(outcome, Ok(vec![text("a"), usage(0, 9), END]));
}

#[test]
fn every_reason_to_stop_has_a_meaning() {
    for (reason, stop) in [
        ("end_turn", StopReason::End),
        ("stop_sequence", StopReason::End),
        ("yet_to_be_invented", StopReason::End),
        ("tool_use", StopReason::End),
        ("max_tokens", StopReason::Length),
        ("model_context_window_exceeded", StopReason::Length),
        ("pause_turn", StopReason::Length),
        ("refusal", StopReason::Refused),
    ] {
        let told = Ok(vec![text("a"), usage(0, 9), ModelEvent::Finished(stop)]);
        assert_eq!(decode([says("a"), stops(reason), ends()]), told, "{reason}");
    }
}

#[test]
fn a_call_cut_by_the_limit_or_a_refusal_is_none() {
    for (reason, stop) in [("max_tokens", StopReason::Length), ("refusal", StopReason::Refused)] {
        let outcome = decode([calls(0, "a"), piece(0, "{\"x"), stops(reason), ends()]);
        assert_eq!(outcome, Ok(vec![usage(0, 9), ModelEvent::Finished(stop)]));
    }
}

#[test]
fn arguments_of_a_call_that_never_began_are_an_error() {
    assert!(decode([piece(0, "{}"), stops("tool_use"), ends()]).unwrap_err().is_retryable());
}

#[test]
fn a_beginning_that_is_repeated_before_any_content_is_harmless() {
    let outcome = decode([begins("m", 10), begins("m", 10), says("ok"), stops("end_turn"), ends()]);
    assert_eq!(outcome, Ok(vec![usage(10, 1), text("ok"), usage(10, 9), END]));
    let outcome = decode([begins("m", 10), begins("m", 99), says("ok"), stops("end_turn"), ends()]);
    assert_eq!(outcome, Ok(vec![usage(10, 1), usage(99, 1), text("ok"), usage(99, 9), END]));
}

/// proves AGNT-02
#[test]
fn of_an_answer_that_begins_again_before_it_was_shown_only_the_second_counts() {
    let thinks = || block(0, json!({"type": "thinking", "thinking": ""}));
    let outcome = decode([
        begins("first", 10),
        thinks(),
        calls(1, "first"),
        piece(1, "{\"value\":\"Spark"),
        begins("second", 20),
        thinks(),
        calls(1, "second"),
        piece(1, "{\"value\":\"complete\"}"),
        stops("tool_use"),
        ends(),
    ]);
    let told =
        vec![usage(10, 1), usage(20, 1), usage(20, 9), call("second", "{\"value\":\"complete\"}"), CALLS];
    assert_eq!(outcome, Ok(told));
}

#[test]
fn an_answer_that_begins_again_after_it_was_shown_has_failed() {
    let outcome = decode([begins("m", 10), says("a"), begins("m", 10), says("a"), stops("end_turn"), ends()]);
    assert!(outcome.unwrap_err().is_retryable());
}

#[test]
fn nothing_counts_behind_the_end() {
    let told = Ok(vec![text("a"), usage(0, 9), END]);
    let late = || [begins("m", 10), says("b"), json!({"type": "error", "error": {"type": "api_error"}})];
    assert_eq!(decode([says("a"), stops("end_turn")].into_iter().chain(late()).chain([ends()])), told);
    assert_eq!(decode([says("a"), stops("end_turn"), ends()].into_iter().chain(late())), told);
}

#[test]
fn a_stream_without_a_reason_to_stop_is_worth_another_try() {
    assert!(decode([begins("m", 5), says("a")]).unwrap_err().is_retryable());
    assert!(decode([says("a"), ends()]).unwrap_err().is_retryable());
    assert!(decode([]).unwrap_err().is_retryable());
}

#[test]
fn an_error_within_the_stream_is_an_error_with_its_kind() {
    let error = |event: Value| decode([says("a"), event]).unwrap_err();
    let overloaded = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    assert_eq!(error(overloaded), broken("error within the stream (overloaded_error)"));
    assert!(!error(json!({"type": "error", "error": {"type": "invalid_request_error"}})).is_retryable());
    assert!(error(json!({"type": "error"})).is_retryable());
    assert!(error(json!({"error": {"message": "a proxy's"}})).is_retryable());
    let mut decoder = MessageDecoder::new();
    let named = Event { name: "error".to_owned(), data: "{}".to_owned() };
    assert!(decoder.push(&named).is_err());
}

#[test]
fn garbage_is_worth_another_try_unless_the_answer_is_whole() {
    let deep = format!("{{\"type\":\"ping\",\"x\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for garbage in ["<html>", "{\"type\":", "[]", "7", &deep] {
        assert!(decode_data([garbage.to_owned()]).unwrap_err().is_retryable());
        assert!(decode_data([stops("end_turn").to_string(), garbage.to_owned()]).is_ok());
    }
}

#[test]
fn lines_padded_with_blanks_and_half_characters_are_survived() {
    let half = |text: &str| {
        format!(r#"{{"type":"content_block_delta","delta":{{"type":"text_delta","text":"{text}"}}}}   "#)
    };
    let data = [half(r"a\ud83d"), half(r"\u0000"), half(r"b\u0000"), format!("  {}  ", stops("end_turn"))];
    assert_eq!(decode_data(data), Ok(vec![text("a"), text("b"), usage(0, 9), END]));
}

#[test]
fn calls_without_end_are_given_up() {
    let piece = piece(0, &"x".repeat(1 << 20));
    let endless = std::iter::once(calls(0, "a")).chain(std::iter::repeat_n(piece, 8));
    assert!(decode(endless.chain([stops("tool_use")])).unwrap_err().is_retryable());
}

/// JSON of all shapes, with the names that mean something in all the wrong places.
fn wild() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "message_start|message_delta|message_stop|content_block_start|content_block_delta|text|tool_use|text_delta\
            |input_json_delta|end_turn|error|.{0,4}"
            .prop_map(Value::from),
    ];
    let name = "type|index|message|delta|content_block|usage|input_tokens|output_tokens|text|partial_json|id|name\
        |input|stop_reason|error";
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(name, inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// An event that is right but for one field.
fn nearly() -> impl Strategy<Value = Value> {
    let right = prop_oneof![
        Just(begins("m", 5)),
        Just(says("a")),
        Just(calls(0, "a")),
        Just(piece(0, "{")),
        Just(stops("tool_use")),
        Just(block(0, json!({"type": "text", "text": "t"}))),
    ];
    (right, "index|message|delta|content_block|usage|x", wild()).prop_map(|(mut event, field, value)| {
        event[field] = value;
        event
    })
}

proptest! {
    #[test]
    fn no_event_breaks_the_rules_of_the_port(
        events in proptest::collection::vec(prop_oneof![wild(), nearly()], 0..10),
        whole in any::<bool>(),
    ) {
        let end = whole.then(|| stops("end_turn"));
        if let Ok(events) = decode(events.into_iter().chain(end)) {
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

    #[test]
    fn no_bytes_are_too_wild(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in any::<prop::sample::Index>()) {
        let stream = [b"event: content_block_delta\ndata: ", &bytes[..], b"\n\n"].concat();
        let (before, behind) = stream.split_at(cut.index(stream.len()));
        let (mut sse, mut decoder) = (crate::sse::Decoder::new(), MessageDecoder::new());
        for piece in [before, behind] {
            for event in sse.push(piece) {
                let _ = decoder.push(&event);
            }
        }
        let _ = decoder.finish();
    }
}
