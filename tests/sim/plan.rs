//! What a world is like: how many tabs, what they do, what goes wrong. Every number is drawn from the
//! seed, has a name, and can be set from the command line; shrinking sets them to zero one by one.

use crate::rng::Rng;

macro_rules! knobs {
    ($($(#[doc = $doc:literal])* $name:ident = $draw:expr;)*) => {
        /// The knobs of a world; see the module.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Plan {
            $($(#[doc = $doc])* pub $name: f64,)*
        }

        impl Plan {
            /// The plan of a seed.
            pub fn draw(seed: u64) -> Plan {
                let rng = &mut Rng::new(seed, "plan");
                $(
                    let draw: fn(&mut Rng) -> f64 = $draw;
                    let $name = draw(rng);
                )*
                Plan { $($name,)* }
            }

            /// The knobs by name.
            pub fn knobs(&self) -> Vec<(&'static str, f64)> {
                vec![$((stringify!($name), self.$name),)*]
            }

            /// Sets a knob; gives whether there is one of this name.
            pub fn set(&mut self, name: &str, value: f64) -> bool {
                match name {
                    $(stringify!($name) => self.$name = value,)*
                    _ => return false,
                }
                true
            }
        }
    };
}

/// Some of the seeds have this at all; those that do, have `some` of it.
fn sometimes(rng: &mut Rng, probability: f64, some: impl Fn(&mut Rng) -> f64) -> f64 {
    let value = some(rng);
    if rng.chance(probability) { value } else { 0.0 }
}

fn count(rng: &mut Rng, low: u64, high: u64) -> f64 {
    rng.between(low, high) as f64
}

knobs! {
    /// Open handles at the start.
    tabs = |rng| *rng.pick(&[1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 5.0, 8.0]);
    /// Handles that share a page: frozen and killed together.
    per_page = |rng| *rng.pick(&[1.0, 1.0, 1.0, 2.0]);
    /// Phases of work, each followed by a rest in which everything is checked.
    phases = |rng| count(rng, 1, 2);
    /// How long a phase lasts.
    span_ms = |rng| *rng.pick(&[300.0, 1000.0, 3000.0, 8000.0, 25_000.0]);
    /// Calls of each handle in a phase, about.
    acts = |rng| count(rng, 2, 22);
    /// Tables in use.
    tables = |rng| count(rng, 1, 4);
    /// Whether several tabs may read at a time (Chromium), or not (Firefox).
    shared_reads = |rng| count(rng, 0, 1);
    /// `durability: 'relaxed'`.
    relaxed = |rng| sometimes(rng, 0.15, |_| 1.0);
    /// All latencies, times this.
    slowness = |rng| *rng.pick(&[1.0, 1.0, 1.0, 5.0, 20.0]);

    /// Share of calls that open a transaction; and how long those are held.
    transactions = |rng| sometimes(rng, 0.7, |rng| rng.unit() * 0.3);
    hold_ms = |rng| *rng.pick(&[5.0, 50.0, 500.0, 5000.0]);
    /// Share of frames that the database refuses.
    refusals = |rng| sometimes(rng, 0.4, |rng| rng.unit() * 0.3);
    /// Share of frames sent by several tabs under one id; and of those, with other content.
    shared_ids = |rng| sometimes(rng, 0.4, |rng| rng.unit() * 0.3);
    conflicts = |rng| sometimes(rng, 0.5, |rng| rng.unit() * 0.4);
    /// Share of frames of plain JavaScript values.
    packed = |rng| sometimes(rng, 0.5, |rng| rng.unit());
    /// Share of policies that are impatient: short lock timeouts and deadlines.
    impatience = |rng| rng.unit();
    /// Share of calls that are taken back after a while.
    cancels = |rng| sometimes(rng, 0.3, |rng| rng.unit() * 0.1);

    /// Tabs that die: between events; in the middle of a file call; between two effects.
    kills = |rng| sometimes(rng, 0.4, |rng| count(rng, 1, 4));
    kills_in_call = |rng| sometimes(rng, 0.4, |rng| count(rng, 1, 4));
    kills_in_effects = |rng| sometimes(rng, 0.3, |rng| count(rng, 1, 4));
    /// Handles of dead tabs that stay for seconds instead of milliseconds, of 1.
    long_lag = |rng| sometimes(rng, 0.2, |rng| rng.unit());
    /// Handles closed in an orderly way.
    closes = |rng| sometimes(rng, 0.3, |rng| count(rng, 1, 2));
    freezes = |rng| sometimes(rng, 0.3, |rng| count(rng, 1, 3));
    hides = |rng| sometimes(rng, 0.3, |rng| count(rng, 1, 3));
    suspends = |rng| sometimes(rng, 0.3, |rng| count(rng, 1, 3));
    power_cuts = |rng| sometimes(rng, 0.2, |rng| count(rng, 1, 2));
    /// Failing file calls: once, or until the phase ends.
    io_errors = |rng| sometimes(rng, 0.25, |rng| count(rng, 1, 4));
    io_stays = |rng| sometimes(rng, 0.1, |_| 1.0);
    quota_errors = |rng| sometimes(rng, 0.2, |rng| count(rng, 1, 4));
    quota_stays = |rng| sometimes(rng, 0.1, |_| 1.0);
    /// Opening the database refused, of 1.
    refused_opens = |rng| sometimes(rng, 0.2, |rng| rng.unit() * 0.5);
    thefts = |rng| sometimes(rng, 0.15, |rng| count(rng, 1, 3));
    /// Messages, of 1.
    lost = |rng| sometimes(rng, 0.3, |rng| rng.unit());
    doubled = |rng| sometimes(rng, 0.3, |rng| rng.unit() * 0.5);
    late = |rng| sometimes(rng, 0.3, |rng| rng.unit() * 0.5);
    hostile = |rng| sometimes(rng, 0.3, |rng| rng.unit() * 0.5);
    /// Share of tabs whose timers are throttled, and to how many milliseconds.
    throttled = |rng| sometimes(rng, 0.2, |rng| rng.unit());
    throttle_ms = |rng| *rng.pick(&[1000.0, 60_000.0]);

    /// Share of frames that are forwarded to a server.
    forwarding = |rng| sometimes(rng, 0.4, |rng| 0.3 + rng.unit() * 0.7);
    /// Requests and answers that get lost, and requests that arrive twice, of 1.
    requests_lost = |rng| sometimes(rng, 0.3, |rng| rng.unit() * 0.6);
    answers_lost = |rng| sometimes(rng, 0.4, |rng| rng.unit() * 0.6);
    requests_doubled = |rng| sometimes(rng, 0.3, |rng| rng.unit() * 0.5);
    /// Answers that put the sender off, of 1.
    server_busy = |rng| sometimes(rng, 0.3, |rng| rng.unit() * 0.5);
    /// Of eight frames, so many are refused by the server.
    server_refuses = |rng| sometimes(rng, 0.3, |rng| count(rng, 1, 3));
    /// Tokens are needed; some are not to be had, or refused.
    tokens = |rng| sometimes(rng, 0.3, |rng| rng.unit());
    /// The server loses what came last; and hardly anything is kept that it had acknowledged.
    rewinds = |rng| sometimes(rng, 0.3, |rng| count(rng, 1, 3));
    small_window = |rng| sometimes(rng, 0.1, |_| 1.0);
    /// Somebody else sends under the stream's id.
    forks = |rng| sometimes(rng, 0.15, |rng| count(rng, 1, 2));

    /// Cells of a frame that are written at one go; 0: all of them.
    piece_cells = |rng| sometimes(rng, 0.6, |rng| count(rng, 1, 400));
    /// Yields between two pieces during which something happens to the tab that writes, of 1.
    interruptions = |rng| sometimes(rng, 0.6, |rng| rng.unit() * 0.6);

    /// The largest commit that goes to the redo log, so that some are too large; and the largest log.
    record_bytes = |rng| *rng.pick(&[0.0, 45e3, 60e3, 100e3, 262_144.0, 262_144.0]);
    log_bytes = |rng| *rng.pick(&[1.0, 100e3, 300e3, 1_048_576.0]);
    /// From how many rows on a frame is written as an image; 0 for all of them.
    transfer_rows = |rng| sometimes(rng, 0.5, |rng| count(rng, 1, 40));

    /// Tabs whose callers append again as soon as they are answered, and would rather hand over.
    loops = |rng| sometimes(rng, 0.04, |rng| count(rng, 2, 3));

    /// Frames of more bytes go to the holder by way of the queue; 0: as shipped, where none is so large.
    offer_bytes = |rng| sometimes(rng, 0.25, |rng| *rng.pick(&[1.0, 500.0, 2048.0, 2048.0]));

    /// Frames on their way that a copy of the database was refused before, and gave up, of 1.
    given_up = |rng| sometimes(rng, 0.2, |rng| rng.unit() * 0.4);

    /// So many bytes of new pages go to the redo log; more are flushed in the database before.
    new_bytes = |rng| *rng.pick(&[0.0, 0.0, 9e3, 17e3, 196_608.0]);
}

/// Knobs that shrinking leaves alone: a world needs them, or they are no trouble.
pub const NEEDED: [&str; 4] = ["tabs", "per_page", "phases", "span_ms"];

impl Plan {
    /// Whether handles are out of reach, or their holder is out of breath or does not hear who waits,
    /// for seconds at a time.
    pub fn delays_leases(&self) -> bool {
        let stops = self.freezes + self.suspends + self.interruptions + self.throttled;
        let out_of_reach = self.refused_opens + self.long_lag + self.thefts;
        stops + out_of_reach + self.lost + self.late > 0.0 || self.storage_fails()
    }

    /// Whether storage fails in this world, so that calls may fail with it.
    pub fn storage_fails(&self) -> bool {
        self.io_errors + self.io_stays + self.quota_errors + self.quota_stays > 0.0
    }
}
