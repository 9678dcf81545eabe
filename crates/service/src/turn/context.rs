//! What a prompt may know of the conversation (AGNT-03): what was said before the message, nothing accepted after it,
//! nothing of another thread. From Redis where it is complete there, else from Postgres.

use konstruct_postgres::memory::{Said, SaidWhat};
use konstruct_postgres::turns::TurnRow;
use konstruct_redis::Key;
use konstruct_redis::memory::{Remembered, ShortMemory};

use super::course::Course;
use super::{Held, OUTAGE};
use crate::error::Error;
use crate::patience::Patience;

impl Held<'_> {
    pub(super) fn memory_key(&self, turn: &TurnRow) -> Key {
        Key::memory(self.tenant, turn.agent.id, self.leased.user_id, self.conversation())
    }

    /// What was said before a turn, oldest first.
    pub(super) async fn memory(&self, turn: &TurnRow) -> Result<Vec<Remembered>, Error> {
        let cached = self.agent.connections.redis.memory(&self.memory_key(turn)).await.unwrap_or_default();
        let epoch = self.leased.guard.epoch;
        if let Some(memory) = cached.filter(|m| m.epoch == epoch && Some(m.last_question) == turn.previous) {
            return Ok(memory.said);
        }
        let most = i64::try_from(self.agent.limits.memory_messages).unwrap_or(40);
        let (thread, position) = (self.conversation(), turn.position);
        let read =
            || async { self.agent.db.begin(self.tenant).await?.said_before(thread, position, most).await };
        let said = Patience::of(OUTAGE).retry(read).await?;
        Ok(window(said.into_iter().map(remembered).collect(), self.agent.limits.memory_messages))
    }

    /// Remembers an exchange for the next turn. A cache: failing is no harm.
    pub(super) async fn remember(&self, turn: &TurnRow, course: Course, answer: String) {
        let (redis, key) = (&self.agent.connections.redis, self.memory_key(turn));
        // Messages behind it may have been answered while it waited: what they remember lacks this answer.
        let kept = if course.waited {
            redis.forget(&key).await
        } else {
            let mut said = course.said;
            said.push(Remembered::Exchange { question: course.question, answer: Some(answer) });
            let memory = ShortMemory {
                epoch: self.leased.guard.epoch,
                last_question: turn.id,
                said: window(said, self.agent.limits.memory_messages),
            };
            redis.remember(&key, &memory).await
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "memory could not be kept");
        }
    }
}

pub(super) fn remembered(said: Said) -> Remembered {
    match said.what {
        SaidWhat::Exchange { question, answer } => Remembered::Exchange { question, answer },
        SaidWhat::Human(text) => Remembered::Human(text),
    }
}

/// The last that are `messages` messages at most; never an answer without its question.
fn window(mut said: Vec<Remembered>, messages: usize) -> Vec<Remembered> {
    let mut count = 0;
    let kept = said
        .iter()
        .rev()
        .take_while(|said| {
            count += said.messages();
            count <= messages
        })
        .count();
    said.drain(..said.len() - kept);
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(n: u32) -> Remembered {
        Remembered::Exchange { question: n.to_string(), answer: Some(format!("a{n}")) }
    }

    /// proves AGNT-03
    #[test]
    fn the_window_holds_whole_exchanges_only() {
        let all: Vec<Remembered> = (0..30).map(exchange).collect();
        let kept = window(all.clone(), 41);
        assert_eq!(kept.len(), 20);
        assert_eq!(kept.first(), all.get(10));
        let mixed = vec![exchange(1), Remembered::Human("h".into()), exchange(2)];
        assert_eq!(window(mixed.clone(), 4), mixed[1..]);
        assert_eq!(window(Vec::new(), 40), Vec::new());
    }
}
