//! A turn that an older epoch left behind, met by the agent: ended and delivered on its behalf. It is never
//! answered any more.

use konstruct_postgres::reset::LeftTurn;
use konstruct_postgres::turns::TurnRow;

use super::{Held, Turned};
use crate::error::Error;
use crate::hand_over::KnownLog;

impl Held<'_> {
    pub(super) async fn finish_left(&mut self, turn: &TurnRow) -> Result<Turned, Error> {
        let log = KnownLog {
            generation: self.leased.generation,
            epoch: self.leased.guard.epoch,
            last_seq: self.writer.known(),
        };
        let trace = Some(self.trace);
        let left = LeftTurn { id: turn.id, answer_id: turn.answer_id, ended: turn.ended.clone(), trace };
        let (tenant, conversation) = (self.tenant, self.conversation());
        let ended = self.on_behalf().end_left(tenant, conversation, log, &left).await?;
        let Some((ended, last)) = ended else { return Ok(Turned::GiveUp) };
        self.writer.saw(last);
        // Whoever raised the epoch may have died before it told people.
        self.on_behalf().settle(tenant, conversation, Some(turn.id)).await?;
        self.end_reply(turn, &ended).await
    }
}
