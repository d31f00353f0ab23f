//! Retry policy: numbers in, the next delay out. Knows nothing of locks, clocks or timers.
//!
//! The schedule is exponential backoff with full jitter (AWS Architecture Blog, "Exponential
//! Backoff And Jitter"): `delay = random(0, min(max_delay, base_delay * factor ^ i))`.

use crate::error::{Code, Error, Result};
use serde::Deserialize;

/// Longest time a policy may name: one day. Larger numbers are mistakes, not wishes.
const MAX_MS: f64 = 86_400_000.0;

/// How often and how long a direct write is tried. All times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// Direct attempts before the fallback; default 3. 0 goes straight to the fallback.
    pub attempts: u32,
    /// How long one attempt waits for the write lock; default 200.
    pub lock_timeout_ms: f64,
    /// The first backoff, before jitter; default 50.
    pub base_delay_ms: f64,
    /// Growth of the backoff per attempt; default 2.
    pub factor: f64,
    /// Cap of one backoff; default 1000.
    pub max_delay_ms: f64,
    /// Full jitter: a uniform choice between 0 and the backoff; default true.
    pub jitter: bool,
    /// The whole call settles by then; default 15000.
    pub deadline_ms: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            attempts: 3,
            lock_timeout_ms: 200.0,
            base_delay_ms: 50.0,
            factor: 2.0,
            max_delay_ms: 1000.0,
            jitter: true,
            deadline_ms: 15_000.0,
        }
    }
}

impl RetryPolicy {
    /// Refuses what is not a policy: NaN, negative or endless times, a factor below 1.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming the field.
    pub fn check(&self) -> Result<()> {
        let times = [
            ("lockTimeoutMs", self.lock_timeout_ms),
            ("baseDelayMs", self.base_delay_ms),
            ("maxDelayMs", self.max_delay_ms),
            ("deadlineMs", self.deadline_ms),
        ];
        for (name, value) in times {
            if !(0.0..=MAX_MS).contains(&value) {
                return Err(Error::new(
                    Code::InvalidArgument,
                    format!("retry.{name} must be between 0 and {MAX_MS} ms, not {value}"),
                ));
            }
        }
        if !(1.0..=1000.0).contains(&self.factor) {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("retry.factor must be between 1 and 1000, not {}", self.factor),
            ));
        }
        Ok(())
    }

    /// How long all attempts wait together, with the longest pauses, within the deadline.
    pub fn longest_wait_ms(&self) -> f64 {
        let pauses: f64 = (1..self.attempts.min(1000)).map(|i| self.delay_ms(i - 1, 1.0)).sum();
        (f64::from(self.attempts) * self.lock_timeout_ms + pauses).min(self.deadline_ms)
    }

    /// The backoff after busy attempt number `attempt` (the first is 0), in milliseconds.
    ///
    /// `random` is uniform in `[0, 1)`; without jitter it is not used.
    pub fn delay_ms(&self, attempt: u32, random: f64) -> f64 {
        // No number at all would be left of nothing times infinity.
        let growth = self.factor.powi(attempt.min(1000) as i32).min(f64::MAX);
        let grown = self.base_delay_ms * growth;
        let capped = grown.min(self.max_delay_ms);
        if self.jitter { capped * random } else { capped }
    }
}

/// splitmix64, as a uniform number in `[0, 1)`: the jitter of everything that waits.
pub fn next_random(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_without_jitter_double_up_to_the_cap() {
        let policy = RetryPolicy { jitter: false, ..Default::default() };
        let delays: Vec<f64> = (0..7).map(|i| policy.delay_ms(i, 0.5)).collect();
        assert_eq!(delays, [50.0, 100.0, 200.0, 400.0, 800.0, 1000.0, 1000.0]);
    }

    #[test]
    fn no_pauses_stay_none_however_many_attempts() {
        let policy = RetryPolicy { base_delay_ms: 0.0, factor: 1000.0, ..Default::default() };
        assert_eq!(policy.delay_ms(500, 0.5), 0.0);
    }

    #[test]
    fn full_jitter_is_uniform_between_zero_and_the_backoff() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.delay_ms(2, 0.0), 0.0);
        assert_eq!(policy.delay_ms(2, 0.5), 100.0);
        assert!(policy.delay_ms(40, 0.999) < 1000.0);
    }

    #[test]
    fn endless_and_negative_times_are_refused() {
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            let policy = RetryPolicy { deadline_ms: bad, ..Default::default() };
            assert_eq!(policy.check().unwrap_err().code, Code::InvalidArgument);
        }
        let policy = RetryPolicy { factor: 0.5, ..Default::default() };
        assert!(policy.check().is_err());
    }
}
