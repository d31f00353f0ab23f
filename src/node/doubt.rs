//! Frames in doubt: offered to a holder that has not answered, and then neither taken by the queue nor written here, for
//! want of room as a rule. Such a frame may be in, or may get in with the holder's next transaction, so its caller is not
//! told yet that nothing was written.
//!
//! The holder's answer ends the doubt, or the news of its commit, or a look at the ids under an exclusive lease of this
//! node. What is not in by then is written here, if there is room now. If not, the doubt goes on: an offer that is late
//! may yet reach whoever has the lease next. At the deadline the call ends with the error. Until the doubt is over, later
//! frames of the table are not written, and stay out of the queue, which is drained before offers are applied.

use super::Node;
use super::op::{Append, Op, Work};
use super::queue::PAUSE_MS;
use super::types::{CallId, Effect};
use crate::error::{Code, Error, Result};
use crate::ladder::Path;
use crate::message::{Answer, FrameName};
use crate::store::is_verdict;
use std::collections::BTreeMap;

/// A frame in doubt.
pub(super) struct Doubt {
    call: CallId,
    pub append: Box<Append>,
    /// Why it was not taken, or not written.
    error: Error,
    /// A later frame of its table went into the queue.
    overtaken: bool,
}

/// The frames in doubt of a node.
#[derive(Default)]
pub(super) struct Doubts {
    pub list: Vec<Doubt>,
    /// Not before this time are the ids looked at: they just were, or the database could not be opened.
    look_at_ms: f64,
}

/// Whether an earlier copy of the frame was there, and how many values of each column were changed.
type Written = (bool, BTreeMap<String, u64>);

impl Doubts {
    fn of_table(&self, table: &str) -> impl Iterator<Item = &Doubt> {
        self.list.iter().filter(move |doubt| doubt.append.request.table == table)
    }

    /// When something is to be done about them.
    pub fn times_ms(&self) -> impl Iterator<Item = f64> {
        let deadlines = self.list.iter().map(|doubt| doubt.append.ladder.deadline_ms());
        deadlines.chain((!self.list.is_empty()).then_some(self.look_at_ms))
    }

    /// A frame of this table goes into the queue, since its time is up. What is in doubt is not written behind it.
    pub fn overtaken_in(&mut self, table: &str) {
        let of_table = |doubt: &&mut Doubt| doubt.append.request.table == table;
        self.list.iter_mut().filter(of_table).for_each(|doubt| doubt.overtaken = true);
    }
}

impl Node {
    /// The queue did not take a frame.
    pub(super) fn not_queued(&mut self, at: usize, error: Error) {
        if !self.ops[at].append().is_some_and(|append| append.is_in_doubt(&error)) {
            return self.fail_op(at, error);
        }
        if let Some(Op { call, work: Work::Append(append), .. }) = self.ops.remove(at) {
            self.begin_doubt(call, append, error);
        }
    }

    pub(super) fn begin_doubt(&mut self, call: CallId, append: Box<Append>, error: Error) {
        self.due_ms = self.due_ms.min(append.ladder.deadline_ms());
        self.doubts.list.push(Doubt { call, append, error, overtaken: false });
    }

    /// Whether an earlier frame of the same table is in doubt.
    pub(super) fn follows_doubt(&self, append: &Append) -> bool {
        self.doubts.of_table(&append.request.table).next().is_some()
    }

    /// Whether the lease is wanted for a look at the ids.
    pub(super) fn doubts_need_lease(&self) -> bool {
        !self.doubts.list.is_empty() && self.now_ms >= self.doubts.look_at_ms
    }

    pub(super) fn pause_doubts(&mut self) {
        self.doubts.look_at_ms = self.now_ms + PAUSE_MS;
    }

    /// The holder answered an offer. Gives whether that was of a frame in doubt.
    pub(super) fn doubt_answered(&mut self, call: CallId, frame_id: &str, answer: &Answer) -> bool {
        let of = |doubt: &Doubt| doubt.call == call && doubt.append.request.frame_id == frame_id;
        let Some(at) = self.doubts.list.iter().position(of) else {
            return false;
        };
        let outcome = match answer {
            Answer::Applied { coerced, duplicate, .. } => Ok((*duplicate, coerced.clone())),
            Answer::Refused { error } => Err(error.clone().into()),
        };
        self.end_doubt(at, outcome);
        true
    }

    /// Frames are in the database.
    pub(super) fn doubts_committed(&mut self, frames: &[FrameName]) {
        for frame in frames {
            let is = |doubt: &Doubt| is_of(&doubt.append, frame);
            while let Some(at) = self.doubts.list.iter().position(is) {
                let repeat = self.doubts.list[at].append.repeat;
                self.end_doubt(at, Ok((repeat, frame.coerced.clone())));
            }
        }
    }

    /// Under an exclusive lease, with the queue drained: a frame is in by now, or is written, if there is room.
    pub(super) fn resolve_doubts(&mut self) {
        let mut at = 0;
        while at < self.doubts.list.len() {
            if !self.resolve_doubt(at) {
                at += 1;
            }
        }
        if at > 0 {
            self.pause_doubts();
        }
    }

    /// Gives whether the doubt is over.
    fn resolve_doubt(&mut self, at: usize) -> bool {
        let Doubt { append, overtaken, .. } = &self.doubts.list[at];
        let of_table = |doubt: &Doubt| doubt.append.request.table == append.request.table;
        let waits = *overtaken || self.doubts.list[..at].iter().any(of_table);
        match self.store.find_applied(&append.request.frame_id) {
            Ok(Some(frame)) if is_of(append, &frame) => {
                let written = (append.repeat, frame.coerced);
                self.end_doubt(at, Ok(written));
                return true;
            }
            Ok(_) if !waits => {}
            _ => return false,
        }
        let doubt = self.doubts.list.remove(at);
        let requests = [&doubt.append.request];
        let mut outcomes = self.append_each(&requests);
        self.announce_applied(&requests, &outcomes, &[Some(&self.me())]);
        match outcomes.pop() {
            Some(outcome) if !outcome.as_ref().is_err_and(|e| doubt.append.is_in_doubt(e)) => {
                self.due_ms = f64::NEG_INFINITY;
                self.settle_append(doubt.call, doubt.append, outcome);
                true
            }
            _ => {
                self.doubts.list.insert(at, doubt);
                false
            }
        }
    }

    /// The first call is a frame whose turn has come, and an earlier one of its table is in doubt: that one is tried again,
    /// and if it cannot be written, neither is this.
    pub(super) fn run_behind_doubt(&mut self) {
        self.resolve_doubts();
        let first = self.ops.front().and_then(Op::append);
        let before = first.and_then(|first| self.doubts.of_table(&first.request.table).next());
        if let Some(error) = before.map(|doubt| doubt.error.clone())
            && let Some(Op { call, work: Work::Append(append), .. }) = self.ops.pop_front()
        {
            self.settle_append(call, append, Err(error));
        }
    }

    /// Ends the calls whose time is up.
    pub(super) fn expire_doubts(&mut self) {
        let now_ms = self.now_ms;
        let is_due = |doubt: &Doubt| doubt.append.ladder.deadline_ms() <= now_ms;
        while let Some(at) = self.doubts.list.iter().position(is_due) {
            let error = self.doubts.list[at].error.clone();
            self.end_doubt(at, Err(error));
        }
    }

    fn end_doubt(&mut self, at: usize, outcome: Result<Written>) {
        let Doubt { call, mut append, .. } = self.doubts.list.remove(at);
        // What rested behind it goes on.
        self.due_ms = f64::NEG_INFINITY;
        match outcome {
            Ok((duplicate, coerced)) => {
                append.ladder.committed(Path::Handoff, self.now_ms);
                let path = if duplicate { Path::Duplicate } else { Path::Handoff };
                let mut receipt = append.receipt(self.now_ms, path, true);
                receipt.coerced = coerced;
                self.give_receipt(call, receipt);
            }
            Err(error) => {
                let attempts = append.ladder.attempts().to_vec();
                let error = error.in_table(&append.request.table);
                self.effects.push(Effect::Reply(call, Err(error), attempts));
            }
        }
    }
}

impl Append {
    /// Whether this error leaves open if the frame is in. Of a database that is gone nobody will ever know.
    pub(super) fn is_in_doubt(&self, error: &Error) -> bool {
        self.offered && !is_verdict(error) && error.code != Code::StorageLost
    }
}

fn is_of(append: &Append, frame: &FrameName) -> bool {
    append.request.frame_id == frame.frame_id && append.request.digest == frame.digest
}
