//! What has waited long enough goes down the ladder: to the holder, to the queue, or to an error.
//!
//! Frames of one table keep their order on the way down. A frame is offered to the holder only
//! once every earlier one of its table is offered or queued, and queued only once every earlier
//! one is queued; if its time is up first, the earlier ones are queued with it.

use super::Node;
use super::op::{Append, Op, Work};
use super::types::{CallId, Effect};
use crate::envelope;
use crate::error::{Code, Error};
use crate::ladder::{Fallback, Ladder, Next, Path, Rung};
use crate::message::{FrameName, Message};
use crate::policy::{RetryPolicy, next_random};
use crate::store::AppendRequest;

/// Larger frames go to the holder by way of the queue: a message is copied for every tab.
pub const OFFER_BYTES: u64 = 4 << 20;
/// So many frames of this node are offered and not answered, at most: one that was offered may be in, and cannot be
/// settled before it is answered or queued. A holder takes as many at a time.
const OFFERS: usize = 64;
/// So many are on their way into the queue, at most. Each takes some milliseconds, and cannot be called back; the others
/// can still be written directly, or end with their time.
const FILES: usize = 16;
/// A lease that was passed on comes back within so long, as a rule, and the queue that goes first under a lease is read.
/// Then a frame is written in less time than its file would take: until then it rests before the queue.
const REST_MS: f64 = 250.0;

impl Node {
    /// Settles or moves down what has waited long enough, and works out when to look again.
    pub(super) fn expire(&mut self) {
        self.expire_doubts();
        // Whoever can run now, runs: it waits for the lock no longer. Frames have a deadline.
        if self.lease.held().is_some() && self.tx.is_none() && !self.queue.loading {
            return self.expire_behind();
        }
        let mut at = 0;
        while at < self.ops.len() {
            match self.poll(at) {
                Some(error) => self.fail_op(at, error),
                None => at += 1,
            }
        }
        self.offer_ready();
        self.enqueue_ready();
        self.settle_unanswered();
    }

    /// Looks at one call; gives the error with which it ends, if it does.
    pub(super) fn poll(&mut self, at: usize) -> Option<Error> {
        let now_ms = self.now_ms;
        let own_transaction = self.tx.is_some();
        let append = self.ops[at].append();
        let rests_until_ms = append.map_or(now_ms, |append| self.rests_until_ms(append));
        let mut random = self.random;
        let op = &mut self.ops[at];
        let overdue = op.overdue(now_ms);
        let mut failed = None;
        match &mut op.work {
            Work::Append(append) => {
                let ladder = &mut append.ladder;
                let mut next = ladder.poll(now_ms, &mut || next_random(&mut random));
                if next == Next::Handoff && own_transaction {
                    // The holder is this very handle, and the transaction may wait for this call.
                    ladder.handoff_refused("this handle's own transaction holds the lock");
                    next = Next::Queue;
                }
                match next {
                    Next::WaitUntil(until_ms) => op.until_ms = until_ms,
                    Next::Fail(error) => failed = Some(error),
                    // `offer_ready` and `enqueue_ready` see to it; the former gives it a time.
                    Next::Handoff | Next::Queue => op.until_ms = f64::INFINITY,
                }
                match append.ladder.rung() {
                    Rung::Handoff { until_ms, .. } => op.until_ms = until_ms,
                    // It rests, or is blocked by an earlier frame: it settles by its deadline all the
                    // same. One that was offered may be in by now, and is never blocked.
                    Rung::Queue if !append.enqueued => {
                        op.until_ms = match now_ms < rests_until_ms {
                            true => rests_until_ms,
                            false => append.ladder.deadline_ms(),
                        };
                    }
                    _ => {}
                }
                failed = failed.or(overdue);
            }
            _ if now_ms >= op.until_ms => {
                let waited = now_ms - op.since_ms;
                let message = match own_transaction {
                    true => format!(
                        "this handle's own transaction held the lock for {waited:.0} ms; inside it, use tx"
                    ),
                    false => format!("the lock stayed taken for {waited:.0} ms"),
                };
                failed = Some(match self.closing {
                    None => Error::new(Code::Busy, message),
                    Some(_) => super::handle_closed(),
                });
            }
            _ => {}
        }
        self.random = random;
        failed
    }

    /// A frame of the caller's: onto the ladder, unless it is plain already what becomes of it.
    pub(super) fn append(
        &mut self,
        call: CallId,
        request: AppendRequest,
        policy: RetryPolicy,
        fallback: Fallback,
        since_ms: f64,
    ) {
        let ladder = Ladder::new(policy, fallback, self.now_ms).called_at(since_ms);
        if since_ms < self.now_ms && ladder.is_overdue(self.now_ms) {
            let error = ladder.timed_out(self.now_ms);
            return self.fail(call, error.in_table(&request.table));
        }
        // Nobody can send an id again that framelock has just made.
        let is_new = request.own_id;
        let known = if is_new { None } else { self.digest_under_way(&request.frame_id) };
        if known.is_some_and(|digest| digest != request.digest) {
            return self.fail(call, request.id_conflict());
        }
        self.queue.forget_refused(&request.frame_id);
        if policy.attempts == 0 && fallback == Fallback::None {
            let message = "no attempt was asked for, and no fallback; nothing was written";
            self.counters.busy += 1;
            let error = Error::new(Code::Busy, message);
            return self.fail(call, error.in_table(&request.table));
        }
        let append = Append {
            repeat: known.is_some(),
            ladder,
            request,
            offered: false,
            guest_of: None,
            answer_until_ms: None,
            enqueued: false,
            filed: false,
        };
        let until_ms = append.ladder.first_ms();
        self.push_op(call, Work::Append(Box::new(append)), until_ms);
        // Straight into the queue, whether the lock is free or not.
        if policy.attempts == 0 && fallback == Fallback::Queue {
            let at = self.ops.len() - 1;
            let is_next = self.earlier(at).next().is_none()
                && !self.ops[at].append().is_some_and(|append| self.follows_doubt(append));
            if is_next && !self.settle_known(at) {
                self.enqueue_with_earlier(at);
            }
        }
    }

    /// The frames before this one that are for the same table.
    fn earlier(&self, at: usize) -> impl DoubleEndedIterator<Item = &Append> {
        let table = self.ops[at].append().map(|append| &append.request.table);
        let earlier = self.ops.range(..at).filter_map(Op::append);
        earlier.filter(move |append| table == Some(&append.request.table))
    }

    /// Settles a frame whose id was used before, where that can be seen without waiting for the lock.
    fn settle_known(&mut self, at: usize) -> bool {
        let Some(request) = self.ops[at].append().map(|append| &append.request) else {
            return false;
        };
        // An open transaction may take back what it sees.
        let is_seen = self.lease.held().is_some() && !self.store.in_transaction();
        if request.own_id || !is_seen || !self.store.is_open() {
            return false;
        }
        let (digest, conflict) = (request.digest, request.id_conflict());
        match self.store.find_applied(&request.frame_id) {
            Ok(Some(frame)) if frame.digest == digest => {
                let call = self.ops[at].call;
                if let Some(append) = self.ops[at].append_mut() {
                    let mut receipt = append.receipt(self.now_ms, Path::Duplicate, true);
                    receipt.coerced = frame.coerced;
                    self.ops.remove(at);
                    self.give_receipt(call, receipt);
                }
            }
            Ok(Some(_)) => self.fail_op(at, conflict),
            _ => return false,
        }
        true
    }

    /// The digest of a frame that this handle was given under this id and does not know to be in.
    fn digest_under_way(&self, frame_id: &str) -> Option<[u8; 16]> {
        let appends = self.ops.iter().filter_map(Op::append);
        let in_doubt = self.doubts.list.iter().map(|doubt| &*doubt.append);
        let mut appends = appends.chain(in_doubt);
        let waiting = appends.find(|append| append.request.frame_id == frame_id);
        waiting.map(|append| append.request.digest).or_else(|| self.queue.own_digest(frame_id))
    }

    /// Whether what this handle was given under the id of a frame is another frame. Whoever waits for the id here waits
    /// for that one.
    pub(super) fn knows_another(&self, frame: &FrameName) -> bool {
        let id = &frame.frame_id;
        let own = self.digest_under_way(id).or_else(|| self.queue.refused_digest(id));
        own.is_some_and(|digest| digest != frame.digest)
    }

    /// Offers the frames whose turn it is to the holder.
    fn offer_ready(&mut self) {
        let inviter = self.inviter();
        let mut offered = self.ops.iter().filter_map(Op::append).filter(|a| a.offered).count();
        let (mut blocked, mut ready) = (Vec::new(), Vec::new());
        for (at, op) in self.ops.iter().enumerate() {
            let Some(append) = op.append() else {
                continue;
            };
            let table = &*append.request.table;
            // Once, and again to whoever invites.
            let is_asked = match append.offered {
                true => inviter.is_some() && inviter != append.guest_of.as_deref(),
                false => offered < OFFERS,
            };
            match append.ladder.rung() {
                Rung::Direct { .. } | Rung::Backoff { .. } if !blocked.contains(&table) => {
                    blocked.push(table);
                }
                Rung::Handoff { .. }
                    if is_asked && !append.enqueued && !blocked.contains(&table) =>
                {
                    offered += usize::from(!append.offered);
                    ready.push(at);
                }
                _ => {}
            }
        }
        for at in ready {
            self.offer(at);
        }
    }

    fn offer(&mut self, at: usize) {
        let after = self.previous(at);
        let (from, call, most_bytes) = (self.me(), self.ops[at].call, self.config.offer_bytes);
        let Some(append) = self.ops[at].append_mut() else {
            return;
        };
        match append.request.content.bytes_estimate() {
            bytes if bytes > most_bytes => append.ladder.force_queue(),
            _ => match envelope::encode(&append.request) {
                Ok(payload) => {
                    self.store.os().taken(call);
                    append.offered = true;
                    let frame_id = append.request.frame_id.clone();
                    let message = Message::Offer { from, call, frame_id, after };
                    self.send(&message, &payload);
                    self.note_guest(at);
                }
                Err(_) => append.ladder.force_queue(),
            },
        }
    }

    /// The frames of the same table that must be in before this one: those before it that are still
    /// under way, the last one first, and those that were queued. One whose id framelock made stands for
    /// all before it: nobody else has it, so it is in only after them.
    fn previous(&self, at: usize) -> Vec<String> {
        let Some(append) = self.ops[at].append() else {
            return Vec::new();
        };
        let mut previous = Vec::new();
        for Append { request, .. } in self.earlier(at).rev() {
            previous.push(request.frame_id.clone());
            if request.own_id {
                return previous;
            }
        }
        let table = &append.request.table;
        let in_doubt = self.doubts.list.iter().filter(|doubt| doubt.append.request.table == *table);
        previous.extend(in_doubt.map(|doubt| doubt.append.request.frame_id.clone()));
        previous.extend(self.queue.own_of_table(table).map(str::to_owned));
        previous
    }

    /// Queues the frames that stand on the last rung, and what must go before them.
    fn enqueue_ready(&mut self) {
        // Calls may settle on the way, and are gone then.
        let due = self.ops.iter().filter(|op| self.is_due_in_queue(op)).map(|op| op.call);
        for call in due.collect::<Vec<_>>() {
            let is_it = |op: &Op| op.call == call && self.is_due_in_queue(op);
            if let Some(at) = self.ops.iter().position(is_it)
                && !self.is_blocked(at)
            {
                let under_way = self.ops.iter().filter_map(Op::append);
                let under_way = under_way.filter(|a| a.enqueued && !a.filed).count();
                if under_way >= FILES {
                    return;
                }
                self.enqueue_up_to(at, FILES - under_way);
            }
        }
    }

    fn is_due_in_queue(&self, op: &Op) -> bool {
        op.append().is_some_and(|append| {
            let is_there = append.ladder.rung() == Rung::Queue && !append.enqueued;
            is_there && self.now_ms >= self.rests_until_ms(append)
        })
    }

    /// Until when a frame rests before the queue, in time for its deadline.
    fn rests_until_ms(&self, append: &Append) -> f64 {
        let until_ms = match self.follows_doubt(append) {
            true => f64::INFINITY,
            false => self.rest_until_ms,
        };
        until_ms.min(append.ladder.direct_until_ms())
    }

    /// Whether an earlier frame of the same table can be neither queued nor overtaken.
    fn is_blocked(&self, at: usize) -> bool {
        self.earlier(at).any(|append| !append.enqueued && !append.ladder.may_queue())
    }

    /// Frames are likely to be written soon.
    pub(super) fn rest(&mut self) {
        self.rest_until_ms = self.now_ms + REST_MS;
    }

    pub(super) fn enqueue_with_earlier(&mut self, last: usize) {
        self.enqueue_up_to(last, usize::MAX);
    }

    /// Queues the first so many of a frame and the earlier ones of its table.
    fn enqueue_up_to(&mut self, last: usize, most: usize) {
        let Some(table) = self.ops[last].append().map(|append| append.request.table.clone()) else {
            return;
        };
        let mut there = Vec::new();
        let mut begun = 0;
        for at in 0..=last {
            if begun == most {
                break;
            }
            let is_there = self.is_queued_repeat(at);
            let Some(append) = self.ops[at].append_mut() else {
                continue;
            };
            if append.request.table != table || append.enqueued {
                continue;
            }
            append.ladder.force_queue();
            append.enqueued = true;
            if is_there {
                there.push(self.ops[at].call);
                continue;
            }
            let frame_id = append.request.frame_id.clone();
            match envelope::encode(&append.request) {
                Ok(bytes) => {
                    self.doubts.overtaken_in(&table);
                    self.queue.note_queued(&append.request);
                    let call = self.ops[at].call;
                    self.store.os().taken(call);
                    self.ops[at].until_ms = f64::INFINITY;
                    begun += 1;
                    self.effects.push(Effect::Enqueue { call, frame_id, bytes });
                }
                Err(error) => {
                    self.fail_op(at, error);
                    break;
                }
            }
        }
        for call in there {
            if let Some(at) = self.ops.iter().position(|op| op.call == call) {
                self.settle_queued(at);
            }
        }
    }

    /// Whether the same frame is durable in the queue already: this handle put it there, and has
    /// given the receipt.
    fn is_queued_repeat(&self, at: usize) -> bool {
        let Some(append) = self.ops[at].append() else {
            return false;
        };
        let id = &append.request.frame_id;
        let mut earlier = self.ops.iter().take(at).filter_map(Op::append);
        append.repeat
            && !earlier.any(|earlier| earlier.request.frame_id == *id)
            && self.queue.own_digest(id) == Some(append.request.digest)
    }

    /// A uniform number in `[0, 1)`.
    pub(super) fn jitter(&mut self) -> f64 {
        next_random(&mut self.random)
    }
}
