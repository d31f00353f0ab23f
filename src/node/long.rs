//! What takes long is done piece by piece: a frame of many rows, the export of the file.
//!
//! After each piece the node asks to be called back ([`Effect::Yield`]) and goes back to its event
//! loop, so that a cancellation, a suspension, messages and `status()` get through. Until the work is
//! done nothing else touches the database: no other unit, no offer, no drain. The lease is kept.
//!
//! The call stays where it was among the calls. So a frame that is rolled back because the page is
//! frozen or the lock is gone is as if it had never begun, and goes down the ladder from where it stood.

use super::Node;
use super::op::{Op, Work};
use super::types::{CallId, Effect, Reply};
use crate::error::{Code, Error, Result};
use crate::store::{AppendRequest, HalfWritten, Long, Piece};

/// How much of a frame is written at one go. Measured with frames of a million rows, six columns of
/// numbers and two of short texts: the event loop of the worker waits 28 ms for a piece in Chromium and
/// in Firefox, 25 to 40 for most while the machine is busy. A frame of 100,000 such rows has two pieces.
pub const PIECE: Piece = Piece { cells: 400_000, bytes: 8 << 20 };

/// What is under way.
pub(super) struct Underway {
    call: CallId,
    done: Done,
}

/// How far it is.
enum Done {
    /// A transaction of its own is open.
    Frame(Box<HalfWritten>),
    /// So many bytes are out.
    File(u64),
}

impl Node {
    /// Whether a frame takes more than one piece.
    pub(super) fn is_long(&self, request: &AppendRequest) -> bool {
        request.content.rows() > self.config.piece.rows_of(&request.content)
    }

    /// The call whose work is under way.
    pub(super) fn underway(&self) -> Option<CallId> {
        self.underway.as_ref().map(|underway| underway.call)
    }

    /// Whether the database is in the middle of something: the caller's transaction, or long work.
    pub(super) fn is_midway(&self) -> bool {
        self.tx.is_some() || self.underway.is_some()
    }

    /// Begins the frame at the head of the calls. Gives whether it is over with that already.
    pub(super) fn begin_frame(&mut self) -> bool {
        let Some(Op { call, work: Work::Append(append), .. }) = self.ops.front() else {
            return false;
        };
        self.store.os().taken(*call);
        let begun = self.store.begin_long(&append.request);
        self.frame_went_on(*call, begun)
    }

    /// Begins the export at the head of the calls.
    pub(super) fn begin_export(&mut self) -> bool {
        let Some(Op { call, work: Work::Export, .. }) = self.ops.front() else {
            return false;
        };
        self.export_on(*call, 0)
    }

    /// The platform has let other things happen; the next piece.
    pub(super) fn yielded(&mut self) {
        self.yields = false;
        if self.go_on() {
            self.unit_done();
        }
    }

    /// Does the next piece. Gives whether the work is over.
    fn go_on(&mut self) -> bool {
        let Some(Underway { call, done }) = self.underway.take() else {
            return false;
        };
        let at = self.ops.iter().position(|op| op.call == call);
        match (done, at.map(|at| &self.ops[at].work)) {
            (Done::Frame(half), Some(Work::Append(append))) => {
                // One that was offered may be in elsewhere by the time it would be told as not written.
                if append.ladder.is_overdue(self.now_ms) && !append.offered {
                    let error = append.ladder.timed_out(self.now_ms);
                    self.store.rollback();
                    self.fail_op(at.unwrap_or_default(), error);
                    return true;
                }
                let rows = self.config.piece.rows_of(&append.request.content);
                let gone_on = self.store.go_on(&append.request, half, rows);
                self.frame_went_on(call, gone_on)
            }
            (Done::File(offset), Some(Work::Export)) => self.export_on(call, offset),
            _ => {
                self.store.rollback();
                true
            }
        }
    }

    fn frame_went_on(&mut self, call: CallId, outcome: Result<Long>) -> bool {
        let outcome = match outcome {
            Ok(Long::Half(half)) => {
                self.pause(call, Done::Frame(half));
                return false;
            }
            Ok(Long::Done(applied)) => Ok(applied),
            Err(error) => Err(error),
        };
        let at = self.ops.iter().position(|op| op.call == call);
        if let Some(Op { work: Work::Append(append), .. }) = at.and_then(|at| self.ops.remove(at)) {
            let outcomes = [outcome];
            self.announce_applied(&[&append.request], &outcomes, &[Some(&self.me())]);
            let [outcome] = outcomes;
            self.settle_append(call, append, outcome);
        }
        true
    }

    fn export_on(&mut self, call: CallId, offset: u64) -> bool {
        let outcome = match self.store.export_piece(offset) {
            Ok(bytes) if bytes.is_empty() => Ok(Reply::Exported),
            Ok(bytes) => {
                let end = offset + bytes.len() as u64;
                // An empty database has no bytes of its own.
                let total = self.store.bytes().max(end);
                self.effects.push(Effect::Part { call, total, offset, bytes });
                self.pause(call, Done::File(end));
                return false;
            }
            Err(error) => Err(error),
        };
        self.ops.retain(|op| op.call != call);
        self.effects.push(Effect::Reply(call, outcome, vec![]));
        true
    }

    fn pause(&mut self, call: CallId, done: Done) {
        self.ran = true;
        self.underway = Some(Underway { call, done });
        // One at a time: what was put back and begun again goes on with the yield it had asked for.
        if !std::mem::replace(&mut self.yields, true) {
            self.effects.push(Effect::Yield);
        }
    }

    /// Undoes what is under way, as if it had not begun; its call waits for the lease again.
    pub(super) fn put_back(&mut self) {
        if self.underway.take().is_some() {
            self.store.rollback();
        }
    }

    /// While the lease is held calls do not go down the ladder. Frames settle by their deadline all the same, since their
    /// callers have given them up by then; behind something long that is under way, so does everything else.
    pub(super) fn expire_behind(&mut self) {
        for at in 0..self.ops.len() {
            // What is in the queue waits for no lease.
            if self.ops[at].append().is_some_and(|append| append.filed) {
                let _never_fails = self.poll(at);
            }
        }
        self.settle_unanswered();
        let underway = self.underway();
        let mut at = 0;
        while at < self.ops.len() {
            let op = &self.ops[at];
            let waited_ms = self.now_ms - op.since_ms;
            let overdue = match &op.work {
                _ if Some(op.call) == underway => None,
                Work::Append(_) => op.overdue(self.now_ms),
                _ if underway.is_none() => None,
                _ if self.now_ms >= op.until_ms => Some(match self.closing {
                    None => {
                        let message =
                            format!("this handle had other work for {waited_ms:.0} ms; try again");
                        Error::new(Code::Busy, message)
                    }
                    Some(_) => super::handle_closed(),
                }),
                _ => None,
            };
            match overdue {
                Some(error) => self.fail_op(at, error),
                None => at += 1,
            }
        }
    }
}
