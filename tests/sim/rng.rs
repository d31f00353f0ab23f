//! The only source of randomness of a world: splitmix64, from one seed. Each concern has a stream of
//! its own, so that leaving a fault out while shrinking does not change what everything else does.

use std::collections::BTreeMap;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Rng(u64);

/// The finalizer of splitmix64: spreads a number over all 64 bits.
pub fn mix(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// The stream that `seed` has under a name.
    pub fn new(seed: u64, stream: &str) -> Rng {
        let name = stream.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Rng(mix(seed ^ mix(name)))
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number in `0..bound`; 0 when the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A number in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// Bytes.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }

    /// One of these names, by weight.
    pub fn weighted<'a>(&mut self, weights: &[(&'a str, f64)]) -> &'a str {
        let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
        let mut at = self.unit() * total;
        for (name, weight) in weights {
            at -= weight;
            if at < 0.0 {
                return name;
            }
        }
        weights[weights.len() - 1].0
    }
}

/// How often each name was counted: what a run exercised.
pub type Tally = BTreeMap<String, u64>;
