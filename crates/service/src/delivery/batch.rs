//! Which frame goes to a connection next: pure. Pieces that wait are put together, so a slow device sets its own
//! batch size.

use konstruct_domain::Seq;
use konstruct_protocol::{Event, FRAME_BYTES_MAX, Viewer};

/// What is to be posted, and what the connection has once it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The frame; `None`: the viewer sees none of them.
    pub frame: Option<String>,
    /// Everything up to here is covered.
    pub up_to: Seq,
}

/// The next frame of `events` (in order, all behind what the viewer has); `None` where there are none.
pub fn next_batch<'a>(events: impl IntoIterator<Item = (Seq, &'a Event)>, viewer: &Viewer) -> Option<Batch> {
    let mut batch = Batch { frame: None, up_to: Seq(0) };
    let mut run: Option<Event> = None;
    let mut size = 0;
    for (seq, event) in events {
        let Some(alone) = viewer.frame(event, seq) else {
            batch.up_to = seq;
            continue;
        };
        match (&mut run, event) {
            (None, Event::Piece { text, .. }) => {
                let wire = alone.to_wire(Some(viewer));
                // Numbers grow by digits as the run goes on: some room for that.
                size = wire.len() + 16;
                batch = Batch { frame: Some(wire), up_to: seq };
                debug_assert!(!text.is_empty());
                run = Some(event.clone());
            }
            (Some(Event::Piece { message_id, text }), Event::Piece { message_id: next_id, text: next })
                if message_id == next_id =>
            {
                let grown = escaped_len(next);
                if size + grown > FRAME_BYTES_MAX {
                    break;
                }
                size += grown;
                text.push_str(next);
                batch.up_to = seq;
            }
            (None, _) => {
                return Some(Batch { frame: Some(alone.to_wire(Some(viewer))), up_to: seq });
            }
            (Some(_), _) => break,
        }
    }
    if let Some(run) = run {
        batch.frame = viewer.frame(&run, batch.up_to).map(|frame| frame.to_wire(Some(viewer)));
    }
    (batch.up_to.0 > 0).then_some(batch)
}

/// Bytes of a text inside a JSON string.
fn escaped_len(text: &str) -> usize {
    serde_json::to_string(text).map_or(usize::MAX / 2, |json| json.len() - 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use konstruct_domain::{ConversationId, MessageId};
    use konstruct_protocol::Dialect;
    use uuid::Uuid;

    fn viewer(telemetry: bool) -> Viewer {
        Viewer {
            dialect: Dialect::Portal,
            telemetry,
            conversation_id: ConversationId(Uuid::from_u128(1)),
            session_id: None,
        }
    }

    fn piece(text: &str) -> Event {
        Event::Piece { message_id: MessageId(Uuid::from_u128(2)), text: text.into() }
    }

    fn numbered(events: &[Event]) -> Vec<(Seq, &Event)> {
        events.iter().enumerate().map(|(n, e)| (Seq(n as i64 + 1), e)).collect()
    }

    #[test]
    fn a_run_of_pieces_goes_out_as_one_with_the_number_of_the_last() {
        let call = Event::ModelCall { model: "m".into(), timestamp: "t".into() };
        let events =
            [piece("a"), call, piece("b"), Event::Discard { message_id: MessageId(Uuid::from_u128(2)) }];
        let batch = next_batch(numbered(&events), &viewer(false)).expect("a batch");
        assert_eq!(batch.up_to, Seq(3));
        assert!(
            batch.frame.as_deref().is_some_and(|f| f.contains(r#""text":"ab""#) && f.contains(r#""seq":3"#))
        );
        let batch = next_batch(numbered(&events), &viewer(true)).expect("a batch");
        assert_eq!(batch.up_to, Seq(1), "telemetry in between is seen, so the run ends before it");
    }

    #[test]
    fn what_a_viewer_does_not_see_is_passed_over() {
        let events = [Event::ModelCall { model: "m".into(), timestamp: "t".into() }];
        let batch = next_batch(numbered(&events), &viewer(false)).expect("a batch");
        assert_eq!(batch, Batch { frame: None, up_to: Seq(1) });
        assert_eq!(next_batch([], &viewer(false)), None);
    }

    #[test]
    fn no_frame_is_larger_than_32_kb() {
        let events: Vec<Event> = (0..40).map(|_| piece(&"\u{1}".repeat(4_096))).collect();
        let mut rest = numbered(&events);
        while let Some(batch) = next_batch(rest.iter().copied(), &viewer(true)) {
            assert!(batch.frame.expect("seen").len() <= FRAME_BYTES_MAX);
            rest.retain(|(seq, _)| *seq > batch.up_to);
        }
        assert!(rest.is_empty());
    }
}
