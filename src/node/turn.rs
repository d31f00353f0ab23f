//! Whose turn it is while this tab has the lease: how long it may go on although others wait, and when it looks
//! whether any do. Who waits is told by a message; who waits and whose message was lost is found by looking.

/// How long a tab may go on while another one waits. Measured with four tabs in a loop each: passing
/// the lease on takes about as long as three small appends.
const TURN_MS: f64 = 10.0;
/// A caller that calls again this soon after an answer is in a loop.
const LINGER_MS: f64 = 2.0;
/// A lease that nobody uses is given back after this time. Getting it back from a free lock takes
/// 1 ms, from an idle holder 6 to 8 ms: keeping it only helps a tab that is alone.
const IDLE_LEASE_MS: f64 = 2000.0;
/// While nothing else waits here, a look is made at most so often.
const LOOK_MS: f64 = 10.0;
/// Offers that are at hand when it is another tab's turn are served first, but new ones may keep coming: after so
/// long they are left to whoever is next.
const OFFERS_MS: f64 = 50.0;
/// So much longer is the turn of a holder whose own call has waited long, and found the queue before it.
const AFTER_DRAIN_MS: f64 = 100.0;

/// See the module.
pub(super) struct Turn {
    /// Another tab asked for the lease since this one got it.
    pub wanted: bool,
    /// Work of this tab's own ran under this lease: once its time is up, it is the others' turn.
    pub served: bool,
    until_ms: f64,
    /// Until then offers go before another tab's turn; since it is that.
    offers_until_ms: Option<f64>,
    /// When work last ended.
    idle_since_ms: f64,
    /// The last call came right after the answer to the one before.
    pub in_loop: bool,
    /// Who waits is being looked up: nothing runs before the answer.
    pub looking: bool,
    looked_ms: f64,
    /// When to make a look that was put off.
    look_at_ms: Option<f64>,
}

impl Turn {
    pub fn new() -> Turn {
        Turn {
            wanted: false,
            served: false,
            until_ms: f64::NEG_INFINITY,
            offers_until_ms: None,
            idle_since_ms: f64::NEG_INFINITY,
            in_loop: false,
            looking: false,
            looked_ms: f64::NEG_INFINITY,
            look_at_ms: None,
        }
    }

    /// This tab has the lease.
    pub fn begin(&mut self, now_ms: f64) {
        self.served = false;
        self.until_ms = now_ms + TURN_MS;
        self.offers_until_ms = None;
        self.idle_since_ms = now_ms;
    }

    /// It has it no longer.
    pub fn end(&mut self) {
        self.wanted = false;
        self.looking = false;
    }

    /// It has at least a whole turn from now.
    pub fn prolong(&mut self, now_ms: f64) {
        self.until_ms = self.until_ms.max(now_ms + TURN_MS);
    }

    /// Whether others wait, and this tab has had its time.
    pub fn is_up(&self, now_ms: f64) -> bool {
        self.wanted && self.served && now_ms >= self.until_ms
    }

    /// Whether its time is not up, or has not been for long: the queue may have taken it all.
    pub fn was_up_just_now(&self, now_ms: f64) -> bool {
        now_ms < self.until_ms + AFTER_DRAIN_MS
    }

    /// A call came.
    pub fn called(&mut self, now_ms: f64) {
        self.in_loop = now_ms - self.idle_since_ms <= LINGER_MS;
    }

    /// Work ended.
    pub fn worked(&mut self, now_ms: f64) {
        self.idle_since_ms = now_ms;
    }

    /// When a lease that nobody uses is given back.
    pub fn idle_until_ms(&self) -> f64 {
        self.idle_since_ms + IDLE_LEASE_MS
    }

    /// Until when a caller in a loop is waited for while others wait.
    pub fn linger_until_ms(&self) -> Option<f64> {
        let until_ms = (self.idle_since_ms + LINGER_MS).min(self.until_ms);
        (self.in_loop && self.wanted).then_some(until_ms)
    }

    /// Whether offers are served before another tab has its turn, which is up.
    pub fn offers_go_first(&mut self, now_ms: f64) -> bool {
        now_ms < *self.offers_until_ms.get_or_insert(now_ms + OFFERS_MS)
    }

    /// It is not up, or not any more.
    pub fn goes_on(&mut self) {
        self.offers_until_ms = None;
    }

    /// Whether the last look was long ago; if not, one is put off until it was.
    pub fn look_is_due(&mut self, now_ms: f64) -> bool {
        let due_ms = self.looked_ms + LOOK_MS;
        if now_ms < due_ms {
            self.look_at_ms = Some(due_ms);
        }
        now_ms >= due_ms
    }

    /// A look is made.
    pub fn look(&mut self, now_ms: f64) {
        self.looked_ms = now_ms;
        self.look_at_ms = None;
    }

    /// Whether the look that was put off is due; if so, it is put off no longer.
    pub fn put_off_is_due(&mut self, now_ms: f64) -> bool {
        self.look_at_ms.take_if(|at_ms| now_ms >= *at_ms).is_some()
    }

    /// When to make the look that was put off.
    pub fn look_at_ms(&self) -> Option<f64> {
        self.look_at_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_up_once_others_wait_and_there_was_time_for_work() {
        let mut turn = Turn::new();
        turn.begin(0.0);
        turn.wanted = true;
        assert!(!turn.is_up(TURN_MS), "nothing ran yet");
        turn.served = true;
        assert!(!turn.is_up(TURN_MS - 1.0) && turn.is_up(TURN_MS));
        turn.prolong(TURN_MS);
        assert!(!turn.is_up(TURN_MS) && turn.is_up(2.0 * TURN_MS));
        turn.end();
        assert!(!turn.is_up(2.0 * TURN_MS), "nobody waits");
    }

    #[test]
    fn a_caller_in_a_loop_is_waited_for_within_the_turn() {
        let mut turn = Turn::new();
        turn.begin(0.0);
        turn.wanted = true;
        turn.called(LINGER_MS + 1.0);
        assert_eq!(turn.linger_until_ms(), None, "it came late");
        turn.worked(5.0);
        turn.called(5.0 + LINGER_MS);
        turn.worked(7.5);
        assert_eq!(turn.linger_until_ms(), Some(7.5 + LINGER_MS));
        turn.worked(9.0);
        assert_eq!(turn.linger_until_ms(), Some(TURN_MS));
    }

    #[test]
    fn offers_go_before_the_others_for_a_while_each_time_it_is_up() {
        let mut turn = Turn::new();
        assert!(turn.offers_go_first(0.0) && turn.offers_go_first(OFFERS_MS - 1.0));
        assert!(!turn.offers_go_first(OFFERS_MS));
        turn.goes_on();
        assert!(turn.offers_go_first(OFFERS_MS));
    }

    #[test]
    fn a_look_soon_after_the_last_one_is_put_off() {
        let mut turn = Turn::new();
        assert!(turn.look_is_due(0.0));
        turn.look(0.0);
        assert!(!turn.look_is_due(1.0) && turn.look_at_ms() == Some(LOOK_MS));
        assert!(!turn.put_off_is_due(LOOK_MS - 1.0) && turn.put_off_is_due(LOOK_MS));
        assert_eq!(turn.look_at_ms(), None);
    }
}
