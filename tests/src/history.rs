//! What the protocol promises of numbered frames, checked as a client would: numbers only grow, pieces add up to
//! the whole answer, each message ends once. It looks at frames and events only, never into the service.

use std::collections::HashMap;

use konstruct_domain::Seq;
use konstruct_protocol::Event;
use serde_json::Value;

/// An end of a message as frames tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The message.
    pub in_reply_to: String,
    /// The answer's id and text; `None`: an error.
    pub answer: Option<(String, String)>,
    pub stopped: bool,
    /// The error's code.
    pub error: Option<String>,
}

/// The frames of one client in either dialect: their endings in order.
///
/// # Errors
/// What promise is broken.
pub fn endings(frames: &[Value]) -> Result<Vec<Ending>, String> {
    let mut pieces: HashMap<String, String> = HashMap::new();
    let (mut last, mut endings) = (0, Vec::<Ending>::new());
    // Told of a gap, a client knows that the answer under way is complete only with its final frame.
    let mut gap = false;
    for frame in frames {
        let text = |field: &str| frame.get(field).and_then(Value::as_str).map(str::to_owned);
        if frame["code"] == "replay_gap" {
            gap = true;
            continue;
        }
        let seq = frame.get("seq").and_then(Value::as_i64).ok_or_else(|| format!("no seq: {frame}"))?;
        if seq <= last {
            return Err(format!("seq {seq} comes behind {last}: {frame}"));
        }
        last = seq;
        let message_id = text("message_id").unwrap_or_default();
        let piece = frame["type"] == "chunk" || frame["streaming"] == true;
        if piece {
            let piece = text("text").or_else(|| text("content")).unwrap_or_default();
            if piece.is_empty() {
                return Err(format!("an empty piece: {frame}"));
            }
            pieces.entry(message_id).or_default().push_str(&piece);
        } else if frame["type"] == "discard" {
            pieces.remove(&message_id);
        } else if frame["by"] == "human" {
            // A human's reply ends no turn: it comes without pieces.
            if text("in_reply_to").is_some() || pieces.contains_key(&message_id) {
                return Err(format!("a human's reply like an answer: {frame}"));
            }
        } else if frame["type"] == "response" || frame["streaming"] == false {
            let mut shown = pieces.remove(&message_id).unwrap_or_default();
            let whole = text("text").or_else(|| text("content"));
            if let Some(whole) = whole.filter(|whole| *whole != shown) {
                if !gap {
                    return Err(format!("the pieces are {shown:?}, the answer is {frame}"));
                }
                shown = whole;
            }
            gap = false;
            let in_reply_to = text("in_reply_to").unwrap_or_default();
            let stopped = frame["stopped"] == true;
            endings.push(Ending { in_reply_to, answer: Some((message_id, shown)), stopped, error: None });
        } else if frame["type"] == "error" {
            let in_reply_to = text("id").unwrap_or_default();
            endings.push(Ending { in_reply_to, answer: None, stopped: false, error: text("code") });
        }
    }
    for (n, ending) in endings.iter().enumerate() {
        if endings.iter().skip(n + 1).any(|later| later.in_reply_to == ending.in_reply_to) {
            return Err(format!("message {} ends twice", ending.in_reply_to));
        }
    }
    Ok(endings)
}

/// The log's numbers go up by one from frame to frame, and by a generation where it was begun anew.
///
/// # Errors
/// Where they do not.
pub fn dense(log: &[(Seq, Event)]) -> Result<(), String> {
    for pair in log.windows(2) {
        let (before, after) = (pair[0].0.0, pair[1].0.0);
        if after != before + 1 {
            return Err(format!("{after} follows {before}"));
        }
    }
    Ok(())
}

/// The pieces of an answer in the log, put together; voided ones are none.
#[must_use]
pub fn pieces(log: &[(Seq, Event)], answer: konstruct_domain::MessageId) -> String {
    let mut text = String::new();
    for (_, event) in log {
        match event {
            Event::Piece { message_id, text: piece } if *message_id == answer => text.push_str(piece),
            Event::Discard { message_id } if *message_id == answer => text.clear(),
            _ => {}
        }
    }
    text
}
