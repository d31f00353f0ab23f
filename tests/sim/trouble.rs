//! The faults of the plan: when they strike, and whom.

use crate::client::Purpose;
use crate::file::{TabId, Trouble};
use crate::locks::THIEF;
use crate::oracle::failure;
use crate::world::{Happening, World};
use framelock::node::{Call, Event, OFFER_BYTES};
use framelock::store::{LogLimits, Piece};

/// Something that goes wrong.
#[derive(Debug, Clone, Copy)]
pub enum Mishap {
    Kill,
    KillBetweenEffects,
    AtFileCall(Trouble),
    Close,
    Freeze,
    Thaw(usize),
    Hide,
    Show(TabId),
    Suspend,
    Resume(TabId),
    PowerCut,
    Theft,
    TheftEnds,
    /// The server loses what it had last.
    Rewind,
    /// A copy of the database sends under the same stream.
    Fork,
}

impl World {
    /// Draws when the faults of a phase strike.
    pub fn plan_trouble(&mut self) {
        let plan = self.plan.clone();
        let power_cuts = if plan.relaxed > 0.0 { 0.0 } else { plan.power_cuts };
        let faults = [
            (plan.kills, Mishap::Kill),
            (plan.kills_in_effects, Mishap::KillBetweenEffects),
            (plan.kills_in_call, Mishap::AtFileCall(Trouble::Kill)),
            (plan.io_errors, Mishap::AtFileCall(Trouble::Io)),
            (plan.io_stays, Mishap::AtFileCall(Trouble::IoStays)),
            (plan.quota_errors, Mishap::AtFileCall(Trouble::Quota)),
            (plan.quota_stays, Mishap::AtFileCall(Trouble::QuotaStays)),
            (plan.closes, Mishap::Close),
            (plan.freezes, Mishap::Freeze),
            (plan.hides, Mishap::Hide),
            (plan.suspends, Mishap::Suspend),
            (power_cuts, Mishap::PowerCut),
            (plan.thefts, Mishap::Theft),
            (plan.rewinds, Mishap::Rewind),
            (plan.forks, Mishap::Fork),
        ];
        for (times, mishap) in faults {
            for _ in 0..times as u64 {
                let delay_us = self.luck.below((plan.span_ms * 1000.0) as u64);
                self.after(delay_us, Happening::Mishap(mishap));
            }
        }
    }

    /// Whom it strikes: often the one that holds the lock.
    fn victim(&mut self) -> Option<TabId> {
        let holder = self.lock.holders().find(|tab| *tab != THIEF);
        if holder.is_some() && self.luck.chance(0.5) {
            return holder;
        }
        let tabs: Vec<TabId> = self.tabs.keys().copied().collect();
        (!tabs.is_empty()).then(|| *self.luck.pick(&tabs))
    }

    pub fn mishap(&mut self, mishap: Mishap) {
        let ends = matches!(
            mishap,
            Mishap::Thaw(_) | Mishap::Show(_) | Mishap::Resume(_) | Mishap::TheftEnds
        );
        if self.calm && !ends {
            return;
        }
        let Some(id) = self.victim() else {
            return;
        };
        self.trace.line(&format!("{mishap:?} strikes t{id}"));
        let lasts_us = self.luck.between(1000, (self.plan.span_ms * 1000.0) as u64);
        match mishap {
            Mishap::Kill => {
                for id in self.page_of(id) {
                    self.kill(id, "of itself");
                }
            }
            Mishap::KillBetweenEffects => {
                let effects = self.luck.below(12);
                if let Some(tab) = self.tabs.get_mut(&id) {
                    tab.effects_left = Some(effects);
                }
            }
            Mishap::AtFileCall(trouble) => {
                let calls = self.luck.between(1, 60);
                self.count(&format!("{trouble:?} at a file call"));
                self.tabs[&id].gate.plan(calls, trouble);
            }
            Mishap::Close => self.begin_to_close(id),
            Mishap::Freeze => {
                for id in self.page_of(id) {
                    if let Some(tab) = self.tabs.get_mut(&id) {
                        tab.frozen = true;
                    }
                }
                self.count("frozen");
                self.after(lasts_us, Happening::Mishap(Mishap::Thaw(self.tabs[&id].page)));
            }
            Mishap::Thaw(page) => self.thaw(page),
            Mishap::Hide => {
                self.after(0, Happening::Tell(id, Event::Hidden(true)));
                self.after(lasts_us, Happening::Mishap(Mishap::Show(id)));
            }
            Mishap::Show(id) => self.after(0, Happening::Tell(id, Event::Hidden(false))),
            Mishap::Suspend => {
                self.count("suspended");
                self.suspend(id);
                self.after(lasts_us, Happening::Mishap(Mishap::Resume(id)));
            }
            Mishap::Resume(id) => self.after(0, Happening::Tell(id, Event::Resume)),
            Mishap::PowerCut => self.power_cut(),
            Mishap::Theft => {
                if self.lock.holders().any(|tab| tab == THIEF) {
                    return;
                }
                self.count("theft");
                for (tab, id) in self.lock.steal() {
                    let delay_us = self.latency_us(20, 400);
                    self.after(delay_us, Happening::Tell(tab, Event::LockLost(id)));
                }
                self.after(
                    self.luck.clone().between(1000, 300_000),
                    Happening::Mishap(Mishap::TheftEnds),
                );
            }
            Mishap::TheftEnds => {
                self.lock.end(THIEF, 0);
                self.grant();
            }
            Mishap::Rewind => {
                self.count("rewind");
                let requests = self.luck.between(1, 6) as usize;
                self.server.rewind(requests);
            }
            Mishap::Fork => {
                self.count("fork");
                let noise = self.luck.next();
                self.server.fork(noise);
            }
        }
    }

    /// The page is left or about to be frozen: from this moment on it keeps nothing.
    fn suspend(&mut self, id: TabId) {
        if self.tabs.get(&id).is_none_or(|tab| tab.frozen) {
            return;
        }
        self.dispatch(id, Event::Suspend);
        if self.lock.holders().any(|tab| tab == id) {
            self.fail(failure("I7", format!("t{id} is suspended and keeps the lock")));
        }
    }

    /// How large a frame is offered to the holder as a message.
    pub fn offer_bytes(&self) -> u64 {
        match self.plan.offer_bytes as u64 {
            0 => OFFER_BYTES,
            bytes => bytes,
        }
    }

    /// How much of a frame is written at one go.
    pub fn piece(&self) -> Piece {
        match self.plan.piece_cells as u64 {
            0 => Piece { cells: u64::MAX, bytes: u64::MAX },
            cells => Piece { cells, bytes: u64::MAX },
        }
    }

    /// How much goes into the redo log.
    pub fn log_limits(&self) -> LogLimits {
        LogLimits {
            record_bytes: self.plan.record_bytes as usize,
            new_bytes: self.plan.new_bytes as u64,
            log_bytes: self.plan.log_bytes as u64,
        }
    }

    /// A tab is in the middle of something long. It goes on soon, and meanwhile anything may happen: to
    /// the call, to the page, to the lock, to time.
    pub fn yields(&mut self, id: TabId) {
        self.count("yield");
        let mut delay_us = self.luck.between(20, 3000);
        if !self.calm && self.luck.chance(self.plan.interruptions) {
            let at_us = self.luck.below(delay_us);
            match self.luck.below(6) {
                0 | 1 => {
                    let asked = self.tabs[&id].client.asked.keys().copied().collect::<Vec<_>>();
                    if !asked.is_empty() {
                        self.count("cancelled between pieces");
                        let call = *self.luck.pick(&asked);
                        self.after(at_us, Happening::TakeBack(id, call));
                    }
                }
                2 => {
                    self.count("suspended between pieces");
                    self.after(at_us, Happening::Tell(id, Event::Suspend));
                    let back_us = self.luck.between(delay_us, 500_000);
                    self.after(back_us, Happening::Tell(id, Event::Resume));
                }
                3 => {
                    self.count("stopped for long between pieces");
                    delay_us = self.luck.between(10_000, 400_000);
                }
                4 => self.after(at_us, Happening::Mishap(Mishap::Theft)),
                _ => return self.kill(id, "between pieces"),
            }
        }
        self.after(delay_us, Happening::Tell(id, Event::Yielded));
    }

    fn begin_to_close(&mut self, id: TabId) {
        let Some(tab) = self.tabs.get_mut(&id) else {
            return;
        };
        // A client that closes inside its own transaction abandons it.
        if tab.client.closing || tab.client.tx.is_some() {
            return;
        }
        tab.client.closing = true;
        let page = tab.page;
        // All calls before it are settled first.
        self.ask(id, Purpose::Close, 30_000.0, Call::Close);
        self.after(500_000, Happening::Birth(page));
    }

    /// The page goes on; what happened meanwhile happens now.
    pub fn thaw(&mut self, page: usize) {
        let now_us = self.now_us;
        let mut late = Vec::new();
        for tab in self.tabs.values_mut().filter(|tab| tab.page == page && tab.frozen) {
            tab.frozen = false;
            late.append(&mut tab.backlog);
            for asked in tab.client.asked.values_mut() {
                asked.due_us = asked.due_us.max(now_us + 3_000_000);
            }
        }
        for happening in late {
            self.after(0, happening);
        }
    }

    /// Everything stops; the disk keeps what it keeps; later, tabs open again.
    fn power_cut(&mut self) {
        self.count("power cut");
        let tabs: Vec<TabId> = self.tabs.keys().copied().collect();
        for id in &tabs {
            self.tabs[id].gate.die();
            self.tabs.remove(id);
            self.lock.forget(*id);
            self.sender_lock.forget(*id);
        }
        self.handles.borrow_mut().clear();
        self.disk.borrow_mut().power_cut(&mut self.luck);
        self.look(false);
        for (number, _) in tabs.iter().enumerate() {
            self.after(
                50_000 + 1000 * number as u64,
                Happening::Birth(2000 + self.next_tab + number),
            );
        }
    }
}
