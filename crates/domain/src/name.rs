//! What tenants and agents are called, and what is said of them: texts that people read and models are told. None is
//! changed here but for the blanks around it.

use std::fmt;
use std::str::FromStr;

/// Most characters of a name, or of what an agent is employed as.
pub const NAME_CHARS_MAX: usize = 100;
/// Most bytes of a persona or of instructions: they stand in every prompt.
pub const PROSE_BYTES_MAX: usize = 16_000;

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAName {
    /// Nothing but white space.
    #[error("is empty")]
    Empty,
    /// More than [`NAME_CHARS_MAX`].
    #[error("is longer than 100 characters")]
    TooLong,
    /// A line break, an escape, or a character that turns the text around it.
    #[error("contains a control character")]
    Control,
}

/// A name that people see, of one line; or what an agent is employed as.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NotAName;
    fn from_str(text: &str) -> Result<Self, NotAName> {
        let text = text.trim();
        if text.is_empty() {
            return Err(NotAName::Empty);
        }
        if text.chars().count() > NAME_CHARS_MAX {
            return Err(NotAName::TooLong);
        }
        if text.chars().any(|c| is_control(c) || is_separator(c)) {
            return Err(NotAName::Control);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Why a text is no persona and no instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotProse {
    /// More than [`PROSE_BYTES_MAX`].
    #[error("is larger than 16,000 bytes")]
    TooLarge,
    /// Another one than a line break or a tab.
    #[error("contains a control character")]
    Control,
}

/// A persona or instructions: any number of lines, also none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prose(String);

impl Prose {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Prose {
    type Err = NotProse;
    fn from_str(text: &str) -> Result<Self, NotProse> {
        let text = text.trim();
        if text.len() > PROSE_BYTES_MAX {
            return Err(NotProse::TooLarge);
        }
        if text.chars().any(|c| is_control(c) && !"\n\r\t".contains(c)) {
            return Err(NotProse::Control);
        }
        Ok(Self(text.to_owned()))
    }
}

/// A text that is no language tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a language tag such as de or pt-BR")]
pub struct NotALanguage;

/// A language by its tag (RFC 5646: subtags of 2 to 8 letters and digits, hyphens between); empty: the person's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Language(String);

impl Language {
    /// The tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Language {
    type Err = NotALanguage;
    fn from_str(text: &str) -> Result<Self, NotALanguage> {
        let subtag = |part: &str| {
            (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        let mut parts = text.split('-');
        let primary = parts.next().is_some_and(|part| {
            (2..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphabetic())
        });
        let tag = primary && text.len() <= 35 && parts.all(subtag);
        if tag || text.is_empty() { Ok(Self(text.to_owned())) } else { Err(NotALanguage) }
    }
}

/// Control characters, and those that turn the direction of the text behind them (Unicode, "Trojan source").
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Ends a line where it is shown, though it is no control character.
fn is_separator(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_of_at_most_100_characters() {
        assert_eq!("  Ädä Ⅱ ".parse::<Name>().map(|name| name.to_string()), Ok("Ädä Ⅱ".to_owned()));
        assert_eq!("ä".repeat(100).parse::<Name>().map(|name| name.as_str().len()), Ok(200));
        for (text, why) in [
            ("", NotAName::Empty),
            (" \t ", NotAName::Empty),
            (&"a".repeat(101), NotAName::TooLong),
            ("two\nlines", NotAName::Control),
            ("nul\0", NotAName::Control),
            ("\u{1b}[31mred", NotAName::Control),
            ("del\u{7f}", NotAName::Control),
            ("turned \u{202e}dnuora", NotAName::Control),
            ("a\u{2028}b", NotAName::Control),
        ] {
            assert_eq!(text.parse::<Name>(), Err(why), "{text:?}");
        }
    }

    #[test]
    fn prose_has_lines_and_may_be_empty() {
        assert_eq!(
            "\nBe calm.\n\tAlways.\r\n".parse::<Prose>().map(|p| p.0),
            Ok("Be calm.\n\tAlways.".to_owned())
        );
        assert_eq!("".parse::<Prose>(), Ok(Prose::default()));
        assert_eq!("x".repeat(16_001).parse::<Prose>(), Err(NotProse::TooLarge));
        assert_eq!("a\0b".parse::<Prose>(), Err(NotProse::Control));
    }

    #[test]
    fn a_language_is_a_tag_or_nothing() {
        for good in ["", "de", "pt-BR", "zh-Hant-TW", "gsw", "de-CH-1996"] {
            assert!(good.parse::<Language>().is_ok(), "{good}");
        }
        for bad in ["German", "d", "de-", "de_CH", "de-C", "12", "de CH", "de-123456789"] {
            assert_eq!(bad.parse::<Language>(), Err(NotALanguage), "{bad}");
        }
    }
}
