//! Frames in doubt: offered to a holder that has not answered, and then neither taken by the queue nor written here, for
//! want of room as a rule. Such a frame may be in, or may get in with the holder's next transaction, so its caller is not
//! told yet that nothing was written.
//!
//! The holder's answer ends the doubt, or the news of its commit, or a look at the ids under an exclusive lease of this
//! node: what was offered to another is forgotten by then. At the deadline the call ends with the error. Until the doubt
//! is over, later frames of the table stay out of the queue, which is drained before offers are applied.

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
}

/// The frames in doubt of a node.
#[derive(Default)]
pub(super) struct Doubts {
    pub list: Vec<Doubt>,
    /// Not before this time are the ids looked at: the database could not be opened, or not be read.
    look_at_ms: f64,
}

/// Whether an earlier copy of the frame was there, and how many values of each column were changed.
type Written = (bool, BTreeMap<String, u64>);

impl Doubts {
    /// When something is to be done about them.
    pub fn times_ms(&self) -> impl Iterator<Item = f64> {
        let deadlines = self.list.iter().map(|doubt| doubt.append.ladder.deadline_ms());
        deadlines.chain((!self.list.is_empty()).then_some(self.look_at_ms))
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
        self.doubts.list.push(Doubt { call, append, error });
    }

    /// Whether an earlier frame of the same table is in doubt.
    pub(super) fn follows_doubt(&self, append: &Append) -> bool {
        self.doubts.list.iter().any(|doubt| doubt.append.request.table == append.request.table)
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

    /// Under an exclusive lease, with the queue drained: a frame is in by now, or never will be.
    pub(super) fn resolve_doubts(&mut self) {
        while let Some(Doubt { append, error, .. }) = self.doubts.list.first() {
            let outcome = match self.store.find_applied(&append.request.frame_id) {
                Ok(Some(frame)) if is_of(append, &frame) => Ok((append.repeat, frame.coerced)),
                Ok(_) => Err(error.clone()),
                Err(_) => return self.pause_doubts(),
            };
            self.end_doubt(0, outcome);
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
