//! One Web Lock: first come, first served; shared beside shared; released by the death of its tab;
//! and stolen, by code that is none of ours.

use crate::file::TabId;
use framelock::lease::LockId;

/// Foreign code that takes the lock by force.
pub const THIEF: TabId = usize::MAX;

#[derive(Debug)]
struct Request {
    tab: TabId,
    id: LockId,
    exclusive: bool,
    held: bool,
}

/// Who waits for whom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jam {
    pub holder: (TabId, LockId),
    pub waiter: (TabId, LockId),
}

/// Everybody who has or wants the lock, in the order of asking.
#[derive(Default)]
pub struct Lock(Vec<Request>);

impl Lock {
    pub fn request(&mut self, tab: TabId, id: LockId, exclusive: bool) {
        self.0.push(Request { tab, id, exclusive, held: false });
    }

    /// Gives the lock up, or takes the request back.
    pub fn end(&mut self, tab: TabId, id: LockId) {
        self.0.retain(|request| (request.tab, request.id) != (tab, id));
    }

    /// The tab is dead.
    pub fn forget(&mut self, tab: TabId) {
        self.0.retain(|request| request.tab != tab);
    }

    /// Takes the lock by force; gives who loses it.
    pub fn steal(&mut self) -> Vec<(TabId, LockId)> {
        let robbed = self.0.iter().filter(|request| request.held);
        let robbed = robbed.map(|request| (request.tab, request.id)).collect();
        self.0.retain(|request| !request.held);
        let thief = Request { tab: THIEF, id: 0, exclusive: true, held: true };
        self.0.insert(0, thief);
        robbed
    }

    /// Who is granted the lock now. Nobody overtakes an earlier request.
    pub fn grant(&mut self) -> Vec<(TabId, LockId)> {
        let mut granted = Vec::new();
        for at in 0..self.0.len() {
            if self.0[at].held {
                continue;
            }
            let mut before = self.0[..at].iter().chain(self.0.iter().filter(|r| r.held));
            if before.any(|other| !other.held || other.exclusive || self.0[at].exclusive) {
                break;
            }
            self.0[at].held = true;
            granted.push((self.0[at].tab, self.0[at].id));
        }
        granted
    }

    /// Whether this very request holds the lock.
    pub fn holds(&self, tab: TabId, id: LockId) -> bool {
        let mut held = self.0.iter().filter(|request| request.held);
        held.any(|request| (request.tab, request.id) == (tab, id))
    }

    /// Who has it.
    pub fn holders(&self) -> impl Iterator<Item = TabId> {
        self.0.iter().filter(|r| r.held).map(|r| r.tab)
    }

    /// A request that holds it, and the first one that waits.
    pub fn jam(&self) -> Option<Jam> {
        let first = |held| self.0.iter().find(|request| request.held == held);
        let [holder, waiter] = [first(true)?, first(false)?].map(|r| (r.tab, r.id));
        Some(Jam { holder, waiter })
    }

    /// How many wait for it.
    pub fn waiting(&self) -> usize {
        self.0.iter().filter(|request| !request.held).count()
    }
}
