//! What a prompt may know of the conversation (AGNT-03): the exchanges before the message, nothing accepted after
//! it, nothing of another thread. From Redis where it is complete there, else from Postgres.

use konstruct_postgres::turns::TurnRow;
use konstruct_redis::Key;
use konstruct_redis::memory::ShortMemory;

use super::Held;
use super::prompt::Remembered;
use crate::error::Error;
use crate::patience::Patience;

impl Held<'_> {
    fn memory_key(&self, turn: &TurnRow) -> Key {
        Key::memory(self.tenant, turn.agent.id, self.leased.user_id, self.conversation())
    }

    /// The exchanges before a turn, oldest first.
    pub(super) async fn memory(&self, turn: &TurnRow) -> Result<Vec<Remembered>, Error> {
        let Some(previous) = turn.previous else {
            return Ok(Vec::new());
        };
        let cached = self.agent.connections.redis.memory(&self.memory_key(turn)).await.unwrap_or_default();
        let epoch = self.leased.guard.epoch;
        if let Some(memory) = cached.filter(|m| m.epoch == epoch && m.last_question == previous) {
            return Ok(memory.exchanges);
        }
        let most = i64::try_from(self.agent.limits.memory_messages).unwrap_or(40);
        let (thread, position) = (self.conversation(), turn.position);
        let read = || async {
            self.agent.db.begin(self.tenant).await?.exchanges_before(thread, position, most).await
        };
        let exchanges = Patience::of(super::OUTAGE).retry(read).await?;
        let exchanges = exchanges.into_iter().map(|e| (e.question, e.answer)).collect();
        Ok(window(exchanges, self.agent.limits.memory_messages))
    }

    /// Remembers an exchange for the next turn. A cache: failing is no harm.
    pub(super) async fn remember(&self, turn: &TurnRow, mut memory: Vec<Remembered>, newest: Remembered) {
        memory.push(newest);
        let memory = ShortMemory {
            epoch: self.leased.guard.epoch,
            last_question: turn.id,
            exchanges: window(memory, self.agent.limits.memory_messages),
        };
        if let Err(error) = self.agent.connections.redis.remember(&self.memory_key(turn), &memory).await {
            tracing::warn!(%error, "memory could not be kept");
        }
    }
}

/// The last exchanges that are `messages` messages at most; never an answer without its question.
fn window(mut exchanges: Vec<Remembered>, messages: usize) -> Vec<Remembered> {
    let mut count = 0;
    let kept = exchanges
        .iter()
        .rev()
        .take_while(|(_, answer)| {
            count += 1 + usize::from(answer.is_some());
            count <= messages
        })
        .count();
    exchanges.drain(..exchanges.len() - kept);
    exchanges
}

#[cfg(test)]
mod tests {
    use super::*;

    /// proves AGNT-03
    #[test]
    fn the_window_holds_whole_exchanges_only() {
        let all: Vec<Remembered> = (0..30).map(|n| (n.to_string(), Some(format!("a{n}")))).collect();
        let kept = window(all.clone(), 41);
        assert_eq!(kept.len(), 20);
        assert_eq!(kept.first(), all.get(10));
        assert_eq!(window(Vec::new(), 40), Vec::new());
    }
}
