//! What an asking used, booked per turn, step and asking: once, whatever comes again.

use konstruct_ports::{ModelRequest, TokenUsage};
use konstruct_postgres::turns::TurnRow;
use konstruct_postgres::usage::Usage;

use super::asking::Asking;
use super::course::Course;
use super::journal::Step;
use super::progress::estimated_tokens;
use super::{Held, OUTAGE, prompt};
use crate::error::Error;
use crate::patience::Patience;

impl Held<'_> {
    /// Books what an asking used that is not the turn's last word; one that never reached the model used nothing.
    pub(super) async fn bill(
        &mut self,
        turn: &TurnRow,
        request: &ModelRequest,
        asking: &Asking,
    ) -> Result<(), Error> {
        if !asking.reached {
            return Ok(());
        }
        let usage = self.usage(turn, request, asking);
        self.book(turn, &usage).await
    }

    /// Books an asking that died with its invocation: what it used is not known but for what it showed.
    pub(super) async fn bill_the_dead(&mut self, turn: &TurnRow, course: &Course) -> Result<(), Error> {
        let Some(Step::Asked { number, asking, model, prompt_tokens, .. }) = course.journal.unsettled()
        else {
            return Ok(());
        };
        let shown = course.seen.pieces.as_deref().unwrap_or_default();
        let written = shown.strip_prefix(course.journal.text().as_str()).unwrap_or(shown);
        let tokens = estimated(*prompt_tokens, written);
        let used = Used { step: *number, asking: *asking, tokens, estimated: true };
        self.book(turn, &self.row(turn, model, used)).await
    }

    async fn book(&mut self, turn: &TurnRow, usage: &Usage) -> Result<(), Error> {
        let book = || async { self.agent.db.begin(self.tenant).await?.record_usage(turn.id, usage).await };
        Patience::of(OUTAGE).retry(book).await?;
        self.tally.used(usage);
        Ok(())
    }

    /// The provider's count, else our estimate.
    pub(super) fn usage(&self, turn: &TurnRow, request: &ModelRequest, asking: &Asking) -> Usage {
        let counted = asking.progress.usage;
        let tokens = counted.unwrap_or_else(|| estimate(request, &asking.progress.shown));
        let estimated = counted.is_none();
        let used = Used { step: asking.step, asking: asking.number, tokens, estimated };
        self.row(turn, &asking.model, used)
    }

    /// The bill's line.
    pub(super) fn row(&self, turn: &TurnRow, model: &str, used: Used) -> Usage {
        let Used { step, asking, tokens, estimated } = used;
        Usage {
            id: self.agent.ids.new_id(),
            agent: turn.agent.id,
            step,
            asking,
            model: model.to_owned(),
            prompt_tokens: tokens.prompt_tokens.into(),
            completion_tokens: tokens.completion_tokens.into(),
            total_tokens: tokens.total_tokens.into(),
            estimated,
        }
    }
}

/// What an asking used.
#[derive(Clone, Copy)]
pub(super) struct Used {
    pub(super) step: i32,
    pub(super) asking: i32,
    pub(super) tokens: TokenUsage,
    /// Nobody counted: ours.
    pub(super) estimated: bool,
}

/// What a call is worth in tokens where nobody counted.
pub(super) fn estimate(request: &ModelRequest, written: &str) -> TokenUsage {
    let prompt_tokens = prompt::size(&request.messages, &request.tools);
    estimated(u32::try_from(prompt_tokens).unwrap_or(u32::MAX), written)
}

fn estimated(prompt_tokens: u32, written: &str) -> TokenUsage {
    let completion_tokens = u32::try_from(estimated_tokens(written)).unwrap_or(u32::MAX);
    let total_tokens = prompt_tokens.saturating_add(completion_tokens);
    TokenUsage { prompt_tokens, completion_tokens, total_tokens }
}
