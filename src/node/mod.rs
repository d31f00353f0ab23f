//! The node: everything one open handle does, without doing any I/O but SQLite's own.
//!
//! An event and the time go in, effects come out ([`Node::handle`]). The browser layer and the
//! simulator carry them out; both drive this same code. A node knows no clock, no random source of
//! its own, no task and no browser.
//!
//! Calls wait in one queue, in call order. Whenever the lease is held and no transaction of the
//! caller's is open, the node runs the next *unit* (one statement, or a group of frames in one
//! transaction), then looks whether another tab waits, and gives the lease up if so.
//!
//! | file | job |
//! |---|---|
//! | `op` | a call that waits, and a frame on its way |
//! | `lock` | the lease comes and goes |
//! | `channel` | what the tabs say to each other |
//! | `fall` | what has waited long enough goes down the ladder |
//! | `handoff` | frames to and from the other tabs |
//! | `turn` | how long it is kept while others wait, and when it is looked whether they do |
//! | `wishes` | who else wants the lease |
//! | `invite` | a holder that is writing takes the others' small frames along |
//! | `gather` | a commit for several tabs |
//! | `queue` | the durable queue: drained, counted, waited for |
//! | `doubt` | what the queue could not take, and the holder may have |
//! | `rejected` | queued frames that were refused, until they are settled |
//! | `forward` | what is forwarded to a server, by one handle of all |
//! | `unit` | what runs under the lease |
//! | `long` | what takes long, piece by piece |
//! | `transaction` | the caller's own transaction |

mod channel;
mod doubt;
mod fall;
mod forward;
mod gather;
mod handoff;
mod invite;
mod lock;
mod long;
mod op;
mod queue;
mod rejected;
mod transaction;
mod turn;
mod types;
mod unit;
mod wishes;

pub use fall::OFFER_BYTES;
pub use long::PIECE;
pub use queue::queue_file_stem;
pub use types::*;

use crate::error::{Code, Error};
use crate::forward::Settings;
use crate::ladder::Path;
use crate::lease::{LEAST_WAIT_MS, Lease};
use crate::store::{LogLimits, Os, Piece, Store};
use forward::Forwarder;
use gather::Gathering;
use handoff::Offer;
use invite::Invitations;
use op::{Op, Work};
use std::collections::VecDeque;
use transaction::Transaction;
use turn::Turn;
use wishes::Wishes;

/// So long do statements of a handle that is being closed still wait for the lock.
const CLOSE_PATIENCE_MS: f64 = 500.0;

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
    /// Whether the durable queue held frames when the handle was opened.
    pub queue_waits: bool,
    /// How to forward, for a handle that may be the one who does.
    pub forward: Option<Settings>,
    /// How large a frame is offered to the holder as a message.
    pub offer_bytes: u64,
    /// How much of a frame is written at one go.
    pub piece: Piece,
    /// How much goes into the redo log.
    pub log: LogLimits,
    /// From how many rows on a frame is written as an image.
    pub transfer_rows: u64,
}

/// One open handle; see the module.
pub struct Node {
    config: Config,
    store: Store,
    lease: Lease,
    ops: VecDeque<Op>,
    /// When the calls that wait have to be looked at next; long ago if that is due with the next event.
    due_ms: f64,
    /// The caller's own transaction.
    tx: Option<Transaction>,
    last_tx: TxId,
    /// Long work that is half done.
    underway: Option<long::Underway>,
    /// A yield is not answered yet.
    yields: bool,
    effects: Vec<Effect>,
    /// What is said to the other tabs in the present event.
    said: Vec<Vec<u8>>,
    now_ms: f64,
    random: u64,
    turn: Turn,
    /// Until then frames rest before the queue.
    rest_until_ms: f64,
    /// A unit ran in the present event.
    ran: bool,
    hidden: bool,
    suspended: bool,
    /// A transaction died here: whoever reads must first undo it, which takes a write lease.
    recover: bool,
    /// The call that closes the handle, once all calls before it are settled.
    closing: Option<CallId>,
    closed: bool,
    /// Frames that other tabs offered to this one, the holder.
    inbox: VecDeque<Offer>,
    wishes: Wishes,
    /// Whether this node last asked for the lease as one that would rather hand over.
    said_hands_over: bool,
    invitations: Invitations,
    gathering: Gathering,
    queue: queue::Queue,
    doubts: doubt::Doubts,
    forward: Option<Box<Forwarder>>,
    status_calls: Vec<CallId>,
    counters: Counters,
    told: Option<(LockStatus, Option<Origin>)>,
}

impl Node {
    /// A node without a lease.
    pub fn new(config: Config, os: Box<dyn Os>) -> Node {
        let mut store = Store::new(os);
        store.limit_log(config.log);
        store.transfer_from(config.transfer_rows);
        let forward = config.forward.map(|how| Box::new(Forwarder::new(how, !config.seed)));
        Node {
            random: config.seed,
            forward,
            queue: queue::Queue::new(config.queue_waits),
            doubts: doubt::Doubts::default(),
            config,
            store,
            lease: Lease::default(),
            ops: VecDeque::new(),
            due_ms: f64::NEG_INFINITY,
            tx: None,
            last_tx: 0,
            underway: None,
            yields: false,
            effects: Vec::new(),
            said: Vec::new(),
            now_ms: 0.0,
            turn: Turn::new(),
            rest_until_ms: f64::NEG_INFINITY,
            ran: false,
            hidden: false,
            suspended: false,
            recover: false,
            closing: None,
            closed: false,
            inbox: VecDeque::new(),
            wishes: Wishes::default(),
            said_hands_over: false,
            invitations: Invitations::default(),
            gathering: Gathering::default(),
            status_calls: Vec::new(),
            counters: Counters::default(),
            told: None,
        }
    }

    /// Takes an event at a time (milliseconds, never going back) and says what to do.
    pub fn handle(&mut self, now_ms: f64, event: Event) -> Vec<Effect> {
        self.now_ms = now_ms.max(self.now_ms);
        // A call that stands in line concerns no other one: a thousand calls at once are not a million looks.
        if !matches!(&event, Event::Call(_, call) if call.stands_in_line()) {
            self.due_ms = f64::NEG_INFINITY;
        }
        match event {
            Event::Call(call, what) => self.call(call, what),
            Event::Cancel(call) => self.cancel(call),
            Event::LockGranted(id) => {
                let steps = self.lease.granted(id);
                self.take(steps);
            }
            Event::LockLost(id) => self.lock_lost(id),
            Event::Opened(id, outcome) => self.opened(id, outcome),
            Event::LockQueried { held, waiting, foreign_version, queue } => {
                self.lock_queried(held, waiting, foreign_version, queue);
            }
            Event::Enqueued(call, outcome) => self.enqueued(call, outcome),
            Event::QueueLoaded(outcome) => self.queue_loaded(outcome),
            Event::RejectedLoaded(outcome) => self.rejected_loaded(outcome),
            Event::Message(bytes) => self.heard(&bytes),
            Event::SenderGranted(id) => self.sender_granted(id),
            Event::SenderLost(id) => self.sender_lost(id),
            Event::Exchanged(id, outcome) => self.exchanged(id, outcome),
            Event::Token(id, came) => self.token_came(id, came),
            Event::Online => self.wake_sender(),
            Event::Hidden(hidden) => self.hide(hidden),
            Event::Suspend => self.suspend(),
            Event::Resume => {
                self.suspended = false;
                self.wake_sender();
            }
            Event::Yielded => self.yielded(),
            Event::Wake => {}
        }
        if !self.closed {
            self.advance();
        }
        self.say();
        std::mem::take(&mut self.effects)
    }

    /// The effects of the last event are carried out. SQLite took its time, and answers were posted:
    /// only now does a caller have what it needs for its next call. While it makes that, what was committed
    /// gets from the log into the database.
    pub fn carried_out(&mut self, now_ms: f64) {
        self.store.write_through();
        if std::mem::take(&mut self.ran) {
            self.now_ms = now_ms.max(self.now_ms);
            self.turn.worked(self.now_ms);
            self.let_caller_go_first();
        }
    }

    /// When the node wants to be woken, if nothing happens before.
    pub fn wake_at_ms(&self) -> Option<f64> {
        let idle = self.lease.held().is_some() && self.tx.is_none() && self.ops.is_empty();
        let release = idle.then_some(self.turn.idle_until_ms());
        let linger = idle.then(|| self.linger_until_ms()).flatten();
        [self.due_ms]
            .into_iter()
            .chain(release)
            .chain(linger)
            .chain(self.turn.look_at_ms())
            .chain(self.gathering.until_ms())
            .chain(self.lease.wake_at_ms())
            .chain(self.queue.drain_at_ms)
            .chain(self.forward_at_ms())
            // What was due at the last event was done then, or waits for an event: for the lock.
            .filter(|at| at.is_finite() && *at > self.now_ms && !self.closed)
            .min_by(f64::total_cmp)
    }

    fn call(&mut self, call: CallId, what: Call) {
        if self.closing.is_some() {
            return self.fail(call, handle_closed());
        }
        let (work, timeout_ms) = match what {
            Call::Append { request, policy, fallback, since_ms } => {
                return self.append(call, *request, policy, fallback, since_ms);
            }
            Call::JoinedAppend { request, tx, until_ms } => {
                return self.tx_append(call, &request, tx, until_ms);
            }
            Call::Exec { sql, params, tx: Some(tx), .. } => {
                return self.tx_exec(call, tx, &sql, &params);
            }
            Call::Query { sql, params, options, tx: Some(tx), .. } => {
                return self.tx_query(call, tx, &sql, &params, options);
            }
            Call::QueryArrow { sql, params, batch_rows, tx: Some(tx), .. } => {
                return self.tx_query_arrow(call, tx, &sql, &params, batch_rows);
            }
            Call::Exec { sql, params, timeout_ms, .. } => (Work::Exec { sql, params }, timeout_ms),
            Call::Query { sql, params, options, timeout_ms, .. } => {
                (Work::Query { sql, params, options, writes: false }, timeout_ms)
            }
            Call::QueryArrow { sql, params, batch_rows, timeout_ms, .. } => {
                (Work::QueryArrow { sql, params, batch_rows, writes: false }, timeout_ms)
            }
            Call::Begin { timeout_ms } => (Work::Begin, timeout_ms),
            Call::Commit { tx } => return self.tx_commit(call, tx),
            Call::Rollback { tx } => return self.tx_rollback(call, tx),
            Call::Status => {
                self.status_calls.push(call);
                return self.status_asked();
            }
            Call::WhenCommitted { frame_id } => (Work::WhenCommitted { frame_id }, f64::INFINITY),
            Call::Drain { timeout_ms } => {
                (Work::Drain { started: false, applied: 0, patience_ms: timeout_ms }, timeout_ms)
            }
            Call::Rejected => return self.list_rejected(call),
            Call::RetryRejected { frame_id } => return self.retry_rejected(call, frame_id),
            Call::DiscardRejected { frame_id } => return self.discard_rejected(call, frame_id),
            Call::Export { timeout_ms } => (Work::Export, timeout_ms),
            Call::Import { file, timeout_ms } => (Work::Import { file }, timeout_ms),
            Call::Outbox { what, timeout_ms } => (Work::Outbox(what), timeout_ms),
            Call::Close => {
                self.closing = Some(call);
                self.stop_sending();
                self.fail_begins();
                let longest_ms = self.patience_until_ms();
                for op in self.ops.iter_mut().filter(|op| op.append().is_none()) {
                    op.until_ms = op.until_ms.min(longest_ms);
                }
                return self.abandon_transaction();
            }
        };
        self.push_op(call, work, self.now_ms + timeout_ms.max(LEAST_WAIT_MS));
    }

    /// Until when a call waits for the lock that has no time of its own: for ever, as long as the handle is open.
    fn patience_until_ms(&self) -> f64 {
        match self.closing {
            None => f64::INFINITY,
            Some(_) => self.now_ms + CLOSE_PATIENCE_MS,
        }
    }

    fn push_op(&mut self, call: CallId, work: Work, until_ms: f64) {
        let op = Op { call, work, since_ms: self.now_ms, until_ms };
        let begins_by_ms = op.begins_by_ms().unwrap_or(f64::INFINITY);
        self.due_ms = self.due_ms.min(until_ms).min(begins_by_ms);
        self.turn.called(self.now_ms);
        self.let_caller_go_first();
        self.ops.push_back(op);
    }

    fn cancel(&mut self, call: CallId) {
        // It is about what is in the queue, and changes nothing of that.
        let given_up = "the signal fired";
        let Some(at) = self.ops.iter().position(|op| op.call == call) else {
            if self.queue.give_up(call) {
                self.fail(call, Error::new(Code::Aborted, given_up));
            }
            return;
        };
        // A frame that another tab or the queue may have by now cannot be called back.
        if let Work::Append(append) = &self.ops[at].work
            && (append.offered || append.enqueued)
        {
            return;
        }
        if self.underway() == Some(call) {
            self.put_back();
            self.unit_done();
        }
        let message = match self.ops[at].work {
            Work::WhenCommitted { .. } | Work::Drain { .. } => given_up,
            _ => "the signal fired; nothing was written",
        };
        self.fail_op(at, Error::new(Code::Aborted, message));
    }

    /// Moves everything as far as it goes at this moment.
    fn advance(&mut self) {
        let steps = self.lease.wake(self.now_ms);
        self.take(steps);
        if self.now_ms >= self.due_ms {
            self.expire();
            self.due_ms = self.next_due_ms();
        }
        self.advance_forward();
        while self.run_unit() {}
        self.look_late();
        self.finish_closing();
        self.settle_lease();
        self.tell_status();
    }

    /// When the first of the calls that wait has to be looked at again. What is due at this very moment was just
    /// looked at, and waits for an event: for the lock.
    fn next_due_ms(&self) -> f64 {
        let answers = |op: &Op| op.append().and_then(|append| append.answer_until_ms);
        let of = |op: &Op| [Some(op.until_ms), op.begins_by_ms(), answers(op)];
        let times = self.ops.iter().flat_map(of).flatten();
        let times = times.chain(self.doubts.times_ms());
        times.filter(|at| *at > self.now_ms).fold(f64::INFINITY, f64::min)
    }

    fn finish_closing(&mut self) {
        // What asks for no lock is answered too.
        if let Some(call) = self.closing
            && self.ops.is_empty()
            && self.doubts.list.is_empty()
            && self.status_calls.is_empty()
            && !self.queue.has_calls()
        {
            self.closed = true;
            self.release_lease();
            self.fail_waiting();
            self.reply(call, Reply::Nothing);
            self.effects.push(Effect::Closed);
        }
    }

    /// Nobody could end a transaction that begins on a handle that is being closed.
    fn fail_begins(&mut self) {
        while let Some(at) = self.ops.iter().position(|op| matches!(op.work, Work::Begin)) {
            self.fail_op(at, handle_closed());
        }
    }

    /// Calls that wait for frames of the queue, of which nobody will hear here any more.
    fn fail_waiting(&mut self) {
        for call in self.queue.take_waiting() {
            self.fail(call, handle_closed());
        }
    }

    fn reply(&mut self, call: CallId, reply: Reply) {
        self.effects.push(Effect::Reply(call, Ok(reply), vec![]));
    }

    fn fail(&mut self, call: CallId, error: Error) {
        self.effects.push(Effect::Reply(call, Err(error), vec![]));
    }

    fn fail_op(&mut self, at: usize, error: Error) {
        let Some(op) = self.ops.remove(at) else {
            return;
        };
        let attempts = op.attempts();
        let error = match &op.work {
            Work::Append(append) => {
                self.counters.busy += u64::from(error.code == Code::Busy);
                if error.table.is_some() { error } else { error.in_table(&append.request.table) }
            }
            _ => error,
        };
        self.effects.push(Effect::Reply(op.call, Err(error), attempts));
    }

    /// The database cannot be used now. Frames that somebody else may have, or the queue, go on to
    /// the queue; so do those that may wait there until handles in use are free.
    fn fail_all(&mut self, error: &Error) {
        let mut at = 0;
        while at < self.ops.len() {
            match self.ops[at].append_mut() {
                Some(append) if append.enqueued => at += 1,
                Some(append)
                    if append.offered
                        || (error.code == Code::Busy && append.ladder.may_queue()) =>
                {
                    append.ladder.force_queue();
                    at += 1;
                }
                _ => self.fail_op(at, error.clone()),
            }
        }
    }

    fn give_receipt(&mut self, call: CallId, receipt: Receipt) {
        match receipt.path {
            Path::Direct => self.counters.direct += 1,
            Path::Handoff => self.counters.handoff += 1,
            Path::Queued => self.counters.queued += 1,
            Path::Duplicate => self.counters.duplicate += 1,
            Path::Joined => {}
        }
        self.reply(call, Reply::Receipt(Box::new(receipt.clone())));
        self.effects.push(Effect::Notify(Notice::Append(Box::new(receipt))));
    }
}

/// What calls end with that a closed handle has, or had.
fn handle_closed() -> Error {
    Error::new(Code::Closed, "the handle is closed")
}
