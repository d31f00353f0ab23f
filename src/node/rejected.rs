//! The rejected list: queued frames that the database refused, until they are settled.

use super::Node;
use super::handoff::committed_receipt;
use super::op::Append;
use super::types::{CallId, Effect, Rejected, Reply};
use crate::envelope;
use crate::error::{Code, Error};
use crate::message::{FrameName, Message};
use crate::platform::FileError;

/// What is asked of the list.
pub(super) enum RejectedCall {
    List(CallId),
    /// A frame by its id, and what is in the database under that id.
    Find(CallId, String, Option<FrameName>),
    /// A frame was taken off the list, to be tried again or for good: to be answered when that is done.
    Settled(CallId, bool),
}

impl RejectedCall {
    pub fn call(&self) -> CallId {
        match self {
            RejectedCall::List(call)
            | RejectedCall::Find(call, ..)
            | RejectedCall::Settled(call, _) => *call,
        }
    }
}

impl Rejected {
    /// For a frame on the list whose reason cannot be read, of its file's name and bytes: two tabs may refuse it at
    /// once, and the one that writes the reason anew may fail at that.
    pub fn without_reason(name: &str, bytes: &[u8]) -> Rejected {
        let message =
            "the database refused this frame, and why cannot be read; try it again to see";
        let (frame_id, table, rows) = match envelope::decode(bytes) {
            Ok(request) => (request.frame_id, request.table, request.content.rows()),
            Err(_) => (name.to_owned(), String::new(), 0),
        };
        Rejected { frame_id, table, rows, error: (&Error::new(Code::Sql, message)).into() }
    }
}

impl Node {
    pub(super) fn reject(&mut self, name: String, frame: FrameName, error: &Error) {
        let report = Rejected {
            frame_id: frame.frame_id.clone(),
            table: frame.table.clone(),
            rows: frame.rows,
            error: error.into(),
        };
        self.effects.push(Effect::Reject { name, report });
        let message =
            Message::Rejected { from: self.me(), frame: frame.clone(), error: error.into() };
        self.send(&message, &[]);
        self.frame_rejected(&frame, error.clone());
    }

    /// A queued frame was refused: whoever waits for it hears of it.
    pub(super) fn frame_rejected(&mut self, frame: &FrameName, error: Error) {
        self.queue.note_refused(frame);
        // What waits for the holder waits in vain: it was queued, and is on the list.
        let filed = self.ops.iter().position(|op| {
            let is_it = |append: &Append| {
                let id = append.request.frame_id == frame.frame_id;
                append.filed && id && append.request.digest == frame.digest
            };
            op.append().is_some_and(is_it)
        });
        if let Some(at) = filed {
            self.settle_queued(at);
        }
        if !self.knows_another(frame) {
            for call in self.queue.take_waiters(&frame.frame_id) {
                self.fail(call, error.clone());
            }
        }
    }

    pub(super) fn list_rejected(&mut self, call: CallId) {
        self.queue.rejected_calls.push(RejectedCall::List(call));
        self.effects.push(Effect::LoadRejected);
    }

    pub(super) fn retry_rejected(&mut self, call: CallId, frame_id: String) {
        self.queue.forget_refused(&frame_id);
        self.effects.push(Effect::RequeueRejected { frame_id });
        self.queue.dirty = true;
        self.queue.drain_at_ms = Some(self.now_ms);
        let message = Message::Queued { from: self.me() };
        self.send(&message, &[]);
        self.answer_settled(call, true);
    }

    pub(super) fn discard_rejected(&mut self, call: CallId, frame_id: String) {
        self.queue.forget_refused(&frame_id);
        self.effects.push(Effect::RemoveRejected { frame_id });
        self.answer_settled(call, false);
    }

    /// Jobs of the queue are done one after the other: when the list is there, what was asked for
    /// before is done.
    fn answer_settled(&mut self, call: CallId, again: bool) {
        self.queue.rejected_calls.push(RejectedCall::Settled(call, again));
        self.effects.push(Effect::LoadRejected);
    }

    pub(super) fn rejected_loaded(&mut self, outcome: Result<Vec<Rejected>, FileError>) {
        for waiting in std::mem::take(&mut self.queue.rejected_calls) {
            match (waiting, &outcome) {
                (waiting, Err(error)) => self.fail(waiting.call(), error.clone().into()),
                (RejectedCall::Settled(call, again), Ok(list)) => {
                    self.rejected_counted(list.len() as u64, again);
                    self.reply(call, Reply::Nothing);
                }
                (RejectedCall::List(call), Ok(list)) => {
                    self.reply(call, Reply::RejectedList(list.clone()));
                }
                (RejectedCall::Find(call, frame_id, applied), Ok(list)) => {
                    let found = list.iter().find(|rejected| rejected.frame_id == frame_id);
                    match (found, applied) {
                        (Some(rejected), _) => self.fail(call, rejected.error.clone().into()),
                        // What was refused here under this id is settled, by another tab perhaps.
                        (None, Some(frame)) => {
                            self.queue.forget_refused(&frame_id);
                            self.reply(call, committed_receipt(&frame));
                        }
                        (None, None) => {
                            let message = format!("no frame {frame_id:?} was queued or applied");
                            self.fail(call, Error::new(Code::InvalidArgument, message));
                        }
                    }
                }
            }
        }
    }
}
