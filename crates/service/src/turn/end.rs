//! The end of a turn reaching people: the final frame, once. What was stored is not changed any more.

use konstruct_domain::{MessageId, Seq};
use konstruct_postgres::turns::{Ended, TurnRow};
use konstruct_protocol::frame::frameable;
use konstruct_protocol::{ErrorCode, Event};
use konstruct_redis::frame_log::Append;

use super::{Held, Turned};
use crate::delivery::Write;
use crate::error::Error;
use crate::patience::Patience;
use crate::reset::{ends, sentence};

/// The frame that ends a turn; `None`: it ends in silence.
#[must_use]
pub fn final_event(turn: MessageId, ended: &Ended) -> Option<Event> {
    match ended {
        Ended::Answer { id, text, stopped } => Some(Event::Answer {
            message_id: *id,
            in_reply_to: turn,
            text: frameable(text),
            stopped: *stopped,
        }),
        Ended::Error(code) => {
            let code = ErrorCode::parse(code).unwrap_or(ErrorCode::AgentFailed);
            Some(Event::Failed { code, error: sentence(code).to_owned(), id: turn })
        }
        Ended::Silent => None,
    }
}

impl Held<'_> {
    /// Delivers a turn that had ended before: leaves out what the log has already.
    pub(super) async fn deliver(&mut self, turn: &TurnRow, ended: &Ended) -> Result<Turned, Error> {
        let thread = self.conversation();
        let redis = self.agent.connections.redis.clone();
        let read = || redis.frames_after(self.tenant, thread, Seq(0), usize::MAX >> 1);
        let log = Patience::of(super::OUTAGE).retry(read).await?;
        if log.iter().any(|(_, event)| ends(event, turn.id)) {
            return Ok(Turned::Ended);
        }
        if pieces_are_lost(ended, &log) {
            // Whoever was to get the end may have got it with the log that is gone: all are told of the gap.
            return Ok(Turned::Ended);
        }
        self.announce_end(turn, ended).await
    }

    /// The final frame and the publication.
    pub(super) async fn announce_end(&mut self, turn: &TurnRow, ended: &Ended) -> Result<Turned, Error> {
        if let Some(event) = final_event(turn.id, ended)
            && self.show(vec![event], None, None).await? == Shown::GiveUp
        {
            return Ok(Turned::GiveUp);
        }
        if let Ended::Answer { text, .. } = ended {
            let (tenant, thread) = (self.tenant, self.conversation());
            if let Err(error) = self.agent.connections.redis.publish_response(tenant, thread, text).await {
                tracing::warn!(%error, "an answer could not be published; who waits for it looks by himself");
            }
        }
        Ok(Turned::Ended)
    }

    /// Logs frames and hands them to the poster.
    pub(super) async fn show(
        &mut self,
        events: Vec<Event>,
        unless_stopped: Option<MessageId>,
        keep_from: Option<Seq>,
    ) -> Result<Shown, Error> {
        let append = Append { events: &events, unless_stopped, keep_from };
        match self.writer.write(append).await? {
            Write::Logged { first, live, begun_anew, .. } => {
                if begun_anew {
                    self.poster.begun_anew();
                }
                self.poster.logged(first, events, live);
                Ok(Shown::From(first))
            }
            Write::Stopped => Ok(Shown::Stopped),
            Write::GiveUp => Ok(Shown::GiveUp),
        }
    }
}

/// Whether the log no longer has the pieces that an answer was shown in.
fn pieces_are_lost(ended: &Ended, log: &[(Seq, Event)]) -> bool {
    let Ended::Answer { id, text, .. } = ended else { return false };
    let is_piece = |event: &Event| matches!(event, Event::Piece { message_id, .. } if message_id == id);
    !text.is_empty() && !log.iter().any(|(_, event)| is_piece(event))
}

/// What came of showing frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// They are in the log from here on.
    From(Seq),
    /// The person stopped the answer.
    Stopped,
    /// Another agent, or a newer epoch.
    GiveUp,
}
