//! What an asking used, booked per turn, step and asking: once, whatever comes again.

use konstruct_ports::ModelRequest;
use konstruct_postgres::turns::TurnRow;
use konstruct_postgres::usage::Usage;

use super::Held;
use super::asking::{Asking, STEP};
use super::progress::estimated_tokens;
use crate::error::Error;
use crate::patience::Patience;

impl Held<'_> {
    /// Books what a failed asking used.
    pub(super) async fn bill(
        &self,
        turn: &TurnRow,
        request: &ModelRequest,
        asking: &Asking,
    ) -> Result<(), Error> {
        if asking.progress.usage.is_none() && asking.progress.shown.is_empty() {
            return Ok(());
        }
        let usage = self.usage(turn, request, asking);
        let book = || async { self.agent.db.begin(self.tenant).await?.record_usage(turn.id, &usage).await };
        Patience::of(super::OUTAGE).retry(book).await
    }

    /// The provider's count, else our estimate.
    pub(super) fn usage(&self, turn: &TurnRow, request: &ModelRequest, asking: &Asking) -> Usage {
        let estimate = || {
            let prompt: usize = request.messages.iter().map(|m| estimated_tokens(&m.content)).sum();
            let completion = estimated_tokens(&asking.progress.shown);
            (prompt as i64, completion as i64, (prompt + completion) as i64)
        };
        let counted = asking
            .progress
            .usage
            .map(|u| (i64::from(u.prompt_tokens), i64::from(u.completion_tokens), i64::from(u.total_tokens)));
        let (prompt_tokens, completion_tokens, total_tokens) = counted.unwrap_or_else(estimate);
        Usage {
            id: self.agent.ids.new_id(),
            agent: turn.agent.id,
            step: STEP,
            asking: asking.number,
            model: asking.model.clone(),
            prompt_tokens,
            completion_tokens,
            total_tokens,
            estimated: counted.is_none(),
        }
    }
}
