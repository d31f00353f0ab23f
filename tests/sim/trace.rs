//! The trace of a world: a line per thing that happens, hashed. Same seed, same hash; if not,
//! something in the product or in the simulator depends on more than the seed.

use std::cell::RefCell;
use std::rc::Rc;

/// A line per happening; shared by everything in one world.
#[derive(Clone, Default)]
pub struct Trace(Rc<RefCell<Inner>>);

#[derive(Default)]
struct Inner {
    now_us: u64,
    hash: u64,
    lines: u64,
    print: bool,
}

impl Trace {
    /// A trace that prints its lines, or one that only hashes them.
    pub fn new(print: bool) -> Trace {
        let trace = Trace::default();
        trace.0.borrow_mut().print = print;
        trace
    }

    /// The virtual time of the lines to come.
    pub fn at(&self, now_us: u64) {
        self.0.borrow_mut().now_us = now_us;
    }

    /// Adds a line.
    pub fn line(&self, text: &str) {
        let mut inner = self.0.borrow_mut();
        let now_us = inner.now_us;
        let mut hash = inner.hash ^ now_us;
        for byte in text.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        inner.hash = hash;
        inner.lines += 1;
        if inner.print {
            println!("{:>12.3} {text}", now_us as f64 / 1000.0);
        }
    }

    /// The hash of all lines so far.
    pub fn hash(&self) -> u64 {
        self.0.borrow().hash
    }

    /// How many lines there were.
    pub fn lines(&self) -> u64 {
        self.0.borrow().lines
    }
}
