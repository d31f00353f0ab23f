//! The node: everything one open handle does, without doing any I/O but SQLite's own.
//!
//! An event and the time go in, effects come out ([`Node::handle`]). The browser layer and the
//! simulator carry them out; both drive this same code. A node knows no clock, no random source of
//! its own, no task and no browser.
//!
//! Calls wait in one queue, in call order. Whenever the lease is held and no transaction of the
//! caller's is open, the node runs the next *unit* (one statement, or a group of frames in one
//! transaction), then looks whether another tab waits, and gives the lease up if so.

mod transaction;
mod types;
mod unit;

pub use types::*;

use crate::error::{Code, Error};
use crate::ladder::{Attempt, Ladder, Next};
use crate::lease::{Lease, LockId, State, Step};
use crate::message::Message;
use crate::platform::FileError;
use crate::store::{AppendRequest, Attached, Mode, Os, PackOptions, Params, Store};
use std::collections::{BTreeSet, VecDeque};

/// A lease that nobody uses is given back after this time. Getting it back from a free lock takes
/// 1 ms, from an idle holder 6 to 8 ms: keeping it only helps a tab that is alone.
const IDLE_LEASE_MS: f64 = 2000.0;
/// With the lock but without handles for this long, somebody who does not know the lock has them.
const OPEN_PATIENCE: u32 = 60;

/// What a node is told once.
pub struct Config {
    /// This handle's id, unique among all tabs.
    pub node_id: String,
    /// Seeds the jitter.
    pub seed: u64,
    /// Whether several tabs may have the handles open for reading.
    pub shared_reads: bool,
    /// `durability: 'full'`.
    pub durable: bool,
}

/// A call that waits for the lease.
struct Op {
    call: CallId,
    work: Work,
    since_ms: f64,
    /// Appends settle by their ladder, everything else by this time.
    until_ms: f64,
}

enum Work {
    Append { request: Box<AppendRequest>, ladder: Box<Ladder> },
    Exec { sql: String, params: Params },
    Query { sql: String, params: Params, options: PackOptions, writes: bool },
    QueryArrow { sql: String, params: Params, writes: bool },
    Begin,
    Export,
    Import { bytes: Vec<u8> },
}

impl Work {
    fn mode(&self) -> Mode {
        match self {
            Work::Query { writes, .. } | Work::QueryArrow { writes, .. } if !writes => Mode::Shared,
            Work::Export => Mode::Shared,
            _ => Mode::Exclusive,
        }
    }
}

/// One open handle; see the module.
pub struct Node {
    config: Config,
    store: Store,
    lease: Lease,
    ops: VecDeque<Op>,
    tx: Option<TxId>,
    /// Frames that joined the open transaction.
    tx_frames: Vec<String>,
    last_tx: TxId,
    effects: Vec<Effect>,
    now_ms: f64,
    random: u64,
    /// Another tab asked for the lease since we got it.
    wanted: bool,
    /// A unit has run, and who waits is being looked up: nothing runs before the answer.
    looking: bool,
    idle_since_ms: f64,
    hidden: bool,
    suspended: bool,
    /// The call that closes the handle, once all calls before it are settled.
    closing: Option<CallId>,
    closed: bool,
    /// A transaction died here: whoever reads must first undo it, which takes a write lease.
    recover: bool,
    status_calls: Vec<CallId>,
    counters: Counters,
    told: Option<(LockStatus, Option<Origin>)>,
}

impl Node {
    /// A node without a lease.
    pub fn new(config: Config, os: Box<dyn Os>) -> Node {
        Node {
            random: config.seed,
            config,
            store: Store::new(os),
            lease: Lease::default(),
            ops: VecDeque::new(),
            tx: None,
            tx_frames: Vec::new(),
            last_tx: 0,
            effects: Vec::new(),
            now_ms: 0.0,
            wanted: false,
            looking: false,
            idle_since_ms: 0.0,
            hidden: false,
            suspended: false,
            closing: None,
            closed: false,
            recover: false,
            status_calls: Vec::new(),
            counters: Counters::default(),
            told: None,
        }
    }

    /// Takes an event at a time (milliseconds, never going back) and says what to do.
    pub fn handle(&mut self, now_ms: f64, event: Event) -> Vec<Effect> {
        self.now_ms = now_ms.max(self.now_ms);
        match event {
            Event::Call(call, what) => self.call(call, what),
            Event::Cancel(call) => self.cancel(call),
            Event::LockGranted(id) => {
                let steps = self.lease.granted(id);
                self.take(steps);
            }
            Event::LockLost(id) => self.lock_lost(id),
            Event::Opened(id, outcome) => self.opened(id, outcome),
            Event::LockQueried { held, others_wait, foreign_version } => {
                self.lock_queried(held, others_wait, foreign_version);
            }
            Event::Message(bytes) => self.message(&bytes),
            Event::Hidden(hidden) => self.hidden = hidden,
            Event::Suspend => self.suspend(),
            Event::Resume => self.suspended = false,
            Event::Wake => {}
        }
        self.advance();
        std::mem::take(&mut self.effects)
    }

    /// When the node wants to be woken, if nothing happens before.
    pub fn wake_at_ms(&mut self) -> Option<f64> {
        let mut times: Vec<f64> = self.lease.wake_at_ms().into_iter().collect();
        for op in &mut self.ops {
            times.push(op.until_ms);
        }
        if self.lease.held().is_some() && self.tx.is_none() && self.ops.is_empty() {
            times.push(self.idle_since_ms + IDLE_LEASE_MS);
        }
        times.into_iter().filter(|at| at.is_finite()).min_by(f64::total_cmp)
    }

    /// The size of the database file in bytes, as of the last lease.
    pub fn database_bytes(&self) -> u64 {
        self.store.bytes()
    }

    fn call(&mut self, call: CallId, what: Call) {
        if self.closing.is_some() {
            return self.fail(call, Error::new(Code::Closed, "the handle is closed"));
        }
        let (work, timeout_ms) = match what {
            Call::Append { request, policy, fallback } => {
                let ladder = Box::new(Ladder::new(policy, fallback, self.now_ms));
                (Work::Append { request, ladder }, 0.0)
            }
            Call::JoinedAppend { request, tx } => return self.tx_append(call, &request, tx),
            Call::Exec { sql, params, tx: Some(tx), .. } => {
                return self.tx_exec(call, tx, &sql, &params);
            }
            Call::Query { sql, params, options, tx: Some(tx), .. } => {
                return self.tx_query(call, tx, &sql, &params, options);
            }
            Call::QueryArrow { sql, params, tx: Some(tx), .. } => {
                return self.tx_query_arrow(call, tx, &sql, &params);
            }
            Call::Exec { sql, params, timeout_ms, .. } => (Work::Exec { sql, params }, timeout_ms),
            Call::Query { sql, params, options, timeout_ms, .. } => {
                (Work::Query { sql, params, options, writes: false }, timeout_ms)
            }
            Call::QueryArrow { sql, params, timeout_ms, .. } => {
                (Work::QueryArrow { sql, params, writes: false }, timeout_ms)
            }
            Call::Begin { timeout_ms } => (Work::Begin, timeout_ms),
            Call::Commit { tx } => return self.tx_commit(call, tx),
            Call::Rollback { tx } => return self.tx_rollback(call, tx),
            Call::Status => {
                self.status_calls.push(call);
                return self.look();
            }
            Call::Export { timeout_ms } => (Work::Export, timeout_ms),
            Call::Import { bytes, timeout_ms } => (Work::Import { bytes }, timeout_ms),
            Call::Close => {
                self.closing = Some(call);
                return self.abandon_transaction();
            }
        };
        let (since_ms, until_ms) = (self.now_ms, self.now_ms + timeout_ms);
        self.ops.push_back(Op { call, work, since_ms, until_ms });
    }

    fn cancel(&mut self, call: CallId) {
        if let Some(at) = self.ops.iter().position(|op| op.call == call)
            && let Some(op) = self.ops.remove(at)
        {
            let attempts = attempts_of(&op);
            let error = Error::new(Code::Aborted, "the signal fired; nothing was written");
            self.effects.push(Effect::Reply(call, Err(error), attempts));
        }
    }

    /// Moves everything as far as it goes at this moment.
    fn advance(&mut self) {
        let steps = self.lease.wake(self.now_ms);
        self.take(steps);
        self.expire();
        while self.run_unit() {}
        self.finish_closing();
        self.settle_lease();
        self.tell_status();
    }

    fn finish_closing(&mut self) {
        if let Some(call) = self.closing
            && self.ops.is_empty()
            && !self.closed
        {
            self.closed = true;
            self.release_lease();
            self.reply(call, Reply::Nothing);
            self.effects.push(Effect::Closed);
        }
    }

    /// Settles what has waited long enough, and works out when the rest has.
    fn expire(&mut self) {
        // Whoever can run now, runs: time that is up is no reason to refuse what is possible.
        let ready = self.lease.held().is_some() && self.tx.is_none() && !self.looking;
        let mut at = 0;
        while at < self.ops.len() && !ready {
            let now_ms = self.now_ms;
            let mut random = self.random;
            let op = &mut self.ops[at];
            let failed = match &mut op.work {
                Work::Append { ladder, .. } => {
                    match ladder.poll(now_ms, &mut || next_random(&mut random)) {
                        Next::WaitUntil(until_ms) => {
                            op.until_ms = until_ms;
                            None
                        }
                        Next::Fail(error) => Some(error),
                        Next::Handoff | Next::Queue => {
                            Some(Error::new(Code::Busy, "the write lock stayed taken"))
                        }
                    }
                }
                _ if now_ms >= op.until_ms => {
                    let waited = now_ms - op.since_ms;
                    let message = format!("the lock stayed taken for {waited:.0} ms");
                    Some(Error::new(Code::Busy, message))
                }
                _ => None,
            };
            self.random = random;
            match failed {
                None => at += 1,
                Some(error) => self.fail_op(at, error),
            }
        }
    }

    fn fail_op(&mut self, at: usize, error: Error) {
        if let Some(op) = self.ops.remove(at) {
            let attempts = attempts_of(&op);
            if let Work::Append { request, .. } = &op.work {
                self.counters.busy += u64::from(error.code == Code::Busy);
                let error = error.in_table(&request.table);
                self.effects.push(Effect::Reply(op.call, Err(error), attempts));
            } else {
                self.effects.push(Effect::Reply(op.call, Err(error), attempts));
            }
        }
    }

    /// Wants, keeps or gives up the lease, as the work at hand asks.
    fn settle_lease(&mut self) {
        if self.looking && self.lease.held().is_some() {
            return;
        }
        let needed = self.ops.iter().map(|op| self.needed_mode(&op.work)).max();
        let Some(held) = self.lease.held() else {
            let steps = match needed {
                Some(mode) if !self.suspended => self.lease.want(mode, self.now_ms),
                _ => self.lease.give_up(),
            };
            return self.take(steps);
        };
        if self.tx.is_some() {
            return;
        }
        let idle = self.ops.is_empty();
        let too_weak = needed.is_some_and(|mode| mode > held);
        let expired = idle && self.now_ms - self.idle_since_ms >= IDLE_LEASE_MS;
        if self.wanted || too_weak || expired || self.suspended || (idle && self.hidden) {
            self.release_lease();
            self.settle_lease();
        }
    }

    fn needed_mode(&self, work: &Work) -> Mode {
        let shared = self.config.shared_reads && !self.recover;
        if shared { work.mode() } else { Mode::Exclusive }
    }

    fn release_lease(&mut self) {
        if let Err(error) = self.store.detach() {
            // Merged writes are pending only inside a transaction, and none is open; should one
            // fail to reach the file all the same, the journal has it, and the next lease undoes.
            self.effects.push(Effect::Notify(self.status_notice()));
            drop(error);
        }
        self.wanted = false;
        self.looking = false;
        let steps = self.lease.release();
        self.take(steps);
    }

    fn take(&mut self, steps: Vec<Step>) {
        for step in steps {
            self.effects.push(match step {
                Step::Request { id, mode } => Effect::RequestLock { id, mode },
                Step::Cancel { id } => Effect::CancelLock { id },
                Step::Open { id, mode } => Effect::OpenHandles { id, mode },
                Step::Release { id } => Effect::ReleaseLock { id },
                Step::AskOthers => {
                    let want = Message::Want { from: self.config.node_id.clone() };
                    Effect::Post(want.encode(&[]))
                }
            });
        }
    }

    fn opened(&mut self, id: LockId, outcome: Result<crate::platform::Handles, FileError>) {
        if !self.lease.expects_handles(id) {
            return; // Dropping the handles closes them.
        }
        let handles = match outcome {
            Ok(handles) => handles,
            Err(FileError::InUse(_)) if self.lease.refusals() < OPEN_PATIENCE => {
                self.lease.handles_in_use(self.now_ms);
                if self.lease.refusals() == 8 {
                    self.look(); // Perhaps a tab with another version of the protocol has it.
                }
                return;
            }
            Err(error) => {
                let code = match error {
                    FileError::Lost(_) => Code::StorageLost,
                    FileError::Quota(_) => Code::QuotaExceeded,
                    FileError::InUse(_) => Code::Busy,
                    FileError::Io(_) => Code::StorageUnavailable,
                };
                let steps = self.lease.release();
                self.take(steps);
                return self.fail_all(&Error::new(code, error.to_string()));
            }
        };
        let attached = self.store.attach(handles, self.lease.mode(), self.config.durable);
        self.lease.opened();
        self.idle_since_ms = self.now_ms;
        match attached {
            Ok(Attached::Ready) => {
                self.recover = false;
                self.look();
            }
            Ok(Attached::NeedsRecovery) => {
                self.recover = true;
                self.release_lease();
            }
            Err(error) => {
                self.release_lease();
                self.fail_all(&error);
            }
        }
    }

    fn fail_all(&mut self, error: &Error) {
        for op in std::mem::take(&mut self.ops) {
            self.effects.push(Effect::Reply(op.call, Err(error.clone()), attempts_of(&op)));
        }
    }

    fn lock_lost(&mut self, id: LockId) {
        if self.lease.is_current(id) {
            // The handles are still ours alone, so undoing is safe; writing on is not.
            self.abandon_transaction();
            let _closed_anyway = self.store.detach();
            self.lease.lost();
            self.looking = false;
            self.wanted = false;
        }
    }

    fn suspend(&mut self) {
        self.suspended = true;
        self.abandon_transaction();
        if self.lease.held().is_some() {
            self.release_lease();
        } else {
            let steps = self.lease.give_up();
            self.take(steps);
        }
    }

    fn look(&mut self) {
        self.effects.push(Effect::QueryLock);
    }

    fn lock_queried(&mut self, held: bool, others_wait: bool, foreign_version: bool) {
        self.looking = false;
        if foreign_version && matches!(self.lease.state(), State::Opening { .. }) {
            let steps = self.lease.release();
            self.take(steps);
            self.fail_all(&Error::new(
                Code::ProtocolVersion,
                "a tab with another version of framelock has this database open; reload it",
            ));
        }
        self.wanted |= others_wait && self.lease.held().is_some();
        let (lock, holder) = match (self.lease.state(), held) {
            (State::Held, _) => (LockStatus::Held, Some(Origin::ThisTab)),
            (State::Waiting { .. } | State::Opening { .. }, held) => {
                (LockStatus::Waiting, held.then_some(Origin::OtherTab))
            }
            (State::Free, true) => (LockStatus::Free, Some(Origin::OtherTab)),
            (State::Free, false) => (LockStatus::Free, None),
        };
        for call in std::mem::take(&mut self.status_calls) {
            let status = Status { lock, holder, queued: 0, rejected: 0, counters: self.counters };
            self.effects.push(Effect::Reply(call, Ok(Reply::Status(Box::new(status))), vec![]));
        }
    }

    fn message(&mut self, bytes: &[u8]) {
        match Message::decode(bytes) {
            Some((Message::Want { .. }, _)) => self.wanted |= self.lease.held().is_some(),
            Some((Message::Committed { tables, frame_ids, .. }, _)) => {
                let origin = Origin::OtherTab;
                let notice = Notice::Commit { tables, frame_ids, origin };
                self.effects.push(Effect::Notify(notice));
            }
            None => {}
        }
    }

    /// Tells everybody what a commit changed.
    fn announce(&mut self, tables: BTreeSet<String>, frame_ids: Vec<String>) {
        if tables.is_empty() && frame_ids.is_empty() {
            return;
        }
        let tables: Vec<String> = tables.into_iter().collect();
        let from = self.config.node_id.clone();
        let message =
            Message::Committed { from, tables: tables.clone(), frame_ids: frame_ids.clone() };
        self.effects.push(Effect::Post(message.encode(&[])));
        let origin = Origin::ThisTab;
        self.effects.push(Effect::Notify(Notice::Commit { tables, frame_ids, origin }));
    }

    fn reply(&mut self, call: CallId, reply: Reply) {
        self.effects.push(Effect::Reply(call, Ok(reply), vec![]));
    }

    fn fail(&mut self, call: CallId, error: Error) {
        self.effects.push(Effect::Reply(call, Err(error), vec![]));
    }

    fn status_notice(&self) -> Notice {
        let (lock, holder) = match self.lease.state() {
            State::Held => (LockStatus::Held, Some(Origin::ThisTab)),
            State::Free => (LockStatus::Free, None),
            _ => (LockStatus::Waiting, None),
        };
        Notice::Status { lock, holder }
    }

    fn tell_status(&mut self) {
        let Notice::Status { lock, holder } = self.status_notice() else { return };
        if self.told != Some((lock, holder)) {
            self.told = Some((lock, holder));
            self.effects.push(Effect::Notify(Notice::Status { lock, holder }));
        }
    }
}

fn attempts_of(op: &Op) -> Vec<Attempt> {
    match &op.work {
        Work::Append { ladder, .. } => ladder.attempts().to_vec(),
        _ => Vec::new(),
    }
}

/// splitmix64, as a number in `[0, 1)`.
fn next_random(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}
