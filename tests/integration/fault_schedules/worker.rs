//! SQS and Lambda for one conversation: records in order, one at a time, each delivered until an invocation is done
//! with it, sometimes several times at once. Invocations die at any poll.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use konstruct_domain::{ConversationId, TenantId};
use konstruct_protocol::Task;
use konstruct_service::turn::Disposition;
use konstruct_tests::app::World;
use konstruct_tests::crash::invoke;
use konstruct_tests::redis_keys::RedisKeys;
use konstruct_tests::seeds::Chance;
use tokio::runtime::Builder;

use super::LEASE;
use super::tally::Tally;

/// More at one turn would end it in `agent_failed`.
const DEATHS_MAX: usize = 3;

pub struct Worker<'a> {
    world: World,
    place: (TenantId, ConversationId),
    chance: Chance,
    deaths: usize,
    tally: &'a Tally,
}

impl<'a> Worker<'a> {
    pub fn new(world: World, place: (TenantId, ConversationId), chance: Chance, tally: &'a Tally) -> Self {
        Self { world, place, chance, deaths: 0, tally }
    }

    pub fn run(mut self, tasks: Receiver<Task>) {
        for task in tasks {
            self.work(&task);
        }
    }

    /// Delivers a record until an invocation is done with it.
    #[expect(clippy::disallowed_methods, reason = "a thread of its own, without tasks")]
    fn work(&mut self, task: &Task) {
        for _ in 0..200 {
            let copies = if self.chance.once_in(4) { 3 } else { 1 };
            self.tally.copies.fetch_add(copies - 1, Relaxed);
            let polls: Vec<u64> = (0..copies).map(|_| self.polls()).collect();
            let world = &self.world;
            let worked: Vec<Option<Disposition>> = thread::scope(|scope| {
                let copies: Vec<_> =
                    polls.iter().map(|polls| scope.spawn(|| invoke(world, task, *polls))).collect();
                copies.into_iter().map(|copy| copy.join().expect("an invocation")).collect()
            });
            let died = worked.iter().filter(|worked| worked.is_none()).count();
            self.tally.deaths.fetch_add(died, Relaxed);
            if died > 0 {
                self.the_dead_are_missed();
            }
            // A record is deleted as soon as one delivery succeeded.
            if worked.contains(&Some(Disposition::Done)) {
                return;
            }
            let asked = worked.iter().flatten().map(|worked| match worked {
                Disposition::Again(after) => *after,
                Disposition::Done => Duration::ZERO,
            });
            // A dead invocation's record comes back when its visibility ends.
            thread::sleep(asked.min().unwrap_or(LEASE).min(LEASE));
        }
        panic!("{}: the task is never done", self.world.name);
    }

    /// After how many polls an invocation dies.
    fn polls(&mut self) -> u64 {
        if self.deaths < DEATHS_MAX && self.chance.once_in(2) {
            self.deaths += 1;
            1 + self.chance.below(60)
        } else {
            u64::MAX
        }
    }

    /// The push lease of a dead process runs out, as it does after 10 s.
    fn the_dead_are_missed(&self) {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let keys = RedisKeys::open(&self.world.redis_url).await;
            keys.push_lease_runs_out(self.place.0, self.place.1).await;
        });
    }
}
