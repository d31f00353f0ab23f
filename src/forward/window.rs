//! Which acknowledged items are still kept: an asynchronous replica that takes over may have lost the
//! last ones, and has to be sent them again.
//!
//! An item is let go a while after its acknowledgement, or when enough came after it. The time is
//! this sender's own; whoever takes over starts it anew, so items are kept longer and never shorter.

use std::collections::VecDeque;

/// The acknowledged items, oldest first, in lots that were acknowledged together.
#[derive(Debug, Default)]
pub struct Window {
    lots: VecDeque<Lot>,
    bytes: u64,
    /// Items below this number are let go.
    keep_from: i64,
}

#[derive(Debug)]
struct Lot {
    last: i64,
    bytes: u64,
    at_ms: f64,
}

/// Smaller lots that come with each other's second are one.
const LOT_BYTES: u64 = 1 << 20;
const LOT_MS: f64 = 1000.0;

impl Window {
    /// The server has everything up to `number`, so many bytes more.
    pub fn acknowledged(&mut self, number: i64, bytes: u64, now_ms: f64) {
        self.bytes += bytes;
        match self.lots.back_mut() {
            Some(lot) if lot.bytes + bytes <= LOT_BYTES && now_ms - lot.at_ms < LOT_MS => {
                lot.last = number;
                lot.bytes += bytes;
            }
            _ => self.lots.push_back(Lot { last: number, bytes, at_ms: now_ms }),
        }
    }

    /// The server lost what came after `number`.
    pub fn rewound(&mut self, number: i64) {
        while let Some(lot) = self.lots.pop_back_if(|lot| lot.last > number) {
            self.bytes -= lot.bytes;
        }
    }

    /// Lets go of what is old enough, or more than enough. Gives the first number that stays.
    pub fn keep_from(&mut self, now_ms: f64, keep_ms: f64, keep_bytes: u64) -> i64 {
        while let Some(lot) = self.lots.front()
            && (self.bytes > keep_bytes || now_ms - lot.at_ms >= keep_ms)
        {
            self.keep_from = lot.last + 1;
            self.bytes -= lot.bytes;
            self.lots.pop_front();
        }
        self.keep_from
    }

    /// When something gets old enough.
    pub fn next_at_ms(&self, keep_ms: f64) -> Option<f64> {
        self.lots.front().map(|lot| lot.at_ms + keep_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP_MS: f64 = 60_000.0;

    #[test]
    fn what_is_old_goes_and_what_is_new_stays() {
        let mut window = Window::default();
        window.acknowledged(3, 100, 0.0);
        window.acknowledged(5, 100, 500.0);
        window.acknowledged(9, 100, 30_000.0);
        assert_eq!(window.keep_from(59_999.0, KEEP_MS, 1000), 0);
        assert_eq!(window.next_at_ms(KEEP_MS), Some(60_000.0));
        assert_eq!(window.keep_from(60_000.0, KEEP_MS, 1000), 6);
        assert_eq!(window.next_at_ms(KEEP_MS), Some(90_000.0));
    }

    #[test]
    fn what_is_more_than_enough_goes_oldest_first() {
        let mut window = Window::default();
        for number in 1..=10 {
            window.acknowledged(number, LOT_BYTES, 0.0);
        }
        assert_eq!(window.keep_from(1.0, KEEP_MS, 4 * LOT_BYTES), 7);
        window.rewound(8);
        window.acknowledged(12, LOT_BYTES, 2.0);
        assert_eq!(window.keep_from(3.0, KEEP_MS, 3 * LOT_BYTES), 7);
        assert_eq!(window.keep_from(3.0, KEEP_MS, 0), 13);
    }
}
