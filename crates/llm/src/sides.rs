//! A prompt as Anthropic and Bedrock want it: two sides that alternate, a person's first, and the results of tools
//! on the person's side. It never changes the words.

use konstruct_ports::{PromptMessage, ToolCall};

/// A prompt of two sides.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sides<'a> {
    /// What the system says.
    pub(crate) system: Vec<&'a str>,
    /// The rest; no two neighbours are of the same side.
    pub(crate) spoken: Vec<Spoken<'a>>,
}

/// What one side says until the other one does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Spoken<'a> {
    /// Whether it is the model that speaks.
    pub(crate) by_model: bool,
    pub(crate) parts: Vec<Part<'a>>,
}

/// A part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// Never blank: both providers refuse that.
    Text(&'a str),
    Call(&'a ToolCall),
    Result {
        call_id: &'a str,
        result: &'a str,
    },
}

impl<'a> Sides<'a> {
    pub(crate) fn of(messages: &'a [PromptMessage]) -> Self {
        let mut sides = Self { system: Vec::new(), spoken: Vec::new() };
        // A history that was cut may begin with the model's words; both providers want a person's first.
        let begins = messages.iter().position(|message| matches!(message, PromptMessage::User(_)));
        for (place, message) in messages.iter().enumerate() {
            let told = begins.is_none_or(|begins| place >= begins);
            match message {
                PromptMessage::System(text) => sides.system.extend(spoken(text)),
                PromptMessage::User(text) => sides.say(false, spoken(text).map(Part::Text)),
                PromptMessage::Assistant { text, calls } if told => {
                    sides.say(
                        true,
                        spoken(text).map(Part::Text).into_iter().chain(calls.iter().map(Part::Call)),
                    );
                }
                PromptMessage::ToolResult { call_id, result } if told => {
                    sides.say(false, [Part::Result { call_id, result }]);
                }
                PromptMessage::Assistant { .. } | PromptMessage::ToolResult { .. } => {}
            }
        }
        sides
    }

    fn say(&mut self, by_model: bool, parts: impl IntoIterator<Item = Part<'a>>) {
        let mut parts = parts.into_iter().peekable();
        if parts.peek().is_none() {
            return;
        }
        match self.spoken.last_mut() {
            Some(last) if last.by_model == by_model => last.parts.extend(parts),
            _ => self.spoken.push(Spoken { by_model, parts: parts.collect() }),
        }
    }
}

fn spoken(text: &str) -> Option<&str> {
    (!text.trim().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> PromptMessage {
        PromptMessage::User(text.to_owned())
    }

    fn model(text: &str, calls: &[ToolCall]) -> PromptMessage {
        PromptMessage::Assistant { text: text.to_owned(), calls: calls.to_vec() }
    }

    fn call(id: &str) -> ToolCall {
        ToolCall { id: id.to_owned(), name: "f".to_owned(), arguments: "{}".to_owned() }
    }

    fn result(id: &str) -> PromptMessage {
        PromptMessage::ToolResult { call_id: id.to_owned(), result: "r".to_owned() }
    }

    #[test]
    fn neighbours_of_one_side_become_one() {
        let messages =
            [PromptMessage::System("s".to_owned()), user("a"), user("b"), model("c", &[]), user("d")];
        let sides = Sides::of(&messages);
        assert_eq!(sides.system, ["s"]);
        let [first, second, third] = &sides.spoken[..] else { panic!("{sides:?}") };
        assert_eq!(first, &Spoken { by_model: false, parts: vec![Part::Text("a"), Part::Text("b")] });
        assert_eq!((second.by_model, third.by_model), (true, false));
    }

    #[test]
    fn results_of_one_asking_are_one_side_and_what_is_said_next_comes_behind_them() {
        let calls = [call("1"), call("2")];
        let messages = [user("a"), model("", &calls), result("1"), result("2"), user("b")];
        let sides = Sides::of(&messages);
        let part = |call_id| Part::Result { call_id, result: "r" };
        assert_eq!(sides.spoken[1].parts, [Part::Call(&calls[0]), Part::Call(&calls[1])]);
        assert_eq!(sides.spoken[2].parts, [part("1"), part("2"), Part::Text("b")]);
    }

    #[test]
    fn what_is_blank_is_not_said() {
        let messages = [user("a"), model(" \n", &[]), user(""), user("b")];
        let sides = Sides::of(&messages);
        assert_eq!(sides.spoken, [Spoken { by_model: false, parts: vec![Part::Text("a"), Part::Text("b")] }]);
    }

    #[test]
    fn a_person_speaks_first() {
        let messages = [model("hello", &[call("1")]), result("1"), user("a")];
        assert_eq!(Sides::of(&messages).spoken, [Spoken { by_model: false, parts: vec![Part::Text("a")] }]);
        assert_eq!(Sides::of(&messages[..1]).spoken.len(), 1);
    }
}
