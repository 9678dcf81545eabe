//! How far an answer has come: a pure function of what was there and the model's next event, so that it can be
//! fuzzed. It decides; [`super::answer`] acts.

use std::time::Duration;

use konstruct_ports::{ModelEvent, StopReason, TokenUsage, ToolCall};

/// Pieces after the first are appended at most so often (delivery.md section 4).
pub const PIECE_EVERY: Duration = Duration::from_millis(20);

/// One asking's part of an answer, under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// What stands between what was written before and the first word.
    pub glue: &'static str,
    /// What was shown.
    pub shown: String,
    /// What is to be shown next.
    pub pending: String,
    /// The tools it called, in order.
    pub calls: Vec<ToolCall>,
    /// What the provider counted.
    pub usage: Option<TokenUsage>,
}

/// What is to be done after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Show what is pending at once: it is the first piece.
    ShowNow,
    /// Show it soon, with what else comes.
    ShowSoon,
    /// Read on.
    ReadOn,
    /// The model is done.
    Done(StopReason),
}

impl Progress {
    /// Takes in the model's next event.
    pub fn absorb(&mut self, event: ModelEvent) -> Next {
        match event {
            ModelEvent::Text(text) => {
                if self.shown.is_empty() && self.pending.is_empty() && !text.is_empty() {
                    self.pending.push_str(self.glue);
                }
                self.pending.push_str(&text);
                if self.pending.is_empty() {
                    Next::ReadOn
                } else if self.shown.is_empty() {
                    Next::ShowNow
                } else {
                    Next::ShowSoon
                }
            }
            ModelEvent::Usage(usage) => {
                self.usage = Some(usage);
                Next::ReadOn
            }
            ModelEvent::ToolCall(call) => {
                self.calls.push(call);
                Next::ReadOn
            }
            ModelEvent::Finished(reason) => Next::Done(reason),
        }
    }

    /// What is pending was shown.
    pub fn pending_shown(&mut self) {
        self.shown.push_str(&self.pending);
        self.pending.clear();
    }
}

/// What stands between two parts of an answer that a tool call divides: a blank line, unless one ends with a line.
#[must_use]
pub fn glue(before: &str) -> &'static str {
    if before.is_empty() || before.ends_with('\n') { "" } else { "\n\n" }
}

/// What a text is worth in tokens when nobody counted: four bytes each, at least one.
#[must_use]
pub fn estimated_tokens(text: &str) -> usize {
    text.len().div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_shown_and_pending_is_what_the_model_wrote(texts in proptest::collection::vec(".{0,8}", 0..50)) {
            let mut progress = Progress::default();
            for (n, text) in texts.iter().enumerate() {
                let next = progress.absorb(ModelEvent::Text(text.clone()));
                if next == Next::ShowNow || n % 3 == 0 {
                    progress.pending_shown();
                }
            }
            prop_assert_eq!(progress.shown + &progress.pending, texts.concat());
        }
    }

    #[test]
    fn the_first_piece_is_shown_at_once_and_later_ones_soon() {
        let mut progress = Progress::default();
        assert_eq!(progress.absorb(ModelEvent::Text("a".into())), Next::ShowNow);
        progress.pending_shown();
        assert_eq!(progress.absorb(ModelEvent::Text("b".into())), Next::ShowSoon);
        assert_eq!(progress.absorb(ModelEvent::Finished(StopReason::End)), Next::Done(StopReason::End));
    }
}
