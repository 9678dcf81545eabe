//! A turn that an older epoch left behind, met by the agent: ended and delivered on its behalf. It is never
//! answered any more.

use konstruct_postgres::reset::LeftTurn;
use konstruct_postgres::turns::TurnRow;

use super::{Held, Turned};
use crate::error::Error;
use crate::reset::{KnownLog, OnBehalf};

impl Held<'_> {
    pub(super) async fn finish_left(&self, turn: &TurnRow) -> Result<Turned, Error> {
        let on_behalf = OnBehalf {
            db: self.agent.db.clone(),
            connections: self.agent.connections.clone(),
            ids: self.agent.ids.as_ref(),
        };
        let log = KnownLog {
            generation: self.leased.generation,
            epoch: self.leased.guard.epoch,
            last_seq: self.writer.known(),
        };
        let left = LeftTurn { id: turn.id, answer_id: turn.answer_id, ended: turn.ended.clone() };
        let delivered = on_behalf.finish(self.tenant, self.conversation(), log, &left).await?;
        Ok(if delivered { Turned::Ended } else { Turned::GiveUp })
    }
}
