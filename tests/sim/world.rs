//! The world: virtual time, everything that is going to happen, and the order in which it does.
//!
//! | file | job |
//! |---|---|
//! | `world` | time, happenings, the tabs' births and deaths |
//! | `effects` | carries out what a node says, as `src/web/driver.rs` does |
//! | `client` | what the pages do with their handles |
//! | `answers` | what they are told, and what the oracle makes of it |
//! | `trouble` | the faults of the plan |
//! | `forward`, `server` | the way to the server, and the server |
//! | `rest` | lets everything come to rest, and has the oracle look |

use crate::client::Client;
use crate::disk::Disk;
use crate::file::{Gate, Handles, SimFile, TabId};
use crate::folder::{Files, Jobs};
use crate::locks::{Jam, Lock};
use crate::oracle::{Failure, Oracle, failure};
use crate::plan::Plan;
use crate::rng::{Rng, Tally};
use crate::server::Server;
use crate::trace::Trace;
use crate::trouble::Mishap;
use framelock::forward::{Outcome, Request};
use framelock::lease::LockId;
use framelock::node::{CallId, Config, Event, Node};
use framelock::store::{Mode, Os};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Something that is going to happen.
pub enum Happening {
    /// The node hears of it.
    Tell(TabId, Event),
    Timer(TabId, u64),
    Granted(TabId, LockId),
    SenderGranted(TabId, LockId),
    /// A request reaches the server, whether or not its sender still lives.
    Request(TabId, u32, Request),
    Answer(TabId, u32, Outcome),
    OpenDatabase(TabId, LockId, Mode),
    OpenJournal(TabId, LockId, SimFile),
    Query(TabId, bool),
    /// The next step of a queue job.
    Job(TabId),
    /// The client does something.
    Act(TabId),
    /// The client is in a loop, and appends again.
    Again(TabId),
    /// The client goes on with its transaction.
    GoOn(TabId),
    TakeBack(TabId, u32),
    /// The page settles an append of which it has not heard by its deadline that it begins. Its engine may be asleep.
    GiveUp(TabId, CallId),
    Mishap(Mishap),
    Birth(usize),
    Audit,
}

impl Happening {
    /// Whom it happens to, if to a tab.
    fn tab(&self) -> Option<TabId> {
        match self {
            Happening::Tell(tab, _)
            | Happening::Timer(tab, _)
            | Happening::Granted(tab, _)
            | Happening::SenderGranted(tab, _)
            | Happening::Answer(tab, ..)
            | Happening::OpenDatabase(tab, ..)
            | Happening::OpenJournal(tab, ..)
            | Happening::Query(tab, _)
            | Happening::Job(tab)
            | Happening::Act(tab)
            | Happening::Again(tab)
            | Happening::GoOn(tab)
            | Happening::TakeBack(tab, _) => Some(*tab),
            Happening::Request(..) | Happening::GiveUp(..) => None,
            Happening::Mishap(_) | Happening::Birth(_) | Happening::Audit => None,
        }
    }
}

/// One open handle in its worker.
pub struct Tab {
    pub page: usize,
    pub node: Node,
    pub node_id: String,
    pub gate: Rc<Gate>,
    pub client: Client,
    /// The appends that have begun.
    pub taken: Rc<RefCell<BTreeSet<CallId>>>,
    pub jobs: Jobs,
    /// Whether the next step of a job is on its way.
    pub working: bool,
    pub born_us: u64,
    pub timer: Option<f64>,
    pub timer_number: u64,
    pub throttle_ms: f64,
    pub frozen: bool,
    pub backlog: Vec<Happening>,
    /// Dies after so many effects.
    pub effects_left: Option<u64>,
    /// Timers in a row that did nothing.
    pub spins: u32,
    /// Since when it keeps the lock from others without using it.
    pub hog_since_us: Option<u64>,
}

impl Tab {
    /// The clock of its node.
    pub fn now_ms(&self, now_us: u64) -> f64 {
        (now_us - self.born_us) as f64 / 1000.0
    }
}

/// See the module.
pub struct World {
    pub plan: Plan,
    pub seed: u64,
    pub now_us: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    queued: u64,
    pub tabs: BTreeMap<TabId, Tab>,
    pub next_tab: TabId,
    pub disk: Rc<RefCell<Disk>>,
    pub handles: Rc<RefCell<Handles>>,
    pub lock: Lock,
    /// Who stood in line behind whom at the last look; since when.
    jam: (Option<Jam>, u64),
    /// Who forwards.
    pub sender_lock: Lock,
    pub server: Server,
    /// Requests whose answers are awaited.
    pub exchanges: BTreeSet<(TabId, u32)>,
    /// The server was found to have lost what was kept no more.
    pub rewound: bool,
    pub trace: Trace,
    pub oracle: Oracle,
    pub tally: Tally,
    /// Latencies; what clients do; what goes wrong; what a power cut leaves.
    pub pace: Rng,
    pub will: Rng,
    pub luck: Rng,
    /// When the last message between two tabs arrives.
    pub bus: BTreeMap<(TabId, TabId), u64>,
    pub said: Vec<Vec<u8>>,
    /// No new work and no faults: everything comes to rest.
    pub calm: bool,
    pub failure: Option<Failure>,
    /// So often somebody in a loop may yet append.
    pub loops_left: u32,
}

/// SQLite's clock, which jumps, and its random bytes.
struct JumpyOs {
    rng: RefCell<Rng>,
    wall_ms: Cell<i64>,
    taken: Rc<RefCell<BTreeSet<CallId>>>,
}

impl Os for JumpyOs {
    fn taken(&self, call: CallId) {
        self.taken.borrow_mut().insert(call);
    }

    fn random(&self, buffer: &mut [u8]) {
        self.rng.borrow_mut().fill(buffer);
    }

    fn epoch_ms(&self) -> i64 {
        let jump = self.rng.borrow_mut().below(7_200_000) as i64 - 3_600_000;
        self.wall_ms.set(1_700_000_000_000 + jump);
        self.wall_ms.get()
    }
}

pub const DATABASE: &str = "database";
pub const JOURNAL: &str = "database-journal";

impl World {
    pub fn new(seed: u64, plan: Plan, trace: Trace) -> World {
        let mut disk = Disk::default();
        disk.create(DATABASE);
        disk.create(JOURNAL);
        let server = Server::that_refuses(plan.server_refuses as u64);
        World {
            plan,
            seed,
            now_us: 0,
            queue: BTreeMap::new(),
            queued: 0,
            tabs: BTreeMap::new(),
            next_tab: 0,
            disk: Rc::new(RefCell::new(disk)),
            handles: Rc::default(),
            lock: Lock::default(),
            jam: (None, 0),
            sender_lock: Lock::default(),
            server,
            exchanges: BTreeSet::new(),
            rewound: false,
            trace,
            oracle: Oracle::default(),
            tally: Tally::new(),
            pace: Rng::new(seed, "pace"),
            will: Rng::new(seed, "will"),
            luck: Rng::new(seed, "luck"),
            bus: BTreeMap::new(),
            said: Vec::new(),
            calm: false,
            failure: None,
            loops_left: 700,
        }
    }

    /// Counts that something was exercised.
    pub fn count(&mut self, what: &str) {
        *self.tally.entry(what.to_owned()).or_default() += 1;
    }

    pub fn fail(&mut self, found: Failure) {
        if self.failure.is_none() {
            self.trace.line(&format!("FAILED {}: {}", found.check, found.text));
            self.failure = Some(found);
        }
    }

    /// Something will happen after so many microseconds.
    pub fn after(&mut self, delay_us: u64, happening: Happening) {
        self.queued += 1;
        self.queue.insert((self.now_us + delay_us, self.queued), happening);
    }

    /// How long something takes that usually takes this long.
    pub fn latency_us(&mut self, low_us: u64, high_us: u64) -> u64 {
        let usual = self.pace.between(low_us, high_us) as f64 * self.plan.slowness;
        let hiccup = if self.pace.chance(0.02) { 10.0 } else { 1.0 };
        (usual * hiccup) as u64
    }

    /// Runs until this time, or until something is found broken or `done`.
    pub fn run_until(&mut self, end_us: u64, done: impl Fn(&World) -> bool) {
        while self.failure.is_none() && !done(self) {
            let Some((&key, _)) = self.queue.first_key_value() else {
                break;
            };
            if key.0 > end_us {
                break;
            }
            if let Some(happening) = self.queue.remove(&key) {
                self.now_us = key.0;
                self.trace.at(self.now_us);
                self.happen(happening);
            }
        }
        if self.failure.is_none() && !done(self) {
            self.now_us = self.now_us.max(end_us);
        }
    }

    fn happen(&mut self, happening: Happening) {
        if let Some(tab) = happening.tab() {
            match self.tabs.get_mut(&tab) {
                None => return,
                Some(tab) if tab.frozen => return tab.backlog.push(happening),
                Some(_) => {}
            }
        }
        match happening {
            Happening::Tell(tab, event) => self.dispatch(tab, event),
            Happening::Timer(tab, number) => self.timer(tab, number),
            Happening::Granted(tab, id) => self.granted(tab, id),
            Happening::SenderGranted(tab, id) => self.sender_granted(tab, id),
            Happening::Request(tab, id, request) => self.server_hears(tab, id, &request),
            Happening::Answer(tab, id, outcome) => self.answer_arrives(tab, id, outcome),
            Happening::OpenDatabase(tab, id, mode) => self.open_database(tab, id, mode),
            Happening::OpenJournal(tab, id, database) => self.open_journal(tab, id, database),
            Happening::Query(tab, count_queue) => self.queried(tab, count_queue),
            Happening::Job(tab) => self.job_step(tab),
            Happening::Act(tab) => self.act(tab),
            Happening::Again(tab) => self.append_again(tab),
            Happening::GoOn(tab) => self.go_on(tab),
            Happening::TakeBack(tab, call) => self.dispatch(tab, Event::Cancel(call)),
            Happening::GiveUp(tab, call) => self.give_up(tab, call),
            Happening::Mishap(mishap) => self.mishap(mishap),
            Happening::Birth(page) => {
                self.open_tab(page);
            }
            Happening::Audit => self.audit(),
        }
    }

    /// A page opens the database.
    pub fn open_tab(&mut self, page: usize) -> TabId {
        let id = self.next_tab;
        self.next_tab += 1;
        let gate = Rc::new(Gate::default());
        let node_id = format!("node{id}");
        let waiting = Files { disk: &self.disk, gate: &gate, node_id: "" }.counts();
        let waiting = waiting.map_or(0, |counts| counts.queued);
        let mut rng = Rng::new(self.seed, &node_id);
        let forward = self.forward_settings();
        let config = Config {
            forward,
            node_id: node_id.clone(),
            seed: rng.next(),
            shared_reads: self.plan.shared_reads > 0.0,
            durable: self.plan.relaxed == 0.0,
            queue_waits: waiting > 0,
            offer_bytes: self.offer_bytes(),
            piece: self.piece(),
            log: self.log_limits(),
            transfer_rows: self.plan.transfer_rows as u64,
        };
        let taken = Rc::<RefCell<BTreeSet<CallId>>>::default();
        let (rng_of_os, wall_ms) = (RefCell::new(rng.clone()), Cell::new(0));
        let os = JumpyOs { rng: rng_of_os, wall_ms, taken: taken.clone() };
        let throttled = !self.calm && rng.chance(self.plan.throttled);
        let tab = Tab {
            page,
            node: Node::new(config, Box::new(os)),
            node_id,
            gate,
            client: Client::default(),
            taken,
            jobs: Jobs::default(),
            working: false,
            born_us: self.now_us,
            timer: None,
            timer_number: 0,
            throttle_ms: if throttled { self.plan.throttle_ms } else { 0.0 },
            frozen: false,
            backlog: Vec::new(),
            effects_left: None,
            spins: 0,
            hog_since_us: None,
        };
        self.tabs.insert(id, tab);
        self.trace.line(&format!("t{id} opens on page {page}, {waiting} queued"));
        if waiting > 0 || forward.is_some() {
            self.dispatch(id, Event::Wake);
        }
        self.after(1000, Happening::Act(id));
        id
    }

    /// A tab is gone: its lock at once, its handles a little later.
    pub fn kill(&mut self, id: TabId, why: &str) {
        let Some(tab) = self.tabs.remove(&id) else {
            return;
        };
        self.count(&format!("died {why}"));
        self.trace.line(&format!("t{id} dies {why}"));
        tab.gate.die();
        let seconds = self.luck.chance(self.plan.long_lag);
        let lag_us = if seconds {
            self.luck.between(200_000, 3_000_000)
        } else {
            self.luck.between(0, 20_000)
        };
        self.handles.borrow_mut().orphan(id, self.now_us + lag_us);
        drop(tab);
        self.lock.forget(id);
        self.sender_lock.forget(id);
        self.grant();
        self.grant_sender();
        if !self.calm {
            let page = self.next_tab + 1000;
            let delay_us = self.luck.between(1000, 400_000);
            self.after(delay_us, Happening::Birth(page));
        }
    }

    /// Every handle of a page.
    pub fn page_of(&self, id: TabId) -> Vec<TabId> {
        let Some(page) = self.tabs.get(&id).map(|tab| tab.page) else {
            return Vec::new();
        };
        let same = self.tabs.iter().filter(|(_, tab)| tab.page == page);
        same.map(|(id, _)| *id).collect()
    }

    /// I6 and I7: looks for calls that are overdue, and for locks kept without need.
    fn audit(&mut self) {
        self.after(50_000, Happening::Audit);
        let now_us = self.now_us;
        let wanted = self.lock.waiting() > 0;
        let holders: Vec<TabId> = self.lock.holders().collect();
        let patience_ms = 5000.0 + 1000.0 * self.plan.slowness;
        let mut found = None;
        for (id, tab) in &mut self.tabs {
            if tab.frozen {
                tab.hog_since_us = None;
                continue;
            }
            if let Some((call, asked)) = tab.client.overdue(now_us) {
                found = Some(failure(
                    "I6",
                    format!("t{id} call {call} is not settled in time: {asked}"),
                ));
            }
            let hogs = wanted && holders.contains(id) && tab.client.is_idle();
            let since_us = *tab.hog_since_us.get_or_insert(now_us);
            if !hogs {
                tab.hog_since_us = None;
            } else if (now_us - since_us) as f64 / 1000.0 > patience_ms + tab.throttle_ms {
                found =
                    Some(failure("I7", format!("t{id} is idle and keeps the lock from others")));
            }
        }
        if let Some(found) = found {
            self.fail(found);
        }
        self.audit_line();
    }

    /// I7: nobody stands in line for long behind one and the same lease, however busy its holder is;
    /// unless its caller has a transaction open.
    fn audit_line(&mut self) {
        let jam = self.lock.jam();
        let holder = jam.and_then(|jam| self.tabs.get(&jam.holder.0));
        let may_keep = holder.is_none_or(|tab| {
            tab.frozen || tab.throttle_ms > 0.0 || tab.client.tx.is_some() || tab.client.begins
        });
        if jam != self.jam.0 || may_keep {
            self.jam = (jam, self.now_us);
        }
        let trouble_ms = if self.plan.delays_leases() { 10_000.0 } else { 100.0 };
        let patience_ms = trouble_ms + 200.0 * self.plan.slowness;
        if let (Some(jam), since_us) = self.jam
            && (self.now_us - since_us) as f64 / 1000.0 > patience_ms
        {
            self.fail(failure("I7", format!("behind one lease for {patience_ms} ms: {jam:?}")));
        }
    }
}
