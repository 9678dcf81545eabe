//! Cuts a long answer into messages, where a reader would: between paragraphs and around blocks of code. It loses
//! nothing but the white space at a cut, and never cuts a character.
//!
//! **What stays as it is when a text grows:** all parts but the last. A part is closed by the text that did not fit any
//! more, and where it ends depends on that part of the text alone. So what was posted of an answer under way need not
//! be posted anew. (The last part may become shorter, when what follows shows that its end belongs to the next one.)

use super::mrkdwn::Fence;

/// Most UTF-16 units of one message after escaping. Slack advises 4,000 characters for `text`, refuses `markdown_text`
/// beyond 12,000, and counts in ways it does not tell.
pub const PART_MAX: usize = 3_900;

/// Kept free in every part for closing a block of code.
const CLOSING_MAX: usize = super::mrkdwn::FENCE_RUN_MAX + 1;

/// Longest opening line that is repeated in the next part; of a longer one only the marks are.
const OPENING_MAX: usize = 64;

/// The parts of a Markdown text, each at most [`PART_MAX`] long; none if there is nothing but white space. A block of
/// code that goes on in the next part is closed and opened again.
#[must_use]
pub fn split(markdown: &str) -> Vec<String> {
    split_at_most(markdown, PART_MAX)
}

/// As [`split`], with another limit (at least 200).
#[must_use]
pub fn split_at_most(markdown: &str, limit: usize) -> Vec<String> {
    let mut rest = trim_blank_lines(markdown.trim_end());
    let mut parts = Vec::new();
    let mut fence: Option<Fence<'_>> = None;
    loop {
        if let Some(behind) = fence.and_then(|open| closed_already(rest, open)) {
            (rest, fence) = (behind, None);
        }
        if rest.is_empty() {
            break;
        }
        let opening = fence.map(opening).unwrap_or_default();
        let budget = limit.saturating_sub(CLOSING_MAX + cost(&opening));
        let Some(window) = beginning(rest, budget) else {
            parts.push(format!("{opening}{rest}"));
            break;
        };
        let cut = cut(window, rest, fence);
        let (part, behind) = rest.split_at(cut.at);
        let shown = part.trim_end();
        parts.push(match cut.inside {
            Some(inside) => format!("{opening}{shown}\n{}", inside.run),
            None => format!("{opening}{shown}"),
        });
        rest = match cut.inside {
            Some(_) => behind.strip_prefix('\n').unwrap_or(behind),
            None if part.ends_with('\n') => trim_blank_lines(behind),
            None => trim_blank_lines(behind.trim_start_matches([' ', '\t'])),
        };
        fence = cut.inside;
    }
    parts
}

/// The line that opens a block again.
fn opening(fence: Fence<'_>) -> String {
    let line = format!("{}{}\n", fence.run, fence.info);
    if cost(&line) <= OPENING_MAX { line } else { format!("{}\n", fence.run) }
}

/// UTF-16 units after escaping.
fn cost(text: &str) -> usize {
    text.chars().map(cost_of).sum()
}

const fn cost_of(character: char) -> usize {
    match character {
        '<' | '>' => 4,
        '&' => 5,
        _ => character.len_utf16(),
    }
}

/// As much as fits; none if all of it does.
fn beginning(text: &str, budget: usize) -> Option<&str> {
    let mut spent = 0;
    for (at, character) in text.char_indices() {
        spent += cost_of(character);
        if spent > budget {
            return text.get(..at);
        }
    }
    None
}

/// What is behind the end of a block, where that is all that is left of it in this part.
fn closed_already<'a>(rest: &'a str, fence: Fence<'_>) -> Option<&'a str> {
    let (line, behind) = rest.split_once('\n').unwrap_or((rest, ""));
    fence.is_closed_by(line).then(|| trim_blank_lines(behind))
}

/// Without the lines at the beginning that hold nothing; the first other one keeps its indentation.
fn trim_blank_lines(text: &str) -> &str {
    let bare = text.trim_start();
    let dropped = text.len() - bare.len();
    let from = text.get(..dropped).and_then(|blank| blank.rfind('\n')).map_or(0, |newline| newline + 1);
    if bare.is_empty() { bare } else { text.get(from..).unwrap_or_default() }
}

/// Where a part ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut<'a> {
    /// Bytes of the rest that belong to the part; never 0.
    at: usize,
    /// The block of code that goes on behind it.
    inside: Option<Fence<'a>>,
}

/// The best place to end a part that may hold `window`, the beginning of `rest`. Looks at whole lines of the window
/// only, and at one character behind it: neither changes when the text grows.
fn cut<'a>(window: &'a str, rest: &str, fence: Option<Fence<'a>>) -> Cut<'a> {
    let lines = Lines::read(window, fence);
    if let Some(at) = lines.border {
        return Cut { at, inside: None };
    }
    let inside = lines.inside;
    let half = window.len() / 2;
    if let Some(at) = lines.newline.filter(|at| inside.is_some() || *at >= half) {
        return Cut { at, inside };
    }
    let ends_a_word = rest.get(window.len()..).is_some_and(|behind| behind.starts_with(char::is_whitespace));
    let from = lines.opened;
    let begins = window.len() - window.trim_start().len();
    let blank = window.rfind(char::is_whitespace).filter(|at| *at > from.max(begins));
    let at = if ends_a_word { window.len() } else { blank.unwrap_or(window.len()) };
    Cut { at: at.max(1), inside }
}

/// What a window's whole lines tell.
struct Lines<'a> {
    /// The last end of a paragraph, or of a block of code, or the beginning of one.
    border: Option<usize>,
    /// The last end of a line that is behind some text, or some code.
    newline: Option<usize>,
    /// The block of code that the window ends in.
    inside: Option<Fence<'a>>,
    /// The end of that block's opening line.
    opened: usize,
}

impl<'a> Lines<'a> {
    fn read(window: &'a str, fence: Option<Fence<'a>>) -> Self {
        let mut lines = Self { border: None, newline: None, inside: fence, opened: 0 };
        let mut at = 0;
        for line in window.split_inclusive('\n') {
            let Some(bare) = line.strip_suffix('\n') else {
                break;
            };
            let end = at + bare.len();
            lines.line(bare, at, end);
            at = end + 1;
        }
        lines
    }

    /// One whole line, from `at` to `end`.
    fn line(&mut self, line: &'a str, at: usize, end: usize) {
        if let Some(fence) = self.inside {
            if fence.is_closed_by(line) {
                (self.inside, self.border) = (None, Some(end + 1));
            } else {
                self.newline = Some(end);
            }
        } else if let Some(fence) = Fence::opening(line) {
            if at > 0 {
                self.border = Some(at);
            }
            (self.inside, self.newline, self.opened) = (Some(fence), None, end);
        } else if line.trim().is_empty() {
            self.border = Some(at).filter(|at| *at > 0).or(self.border);
        } else {
            self.newline = Some(end);
        }
    }
}

#[cfg(test)]
mod tests;
