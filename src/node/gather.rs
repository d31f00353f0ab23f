//! A commit for several tabs. Whoever was just served, a guest or the holder's own caller, is likely to
//! come again at once: with frames at hand, the holder waits a moment for them, and one transaction is
//! for all. Four tabs in a loop each make 70 transactions of 200 frames then, instead of 170.

/// With frames at hand, so long the others are waited for.
const GATHER_MS: f64 = 3.0;
/// Who was served longer ago is not.
const RECENT_MS: f64 = 20.0;

/// Who was served; see the module.
#[derive(Default)]
pub(super) struct Gathering {
    served: Vec<(String, f64)>,
    until_ms: Option<f64>,
}

impl Gathering {
    /// A frame of this node was dealt with.
    pub fn served(&mut self, node_id: &str, now_ms: f64) {
        self.served.retain(|(id, _)| id != node_id);
        self.served.push((node_id.to_owned(), now_ms));
    }

    /// There are frames at hand: whether they are to wait for somebody who is not here.
    pub fn goes_on(&mut self, now_ms: f64, is_here: impl Fn(&str) -> bool) -> bool {
        self.served.retain(|(_, at_ms)| now_ms - at_ms < RECENT_MS);
        if self.served.iter().all(|(id, _)| is_here(id)) {
            self.until_ms = None;
            return false;
        }
        let until_ms = *self.until_ms.get_or_insert(now_ms + GATHER_MS);
        if now_ms < until_ms {
            return true;
        }
        self.until_ms = None;
        // Who did not come is not waited for again before it has been served again.
        self.served.retain(|(id, _)| is_here(id));
        false
    }

    /// When it is over, if frames wait.
    pub fn until_ms(&self) -> Option<f64> {
        self.until_ms
    }

    /// Nobody is waited for.
    pub fn end(&mut self) {
        *self = Gathering::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_wait_for_those_who_were_just_served_and_not_for_long() {
        let mut gathering = Gathering::default();
        assert!(!gathering.goes_on(0.0, |_| false), "nobody was served");
        gathering.served("a", 0.0);
        gathering.served("b", 0.0);
        assert!(gathering.goes_on(1.0, |id| id == "a"));
        assert_eq!(gathering.until_ms(), Some(1.0 + GATHER_MS));
        assert!(!gathering.goes_on(2.0, |_| true), "all are here");
        assert!(gathering.goes_on(5.0, |id| id == "a"));
        assert!(!gathering.goes_on(5.0 + GATHER_MS, |id| id == "a"), "b does not come");
        assert!(!gathering.goes_on(8.0, |id| id == "a"), "and is not waited for again");
        gathering.served("b", 9.0);
        assert!(gathering.goes_on(9.0, |id| id == "a"));
        gathering.end();
        assert_eq!((gathering.until_ms(), gathering.goes_on(9.0, |_| false)), (None, false));
        gathering.served("b", 9.0);
        assert!(!gathering.goes_on(9.0 + RECENT_MS, |_| false), "that was long ago");
    }
}
