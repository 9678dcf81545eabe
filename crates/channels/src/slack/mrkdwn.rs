//! A model's Markdown as Slack shows it. No output holds an unescaped `<`, `>` or `&` of the model's, so whatever a
//! model writes it names nobody, pings nobody and hides no address behind a label (contracts.md 4.5).
//!
//! Two outputs: `mrkdwn`, Slack's own markup, for posts and updates; and Markdown with the escapes alone, which the
//! streaming methods and `markdown_text` take. Slack parses its `<…>` in both, code included, and shows the escapes
//! as the characters they stand for.

mod inline;

use std::fmt::Write;

use self::inline::{Strong, inline};

/// Marks of a list's item that Markdown has and Slack has not.
const BULLETS: [char; 3] = ['-', '*', '+'];

/// Longest run of backticks or tildes that begins a fence; longer ones are text.
pub(super) const FENCE_RUN_MAX: usize = 12;

/// Markdown as `mrkdwn`: bold, italic, struck, headings (bold), lists, links (`label (address)`), quotes and code.
/// Tables and HTML stay as they were written. Never more characters than [`escape`] makes of it, but for the closing
/// of a fence that was left open.
#[must_use]
pub fn mrkdwn(markdown: &str) -> String {
    let mut out = String::with_capacity(markdown.len() + markdown.len() / 8);
    let mut open: Option<Fence<'_>> = None;
    for (number, line) in markdown.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if number > 0 {
            out.push('\n');
        }
        match (&open, Fence::opening(line)) {
            (Some(fence), _) if fence.is_closed_by(line) => {
                out.push_str("```");
                open = None;
            }
            (Some(_), _) => push_escaped(&mut out, line),
            (None, Some(fence)) => {
                out.push_str("```");
                if !fence.is_language() {
                    push_escaped(&mut out, fence.info);
                }
                open = Some(fence);
            }
            (None, None) => block(&mut out, line),
        }
    }
    if open.is_some() {
        out.push_str("\n```");
    }
    out
}

/// Markdown for `markdown_text`: nothing but the three escapes. What a text begins with stays the same when it
/// grows. The `&` of a link's address stays as it is: Slack does not decode it there, and alone it means nothing.
#[must_use]
pub fn markdown_text(markdown: &str) -> String {
    let mut out = String::with_capacity(markdown.len() + markdown.len() / 8);
    let (mut in_address, mut before) = (false, '\n');
    for character in markdown.chars() {
        in_address = match character {
            '(' if before == ']' => true,
            ')' => false,
            _ => in_address && !character.is_whitespace(),
        };
        if character == '&' && in_address {
            out.push('&');
        } else {
            push_character(&mut out, character);
        }
        before = character;
    }
    out
}

/// The three escapes (contracts.md 4.5).
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    push_escaped(&mut out, text);
    out
}

fn push_escaped(out: &mut String, text: &str) {
    for character in text.chars() {
        push_character(out, character);
    }
}

fn push_character(out: &mut String, character: char) {
    match character {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        _ => out.push(character),
    }
}

/// The line that opens a block of code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fence<'a> {
    /// The run of backticks or tildes.
    pub(super) run: &'a str,
    /// What is behind it.
    pub(super) info: &'a str,
}

impl<'a> Fence<'a> {
    /// The fence that a line opens, if it does.
    pub(super) fn opening(line: &'a str) -> Option<Self> {
        let line = indented_less_than_code(line)?;
        let mark = line.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
        let length = line.len() - line.trim_start_matches(mark).len();
        let (run, info) = line.split_at(length);
        let info = info.trim();
        let opens = (3..=FENCE_RUN_MAX).contains(&length) && !(mark == '`' && info.contains('`'));
        opens.then_some(Self { run, info })
    }

    /// Whether a line ends the block.
    pub(super) fn is_closed_by(&self, line: &str) -> bool {
        let Some(line) = indented_less_than_code(line) else {
            return false;
        };
        let line = line.trim_end();
        line.len() >= self.run.len() && line.starts_with(self.run) && {
            let mark = self.run.chars().next().unwrap_or('`');
            line.trim_start_matches(mark).is_empty()
        }
    }

    /// Whether the info is a language's name, which Slack would show as the first line of the code.
    fn is_language(&self) -> bool {
        let harmless = |c: char| c.is_alphanumeric() || "+#._-".contains(c);
        self.info.len() <= 24 && self.info.chars().all(harmless)
    }
}

/// The line without its blanks, unless there are so many that it is code.
fn indented_less_than_code(line: &str) -> Option<&str> {
    let bare = line.trim_start_matches(' ');
    (line.len() - bare.len() < 4).then_some(bare)
}

/// One line that is no code.
fn block(out: &mut String, line: &str) {
    let bare = line.trim_start();
    let indent = line.strip_suffix(bare).unwrap_or_default();
    out.push_str(indent);
    if let Some(title) = heading(bare) {
        out.push('*');
        inline(out, title, Strong::Already);
        out.push('*');
    } else if let Some(quoted) = bare.strip_prefix('>') {
        out.push_str("&gt;");
        // A quote in a quote is rare: what is left is taken for text.
        inline(out, quoted, Strong::Marked);
    } else if is_rule(bare) {
        out.push_str("---");
    } else if let Some(item) = item(bare) {
        out.push_str("• ");
        inline(out, item, Strong::Marked);
    } else {
        inline(out, bare, Strong::Marked);
    }
}

fn heading(line: &str) -> Option<&str> {
    let title = line.trim_start_matches('#');
    let level = line.len() - title.len();
    if !(1..=6).contains(&level) || !title.starts_with(' ') {
        return None;
    }
    let title = title.trim();
    let without_closing = title.trim_end_matches('#');
    let title = if without_closing.ends_with(' ') { without_closing.trim_end() } else { title };
    (!title.is_empty()).then_some(title)
}

fn is_rule(line: &str) -> bool {
    let mut marks = line.chars().filter(|c| !c.is_whitespace());
    let Some(mark) = marks.next().filter(|mark| matches!(mark, '-' | '*' | '_')) else {
        return false;
    };
    let mut count = 1;
    for other in marks {
        if other != mark {
            return false;
        }
        count += 1;
    }
    count >= 3
}

fn item(line: &str) -> Option<&str> {
    let item = line.strip_prefix(BULLETS)?;
    item.starts_with(' ').then(|| item.trim_start())
}

/// A label and the address behind it, both to be seen.
fn push_link(out: &mut String, label: &str, address: &str) {
    if label.is_empty() || label == address {
        push_escaped(out, address);
        return;
    }
    inline(out, label, Strong::Marked);
    // Writing to a string cannot fail.
    let _ = write!(out, " ({})", escape(address));
}

#[cfg(test)]
mod tests;
