//! Who else wants the lease, as far as a node can know: some have said so, and a look at the lock
//! shows how many stand in line.

use crate::sorted::SortedMap;

/// A wish is remembered for so long: it is repeated in less.
const REMEMBERED_MS: f64 = 300.0;
/// Whoever had what it asked for takes so long, at most, to leave the line.
const LEAVING_MS: f64 = 20.0;
/// Whoever asked this recently may not be in the browser's list of waiting requests yet.
const FRESH_MS: f64 = 5.0;

/// The others' wishes; see the module.
#[derive(Default)]
pub(super) struct Wishes {
    said: SortedMap<String, Wish>,
    /// Who may still stand in line although its wish came true; since when.
    leaving: SortedMap<String, f64>,
    /// More stand in line than have said so.
    strangers: bool,
    /// When anybody last asked, or was seen to wait.
    last_ms: f64,
}

struct Wish {
    since_ms: f64,
    repeated_ms: f64,
    hands_over: bool,
}

impl Wishes {
    /// A node asks for the lease; `hands_over` if it only has frames that it would rather hand over.
    pub fn said(&mut self, node_id: String, hands_over: bool, now_ms: f64) {
        self.last_ms = now_ms;
        self.leaving.remove(&node_id);
        self.said.retain(|_, wish| wish.is_remembered(now_ms));
        match self.said.get_mut(&node_id) {
            Some(wish) if wish.hands_over == hands_over => wish.repeated_ms = now_ms,
            _ => {
                let wish = Wish { since_ms: now_ms, repeated_ms: now_ms, hands_over };
                self.said.insert(node_id, wish);
            }
        }
    }

    /// So many stand in line.
    pub fn seen(&mut self, count: usize, now_ms: f64) {
        self.last_ms = now_ms;
        self.forget_gone(now_ms);
        self.strangers = count > self.remembered(now_ms).count() + self.leaving.values().count();
    }

    /// Nobody stands in line. Gives whether nobody is about to, either.
    pub fn none_seen(&mut self, now_ms: f64) -> bool {
        self.strangers = false;
        let over = now_ms - self.last_ms >= FRESH_MS;
        if over {
            self.said = SortedMap::new();
        }
        over
    }

    /// A node has, or had, what it asked for.
    pub fn came_true(&mut self, node_id: &str, now_ms: f64) {
        self.forget_gone(now_ms);
        if self.said.remove(node_id).is_some() {
            self.leaving.insert(node_id.to_owned(), now_ms);
        }
    }

    /// Whether somebody would rather hand over.
    pub fn some_hand_over(&self, now_ms: f64) -> bool {
        self.remembered(now_ms).any(|wish| wish.hands_over)
    }

    /// Whether all would rather hand over, and none has waited for longer than that.
    pub fn all_hand_over(&self, now_ms: f64, patience_ms: f64) -> bool {
        let content = |wish: &Wish| wish.hands_over && now_ms - wish.since_ms < patience_ms;
        !self.strangers && self.remembered(now_ms).all(content)
    }

    fn remembered(&self, now_ms: f64) -> impl Iterator<Item = &Wish> {
        self.said.values().filter(move |wish| wish.is_remembered(now_ms))
    }

    /// Whoever was leaving has left the line by now.
    fn forget_gone(&mut self, now_ms: f64) {
        self.leaving.retain(|_, since_ms| now_ms - *since_ms < LEAVING_MS);
    }
}

impl Wish {
    fn is_remembered(&self, now_ms: f64) -> bool {
        now_ms - self.repeated_ms < REMEMBERED_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_for_something_else_or_for_long_is_told_apart() {
        let mut wishes = Wishes::default();
        assert!(wishes.all_hand_over(0.0, 50.0), "nobody waits");
        wishes.said("a".into(), true, 0.0);
        assert!(wishes.some_hand_over(10.0) && wishes.all_hand_over(10.0, 50.0));
        wishes.said("a".into(), true, 40.0);
        assert!(!wishes.all_hand_over(60.0, 50.0), "a repeated wish is as old as the first one");
        wishes.came_true("a", 60.0);
        assert!(!wishes.some_hand_over(60.0) && wishes.all_hand_over(60.0, 50.0));
        wishes.said("b".into(), true, 60.0);
        wishes.said("b".into(), false, 61.0);
        assert!(!wishes.some_hand_over(62.0) && !wishes.all_hand_over(62.0, 50.0));
        assert!(wishes.all_hand_over(61.0 + REMEMBERED_MS, 50.0), "it is not there any more");
    }

    #[test]
    fn whoever_stands_in_line_and_has_not_said_why_may_want_anything() {
        let mut wishes = Wishes::default();
        wishes.said("a".into(), true, 0.0);
        wishes.seen(1, 1.0);
        assert!(wishes.all_hand_over(2.0, 50.0));
        wishes.seen(2, 3.0);
        assert!(!wishes.all_hand_over(4.0, 50.0));
        wishes.came_true("a", 5.0);
        wishes.came_true("b", 5.0);
        wishes.seen(1, 6.0);
        assert!(wishes.all_hand_over(7.0, 50.0), "it is leaving");
        wishes.seen(2, 8.0);
        assert!(!wishes.all_hand_over(9.0, 50.0), "b never asked");
        wishes.seen(1, 5.0 + LEAVING_MS);
        assert!(!wishes.all_hand_over(30.0, 50.0), "it should have left by now");
    }

    #[test]
    fn whoever_has_just_asked_may_not_stand_in_line_yet() {
        let mut wishes = Wishes::default();
        wishes.said("a".into(), true, 0.0);
        assert!(!wishes.none_seen(FRESH_MS - 1.0) && wishes.some_hand_over(FRESH_MS));
        assert!(wishes.none_seen(FRESH_MS) && !wishes.some_hand_over(FRESH_MS));
    }

    #[test]
    fn wishes_of_nodes_that_are_gone_take_no_room() {
        let mut wishes = Wishes::default();
        for nth in 0..1000 {
            wishes.said(nth.to_string(), true, f64::from(nth) * REMEMBERED_MS);
        }
        assert_eq!(wishes.said.values().count(), 1);
        for nth in 0..1000 {
            let now_ms = f64::from(nth) * LEAVING_MS;
            wishes.said(nth.to_string(), true, now_ms);
            wishes.came_true(&nth.to_string(), now_ms);
        }
        assert_eq!(wishes.leaving.values().count(), 1);
    }
}
