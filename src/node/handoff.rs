//! Handoff: frames that other tabs offer to this one while it holds the lease, and the answers to
//! what this one offered.
//!
//! An answer is given only after the commit. No answer is an answer too: the sender waits a while
//! and then queues the frame, and the applied ids see to it that both ways together write it once.

use super::Node;
use super::op::{Op, Work, name_by};
use super::types::{CallId, Reply};
use crate::envelope;
use crate::error::{Code, Error, Result};
use crate::ladder::Path;
use crate::message::{Answer, FrameName, Message};
use crate::sorted::SortedMap;
use crate::store::{AppendRequest, Applied, Mode, is_verdict};

/// A frame that another tab offered.
pub(super) struct Offer {
    /// The node that offers it.
    pub from: String,
    call: CallId,
    after: Vec<String>,
    pub request: AppendRequest,
    bytes: usize,
}

/// Offers beyond this are not taken; their senders queue them.
const MAX_INBOX_BYTES: usize = 64 << 20;
/// Offers that share a transaction, at most.
const GROUP_OFFERS: usize = 64;

impl Node {
    pub(super) fn offer_received(
        &mut self,
        from: String,
        call: CallId,
        frame_id: &str,
        after: Vec<String>,
        payload: &[u8],
    ) {
        let waiting: usize = self.inbox.iter().map(|offer| offer.bytes).sum();
        if self.lease.held() != Some(Mode::Exclusive)
            || self.suspended
            || waiting + payload.len() > MAX_INBOX_BYTES
        {
            return;
        }
        if let Ok(request) = envelope::decode(payload)
            && request.frame_id == frame_id
        {
            self.inbox.push_back(Offer { from, call, after, request, bytes: payload.len() });
            self.check_invitation();
        }
    }

    /// Takes what was offered, as much as may share a transaction.
    pub(super) fn take_offers(&mut self) -> Vec<Offer> {
        let count = self.inbox.len().min(GROUP_OFFERS);
        let mut group: Vec<Offer> = Vec::new();
        for offer in self.inbox.drain(..count).collect::<Vec<_>>() {
            if self.is_in_order(&offer, &group) {
                group.push(offer);
            }
        }
        group
    }

    /// Answers what became of an offer, once that is committed.
    pub(super) fn answer_outcome(&mut self, offer: &Offer, outcome: Result<Applied>) {
        let answer = match outcome {
            Ok(Applied { rows, coerced, duplicate }) => {
                Answer::Applied { rows, coerced, duplicate }
            }
            Err(error) if is_verdict(&error) => Answer::Refused { error: (&error).into() },
            // The disk is full, or worse: that is no verdict on the frame. Silence queues it.
            Err(_) => return,
        };
        let message = Message::Answer {
            from: self.me(),
            to: offer.from.clone(),
            call: offer.call,
            frame_id: offer.request.frame_id.clone(),
            answer,
        };
        self.send(&message, &[]);
        self.note_served(&offer.from);
    }

    /// Whether the frames that must go before this one are in, or go in just before it.
    fn is_in_order(&self, offer: &Offer, group: &[Offer]) -> bool {
        offer.after.iter().all(|after| {
            group.iter().any(|earlier| earlier.request.frame_id == *after)
                || matches!(self.store.find_frame(after), Ok(Some(_)))
        })
    }

    /// Applies frames together, or one by one when together they fail: one of them may have been
    /// too much, and alone the others may well get through. What comes after such a frame in its
    /// table is not tried: it must not get in before it.
    pub(super) fn append_each(&mut self, requests: &[&AppendRequest]) -> Vec<Result<Applied>> {
        match self.store.append_group(requests) {
            Ok(outcomes) => outcomes,
            Err(error) if requests.len() == 1 => vec![Err(error)],
            Err(_) => {
                let mut stuck: SortedMap<&str, Error> = SortedMap::new();
                let mut outcomes = Vec::with_capacity(requests.len());
                for request in requests {
                    let outcome = match stuck.get(&*request.table) {
                        Some(error) => Err(error.clone()),
                        None => self.append_alone(request),
                    };
                    if let Err(error) = &outcome
                        && !is_verdict(error)
                    {
                        stuck.insert(&request.table, error.clone());
                    }
                    outcomes.push(outcome);
                }
                outcomes
            }
        }
    }

    /// Before others are told that frames of theirs are in, or those of the queue are taken off it: under
    /// `durability: 'relaxed'` nothing has flushed them, and they may be of handles that rely on it.
    pub(super) fn make_durable_for_others(&mut self, outcomes: &mut [Result<Applied>]) {
        if let Err(error) = self.store.flush_relaxed() {
            for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_ok()) {
                *outcome = Err(error.clone());
            }
        }
    }

    fn append_alone(&mut self, request: &AppendRequest) -> Result<Applied> {
        let mut outcomes = self.store.append_group(&[request])?;
        outcomes.pop().unwrap_or_else(|| Err(Error::new(Code::Sql, "no outcome")))
    }

    /// Tells everybody which of these frames are new in the database, and whose they are.
    pub(super) fn announce_applied(
        &mut self,
        requests: &[&AppendRequest],
        outcomes: &[Result<Applied>],
        senders: &[Option<&str>],
    ) {
        let mut frames: Vec<FrameName> = Vec::new();
        let mut forwarded = false;
        for ((request, outcome), sender) in requests.iter().zip(outcomes).zip(senders) {
            if let Ok(Applied { coerced, duplicate: false, .. }) = outcome {
                let name = name_by(request, *sender);
                frames.push(FrameName { coerced: coerced.clone(), ..name });
                forwarded |= request.forward;
            }
        }
        let tables = self.store.take_committed();
        self.announce(tables, frames, forwarded);
    }

    /// The holder answered an offer of ours.
    pub(super) fn answered(&mut self, from: &str, call: CallId, frame_id: &str, answer: Answer) {
        if self.doubt_answered(call, frame_id, &answer) {
            return;
        }
        // What is being written here was not in before: a late answer is about something else.
        let at = self.ops.iter().position(|op| op.call == call && self.underway() != Some(call));
        let Some(at) = at else {
            return;
        };
        let Some(append) = self.ops[at].append_mut() else {
            return;
        };
        if !append.offered || append.request.frame_id != frame_id {
            return;
        }
        match answer {
            Answer::Applied { coerced, duplicate, .. } => {
                append.ladder.committed(Path::Handoff, self.now_ms);
                let path = if duplicate { Path::Duplicate } else { Path::Handoff };
                let mut receipt = append.receipt(self.now_ms, path, true);
                receipt.coerced = coerced;
                let call = self.ops[at].call;
                self.ops.remove(at);
                self.give_receipt(call, receipt);
                self.taken_along(from);
                // A caller in a loop calls again after this answer too.
                self.ran = true;
            }
            // Once it is queued, the drain will come to the same verdict and list it.
            Answer::Refused { .. } if append.enqueued => {}
            Answer::Refused { error } => {
                let error: Error = error.into();
                self.fail_op(at, error);
            }
        }
    }

    /// Frames are in the database: whoever waits for them hears of it.
    pub(super) fn frames_committed(&mut self, frames: &[FrameName]) {
        for frame in frames {
            self.queue.forget_frame(frame);
        }
        self.note_repeats(frames);
        self.doubts_committed(frames);
        let frame_of = |op: &Op| match &op.work {
            Work::WhenCommitted { frame_id } => frames.iter().find(|f| f.frame_id == *frame_id),
            // One that went to the holder by way of the queue.
            Work::Append(append) if append.enqueued => {
                let AppendRequest { frame_id, digest, .. } = &append.request;
                frames.iter().find(|f| f.frame_id == *frame_id && f.digest == *digest)
            }
            _ => None,
        };
        let waiting = self.ops.iter().filter_map(|op| Some((op.call, frame_of(op)?)));
        for (call, frame) in waiting.collect::<Vec<_>>() {
            self.settle_committed(call, frame);
        }
        for frame in frames {
            if !self.queue.waiters.is_empty() && !self.knows_another(frame) {
                for call in self.queue.take_waiters(&frame.frame_id) {
                    self.reply(call, committed_receipt(frame));
                }
            }
        }
    }

    /// Another node's copies of frames are in: those that wait here under the same ids are repeats.
    fn note_repeats(&mut self, frames: &[FrameName]) {
        let is_others = |by: &String| *by != self.config.node_id;
        let theirs = frames.iter().filter(|frame| frame.by.as_ref().is_some_and(is_others));
        for frame in theirs.collect::<Vec<_>>() {
            let waiting = self.ops.iter_mut().filter_map(Op::append_mut);
            let in_doubt = self.doubts.list.iter_mut().map(|doubt| &mut *doubt.append);
            for append in waiting.chain(in_doubt) {
                let AppendRequest { frame_id, digest, .. } = &append.request;
                append.repeat |= *frame_id == frame.frame_id && *digest == frame.digest;
            }
        }
    }

    /// The frame that a call waits for is in the database.
    fn settle_committed(&mut self, call: CallId, frame: &FrameName) {
        let Some(at) = self.ops.iter().position(|op| op.call == call) else {
            return;
        };
        if let Some(append) = self.ops[at].append_mut() {
            append.ladder.committed(Path::Handoff, self.now_ms);
            let path = if append.repeat { Path::Duplicate } else { Path::Handoff };
            let mut receipt = append.receipt(self.now_ms, path, true);
            receipt.coerced = frame.coerced.clone();
            self.ops.remove(at);
            self.give_receipt(call, receipt);
        } else if !self.knows_another(frame) {
            self.ops.remove(at);
            self.reply(call, committed_receipt(frame));
        }
    }
}

/// What `whenCommitted` answers: the frame is in, by way of the queue.
pub(super) fn committed_receipt(frame: &FrameName) -> Reply {
    Reply::Receipt(Box::new(super::Receipt {
        frame_id: frame.frame_id.clone(),
        table: frame.table.clone(),
        rows: frame.rows,
        path: Path::Queued,
        committed: true,
        attempts: Vec::new(),
        elapsed_ms: 0.0,
        coerced: frame.coerced.clone(),
    }))
}
