//! One line's emphasis, code and links. It converts what is surely meant as markup and leaves the rest as text; a
//! line of thousands of characters costs their square at worst, so it is given no more than a message's.

use super::{push_escaped, push_link};

/// What becomes of strong emphasis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strong {
    /// `*…*`.
    Marked,
    /// Nothing: all of it is strong, a heading.
    Already,
}

enum Token<'a> {
    /// Text of the model's.
    Text(&'a str),
    /// Converted, and escaped.
    Done(String),
    /// A run of `*`, `_` or `~`.
    Run(Run),
}

struct Run {
    mark: char,
    /// How many there were.
    length: usize,
    /// How many of them are not used yet.
    left: usize,
    can_open: bool,
    can_close: bool,
    /// What they became, before and behind those left.
    closing: String,
    opening: String,
}

/// Appends a line.
pub(super) fn inline(out: &mut String, line: &str, strong: Strong) {
    let mut tokens = tokens(line);
    pair(&mut tokens, strong);
    for token in tokens {
        match token {
            Token::Text(text) => push_escaped(out, text),
            Token::Done(done) => out.push_str(&done),
            Token::Run(run) => {
                out.push_str(&run.closing);
                out.extend(std::iter::repeat_n(run.mark, run.left));
                out.push_str(&run.opening);
            }
        }
    }
}

fn tokens(line: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut text_from, mut at) = (0, 0);
    while let Some(character) = line.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = line.get(at..).unwrap_or_default();
        let found = match character {
            '\\' => escaped(rest),
            '`' => Some(code(rest)),
            '[' => link(rest),
            '!' => rest.strip_prefix('!').and_then(link).map(|(token, length)| (token, length + 1)),
            '<' => address(rest),
            '*' | '_' | '~' => Some(run(line, at, character)),
            _ => None,
        };
        let Some((token, length)) = found else {
            at += character.len_utf8();
            continue;
        };
        tokens.push(Token::Text(line.get(text_from..at).unwrap_or_default()));
        tokens.push(token);
        at += length;
        text_from = at;
    }
    tokens.push(Token::Text(line.get(text_from..).unwrap_or_default()));
    tokens
}

/// `\*`: the character, which is no markup.
fn escaped(rest: &str) -> Option<(Token<'_>, usize)> {
    let character = rest.get(1..2).filter(|c| c.bytes().all(|byte| byte.is_ascii_punctuation()))?;
    Some((Token::Text(character), 2))
}

/// Code between two runs of as many backticks; a run without a partner is text.
fn code(rest: &str) -> (Token<'_>, usize) {
    let behind = rest.trim_start_matches('`');
    let length = rest.len() - behind.len();
    let mut from = 0;
    while let Some(start) = behind.get(from..).and_then(|r| r.find('`')).map(|found| from + found) {
        let run = behind.get(start..).unwrap_or_default();
        let run_length = run.len() - run.trim_start_matches('`').len();
        if run_length == length {
            let mut done = String::from("`");
            push_escaped(&mut done, behind.get(..start).unwrap_or_default());
            done.push('`');
            return (Token::Done(done), length + start + length);
        }
        from = start + run_length;
    }
    (Token::Text(rest.get(..length).unwrap_or_default()), length)
}

/// `[label](address)`, also with a title.
fn link(rest: &str) -> Option<(Token<'_>, usize)> {
    let label = enclosed(rest, '[', ']')?;
    let behind = rest.get(label.len() + 2..)?;
    let address = enclosed(behind, '(', ')')?;
    let mut done = String::new();
    push_link(&mut done, label, address.trim());
    Some((Token::Done(done), label.len() + address.len() + 4))
}

/// What is between a bracket at the beginning and its partner.
fn enclosed(text: &str, opening: char, closing: char) -> Option<&str> {
    let inner = text.strip_prefix(opening)?;
    let (mut depth, mut escaped) = (1_usize, false);
    for (at, character) in inner.char_indices() {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == opening {
            depth += 1;
        } else if character == closing {
            depth -= 1;
            if depth == 0 {
                return inner.get(..at);
            }
        }
    }
    None
}

/// `<https://…>`.
fn address(rest: &str) -> Option<(Token<'_>, usize)> {
    let inner = rest.strip_prefix('<')?;
    let inner = inner.get(..inner.find(['<', '>', ' ', '\t'])?)?;
    let closed = rest.get(inner.len() + 1..)?.starts_with('>');
    let known = ["https://", "http://", "mailto:"].iter().any(|scheme| inner.starts_with(scheme));
    (closed && known).then_some((Token::Text(inner), inner.len() + 2))
}

fn run(line: &str, at: usize, mark: char) -> (Token<'_>, usize) {
    let behind = line.get(at..).unwrap_or_default().trim_start_matches(mark);
    let length = line.len() - at - behind.len();
    if mark == '~' && length != 2 {
        return (Token::Text(line.get(at..at + length).unwrap_or_default()), length);
    }
    let before = line.get(..at).and_then(|text| text.chars().next_back());
    let (before, after) = (Side::of(before), Side::of(behind.chars().next()));
    let left = after != Side::Blank && (after == Side::Letter || before != Side::Letter);
    let right = before != Side::Blank && (before == Side::Letter || after != Side::Letter);
    let (can_open, can_close) = match mark {
        // Not within a word: snake_case is one, 2*3*4 another.
        '_' | '*' if mark == '_' || length == 1 => {
            (left && (!right || before == Side::Sign), right && (!left || after == Side::Sign))
        }
        _ => (left, right),
    };
    let run = Run {
        mark,
        length,
        left: length,
        can_open,
        can_close,
        closing: String::new(),
        opening: String::new(),
    };
    (Token::Run(run), length)
}

/// What stands beside a run.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Side {
    Blank,
    Sign,
    Letter,
}

impl Side {
    fn of(character: Option<char>) -> Self {
        match character {
            None => Self::Blank,
            Some(c) if c.is_whitespace() => Self::Blank,
            Some(c) if c.is_alphanumeric() => Self::Letter,
            Some(_) => Self::Sign,
        }
    }
}

/// Finds for each run that may close the nearest one that opens, much as CommonMark does.
fn pair(tokens: &mut [Token<'_>], strong: Strong) {
    let mut closer = 0;
    while closer < tokens.len() {
        let (before, behind) = tokens.split_at_mut(closer);
        let Some(Token::Run(close)) = behind.first_mut() else {
            closer += 1;
            continue;
        };
        let opener =
            before.iter().rposition(|token| matches!(token, Token::Run(open) if partners(open, close)));
        let Some(opener) = opener.filter(|_| close.can_close && close.left > 0) else {
            closer += 1;
            continue;
        };
        for token in before.iter_mut().skip(opener + 1) {
            if let Token::Run(between) = token {
                between.can_open = false;
            }
        }
        if let Some(Token::Run(open)) = before.get_mut(opener) {
            let used = if open.left >= 2 && close.left >= 2 { 2 } else { 1 };
            let mark = match (close.mark, used, strong) {
                ('~', _, _) => "~",
                (_, 2, Strong::Marked) => "*",
                (_, 2, Strong::Already) => "",
                _ => "_",
            };
            open.left -= used;
            close.left -= used;
            open.opening.insert_str(0, mark);
            close.closing.push_str(mark);
        }
    }
}

fn partners(open: &Run, close: &Run) -> bool {
    // One that is both strong and not is a run of three; else both ends are as long.
    let alike = open.length == close.length || open.length > 2 || close.length > 2;
    open.mark == close.mark && open.can_open && open.left > 0 && alike
}
