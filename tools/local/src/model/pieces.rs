//! An answer's text, piece by piece.
//! It must hold no more than one piece at a time of an answer of any length.

use std::time::Duration;

/// The longest piece of ordinary text, in characters.
const PIECE_MAX: usize = 64;

/// The pieces of an answer.
#[derive(Debug, Clone)]
pub struct Pieces {
    kind: Kind,
    /// Pieces a second; 0: without pauses.
    rate: f64,
    next: u64,
}

#[derive(Debug, Clone)]
enum Kind {
    /// `w1` to `wN`.
    Words(u64),
    /// Text, and how far it has been given out.
    Text(String, usize),
}

impl Pieces {
    /// The words `w1 … wN`.
    pub fn words(count: u64, rate: f64) -> Self {
        Self { kind: Kind::Words(count), rate, next: 0 }
    }

    /// A text in pieces of about a word.
    pub fn text(text: impl Into<String>) -> Self {
        Self { kind: Kind::Text(text.into(), 0), rate: 0.0, next: 0 }
    }

    /// How long after the first piece the next one is due: counted from the start, so that delays do
    /// not add up.
    pub fn due(&self) -> Duration {
        if self.rate <= 0.0 {
            return Duration::ZERO;
        }
        // A float is exact enough: 2^53 pieces take longer than anybody waits.
        Duration::try_from_secs_f64(self.next as f64 / self.rate).unwrap_or(Duration::MAX)
    }

    /// How many pieces were given out.
    pub fn given(&self) -> u64 {
        self.next
    }
}

impl Iterator for Pieces {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let piece = match &mut self.kind {
            Kind::Words(count) if self.next < *count => match self.next {
                0 => "w1".to_string(),
                before => format!(" w{}", before + 1),
            },
            Kind::Words(_) => return None,
            Kind::Text(text, at) => {
                let rest = text.get(*at..)?;
                let length = piece_length(rest);
                *at += length;
                rest.get(..length).filter(|piece| !piece.is_empty())?.to_string()
            }
        };
        self.next += 1;
        Some(piece)
    }
}

fn piece_length(rest: &str) -> usize {
    let mut length = 0;
    for (count, letter) in rest.chars().enumerate() {
        length += letter.len_utf8();
        if letter == ' ' || count + 1 == PIECE_MAX {
            break;
        }
    }
    length
}
