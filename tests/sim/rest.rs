//! Rest: no new work and no faults, until everything that was begun has ended; then a fresh tab
//! empties the queue, and the oracle looks at what is on the disk.

use crate::client::Purpose;
use crate::file::TabId;
use crate::folder::{queued_on, rejected_on};
use crate::frames::{Kind, SETUP_SQL, Spec, TABLES};
use crate::image::Image;
use crate::locks::THIEF;
use crate::oracle::{Failure, Found, failure};
use crate::world::{DATABASE, Happening, JOURNAL, World};
use framelock::error::Error;
use framelock::node::{Call, Event};
use framelock::store::Params;

/// How long calls may take to settle once nothing disturbs them, beyond what they say themselves.
const REST_US: u64 = 200_000_000;

/// The frame by which a table comes to be.
fn first_frame(table: usize) -> Spec {
    Spec {
        id: format!("first-{table}"),
        content: 0,
        table,
        handle: 2_000_000,
        sequence: 0,
        rows: 1,
        kind: Kind::Good,
        packed: false,
        forward: false,
    }
}

/// Makes the tables that every world starts with.
fn set_up(image: &mut Image) -> Result<(), Error> {
    image.0.exec(SETUP_SQL, &Params::None)?;
    let requests: Vec<_> = (0..TABLES.len()).map(|table| first_frame(table).request()).collect();
    let requests: Vec<_> = requests.iter().collect();
    for outcome in image.0.append_group(&requests)? {
        outcome?;
    }
    Ok(())
}

impl World {
    /// The disk before anybody comes.
    pub fn prepare(&mut self) {
        let bytes = Image::open(&[], &[]).and_then(|mut image| {
            set_up(&mut image)?;
            image.0.export_file()
        });
        match bytes {
            Ok(bytes) => {
                let mut disk = self.disk.borrow_mut();
                disk.write(DATABASE, 0, &bytes);
                disk.flush(DATABASE);
                disk.flush(JOURNAL);
            }
            Err(error) => self.fail(failure("setup", error.to_string())),
        }
    }

    /// The whole life of a world.
    pub fn live(&mut self) {
        self.prepare();
        self.after(0, Happening::Audit);
        for number in 0..self.plan.tabs as usize {
            let page = number / (self.plan.per_page as usize).max(1);
            let delay_us = self.will.below(20_000);
            self.after(delay_us, Happening::Birth(page));
        }
        for _ in 0..self.plan.phases as u64 {
            self.calm = false;
            self.plan_trouble();
            let span_us = (self.plan.span_ms * 1000.0) as u64;
            self.run_until(self.now_us + span_us, |_| false);
            self.rest();
            if self.failure.is_some() {
                return;
            }
            let tabs: Vec<TabId> = self.tabs.keys().copied().collect();
            for id in tabs {
                self.after(1000, Happening::Act(id));
            }
        }
    }

    fn rest(&mut self) {
        self.trace.line("rest");
        self.calm = true;
        self.lock.end(THIEF, 0);
        self.grant();
        let tabs: Vec<TabId> = self.tabs.keys().copied().collect();
        for id in tabs {
            let tab = &self.tabs[&id];
            tab.gate.heal();
            self.thaw(tab.page);
            if let Some(tab) = self.tabs.get_mut(&id) {
                tab.effects_left = None;
                tab.throttle_ms = 0.0;
                // What was put off to the end of its minute comes when it is due.
                tab.timer = None;
            }
            self.after(0, Happening::Tell(id, Event::Resume));
            // A transaction whose client was about to go on ends now.
            self.after(0, Happening::GoOn(id));
        }
        self.run_until(self.now_us + REST_US, |world| {
            world.tabs.values().all(|tab| tab.client.is_idle())
        });
        if self.failure.is_some() {
            return;
        }
        if let Some((id, _)) = self.tabs.iter().find(|(_, tab)| !tab.client.is_idle()) {
            let asked: Vec<_> =
                self.tabs[id].client.asked.values().map(|asked| &asked.purpose).collect();
            let text = format!("t{id} does not come to rest: {asked:?}");
            return self.fail(failure("I6", text));
        }
        // The handles of the dead, too, are free after some seconds.
        self.run_until(self.now_us + 4_000_000, |_| false);
        let fresh = self.drain();
        self.come_through(fresh);
        // What waits for frames that are in by now hears of it.
        self.run_until(self.now_us + 12_000_000, |_| false);
        self.look(true);
        if self.failure.is_none() {
            self.check_waiters();
        }
    }

    /// A fresh tab takes the lock from whoever has it, and empties the queue.
    fn drain(&mut self) -> TabId {
        let waiting = queued_on(&self.disk).len() as f64;
        let id = self.open_tab(9999 + self.next_tab);
        self.ask(id, Purpose::Query, 15_000.0, Call::Export { timeout_ms: 15_000.0 });
        // Nothing is lost and nothing is slow now: who is idle hears at once that it is wanted, and
        // who empties the queue does so.
        let patience_ms = 1000.0 + self.plan.slowness * (50.0 + 10.0 * waiting);
        let asked_us = self.now_us;
        self.run_until(self.now_us + (patience_ms * 1000.0) as u64, |world| {
            world.lock.holders().any(|tab| tab == id)
        });
        if self.failure.is_none() && !self.lock.holders().any(|tab| tab == id) {
            let waited_ms = (self.now_us - asked_us) / 1000;
            self.fail(failure("I7", format!("a fresh tab waits {waited_ms} ms for idle ones")));
            return id;
        }
        for _ in 0..8 {
            let timeout_ms = 15_000.0;
            self.ask(id, Purpose::Drain, timeout_ms, Call::Drain { timeout_ms });
            self.run_until(self.now_us + 30_000_000, |world| {
                world.tabs.get(&id).is_none_or(|tab| tab.client.is_idle())
            });
            let Some(drained) = self.tabs.get_mut(&id).and_then(|tab| tab.client.drained.take())
            else {
                self.fail(failure("I7", "a fresh tab's drain does not end"));
                return id;
            };
            match drained {
                Err(error) => {
                    self.fail(failure("I7", format!("a fresh tab cannot drain: {error}")));
                    return id;
                }
                Ok((0, _, 0)) => return id,
                Ok(_) => {}
            }
        }
        self.fail(failure("I1", "the queue cannot be emptied"));
        id
    }

    /// The oracle looks at a copy of what is on the disk.
    pub fn look(&mut self, drained: bool) {
        if let Err(found) = self.compare(drained) {
            self.fail(found);
        }
    }

    fn compare(&mut self, drained: bool) -> Result<(), Failure> {
        let (rejected, queued) = (rejected_on(&self.disk), queued_on(&self.disk));
        let disk = self.disk.borrow();
        let broken = |e: Error| failure("I5", format!("the database cannot be opened: {e}"));
        let mut image = Image::open(disk.bytes(DATABASE), disk.bytes(JOURNAL)).map_err(broken)?;
        drop(disk);
        let mut found = Found::read(&mut image, rejected, &queued)?;
        found.forget(|id| id.starts_with("first-"));
        self.oracle.check(&found, drained)?;
        if drained && self.plan.forwarding > 0.0 {
            self.check_server(&found, &image)?;
        }
        self.oracle.check_values(&found, set_up)
    }

    /// `whenCommitted` of a frame that is in, or refused, is settled by now.
    fn check_waiters(&mut self) {
        let mut stuck = None;
        for (id, tab) in &self.tabs {
            for (call, asked) in &tab.client.asked {
                if let Purpose::WhenCommitted { id: frame, .. } = &asked.purpose {
                    stuck = Some(format!("t{id} call {call}: whenCommitted({frame}) never ends"));
                }
            }
        }
        if let Some(text) = stuck {
            self.fail(failure("I6", text));
        }
    }
}
