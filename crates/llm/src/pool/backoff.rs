//! How long to wait before another try. Pure: chance comes in as a number.

use std::time::Duration;

use super::PoolConfig;

/// The wait before retry `tries + 1`: doubling up to the maximum, less up to a quarter by chance (0 to 1), so that
/// many who failed together do not come back together.
pub(super) fn wait(config: &PoolConfig, tries: u32, chance: f64) -> Duration {
    let doubled = config.wait.saturating_mul(2_u32.saturating_pow(tries));
    let chance = if chance.is_nan() { 0.0 } else { chance.clamp(0.0, 1.0) };
    doubled.min(config.wait_max).mul_f64(1.0 - 0.25 * chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_maximum() {
        let config = PoolConfig::default();
        let waits: Vec<u128> = (0..7).map(|tries| wait(&config, tries, 0.0).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
        assert_eq!(wait(&config, u32::MAX, 0.0), Duration::from_secs(8));
    }

    #[test]
    fn chance_takes_away_up_to_a_quarter() {
        let config = PoolConfig::default();
        assert_eq!(wait(&config, 0, 1.0), Duration::from_millis(375));
        assert_eq!(wait(&config, 0, 7.0), Duration::from_millis(375));
        assert_eq!(wait(&config, 0, -7.0), Duration::from_millis(500));
        assert_eq!(wait(&config, 0, f64::NAN), Duration::from_millis(500));
    }
}
