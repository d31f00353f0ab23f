//! Units: what runs under the lease in one go, between two looks at who else waits.

use super::Node;
use super::op::{Append, Op, Work};
use super::transaction::Transaction;
use super::types::{CallId, Effect, Reply};
use crate::error::{Code, Error, Result};
use crate::ladder::Path;
use crate::store::{AppendRequest, Applied, Mode, PackOptions, PackedRows, Params};

/// Frames that share a transaction, at most; and their rows, at most. More gains nothing and
/// makes the others wait.
const GROUP_FRAMES: usize = 64;
const GROUP_ROWS: u64 = 100_000;
/// A call of this tab's own goes before offers once it has waited for so long.
const OWN_PATIENCE_MS: f64 = 250.0;

impl Node {
    /// Runs the next unit, if there is one that may. Gives whether to try for another.
    pub(super) fn run_unit(&mut self) -> bool {
        let Some(held) = self.lease.held() else {
            return false;
        };
        if self.is_midway() || self.turn.looking || self.suspended || !self.store.is_open() {
            return false;
        }
        let may_write = held == Mode::Exclusive;
        if !self.is_others_turn() {
            self.turn.goes_on();
        } else if self.queue.may_stop() && !self.offers_go_first() {
            return false;
        }
        if may_write && (self.wants_drain() || self.writes_next()) && self.run_drain() {
            return self.drain_done();
        }
        if may_write && self.doubts_need_lease() {
            self.resolve_doubts();
            return self.unit_done();
        }
        let frames =
            !self.inbox.is_empty() || self.ops.front().is_some_and(|op| op.append().is_some());
        if may_write && frames && self.gathers() {
            return false;
        }
        if may_write && !self.inbox.is_empty() && !self.own_call_is_due() && self.run_frames() {
            return self.unit_done();
        }
        if self.is_others_turn() {
            return false;
        }
        if self.run_forward(held) {
            return self.unit_done();
        }
        let Some(op) = self.ops.front() else {
            return false;
        };
        if self.needed_mode(&op.work) > held {
            return false;
        }
        match &op.work {
            // On its way into the queue; what comes after it waits for that.
            Work::Append(append) if append.enqueued => return false,
            Work::Append(append) if self.queue.is_stuck(&append.request.table) => {
                self.follow_into_queue();
                return true;
            }
            Work::Append(append) if self.follows_doubt(append) => {
                self.run_behind_doubt();
                return self.unit_done();
            }
            // A long one shares no transaction.
            Work::Append(append) => {
                let goes_first = self.is_long(&append.request) && self.own_call_is_due();
                return (!goes_first && self.run_frames() || self.begin_frame())
                    && self.unit_done();
            }
            Work::Export => return self.begin_export() && self.unit_done(),
            Work::Drain { .. } => return self.run_drain_call(),
            _ => {}
        }
        let Some(op) = self.ops.pop_front() else {
            return false;
        };
        self.worked();
        self.run_call(op, held) && self.unit_done()
    }

    /// Runs a call that is over with one go. Gives whether it ran: a query that turns out to write waits for
    /// the exclusive lease.
    fn run_call(&mut self, op: Op, held: Mode) -> bool {
        let call = op.call;
        match op.work {
            Work::Append(_) | Work::Drain { .. } | Work::Export => {}
            Work::WhenCommitted { frame_id } => {
                self.run_when_committed(call, frame_id, op.since_ms);
            }
            Work::Exec { sql, params } => {
                let outcome = self.store.exec(&sql, &params);
                // Statements before the one that failed are in.
                let tables = self.store.take_touched();
                self.announce(tables, vec![], false);
                self.settle(call, outcome.map(Reply::Exec));
            }
            Work::Query { ref sql, .. } | Work::QueryArrow { ref sql, .. }
                if held == Mode::Shared && self.store.writes(sql) == Ok(true) =>
            {
                self.ops.push_front(Op { work: op.work.writing(), ..op });
                return false;
            }
            Work::Query { sql, params, options, .. } => {
                let outcome = self.query(&sql, &params, options);
                self.finish_query(call, outcome);
            }
            Work::QueryArrow { sql, params, batch_rows, .. } => {
                let outcome = self.query_arrow(&sql, &params, batch_rows);
                self.finish_query(call, outcome);
            }
            Work::Begin => {
                self.end_invitation();
                let begun = self.store.begin();
                let outcome = begun.map(|()| {
                    self.last_tx += 1;
                    self.tx = Some(Transaction::new(self.last_tx));
                    Reply::Transaction(self.last_tx)
                });
                self.settle(call, outcome);
            }
            Work::Import { file } => {
                let outcome = self.store.import_file(file);
                let tables = self.store.take_touched();
                self.announce(tables, vec![], false);
                if outcome.is_ok() {
                    // Another file has another outbox.
                    self.tell_outbox_replaced();
                }
                self.settle(call, outcome.map(|()| Reply::Nothing));
            }
            Work::Outbox(what) => {
                let outcome = self.run_outbox_call(what);
                self.settle(call, outcome);
            }
        }
        true
    }

    /// Looks who waits before anything else runs, or, when nothing else is there to run, now and
    /// then: a caller in a loop is not to wait for the answer each time.
    pub(super) fn unit_done(&mut self) -> bool {
        self.turn.served = true;
        self.turn.worked(self.now_ms);
        self.ran = true;
        self.due_ms = f64::NEG_INFINITY;
        // Those who wait may have been served by an invitation: then the turn is not up. Without one they
        // go on waiting, and a look finds nothing new.
        let may_be_served = self.turn.wanted && self.invites();
        let idle = self.ops.is_empty() && self.inbox.is_empty() && !may_be_served;
        if !idle || self.turn.look_is_due(self.now_ms) {
            self.look();
        }
        false
    }

    /// The look that was put off; nothing waits for its answer.
    pub(super) fn look_late(&mut self) {
        let is_due = self.turn.put_off_is_due(self.now_ms);
        if is_due && self.lease.held().is_some() && !self.turn.looking {
            self.turn.look(self.now_ms);
            self.effects.push(Effect::QueryLock { count_queue: false });
        }
    }

    /// After a part of the queue, or while it is being read.
    fn drain_done(&mut self) -> bool {
        self.due_ms = f64::NEG_INFINITY;
        if !self.queue.loading {
            // A drain has its turn, too, but not again and again that of a call of this tab's own: a queue that is
            // empty soon lets it go first.
            let due = |op: &Op| self.now_ms - op.since_ms >= OWN_PATIENCE_MS;
            let soon = self.turn.was_up_just_now(self.now_ms);
            self.turn.served = !(soon && self.ops.front().is_some_and(due));
            self.look();
        }
        false
    }

    pub(super) fn look(&mut self) {
        self.turn.worked(self.now_ms);
        self.turn.look(self.now_ms);
        self.turn.looking = true;
        self.effects.push(Effect::QueryLock { count_queue: false });
    }

    /// Whether offers are served before another tab has its turn.
    fn offers_go_first(&mut self) -> bool {
        self.turn.offers_go_first(self.now_ms) && !self.inbox.is_empty()
    }

    /// Whether the first call, which could run now, has waited for long enough behind offers.
    fn own_call_is_due(&self) -> bool {
        let due = |op: &Op| {
            let runs = !op.append().is_some_and(|append| append.enqueued);
            runs && self.now_ms - op.since_ms >= OWN_PATIENCE_MS
        };
        self.ops.front().is_some_and(due) && !self.is_others_turn()
    }

    /// Whether the queue has to be empty before what comes next.
    fn writes_next(&self) -> bool {
        !self.inbox.is_empty()
            || self.doubts_need_lease()
            || self.ops.front().is_some_and(|op| op.work.mode() == Mode::Exclusive)
    }

    pub(super) fn query(
        &mut self,
        sql: &str,
        params: &Params,
        options: PackOptions,
    ) -> Result<Reply> {
        let mut rows = PackedRows::new(options);
        let count = self.store.query(sql, params, &mut rows)?;
        Ok(Reply::Rows(count, Box::new(rows)))
    }

    pub(super) fn query_arrow(
        &mut self,
        sql: &str,
        params: &Params,
        batch_rows: Option<usize>,
    ) -> Result<Reply> {
        match batch_rows {
            None => self.store.query_arrow(sql, params).map(Reply::Bytes),
            Some(rows) => self.store.query_batches(sql, params, rows).map(|()| Reply::Batches),
        }
    }

    /// A query may write too: `INSERT … RETURNING`.
    fn finish_query(&mut self, call: CallId, outcome: Result<Reply>) {
        let tables = self.store.take_touched();
        self.announce(tables, vec![], false);
        self.settle(call, outcome);
    }

    fn settle(&mut self, call: CallId, outcome: Result<Reply>) {
        self.effects.push(Effect::Reply(call, outcome, vec![]));
    }

    /// The first call is a frame whose predecessors are in the queue and cannot be got out of it.
    fn follow_into_queue(&mut self) {
        match self.ops.front().and_then(Op::append) {
            Some(append) if append.ladder.may_queue() => self.enqueue_with_earlier(0),
            _ => {
                let message = "earlier frames wait in the queue, which cannot be emptied now";
                self.fail_op(0, Error::new(Code::Busy, message));
            }
        }
    }

    /// The frames that other tabs offered and those at the head of the calls, in one transaction.
    /// Gives whether there were any.
    fn run_frames(&mut self) -> bool {
        let offers = self.take_offers();
        let own = if self.is_others_turn() { Vec::new() } else { self.take_appends() };
        if offers.is_empty() && own.is_empty() {
            return false;
        }
        if !own.is_empty() {
            self.worked();
            self.note_served(&self.me());
        }
        let offered = offers.iter().map(|offer| &offer.request);
        let requests: Vec<&AppendRequest> =
            offered.chain(own.iter().map(|(_, append)| &append.request)).collect();
        let mut outcomes = self.append_each(&requests);
        if !offers.is_empty() {
            self.make_durable_for_others(&mut outcomes[..offers.len()]);
        }
        let me = self.me();
        let mut senders = offers.iter().map(|offer| Some(&*offer.from)).collect::<Vec<_>>();
        senders.resize(requests.len(), Some(&me));
        self.announce_applied(&requests, &outcomes, &senders);
        let own_outcomes = outcomes.split_off(offers.len());
        for (offer, outcome) in offers.iter().zip(outcomes) {
            self.answer_outcome(offer, outcome);
        }
        for ((call, append), outcome) in own.into_iter().zip(own_outcomes) {
            self.settle_append(call, append, outcome);
        }
        true
    }

    /// The frames at the head of the calls that may share a transaction.
    fn take_appends(&mut self) -> Vec<(CallId, Box<Append>)> {
        let mut group: Vec<(CallId, Box<Append>)> = Vec::new();
        let mut rows = 0;
        while group.len() < GROUP_FRAMES
            && let Some(Op { work: Work::Append(append), .. }) = self.ops.front()
            && !append.enqueued
            && !self.queue.is_stuck(&append.request.table)
            && !self.follows_doubt(append)
            && !self.is_long(&append.request)
            && (group.is_empty() || rows + append.request.content.rows() <= GROUP_ROWS)
        {
            rows += append.request.content.rows();
            if let Some(Op { call, work: Work::Append(append), .. }) = self.ops.pop_front() {
                self.store.os().taken(call);
                group.push((call, append));
            }
        }
        group
    }

    pub(super) fn settle_append(
        &mut self,
        call: CallId,
        mut append: Box<Append>,
        outcome: Result<Applied>,
    ) {
        match outcome {
            // The holder may have written it all the same.
            Err(error) if append.is_in_doubt(&error) => {
                self.begin_doubt(call, append, error);
            }
            Err(error) => {
                let attempts = append.ladder.attempts().to_vec();
                let error = match error.table {
                    Some(_) => error,
                    None => error.in_table(&append.request.table),
                };
                self.effects.push(Effect::Reply(call, Err(error), attempts));
            }
            Ok(applied) => {
                append.ladder.committed(Path::Direct, self.now_ms);
                // What the holder applied between our offer and this lease is no repeat.
                let path = match applied.duplicate {
                    true if append.offered && !append.repeat => Path::Handoff,
                    true => Path::Duplicate,
                    false => Path::Direct,
                };
                let mut receipt = append.receipt(self.now_ms, path, true);
                receipt.coerced = applied.coerced;
                self.give_receipt(call, receipt);
            }
        }
    }
}

impl Work {
    fn writing(self) -> Work {
        match self {
            Work::Query { sql, params, options, .. } => {
                Work::Query { sql, params, options, writes: true }
            }
            Work::QueryArrow { sql, params, batch_rows, .. } => {
                Work::QueryArrow { sql, params, batch_rows, writes: true }
            }
            other => other,
        }
    }
}
