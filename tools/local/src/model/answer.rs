//! Decides what the model answers to a request.
//! The same request gets the same answer, but for `once` and the ids of tool calls.

use std::time::Duration;

use super::calls::Calls;
use super::directive::{Directive, ErrorKind, parse};
use super::pieces::Pieces;
use super::request::Asked;

/// What is answered.
#[derive(Debug)]
pub enum Answer {
    /// Text, after a pause.
    Text(Pieces, Duration),
    /// A tool call.
    Tool {
        /// The tool.
        name: String,
        /// Its arguments as they were told.
        arguments: String,
    },
    /// A failure.
    Error(ErrorKind),
}

/// The answer to a request.
pub fn decide(asked: &Asked, calls: &Calls) -> Answer {
    let text = asked.last_user();
    let at_once = |text: String| Answer::Text(Pieces::text(text), Duration::ZERO);
    match parse(&text) {
        Directive::None => at_once(friendly(&text)),
        Directive::Tokens(count, rate) => Answer::Text(Pieces::words(count, rate), Duration::ZERO),
        Directive::Tool(name, arguments) => match asked.tool_results() {
            Some(result) => at_once(format!("The tool answered: {result}")),
            None => Answer::Tool { name, arguments },
        },
        Directive::System => at_once(asked.system()),
        Directive::History => at_once(asked.history()),
        Directive::Error { kind, once } if !once || calls.is_first(&asked.messages) => Answer::Error(kind),
        Directive::Error { .. } => at_once(friendly(&text)),
        Directive::Slow(pause) => Answer::Text(Pieces::text(friendly(&text)), pause),
    }
}

fn friendly(text: &str) -> String {
    if text.is_empty() { "Hello! How can I help?".into() } else { format!("Thank you for writing: {text}") }
}
