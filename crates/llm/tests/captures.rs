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

use konstruct_llm::openai::chunk::ChunkDecoder;
use konstruct_llm::sse::Decoder;
use konstruct_ports::{ModelEvent, StopReason, TokenUsage};

/// A capture as it was on the wire, or none where it is absent.
fn capture(name: &str, line_end: &str, done: bool) -> Option<Vec<u8>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures");
    let folder = std::env::var_os("KONSTRUCT_FIXTURES").map_or(beside, Into::into);
    let Ok(text) = std::fs::read_to_string(folder.join("llm/openai").join(name)) else {
        println!("skipped: no capture {name} in {}", folder.display());
        return None;
    };
    if name.ends_with(".sse") {
        return Some(text.replace('\n', line_end).into_bytes());
    }
    let last = done.then_some("[DONE]");
    let events = text.lines().chain(last).map(|chunk| format!("data: {chunk}{line_end}{line_end}"));
    Some(events.collect::<String>().into_bytes())
}

/// Text in one piece, and the rest as it came.
#[derive(Debug, PartialEq, Clone)]
struct Answer {
    text: String,
    rest: Vec<ModelEvent>,
}

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Answer {
    let (mut sse, mut chunks) = (Decoder::new(), ChunkDecoder::new());
    let mut answer = Answer { text: String::new(), rest: Vec::new() };
    for piece in pieces {
        for event in sse.push(piece) {
            for event in chunks.push(&event.data).unwrap() {
                match event {
                    ModelEvent::Text(text) => answer.text.push_str(&text),
                    other => answer.rest.push(other),
                }
            }
        }
    }
    answer.rest.extend(chunks.finish().unwrap());
    answer
}

/// Decodes the capture whole, byte by byte, with every kind of line end, with and without `[DONE]`, and cut in two
/// everywhere; a long one is cut in two around every one of its events instead of as a whole.
fn answer(name: &str) -> Option<Answer> {
    let stream = capture(name, "\n", true)?;
    let whole = decode([&stream[..]]);
    for line_end in ["\n", "\r", "\r\n"] {
        for done in [true, false] {
            let stream = capture(name, line_end, done)?;
            assert_eq!(decode([&stream[..]]), whole);
            assert_eq!(decode(stream.chunks(1)), whole);
            assert_eq!(decode(stream.chunks(7)), whole);
        }
        cut_in_two(&capture(name, line_end, true)?, line_end, &whole);
    }
    Some(whole)
}

fn cut_in_two(stream: &[u8], line_end: &str, whole: &Answer) {
    if stream.len() < 2_500 {
        for at in 0..=stream.len() {
            assert_eq!(decode([&stream[..at], &stream[at..]]), *whole, "cut at {at}");
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
    ModelEvent::ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

#[test]
fn openai_says_its_text_and_its_usage_at_the_end() {
    let Some(answer) = answer("openai-text.chunks.txt") else {
        return;
    };
    assert!(answer.text.starts_with("**Holiday Name:**"));
    assert_eq!(answer.text.chars().count(), 1724);
    assert_eq!(answer.rest, [usage(16, 300, 316), ModelEvent::Finished(StopReason::End)]);
}

#[test]
fn mistral_says_its_usage_with_the_finish() {
    let Some(answer) = answer("mistral-text.chunks.txt") else {
        return;
    };
    assert_eq!(answer.text, "Hello, world! This is a test response.");
    assert_eq!(answer.rest, [usage(13, 8, 21), ModelEvent::Finished(StopReason::End)]);
}

#[test]
fn groq_calls_a_tool_in_one_chunk() {
    let Some(answer) = answer("groq-tool-call.chunks.txt") else {
        return;
    };
    let stop = ModelEvent::Finished(StopReason::ToolCalls);
    assert_eq!(
        answer,
        Answer {
            text: String::new(),
            rest: vec![call("tk85n1k4m", "weather", "{}"), usage(210, 15, 225), stop]
        }
    );
}

#[test]
fn deepseek_reasons_before_it_calls() {
    let Some(answer) = answer("deepseek-tool-call.chunks.txt") else {
        return;
    };
    let [ModelEvent::ToolCall { name, arguments, .. }, counts, stop] = &answer.rest[..] else {
        panic!("{answer:?}")
    };
    assert_eq!((name.as_str(), arguments.as_str()), ("weather", "{\"location\": \"San Francisco\"}"));
    assert_eq!((counts, stop), (&usage(339, 83, 422), &ModelEvent::Finished(StopReason::ToolCalls)));
    assert_eq!(answer.text, "");
}

#[test]
fn a_compatible_server_counts_tools_from_one_and_tells_no_usage() {
    let Some(answer) = answer("anthropic-fallback-tool-call.sse") else {
        return;
    };
    let rest = vec![
        call("toolu_sanitized", "read_file", "{\"path\": \"a.txt\"}"),
        ModelEvent::Finished(StopReason::ToolCalls),
    ];
    assert_eq!(answer, Answer { text: "Reading it.".to_owned(), rest });
}
