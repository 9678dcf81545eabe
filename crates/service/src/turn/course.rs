//! How far a turn has come: what is journaled, what is shown, what it works with. It only keeps; [`super::answer`]
//! acts.

use std::collections::HashSet;

use konstruct_domain::{MessageId, Seq};
use konstruct_postgres::turns::TurnRow;
use konstruct_protocol::Event;
use konstruct_redis::memory::Remembered;
use tokio::time::Instant;

use super::equipment::Equipment;
use super::journal::Journal;
use super::wish::wants_human;
use crate::delivery::shown::shown;

/// A turn under way.
#[derive(Debug)]
pub(super) struct Course {
    /// What was asked.
    pub(super) question: String,
    /// What was said before.
    pub(super) said: Vec<Remembered>,
    /// What the agent works with.
    pub(super) kit: Equipment,
    /// What is journaled.
    pub(super) journal: Journal,
    /// Under which id the journal's text is shown; `None`: under none, and the next asking begins a new one.
    pub(super) answer_id: Option<MessageId>,
    /// First `seq` of what is shown under it.
    pub(super) first_seq: Option<Seq>,
    /// Which tool frames the log has.
    pub(super) seen: Seen,
    /// Failed askings so far.
    pub(super) failures: i32,
    /// The model's last sign of life: one that wrote for minutes was not silent.
    pub(super) heard: Instant,
    /// It waited for a person: messages behind it may have been answered before it.
    pub(super) waited: bool,
}

/// What the log has of a turn.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The answer's pieces, put together, and the first one's `seq`; `None`: they were voided.
    pub(super) pieces: Option<String>,
    pub(super) first_piece: Option<Seq>,
    /// Calls of which there is a `tool_call`.
    pub(super) calls: HashSet<String>,
    /// Calls of which there is a `tool_confirm`.
    pub(super) confirms: HashSet<String>,
    /// Calls of which there is a `tool_result`.
    pub(super) results: HashSet<String>,
}

impl Seen {
    /// From a log.
    pub(super) fn read(log: &[(Seq, Event)], answer: MessageId) -> Self {
        let mut seen = Self { pieces: shown(log, answer), ..Self::default() };
        for (seq, event) in log {
            match event {
                Event::Piece { message_id, .. } if *message_id == answer => {
                    seen.first_piece.get_or_insert(*seq);
                }
                Event::ToolCall { tool_call_id, .. } => {
                    seen.calls.insert(tool_call_id.clone());
                }
                Event::ToolConfirm { tool_call_id, .. } => {
                    seen.confirms.insert(tool_call_id.clone());
                }
                Event::ToolResult { tool_call_id, .. } => {
                    seen.results.insert(tool_call_id.clone());
                }
                _ => {}
            }
        }
        seen
    }
}

impl Course {
    /// Whether the person plainly asks for a human, before anything was done.
    pub(super) fn is_wish(&self) -> bool {
        self.journal.is_empty() && self.kit.toolbox.may_escalate() && wants_human(&self.question)
    }

    /// Whether a human has the conversation when this turn ends: a tool asked for one, or the person plainly did.
    pub(super) fn hands_over(&self) -> bool {
        self.is_wish() || self.journal.escalates()
    }

    /// The answer of which the log has pieces, if it has any.
    pub(super) fn shown_id(&self, turn: &TurnRow) -> Option<MessageId> {
        if self.first_seq.is_some() {
            return self.answer_id.or(turn.answer_id);
        }
        turn.answer_id.filter(|_| self.seen.pieces.as_ref().is_some_and(|text| !text.is_empty()))
    }
}
