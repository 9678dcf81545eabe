//! What a frame log has shown of an answer: pure. It never looks at what was stored.

use konstruct_domain::{MessageId, Seq};
use konstruct_protocol::Event;

/// The pieces of an answer, put together; `None`: they were voided, and its id with them.
#[must_use]
pub fn shown(log: &[(Seq, Event)], answer: MessageId) -> Option<String> {
    let mut shown = Some(String::new());
    for (_, event) in log {
        match event {
            Event::Piece { message_id, text } if *message_id == answer => {
                shown.get_or_insert_default().push_str(text);
            }
            Event::Discard { message_id } if *message_id == answer => shown = None,
            _ => {}
        }
    }
    shown
}

/// Whether a frame ends this turn.
#[must_use]
pub fn ends(event: &Event, turn: MessageId) -> bool {
    match event {
        Event::Answer { in_reply_to, .. } => *in_reply_to == turn,
        Event::Failed { id, .. } => *id == turn,
        Event::Reply { message_id, .. } => *message_id == turn,
        _ => false,
    }
}
