//! The sender's outbox: what it looks at and when, what it writes down.

use super::item::Item;
use super::outbox::{DeadLetter, Look, OutboxState, Page, Record};
use super::report::{Happened, Report};
use super::sender::{Sender, Settings, State, Step};
use super::window::Window;
use super::wire::{Remote, Skips};

/// What is read ahead.
const LOOK_BYTES: usize = 8 << 20;
const LOOK_ITEMS: usize = 4096;
/// Looks take a lease, which others may want: not more often than this.
const LOOK_GAP_MS: f64 = 100.0;
/// How often the outbox is looked at although nobody said that it grew: messages may get lost.
const LOOK_AGAIN_MS: f64 = 60_000.0;
/// Acknowledgements are written down together, so much later; while the caller is busy at most so much
/// later than that, for it is a transaction of its own.
const RECORD_MS: f64 = 500.0;
const LATEST_RECORD_MS: f64 = 5000.0;
/// After a failure of the storage.
const STORAGE_MS: f64 = 2000.0;
/// How often old items are let go of.
const EXPIRE_MS: f64 = 60_000.0;

/// What a look is for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Purpose {
    Open,
    More,
    /// Only the numbers, for the status.
    Count,
    Compare(Remote, Skips),
}

impl Sender {
    /// The answer to [`Step::Look`]; none if the storage failed.
    pub fn looked(&mut self, now_ms: f64, page: Option<Page>) -> Vec<Step> {
        self.now_ms = now_ms;
        if let State::Looking(purpose) = &self.state {
            let purpose = purpose.clone();
            self.state = State::Idle;
            match (page, purpose) {
                (None, _) => {
                    self.look_at_ms = now_ms + STORAGE_MS;
                    (self.stale, self.doubt) = (true, true);
                }
                (Some(page), Purpose::Open) => self.opened(page),
                (Some(page), Purpose::More) => self.loaded(page),
                (Some(page), Purpose::Count) => self.counted(page.state),
                (Some(page), Purpose::Compare(remote, skips)) => {
                    let number = self.outbox.base + remote.last_seq;
                    let own = page.items.first().filter(|item| item.number == number);
                    self.counted(page.state);
                    self.compared(remote, skips, own);
                }
            }
        }
        self.advance(now_ms)
    }

    fn opened(&mut self, page: Page) {
        let Page { state, items, kept } = page;
        let ours = state.stream == self.outbox.stream
            && state.base == self.outbox.base
            && state.acknowledged == self.recorded;
        let was_paused = self.outbox.paused;
        (self.stale, self.fresh) = (false, false);
        self.recorded = state.acknowledged;
        if ours {
            // What is known of the server is ahead of what is recorded.
            let acknowledged = self.outbox.acknowledged;
            self.outbox = OutboxState { acknowledged, ..state };
        } else {
            self.doubt = true;
            self.alone_until = 0;
            (self.previous, self.last_body) = (None, None);
            self.outbox = state;
            self.window = Window::default();
            for (number, bytes) in kept {
                self.window.acknowledged(number, bytes, self.now_ms);
            }
        }
        let acknowledged = self.outbox.acknowledged;
        self.items = items.into_iter().filter(|item| item.number > acknowledged).collect();
        let lacks_next = self.items.front().is_some_and(|item| item.number > acknowledged + 1);
        if lacks_next && self.outbox.paused.is_none() {
            // What the server needs next is not there: somebody took it out.
            return self.lost(acknowledged);
        }
        if let Some((what, dead_letter)) = self.news.take() {
            self.steps.push(Step::Tell(Report { what, status: self.status(), dead_letter }));
        } else if was_paused != self.outbox.paused {
            let resumed = self.outbox.paused.is_none();
            self.tell(if resumed { Happened::Resumed } else { Happened::Paused });
        }
    }

    fn loaded(&mut self, page: Page) {
        let expected = self.last_loaded() + 1;
        let fits = page.state.stream == self.outbox.stream
            && page.state.base == self.outbox.base
            && page.items.first().is_none_or(|item| item.number == expected);
        self.counted(page.state);
        if fits {
            self.items.extend(page.items);
        } else {
            self.stale = true;
        }
    }

    /// The numbers that others may have moved.
    fn counted(&mut self, state: OutboxState) {
        self.fresh = false;
        (self.outbox.first, self.outbox.last) = (state.first, state.last);
        self.outbox.dead_letters = state.dead_letters;
        self.stale |= state.stream != self.outbox.stream || state.paused != self.outbox.paused;
    }

    fn last_loaded(&self) -> i64 {
        self.items.back().map_or(self.outbox.acknowledged, |item| item.number)
    }

    /// When the next look may be: frames that came can wait for the caller's sake, nothing else can.
    pub(super) fn may_look_at_ms(&self, purpose: &Purpose) -> f64 {
        match purpose {
            Purpose::More | Purpose::Count => self.look_at_ms.max(self.free_at_ms()),
            Purpose::Open | Purpose::Compare(..) => self.look_at_ms,
        }
    }

    /// What there is to look for, if anything is.
    pub(super) fn next_look(&self) -> Option<Purpose> {
        if self.stale || self.outbox.stream.is_none() {
            return (self.stale || self.fresh).then_some(Purpose::Open);
        }
        if !self.may_exchange() {
            return self.fresh.then_some(Purpose::Count);
        }
        let bytes: usize = self.items.iter().map(Item::bytes).sum();
        let has_room = bytes < LOOK_BYTES / 2 && self.items.len() < LOOK_ITEMS / 2;
        let wants = self.fresh || self.last_loaded() < self.outbox.last;
        (wants && has_room).then_some(Purpose::More)
    }

    pub(super) fn look_again_at_ms(&self) -> f64 {
        self.look_at_ms - LOOK_GAP_MS + LOOK_AGAIN_MS
    }

    pub(super) fn look(&mut self, purpose: Purpose) -> bool {
        let whole = Look { after: None, items: LOOK_ITEMS, bytes: LOOK_BYTES, kept: true };
        let look = match &purpose {
            Purpose::Open => whole,
            Purpose::More => Look { after: Some(self.last_loaded()), kept: false, ..whole },
            Purpose::Count => Look { items: 0, kept: false, ..whole },
            Purpose::Compare(remote, _) => {
                let after = Some(self.outbox.base + remote.last_seq - 1);
                Look { after, items: 1, bytes: 0, kept: false }
            }
        };
        self.look_at_ms = self.now_ms + LOOK_GAP_MS;
        self.state = State::Looking(purpose);
        self.steps.push(Step::Look(look));
        true
    }

    /// The own item at the server's last place, or at its first skip, is wanted.
    pub(super) fn look_to_compare(&mut self, remote: Remote, skips: Skips) {
        self.look(Purpose::Compare(remote, skips));
    }

    /// The answer to [`Step::Record`]; not if the storage failed.
    pub fn recorded(&mut self, now_ms: f64, done: bool) -> Vec<Step> {
        self.now_ms = now_ms;
        let awaited = self.state == State::Recording;
        if awaited {
            self.state = State::Idle;
            self.stale = true;
        }
        if !done {
            self.look_at_ms = now_ms + STORAGE_MS;
            (self.stale, self.doubt, self.news) = (true, true, None);
        }
        self.advance(now_ms)
    }

    /// Records what the server has, and lets go of what was kept for long enough.
    pub(super) fn write_down(&mut self) {
        if self.write_down_at_ms().is_none_or(|at_ms| self.now_ms < at_ms) {
            return;
        }
        let Settings { keep_ms, keep_bytes, .. } = self.settings;
        let keep_from = self.window.keep_from(self.now_ms, keep_ms, keep_bytes);
        self.expire_at_ms = self.now_ms + EXPIRE_MS;
        self.record_acknowledged(keep_from);
    }

    /// When there is something to write down; not before the outbox was looked at, when that is to be done first.
    pub(super) fn write_down_at_ms(&self) -> Option<f64> {
        if self.stale || self.state == State::Recording {
            return None;
        }
        let record_ms = self
            .record_at_ms
            .map(|at_ms| at_ms.max(self.busy_until_ms).min(at_ms + LATEST_RECORD_MS));
        let oldest_ms = self.window.next_at_ms(self.settings.keep_ms);
        let expire_ms = oldest_ms.map(|at_ms| at_ms.max(self.expire_at_ms));
        match (record_ms, expire_ms) {
            (Some(record_ms), Some(expire_ms)) => Some(record_ms.min(expire_ms)),
            (record_ms, expire_ms) => record_ms.or(expire_ms),
        }
    }

    fn record_acknowledged(&mut self, keep_from: i64) {
        self.record_at_ms = None;
        let number = self.outbox.acknowledged;
        if let Some(stream) = self.outbox.stream.clone() {
            self.recorded = number;
            self.outbox.first = self.outbox.first.max(keep_from.min(number));
            self.steps.push(Step::Record(Record::Acknowledged { stream, number, keep_from }));
        }
    }

    /// Writes down something that must be in before anything else is done, and looks again then.
    pub(super) fn record(
        &mut self,
        what: impl FnOnce(String) -> Record,
        news: Happened,
        dead_letter: Option<DeadLetter>,
    ) {
        if let Some(stream) = self.outbox.stream.clone() {
            self.record_acknowledged(0);
            self.steps.push(Step::Record(what(stream)));
            self.state = State::Recording;
            self.news = Some((news, dead_letter));
        }
    }

    /// What the server has is to be written down, soon.
    pub(super) fn record_later(&mut self) {
        self.record_at_ms = self.record_at_ms.or(Some(self.now_ms + RECORD_MS));
    }
}
