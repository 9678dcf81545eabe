//! What an answer has posted: the JSON in a turn's `channel_posts`. It holds ids only, no text.

use serde::{Deserialize, Serialize};

use crate::slack::ts::Ts;

/// Everything of an answer that is in the thread, or may be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::slack) struct Posts {
    pub(in crate::slack) placeholder: Placeholder,
    pub(in crate::slack) stream: Stream,
    /// Part 0 is the placeholder's message, or the stream's, or one of its own.
    pub(in crate::slack) parts: Vec<Part>,
    /// What has to go.
    pub(in crate::slack) stale: Vec<Ts>,
    /// All of the end is there, and nothing else.
    pub(in crate::slack) settled: bool,
}

/// "Thinking…".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::slack) enum Placeholder {
    /// It may be there: whoever posted it did not live, or not learn, to tell.
    #[default]
    Unsure,
    /// It is not, or is something else by now.
    Absent,
    /// This message.
    At(Ts),
}

/// The one stream an answer may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::slack) enum Stream {
    /// None was tried.
    #[default]
    Unused,
    /// One was asked for, and it is not known whether it came to be. Another is never asked for.
    Begun,
    /// It is part 0, and not known to have been stopped.
    Open,
    /// Stopped, or not to be had.
    Over,
}

/// One message of the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::slack) struct Part {
    /// The message; none before it is posted.
    pub(in crate::slack) ts: Option<Ts>,
    /// How many messages it has had before.
    pub(in crate::slack) generation: u32,
    /// Whether it is set by Markdown, as a stream is.
    pub(in crate::slack) markdown: bool,
    /// Whether a post of it may be there unknown. In the journal every part without a `ts` is: the intention is
    /// written before the post.
    #[serde(skip)]
    pub(in crate::slack) doubt: bool,
}

impl Posts {
    /// Reads the journal.
    pub(in crate::slack) fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        // A list would be read as the fields in their order.
        let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json)?;
        let mut posts: Self = serde_json::from_value(serde_json::Value::Object(fields))?;
        for part in &mut posts.parts {
            part.doubt = part.ts.is_none();
        }
        Ok(posts)
    }

    pub(in crate::slack) fn to_json(&self) -> String {
        // Strings and lists of them: nothing that could fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether there may be a message of ours that is not known.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.placeholder == Placeholder::Unsure
            || self.stream == Stream::Begun
            || self.parts.iter().any(|part| part.doubt)
    }

    /// Whether a message is known here.
    pub(super) fn knows(&self, ts: &Ts) -> bool {
        self.placeholder == Placeholder::At(ts.clone())
            || self.stale.contains(ts)
            || self.parts.iter().any(|part| part.ts.as_ref() == Some(ts))
    }

    /// All is done.
    pub(super) fn settle(&mut self, parts: usize) {
        self.parts.truncate(parts);
        self.settled = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_says_what_it_said() {
        let ts = |text| Ts::parse(text).expect("a ts");
        let part = |at: Option<Ts>| Part { doubt: at.is_none(), ts: at, generation: 1, markdown: true };
        let posts = Posts {
            placeholder: Placeholder::At(ts("1.000001")),
            stream: Stream::Open,
            parts: vec![part(Some(ts("1.000002"))), part(None)],
            stale: vec![ts("1.000003")],
            settled: false,
        };
        assert_eq!(Posts::from_json(&posts.to_json()).expect("JSON"), posts);
        assert!(posts.is_in_doubt() && posts.knows(&ts("1.000003")) && !posts.knows(&ts("1.000004")));
    }

    #[test]
    fn an_empty_journal_knows_nothing_and_rubbish_is_none() {
        assert!(Posts::from_json("{}").expect("JSON").is_in_doubt());
        for rubbish in ["", "[]", "1", r#"{"stream":"x"}"#, r#"{"stale":["x"]}"#] {
            assert!(Posts::from_json(rubbish).is_err(), "{rubbish}");
        }
    }
}
