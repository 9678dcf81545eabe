//! What the last user message tells the model to do.
//! A message that is no directive word for word is ordinary text.

use std::time::Duration;

/// A directive; [`Directive::None`] is ordinary text.
#[derive(Debug, Clone, PartialEq)]
pub enum Directive {
    /// Answer in a short friendly sentence.
    None,
    /// The words `w1 … wN` at a rate a second (0: without pauses).
    Tokens(u64, f64),
    /// Call a tool with these arguments.
    Tool(String, String),
    /// Tell the system prompt.
    System,
    /// Tell all messages.
    History,
    /// Fail; `once`: only the first time.
    Error {
        /// How.
        kind: ErrorKind,
        /// Whether only the first request with the same messages fails.
        once: bool,
    },
    /// Wait before the first token.
    Slow(Duration),
}

/// How the model fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// With this HTTP status.
    Status(u16),
    /// Some pieces, then the connection is cut.
    Midstream,
    /// Nothing comes any more.
    Hang,
    /// Bytes that mean nothing.
    Garbage,
}

/// Reads a directive.
pub fn parse(text: &str) -> Directive {
    let (command, rest) = text.split_once(' ').unwrap_or((text, ""));
    if command == "/tool" {
        let (name, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        return if name.is_empty() {
            Directive::None
        } else {
            Directive::Tool(name.into(), arguments.into())
        };
    }
    let words: Vec<&str> = rest.split_whitespace().collect();
    match (command.trim_end(), words.as_slice()) {
        ("/tokens", [count, rate]) => tokens(count, rate),
        ("/system", []) => Directive::System,
        ("/history", []) => Directive::History,
        ("/slow", [ms]) => {
            ms.parse().map_or(Directive::None, |ms| Directive::Slow(Duration::from_millis(ms)))
        }
        ("/error", [kind]) => error(kind, false),
        ("/error", [kind, "once"]) => error(kind, true),
        _ => Directive::None,
    }
}

fn tokens(count: &str, rate: &str) -> Directive {
    match (count.parse(), rate.parse::<f64>()) {
        (Ok(count), Ok(rate)) if rate.is_finite() && rate >= 0.0 => Directive::Tokens(count, rate),
        _ => Directive::None,
    }
}

fn error(kind: &str, once: bool) -> Directive {
    let kind = match kind {
        "midstream" => ErrorKind::Midstream,
        "hang" => ErrorKind::Hang,
        "garbage" => ErrorKind::Garbage,
        "400" => ErrorKind::Status(400),
        "401" => ErrorKind::Status(401),
        "429" => ErrorKind::Status(429),
        "500" => ErrorKind::Status(500),
        "503" => ErrorKind::Status(503),
        "529" => ErrorKind::Status(529),
        _ => return Directive::None,
    };
    Directive::Error { kind, once }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read() {
        let error = |kind, once| Directive::Error { kind, once };
        let cases = [
            ("/tokens 30 1000", Directive::Tokens(30, 1000.0)),
            ("/tokens 3 0.5", Directive::Tokens(3, 0.5)),
            (
                "/tool lookup {\"a\": [1, \"ü\"]}",
                Directive::Tool("lookup".into(), "{\"a\": [1, \"ü\"]}".into()),
            ),
            ("/tool lookup not JSON", Directive::Tool("lookup".into(), "not JSON".into())),
            ("/tool lookup", Directive::Tool("lookup".into(), String::new())),
            ("/system", Directive::System),
            ("/history", Directive::History),
            ("/slow 700", Directive::Slow(Duration::from_millis(700))),
            ("/error 429", error(ErrorKind::Status(429), false)),
            ("/error 500 once", error(ErrorKind::Status(500), true)),
            ("/error midstream", error(ErrorKind::Midstream, false)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn anything_else_is_ordinary_text() {
        for text in [
            "",
            "hello",
            "say /system",
            "/tokens",
            "/tokens a b",
            "/tokens 1 -1",
            "/tool",
            "/error 418",
            "/slow x",
            "/system now",
        ] {
            assert_eq!(parse(text), Directive::None, "{text}");
        }
    }
}
