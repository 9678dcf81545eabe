//! Chance from a seed: the same seed plays the same game. A test prints its seed; `E2E_SEED` gives it one.

use std::time::{SystemTime, UNIX_EPOCH};

use konstruct_tests::seeds::Chance;

/// A game of chance.
pub struct Dice {
    pub seed: u64,
    chance: Chance,
}

impl Dice {
    /// From `E2E_SEED`, else from the clock.
    pub fn new() -> Self {
        let given = std::env::var("E2E_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock =
            || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_micros() as u64);
        let seed = given.unwrap_or_else(clock);
        Self { seed, chance: Chance::of(seed) }
    }

    /// From `least` to `most`, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.chance.below(most - least + 1)
    }

    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.chance.below(all.len() as u64) as usize]
    }
}
