//! The framing's torture list. No provider's JSON here.

use proptest::prelude::*;

use super::*;

fn decode(stream: &[u8]) -> Vec<Event> {
    Decoder::new().push(stream)
}

fn in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut decoder = Decoder::new();
    pieces.into_iter().flat_map(|piece| decoder.push(piece)).collect()
}

fn data(stream: &[u8]) -> Vec<String> {
    decode(stream).into_iter().map(|event| event.data).collect()
}

#[test]
fn an_event_ends_with_a_blank_line_of_any_kind() {
    for stream in ["data: a\n\ndata: b\n\n", "data: a\r\rdata: b\r\r", "data: a\r\n\r\ndata: b\r\n\r\n"] {
        assert_eq!(data(stream.as_bytes()), ["a", "b"], "{stream:?}");
    }
}

#[test]
fn line_ends_may_be_mixed() {
    assert_eq!(data(b"data: a\r\n\ndata: b\r\rdata: c\n\r\ndata: d\r\n\r"), ["a", "b", "c", "d"]);
}

#[test]
fn a_carriage_return_and_its_line_feed_in_two_pieces_end_one_line() {
    assert_eq!(in_pieces([&b"data: a\r"[..], b"\ndata: b\r", b"\n\r", b"\n"]).len(), 1);
    assert_eq!(in_pieces([&b"data: a\r"[..], b"", b"\ndata: b\r", b"\n\r", b"\n"])[0].data, "a\nb");
}

#[test]
fn a_blank_line_ending_in_a_carriage_return_does_not_wait_for_more() {
    assert_eq!(data(b"data: a\r\r"), ["a"]);
}

#[test]
fn data_lines_join_with_a_line_feed() {
    assert_eq!(data(b"data: a\ndata:\ndata:  b\n\n"), ["a\n\n b"]);
}

#[test]
fn one_blank_behind_the_colon_is_dropped_and_no_more() {
    assert_eq!(data(b"data:a\n\ndata: a\n\ndata:  a\n\ndata:\ta\n\n"), ["a", "a", " a", "\ta"]);
}

#[test]
fn empty_data_is_an_event_and_no_data_is_none() {
    assert_eq!(data(b"data\n\ndata:\n\nevent: x\n\n: comment\n\nid: 7\nretry: 5\n\n\n\n"), ["", ""]);
}

#[test]
fn comments_and_unknown_fields_are_passed_over() {
    assert_eq!(data(b": ping\ndata: a\n:data: b\nmore: c\n datax: d\n\n"), ["a"]);
}

#[test]
fn an_event_takes_its_name_and_the_next_does_not() {
    let events = decode(b"event: error\ndata: a\n\ndata: b\n\nevent: lost\n\ndata: c\n\n");
    let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["error", "", ""]);
}

#[test]
fn a_byte_order_mark_is_dropped_at_the_very_beginning_only() {
    assert_eq!(data(b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n"), ["a"]);
    assert_eq!(in_pieces([&b"\xef"[..], b"\xbb", b"\xbfdata: a\n\n"])[0].data, "a");
}

#[test]
fn an_event_without_its_blank_line_is_thrown_away() {
    assert_eq!(data(b"data: a\n\ndata: b\n"), ["a"]);
    assert_eq!(data(b"data: b"), Vec::<String>::new());
}

#[test]
fn line_separators_of_unicode_end_no_line() {
    let stream = "data: a\u{2028}b\u{2029}c\u{85}d\u{b}e\u{c}f\n\n";
    assert_eq!(data(stream.as_bytes()), ["a\u{2028}b\u{2029}c\u{85}d\u{b}e\u{c}f"]);
}

#[test]
fn characters_may_be_cut_anywhere() {
    let stream = "data: grüße 🦀 漢字\n\n".as_bytes();
    assert_eq!(in_pieces(stream.chunks(1))[0].data, "grüße 🦀 漢字");
}

#[test]
fn what_is_no_utf8_is_replaced() {
    assert_eq!(data(b"data: a\xffb\xf0\x9f\n\n"), ["a\u{fffd}b\u{fffd}"]);
}

#[test]
fn an_event_of_64_mib_takes_linear_time() {
    let piece = vec![b'x'; 16 * 1024];
    let mut decoder = Decoder::new();
    decoder.push(b"data: ");
    for _ in 0..4096 {
        assert!(decoder.push(&piece).is_empty());
    }
    assert_eq!(decoder.push(b"\n\n")[0].data.len(), 64 * 1024 * 1024);
}

#[test]
fn a_million_lines_of_one_event_take_linear_time() {
    let stream = "data: x\n".repeat(1_000_000) + "\n";
    assert_eq!(decode(stream.as_bytes())[0].data.len(), 1_999_999);
}

/// Streams made of what matters to the framing.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let atom = prop_oneof![
        Just(b"data".to_vec()),
        Just(b"event".to_vec()),
        Just(b": ".to_vec()),
        Just(b":".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n\n".to_vec()),
        Just("\u{feff}".as_bytes().to_vec()),
        Just("é🦀".as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(atom, 0..40).prop_map(|atoms| atoms.concat())
}

/// What the specification says, without streaming: the whole text, split into lines.
fn by_the_book(stream: &[u8]) -> Vec<Event> {
    let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let mut unified = Vec::new();
    let mut bytes = stream.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\r' {
            bytes.next_if_eq(&b'\n');
            unified.push(b'\n');
        } else {
            unified.push(byte);
        }
    }
    let mut events = Vec::new();
    let (mut name, mut lines) = (String::new(), Vec::<String>::new());
    let whole_lines = unified.iter().filter(|&&byte| byte == b'\n').count();
    for line in unified.split(|&byte| byte == b'\n').take(whole_lines) {
        let line = String::from_utf8_lossy(line).into_owned();
        if line.is_empty() {
            let taken = std::mem::take(&mut name);
            if !lines.is_empty() {
                events.push(Event { name: taken, data: std::mem::take(&mut lines).join("\n") });
            }
        } else {
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match field {
                "data" => lines.push(value),
                "event" => name = value,
                _ => {}
            }
        }
    }
    events
}

proptest! {
    #[test]
    fn a_stream_means_the_same_however_it_is_cut(stream in streams(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        ends.push(stream.len());
        ends.sort_unstable();
        let mut from = 0;
        let mut pieces = Vec::new();
        for end in ends {
            pieces.push(&stream[from..end]);
            from = end;
        }
        prop_assert_eq!(in_pieces(pieces), by_the_book(&stream));
        prop_assert_eq!(in_pieces(stream.chunks(1)), by_the_book(&stream));
    }
}
