//! Real captures, decoded however they are cut. They are not part of the project: where they are absent, the tests
//! say so and pass. `KONSTRUCT_FIXTURES` names their folder; `../shared/fixtures` beside the workspace is looked at.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test, which says where it looks for captures"
)]

use std::path::Path;

use konstruct_llm::anthropic::message::MessageDecoder;
use konstruct_llm::openai::chunk::ChunkDecoder;
use konstruct_llm::sse::Decoder;
use konstruct_ports::{ModelEvent, StopReason, TokenUsage, ToolCall};

/// Whose capture it is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    OpenAi,
    Anthropic,
}

/// A capture as it was on the wire, or none where it is absent. `done`: with what providers send last, and some leave
/// out.
fn capture(by: By, name: &str, line_end: &str, done: bool) -> Option<Vec<u8>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures");
    let folder = std::env::var_os("KONSTRUCT_FIXTURES").map_or(beside, Into::into);
    let folder = folder.join(if by == By::OpenAi { "llm/openai" } else { "llm/anthropic" });
    let Ok(text) = std::fs::read_to_string(folder.join(name)) else {
        println!("skipped: no capture {name} in {}", folder.display());
        return None;
    };
    if name.ends_with(".sse") || name.ends_with("_response.txt") {
        // Whoever copied it may have cut the last blank line.
        let whole = if done { format!("{}\n\n", text.trim_end()) } else { text };
        return Some(whole.replace('\n', line_end).into_bytes());
    }
    let ping = "\n: a comment\nevent: ping\ndata: {\"type\": \"ping\"}\n\n";
    let events = match by {
        By::OpenAi => {
            let last = done.then_some("[DONE]");
            text.lines().chain(last).map(|chunk| format!("data: {chunk}\n\n")).collect::<String>()
        }
        By::Anthropic => {
            let whole = text.lines().filter(|event| done || !event.contains("\"message_stop\""));
            whole.map(|event| format!("event: {}\ndata: {event}\n\n{ping}", kind(event))).collect()
        }
    };
    Some(events.replace('\n', line_end).into_bytes())
}

/// What Anthropic repeats in the line `event:`.
fn kind(event: &str) -> &str {
    event.split('"').nth(3).unwrap()
}

/// Text in one piece, and the rest as it came.
#[derive(Debug, PartialEq, Clone)]
struct Answer {
    text: String,
    rest: Vec<ModelEvent>,
}

fn decode<'a>(by: By, pieces: impl IntoIterator<Item = &'a [u8]>) -> Answer {
    let (mut sse, mut chunks, mut messages) = (Decoder::new(), ChunkDecoder::new(), MessageDecoder::new());
    let mut answer = Answer { text: String::new(), rest: Vec::new() };
    for piece in pieces {
        for event in sse.push(piece) {
            let events = match by {
                By::OpenAi => chunks.push(&event.data).unwrap(),
                By::Anthropic => messages.push(&event).unwrap(),
            };
            for event in events {
                match event {
                    ModelEvent::Text(text) => answer.text.push_str(&text),
                    other => answer.rest.push(other),
                }
            }
        }
    }
    answer.rest.extend(match by {
        By::OpenAi => chunks.finish().unwrap(),
        By::Anthropic => messages.finish().unwrap(),
    });
    answer
}

/// Decodes the capture whole, byte by byte, with every kind of line end, with and without what comes last, and cut in
/// two everywhere; a long one is cut in two around every one of its events instead of as a whole.
fn answer(by: By, name: &str) -> Option<Answer> {
    let stream = capture(by, name, "\n", true)?;
    let whole = decode(by, [&stream[..]]);
    for line_end in ["\n", "\r", "\r\n"] {
        for done in [true, false] {
            let stream = capture(by, name, line_end, done)?;
            assert_eq!(decode(by, [&stream[..]]), whole);
            assert_eq!(decode(by, stream.chunks(1)), whole);
            assert_eq!(decode(by, stream.chunks(7)), whole);
        }
        cut_in_two(by, &capture(by, name, line_end, true)?, line_end, &whole);
    }
    Some(whole)
}

fn cut_in_two(by: By, stream: &[u8], line_end: &str, whole: &Answer) {
    if stream.len() < 4_000 {
        for at in 0..=stream.len() {
            assert_eq!(decode(by, [&stream[..at], &stream[at..]]), *whole, "cut at {at}");
        }
        return;
    }
    let blank = line_end.repeat(2);
    let mut rest = stream;
    while let Some(length) = rest.windows(blank.len()).position(|end| end == blank.as_bytes()) {
        let (event, behind) = rest.split_at(length + blank.len());
        let expected = Decoder::new().push(event);
        for at in 0..=event.len() {
            let mut decoder = Decoder::new();
            let mut events = decoder.push(&event[..at]);
            events.extend(decoder.push(&event[at..]));
            assert_eq!(events, expected, "cut at {at}");
        }
        rest = behind;
    }
    assert!(rest.is_empty());
}

fn usage(prompt_tokens: u32, completion_tokens: u32, total_tokens: u32) -> ModelEvent {
    ModelEvent::Usage(TokenUsage { prompt_tokens, completion_tokens, total_tokens })
}

fn call(id: &str, name: &str, arguments: &str) -> ModelEvent {
    let (id, name, arguments) = (id.to_owned(), name.to_owned(), arguments.to_owned());
    ModelEvent::ToolCall(ToolCall { id, name, arguments })
}

const END: ModelEvent = ModelEvent::Finished(StopReason::End);
const CALLS: ModelEvent = ModelEvent::Finished(StopReason::ToolCalls);

/// proves AGNT-02
#[test]
fn openai_says_its_text_and_its_usage_at_the_end() {
    let Some(answer) = answer(By::OpenAi, "openai-text.chunks.txt") else {
        return;
    };
    assert!(answer.text.starts_with("**Holiday Name:**"));
    assert_eq!(answer.text.chars().count(), 1724);
    assert_eq!(answer.rest, [usage(16, 300, 316), END]);
}

#[test]
fn mistral_says_its_usage_with_the_finish() {
    let Some(answer) = answer(By::OpenAi, "mistral-text.chunks.txt") else {
        return;
    };
    assert_eq!(answer.text, "Hello, world! This is a test response.");
    assert_eq!(answer.rest, [usage(13, 8, 21), END]);
}

#[test]
fn groq_calls_a_tool_in_one_chunk() {
    let Some(answer) = answer(By::OpenAi, "groq-tool-call.chunks.txt") else {
        return;
    };
    let rest = vec![usage(210, 15, 225), call("tk85n1k4m", "weather", "{}"), CALLS];
    assert_eq!(answer, Answer { text: String::new(), rest });
}

#[test]
fn deepseek_reasons_before_it_calls() {
    let Some(answer) = answer(By::OpenAi, "deepseek-tool-call.chunks.txt") else {
        return;
    };
    let [counts, ModelEvent::ToolCall(called), stop] = &answer.rest[..] else { panic!("{answer:?}") };
    assert_eq!(
        (called.name.as_str(), called.arguments.as_str()),
        ("weather", "{\"location\": \"San Francisco\"}")
    );
    assert_eq!((counts, stop), (&usage(339, 83, 422), &CALLS));
    assert_eq!(answer.text, "");
}

#[test]
fn a_compatible_server_counts_tools_from_one_and_tells_no_usage() {
    let Some(answer) = answer(By::OpenAi, "anthropic-fallback-tool-call.sse") else {
        return;
    };
    let rest = vec![call("toolu_sanitized", "read_file", "{\"path\": \"a.txt\"}"), CALLS];
    assert_eq!(answer, Answer { text: "Reading it.".to_owned(), rest });
}

/// proves AGNT-02
#[test]
fn anthropic_counts_the_prompt_first_and_the_answer_last() {
    let Some(answer) = answer(By::Anthropic, "anthropic-text.chunks.txt") else {
        return;
    };
    let text = "Hello! I'm doing well, thank you for asking. How are you doing today? Is there anything I can help you with?";
    let rest = vec![usage(12, 1, 13), usage(12, 30, 42), END];
    assert_eq!(answer, Answer { text: text.to_owned(), rest });
}

#[test]
fn anthropic_may_tell_of_the_prompt_only_once() {
    let Some(answer) = answer(By::Anthropic, "basic_response.txt") else {
        return;
    };
    let rest = vec![usage(11, 1, 12), usage(11, 6, 17), END];
    assert_eq!(answer, Answer { text: "Hello there!".to_owned(), rest });
}

#[test]
fn anthropic_speaks_before_it_calls_a_tool() {
    let Some(answer) = answer(By::Anthropic, "tool_use_response.txt") else {
        return;
    };
    let called = call("toolu_01NRLabsLyVHZPKxbKvkfSMn", "get_weather", "{\"location\": \"Paris\"}");
    let rest = vec![usage(377, 1, 378), usage(377, 65, 442), called, CALLS];
    assert_eq!(answer, Answer { text: "I'll check the current weather in Paris for you.".to_owned(), rest });
}

#[test]
fn anthropic_calls_a_tool_without_arguments() {
    let Some(answer) = answer(By::Anthropic, "anthropic-tool-no-args.chunks.txt") else {
        return;
    };
    let called = call("toolu_01QE1WLsSVp5hy5Q3GmGTmjP", "updateIssueList", "{}");
    let rest = vec![usage(565, 7, 572), usage(565, 48, 613), called, CALLS];
    assert_eq!(answer, Answer { text: "I'll update the issue list for you.".to_owned(), rest });
}

#[test]
fn anthropic_refuses_without_a_word() {
    let Some(answer) = answer(By::Anthropic, "anthropic-refusal.chunks.txt") else {
        return;
    };
    let rest = vec![usage(18, 1, 19), usage(18, 5, 23), ModelEvent::Finished(StopReason::Refused)];
    assert_eq!(answer, Answer { text: String::new(), rest });
}
