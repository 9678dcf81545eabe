//! Chance from a seed: the same seed plays the same game. A test prints its seed; `E2E_SEED` gives it one.

use std::time::{SystemTime, UNIX_EPOCH};

/// Splitmix64.
pub struct Dice {
    pub seed: u64,
    state: u64,
}

impl Dice {
    /// From `E2E_SEED`, else from the clock.
    pub fn new() -> Self {
        let given = std::env::var("E2E_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock =
            || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_micros() as u64);
        let seed = given.unwrap_or_else(clock);
        Self { seed, state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `least` to `most`, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.next() as usize % all.len()]
    }
}
