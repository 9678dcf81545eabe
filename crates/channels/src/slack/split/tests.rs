//! Where texts are cut, and for random ones that nothing is lost and nothing posted changes.

use proptest::prelude::*;

use super::*;
use crate::slack::mrkdwn::{escape, mrkdwn};

fn words(n: usize) -> String {
    (1..=n).map(|i| format!("w{i}")).collect::<Vec<_>>().join(" ")
}

/// proves SLACK-04
#[test]
fn a_short_text_is_one_part_and_none_is_none() {
    assert_eq!(split(" \n\n hi \n"), [" hi"]);
    assert_eq!(split(" \n\t "), [""; 0]);
    assert_eq!(split(&"x".repeat(PART_MAX - CLOSING_MAX)).len(), 1);
}

/// proves SLACK-04
#[test]
fn a_text_is_cut_between_paragraphs() {
    let (first, second) = ("a ".repeat(40), "b ".repeat(80));
    let text = format!("{first}\n\n{second}\n \n\nend");
    assert_eq!(split_at_most(&text, 200), [first.trim(), &format!("{second}\n \n\nend")]);
    let text = format!("intro\n\n{}", words(50).trim());
    assert_eq!(split_at_most(&text, 205), ["intro", &words(50)], "a paragraph that fits is not cut");
}

/// proves SLACK-04
#[test]
fn a_paragraph_too_long_is_cut_at_a_blank() {
    let text = words(5_000);
    let parts = split(&text);
    assert!(parts.len() > 5);
    assert!(parts.iter().all(|part| part.len() <= PART_MAX));
    assert!(parts.iter().rev().skip(1).all(|part| part.len() > PART_MAX - 40), "filled");
    assert_eq!(parts.join(" "), text);
}

/// proves SLACK-04
#[test]
fn a_word_too_long_is_cut_between_characters() {
    let text = "é".repeat(500);
    let parts = split_at_most(&text, 200);
    assert_eq!(parts.concat(), text);
    assert!(parts.iter().all(|part| part.encode_utf16().count() <= 200));
    assert_eq!(split_at_most(&"<".repeat(100), 200).len(), 3, "an escape counts with all its characters");
}

/// proves SLACK-04
#[test]
fn code_is_cut_between_lines_closed_and_opened_again() {
    let code =
        |from: usize, to: usize| (from..to).map(|i| format!("let x{i:02} = {i:02};\n")).collect::<String>();
    let text = format!("Look:\n```rust\n{}```\nDone.", code(10, 40));
    let parts = split_at_most(&text, 250);
    assert_eq!(parts.first().map(String::as_str), Some("Look:"));
    assert!(parts.len() > 2 && parts.last().is_some_and(|part| part.ends_with("```\nDone.")));
    for part in &parts[1..] {
        assert!(part.starts_with("```rust\nlet"), "{part}");
        assert_eq!(part.matches("```").count(), 2, "{part}");
    }
    let lines =
        |text: &str| text.lines().filter(|l| l.starts_with("let")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&parts.join("\n")), lines(&text));
}

#[test]
fn code_that_fits_is_not_cut() {
    let code = format!("```\n{}\n```", "code\n\n".repeat(20).trim());
    let text = format!("{}\n{code}\nend", "word ".repeat(20).trim());
    assert_eq!(split_at_most(&text, 200), ["word ".repeat(20).trim(), &format!("{code}\nend")]);
}

#[test]
fn a_cut_just_before_the_end_of_a_block_leaves_no_empty_block() {
    for length in 170..200 {
        let text = format!("```\n{}\n```\n\nafter {}", "x".repeat(length), "y ".repeat(90));
        for part in split_at_most(&text, 200) {
            assert!(!part.contains("```\n```"), "{length}: {part}");
        }
    }
}

const TEXT: &str =
    "([a-z]{1,9} ?|[a-z<&é😀]{1,9}|\n|\n\n| |  |\n```\n|\n```rust\n|\n~~~\n|`x` |# |- |[a-z]{190,260}){0,80}";

/// What is no white space and no mark of a block.
fn solid(text: &str) -> String {
    let fences = |line: &&str| !line.trim_start().starts_with("```") && !line.trim_start().starts_with("~~~");
    text.lines().filter(fences).flat_map(str::chars).filter(|c| !c.is_whitespace()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_part_fits_and_has_text(text in TEXT) {
        for part in split_at_most(&text, 200) {
            prop_assert!(cost(&part) <= 200 && escape(&part).encode_utf16().count() <= 200, "{:?}", part);
            prop_assert!(mrkdwn(&part).encode_utf16().count() <= 204, "{:?}", part);
            prop_assert!(!part.trim().is_empty());
        }
    }

    #[test]
    fn nothing_is_lost(text in TEXT) {
        let joined = split_at_most(&text, 200).join("\n");
        prop_assert_eq!(solid(&joined), solid(&text));
    }

    #[test]
    fn without_blocks_the_parts_are_the_text(text in "([a-zé]{1,9}[ \n]|[a-z]{210}|\n){0,80}") {
        let solid = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        let mut rest = text.as_str();
        for part in split_at_most(&text, 200) {
            let at = rest.find(&part).expect("each part is a piece of the text");
            prop_assert!(rest[..at].trim().is_empty());
            rest = &rest[at + part.len()..];
        }
        prop_assert_eq!(solid(rest), "");
    }

    #[test]
    fn parts_but_the_last_stay_when_a_text_grows(text in TEXT, more in TEXT) {
        let whole = format!("{text}{more}");
        let later = split_at_most(&whole, 200);
        for (at, _) in whole.char_indices().skip(text.chars().count()).step_by(7) {
            let earlier = split_at_most(&whole[..at], 200);
            if let Some((_, closed)) = earlier.split_last() {
                prop_assert!(later.starts_with(closed), "{:?} then {:?}", earlier, later);
            }
        }
    }
}
