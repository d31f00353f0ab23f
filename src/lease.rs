//! The lease: the database's Web Lock together with the open handles that it guards.
//!
//! A pure state machine. It is told what happened and answers with what to do next; it never
//! waits. The lock decides whose turn it is; the handles, which OPFS gives to one tab only, make
//! sure of it. Nobody is ever robbed of a lock (`steal` moves the lock but not the handle).
//!
//! ```text
//! Free ──want──► Waiting ──granted──► Opening ──opened──► Held ──release──► Free
//!   ▲              │ release              │ in use: try again shortly          │
//!   └──────────────┴──────────────────────┴─────────── error, lock lost ◄──────┘
//! ```

use crate::store::Mode;

/// Learning that the lock is free takes a moment, too: no wait for it is shorter than this.
pub const LEAST_WAIT_MS: f64 = 25.0;
/// "I want it" is repeated, because a message can meet its holder between lock and handles. The
/// first repeat comes after this many milliseconds, and each later one after twice the last.
const FIRST_REPEAT_MS: f64 = 15.0;
const LAST_REPEAT_MS: f64 = 240.0;
/// The lock is granted before a dead tab's handle is free. Measured: 5 to 20 ms, after some
/// navigations seconds; so opening is tried again after 2, 4, 8 … 100 ms.
const FIRST_REOPEN_MS: f64 = 2.0;
const LAST_REOPEN_MS: f64 = 100.0;
/// After a request for the lock that failed at once, the next one is made this much later.
const FAILED_MS: f64 = 100.0;

/// Which request for the lock an effect or event speaks of.
pub type LockId = u32;

/// Where the lease stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum State {
    /// No lock, no handles, no wish.
    Free,
    /// The lock is asked for.
    Waiting { repeat_at_ms: f64, repeat_ms: f64 },
    /// The lock is held; the handles are being opened.
    Opening { tries: u32, retry_at_ms: Option<f64> },
    /// Lock and handles are held.
    Held,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// Ask for the lock.
    Request { id: LockId, mode: Mode },
    /// Take the request back; a grant that is on its way is answered with `Release`.
    Cancel { id: LockId },
    /// Open the handles.
    Open { id: LockId, mode: Mode },
    /// Give the lock up. The handles are closed already.
    Release { id: LockId },
    /// Tell the other tabs that the lease is wanted.
    AskOthers,
}

/// The lease of one handle; see the module.
#[derive(Debug)]
pub struct Lease {
    state: State,
    mode: Mode,
    id: LockId,
    /// Until then the lock is not asked for.
    asks_from_ms: f64,
}

impl Default for Lease {
    fn default() -> Self {
        Lease { state: State::Free, mode: Mode::Exclusive, id: 0, asks_from_ms: 0.0 }
    }
}

impl Lease {
    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// The kind asked for or held.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The kind held, when one is.
    pub fn held(&self) -> Option<Mode> {
        (self.state == State::Held).then_some(self.mode)
    }

    /// Work is there that needs `mode`. Asks for the lock unless that is under way.
    pub fn want(&mut self, mode: Mode, now_ms: f64) -> Vec<Step> {
        match self.state {
            State::Free if now_ms >= self.asks_from_ms => {
                self.id += 1;
                self.mode = mode;
                self.state = State::Waiting {
                    repeat_at_ms: now_ms + FIRST_REPEAT_MS,
                    repeat_ms: FIRST_REPEAT_MS,
                };
                vec![Step::Request { id: self.id, mode }, Step::AskOthers]
            }
            State::Waiting { .. } if mode > self.mode => {
                let mut steps = self.release();
                steps.extend(self.want(mode, now_ms));
                steps
            }
            _ => Vec::new(),
        }
    }

    /// The lock was granted. A grant that nobody waits for any more is given back.
    pub fn granted(&mut self, id: LockId) -> Vec<Step> {
        if id == self.id && matches!(self.state, State::Waiting { .. }) {
            self.state = State::Opening { tries: 0, retry_at_ms: None };
            vec![Step::Open { id, mode: self.mode }]
        } else {
            vec![Step::Release { id }]
        }
    }

    /// Whether handles opened for `id` are still wanted; if not, the caller drops them.
    pub fn expects_handles(&self, id: LockId) -> bool {
        id == self.id && matches!(self.state, State::Opening { .. })
    }

    /// The handles are attached.
    pub fn opened(&mut self) {
        self.state = State::Held;
    }

    /// The handles were refused because another tab still has them: tries again after a while.
    pub fn handles_in_use(&mut self, now_ms: f64) {
        if let State::Opening { tries, .. } = self.state {
            let delay_ms = (FIRST_REOPEN_MS * f64::from(1u32 << tries.min(10))).min(LAST_REOPEN_MS);
            self.state = State::Opening { tries: tries + 1, retry_at_ms: Some(now_ms + delay_ms) };
        }
    }

    /// How often opening was refused so far.
    pub fn refusals(&self) -> u32 {
        match self.state {
            State::Opening { tries, .. } => tries,
            _ => 0,
        }
    }

    /// No work needs it any more, and the handles are closed: gives the lock back, or takes the request back.
    pub fn release(&mut self) -> Vec<Step> {
        let step = match self.state {
            State::Waiting { .. } => Step::Cancel { id: self.id },
            State::Opening { .. } | State::Held => Step::Release { id: self.id },
            State::Free => return Vec::new(),
        };
        self.state = State::Free;
        vec![step]
    }

    /// Whether losing lock `id` concerns us.
    pub fn is_current(&self, id: LockId) -> bool {
        id == self.id && self.state != State::Free
    }

    /// The lock was stolen or its request failed. The handles are closed already.
    pub fn lost(&mut self, now_ms: f64) {
        if let State::Waiting { .. } = self.state {
            self.asks_from_ms = now_ms + FAILED_MS;
        }
        self.state = State::Free;
    }

    /// The next time at which [`Lease::wake`] has something to do, or [`Lease::want`] may; it may have passed.
    pub fn wake_at_ms(&self) -> Option<f64> {
        match self.state {
            State::Waiting { repeat_at_ms, .. } => Some(repeat_at_ms),
            State::Opening { retry_at_ms, .. } => retry_at_ms,
            State::Free => Some(self.asks_from_ms),
            State::Held => None,
        }
    }

    /// Time has passed.
    pub fn wake(&mut self, now_ms: f64) -> Vec<Step> {
        match self.state {
            State::Waiting { repeat_at_ms, repeat_ms } if now_ms >= repeat_at_ms => {
                let repeat_ms = (repeat_ms * 2.0).min(LAST_REPEAT_MS);
                self.state = State::Waiting { repeat_at_ms: now_ms + repeat_ms, repeat_ms };
                vec![Step::AskOthers]
            }
            State::Opening { tries, retry_at_ms: Some(at_ms) } if now_ms >= at_ms => {
                self.state = State::Opening { tries, retry_at_ms: None };
                vec![Step::Open { id: self.id, mode: self.mode }]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_becomes_a_lease_and_goes_back() {
        let mut lease = Lease::default();
        let steps = lease.want(Mode::Exclusive, 0.0);
        assert_eq!(steps, [Step::Request { id: 1, mode: Mode::Exclusive }, Step::AskOthers]);
        assert_eq!(lease.granted(1), [Step::Open { id: 1, mode: Mode::Exclusive }]);
        lease.opened();
        assert_eq!(lease.held(), Some(Mode::Exclusive));
        assert_eq!(lease.release(), [Step::Release { id: 1 }]);
        assert_eq!(lease.state(), State::Free);
    }

    #[test]
    fn a_grant_that_comes_after_giving_up_is_given_back() {
        let mut lease = Lease::default();
        lease.want(Mode::Exclusive, 0.0);
        assert_eq!(lease.release(), [Step::Cancel { id: 1 }]);
        assert_eq!(lease.granted(1), [Step::Release { id: 1 }]);
        lease.want(Mode::Exclusive, 1.0);
        assert_eq!(lease.granted(1), [Step::Release { id: 1 }], "an old grant is no new one");
        assert_eq!(lease.granted(2), [Step::Open { id: 2, mode: Mode::Exclusive }]);
    }

    #[test]
    fn asking_is_repeated_with_backoff() {
        let mut lease = Lease::default();
        lease.want(Mode::Shared, 0.0);
        let mut asked = Vec::new();
        let mut now_ms = 0.0;
        while now_ms < 1000.0 {
            now_ms = lease.wake_at_ms().unwrap();
            assert_eq!(lease.wake(now_ms), [Step::AskOthers]);
            asked.push(now_ms);
        }
        assert_eq!(asked[..5], [15.0, 45.0, 105.0, 225.0, 465.0]);
    }

    #[test]
    fn a_lock_that_cannot_be_asked_for_is_not_asked_for_without_end() {
        let mut lease = Lease::default();
        let mut asked = 0;
        for now_ms in 0..1000 {
            if !lease.want(Mode::Exclusive, f64::from(now_ms)).is_empty() {
                asked += 1;
                lease.lost(f64::from(now_ms));
                assert_eq!(lease.wake_at_ms(), Some(f64::from(now_ms) + 100.0));
            }
        }
        assert_eq!(asked, 10);
    }

    #[test]
    fn refused_handles_are_opened_again_without_losing_the_lock() {
        let mut lease = Lease::default();
        lease.want(Mode::Exclusive, 0.0);
        lease.granted(1);
        lease.handles_in_use(10.0);
        assert_eq!(lease.wake_at_ms(), Some(12.0));
        assert_eq!(lease.wake(11.0), []);
        assert_eq!(lease.wake(12.0), [Step::Open { id: 1, mode: Mode::Exclusive }]);
    }

    #[test]
    fn a_write_upgrades_a_waiting_read() {
        let mut lease = Lease::default();
        lease.want(Mode::Shared, 0.0);
        let steps = lease.want(Mode::Exclusive, 1.0);
        assert_eq!(steps[0], Step::Cancel { id: 1 });
        assert_eq!(steps[1], Step::Request { id: 2, mode: Mode::Exclusive });
    }
}
