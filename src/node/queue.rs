//! The durable queue: when it is drained, what it holds of ours, who waits for it.
//!
//! The queue is a folder of envelopes that any tab may add to and that only the holder of the
//! lease empties. It is drained before the holder's own writes: on the first lease of a node, when
//! anybody says that it grew, and when this node put something there itself.

use super::Node;
use super::handoff::committed_receipt;
use super::op::{Op, Work, name_of};
use super::rejected::RejectedCall;
use super::types::{CallId, Effect, Notice, QueueCounts, QueuePage, Reply};
use crate::envelope;
use crate::error::Code;
use crate::ladder::{Path, Rung};
use crate::message::{FrameName, Message};
use crate::platform::FileError;
use crate::sorted::SortedMap;
use crate::store::{AppendRequest, is_verdict};
use std::collections::{BTreeMap, VecDeque};

/// The queue grew and nobody emptied it for so long: perhaps its holder and its sender both died,
/// so this node does it. The jitter keeps the others from coming at the same moment.
const BYSTANDER_MS: f64 = 3000.0;
/// After a failure of the storage: when to look again.
pub(super) const PAUSE_MS: f64 = 2000.0;
/// A lease looks into the queue by itself when the last look is older than this; a lost message
/// delays a frame, and no more.
const LOOK_AGAIN_MS: f64 = 1000.0;
/// So many refused frames are told from others of the same id.
const KEPT_REFUSED: usize = 1000;

/// What a node knows of the queue.
pub(super) struct Queue {
    /// It may hold something: look before the next write.
    pub dirty: bool,
    /// The answer to `LoadQueue` is awaited.
    pub loading: bool,
    /// So many answers are yet to come that were asked for under earlier leases, and count no more.
    late: u32,
    loaded_at_ms: f64,
    /// Why the last look saw nothing.
    unread: Option<FileError>,
    page: Option<QueuePage>,
    /// What was last taken off the queue, by file name; should it be there again, it could not be.
    taken_off: Vec<String>,
    /// Frames of this node that are queued and not known to be in, by table, in order.
    own: SortedMap<String, Vec<OwnFrame>>,
    /// Frames of this node that were refused, the last ones: another frame may have their id.
    refused: VecDeque<OwnFrame>,
    /// When to drain it even without work of our own.
    pub drain_at_ms: Option<f64>,
    pub waiters: Vec<(CallId, String)>,
    pub rejected_calls: Vec<RejectedCall>,
    /// What this node counted last.
    counts: QueueCounts,
    /// What the client was told last, whoever counted it.
    told: Option<QueueCounts>,
}

/// A frame's id and digest.
type OwnFrame = (String, [u8; 16]);

impl Queue {
    pub fn new(waits: bool) -> Queue {
        Queue {
            dirty: true,
            loading: false,
            late: 0,
            loaded_at_ms: f64::NEG_INFINITY,
            unread: None,
            page: None,
            taken_off: Vec::new(),
            own: SortedMap::new(),
            refused: VecDeque::new(),
            drain_at_ms: waits.then_some(0.0),
            waiters: Vec::new(),
            rejected_calls: Vec::new(),
            counts: QueueCounts::default(),
            told: None,
        }
    }

    /// What is in own frames' way may be gone. While the queue cannot be emptied, a new lease is no reason to try.
    pub fn lease_began(&mut self, now_ms: f64) {
        let own_wait = !self.own.is_empty() && !self.is_paused();
        self.dirty |= own_wait || now_ms - self.loaded_at_ms > LOOK_AGAIN_MS;
    }

    /// Others have the queue from now on: what was read of it is old by the next lease.
    pub fn lease_ended(&mut self) {
        self.page = None;
        if std::mem::take(&mut self.loading) {
            self.late += 1;
            self.dirty = true;
        }
    }

    /// The storage failed: leave the queue alone for a while.
    pub fn pause(&mut self, now_ms: f64) {
        if self.drain_at_ms.is_some() || !self.own.is_empty() {
            self.drain_at_ms = Some(now_ms + PAUSE_MS);
        }
    }

    pub fn note_queued(&mut self, request: &AppendRequest) {
        let own = self.own.get_or_insert(request.table.clone(), Vec::new());
        own.push((request.frame_id.clone(), request.digest));
    }

    /// The frames of a table that are queued and not known to be in.
    pub fn own_of_table(&self, table: &str) -> impl Iterator<Item = &str> {
        self.own.get(table).into_iter().flatten().map(|(id, _)| &**id)
    }

    /// The digest of a frame that this node queued and that is not known to be in.
    pub fn own_digest(&self, frame_id: &str) -> Option<[u8; 16]> {
        let mut own = self.own.values().flatten();
        own.find(|(id, _)| id == frame_id).map(|(_, digest)| *digest)
    }

    /// The storage failed, and the queue is left alone for a while.
    pub fn is_paused(&self) -> bool {
        !self.dirty && self.drain_at_ms.is_some()
    }

    /// Nothing of it is at hand.
    pub fn may_stop(&self) -> bool {
        !self.loading && self.page.is_none()
    }

    /// A call does not wait any more. Gives whether it did.
    pub fn give_up(&mut self, call: CallId) -> bool {
        let before = self.waiters.len();
        self.waiters.retain(|(waiting, _)| *waiting != call);
        self.waiters.len() < before
    }

    /// Those who wait for a frame of this id.
    pub fn take_waiters(&mut self, frame_id: &str) -> Vec<CallId> {
        let mut calls = Vec::new();
        self.waiters.retain(|(call, waited)| {
            let waits = waited == frame_id;
            if waits {
                calls.push(*call);
            }
            !waits
        });
        calls
    }

    /// Whether somebody waits for what is done with the rejected list.
    pub fn has_calls(&self) -> bool {
        !self.rejected_calls.is_empty()
    }

    /// Everybody who waits for a frame.
    pub fn take_waiting(&mut self) -> Vec<CallId> {
        std::mem::take(&mut self.waiters).into_iter().map(|(call, _)| call).collect()
    }

    /// Whether a frame of this table must not be written: earlier ones are in the queue, which could
    /// not be emptied just now.
    pub fn is_stuck(&self, table: &str) -> bool {
        !self.dirty && self.own.contains_key(table)
    }

    pub fn forget_frame(&mut self, frame: &FrameName) {
        self.own.retain(|_, ids| {
            ids.retain(|(id, digest)| *id != frame.frame_id || *digest != frame.digest);
            !ids.is_empty()
        });
    }

    /// A frame was refused: no longer queued, and remembered if it is this node's own.
    pub fn note_refused(&mut self, frame: &FrameName) {
        if self.own_digest(&frame.frame_id) == Some(frame.digest) {
            if self.refused.len() == KEPT_REFUSED {
                self.refused.pop_front();
            }
            self.refused.push_back((frame.frame_id.clone(), frame.digest));
        }
        self.forget_frame(frame);
    }

    /// The id is used anew, or what was refused is settled.
    pub fn forget_refused(&mut self, frame_id: &str) {
        self.refused.retain(|(id, _)| id != frame_id);
    }

    /// The digest of a frame of this node that was refused.
    pub fn refused_digest(&self, frame_id: &str) -> Option<[u8; 16]> {
        self.refused.iter().find(|(id, _)| id == frame_id).map(|(_, digest)| *digest)
    }
}

impl Node {
    /// Whether the lease is wanted for the queue alone.
    pub(super) fn wants_drain(&self) -> bool {
        self.queue.drain_at_ms.is_some_and(|at_ms| self.now_ms >= at_ms)
    }

    /// The frame of a call is durable, or could not be made so.
    pub(super) fn enqueued(&mut self, call: CallId, outcome: Result<QueueCounts, FileError>) {
        self.queue.dirty = true;
        let at = self.ops.iter().position(|op| op.call == call);
        match outcome {
            Err(error) => {
                if let Some(at) = at {
                    if let Some(append) = self.ops[at].append() {
                        self.queue.forget_frame(&append.name());
                    }
                    self.not_queued(at, error.into());
                }
            }
            Ok(counts) => {
                // Whoever gets the lease drains; if all are busy elsewhere, that is this node.
                self.queue.drain_at_ms = Some(self.now_ms);
                let message = Message::Queued { from: self.me() };
                self.send(&message, &[]);
                self.tell_queue(counts);
                let Some(at) = at else { return };
                let (now_ms, most_bytes) = (self.now_ms, self.config.offer_bytes);
                let Op { until_ms, work: Work::Append(append), .. } = &mut self.ops[at] else {
                    return;
                };
                if append.request.content.bytes_estimate() > most_bytes
                    && append.ladder.wants_holder(now_ms)
                {
                    append.filed = true;
                    *until_ms = append.ladder.await_holder(now_ms);
                    return;
                }
                self.settle_queued(at);
            }
        }
    }

    pub(super) fn settle_queued(&mut self, at: usize) {
        let call = self.ops[at].call;
        if let Some(append) = self.ops[at].append() {
            let receipt = append.receipt(self.now_ms, Path::Queued, false);
            self.ops.remove(at);
            self.give_receipt(call, receipt);
        }
    }

    /// Frames that are durable in the queue and waited for the holder in vain.
    pub(super) fn settle_unanswered(&mut self) {
        let mut at = 0;
        while at < self.ops.len() {
            let due = self.ops[at]
                .append()
                .is_some_and(|append| append.filed && append.ladder.rung() == Rung::Queue);
            if due {
                self.settle_queued(at);
            } else {
                at += 1;
            }
        }
    }

    /// Somebody says that the queue grew.
    pub(super) fn queue_grew(&mut self) {
        self.queue.dirty = true;
        if self.queue.drain_at_ms.is_none() {
            let jitter = self.jitter();
            self.queue.drain_at_ms = Some(self.now_ms + BYSTANDER_MS * (1.0 + jitter));
        }
    }

    /// Drains, under an exclusive lease. Gives whether something was done or is awaited.
    pub(super) fn run_drain(&mut self) -> bool {
        if let Some(page) = self.queue.page.take() {
            self.apply_page(page);
            return true;
        }
        // A drain that is due, after a pause too, looks again.
        self.queue.dirty |= self.wants_drain();
        if self.queue.dirty && !self.queue.loading {
            self.queue.loading = true;
            // What grows from now on is looked for again.
            self.queue.dirty = false;
            self.effects.push(Effect::LoadQueue);
            self.rest();
        }
        self.queue.loading
    }

    pub(super) fn queue_loaded(&mut self, outcome: Result<QueuePage, FileError>) {
        if let Some(late) = self.queue.late.checked_sub(1) {
            self.queue.late = late;
            return;
        }
        self.queue.loading = false;
        self.queue.loaded_at_ms = self.now_ms;
        self.queue.unread = outcome.as_ref().err().cloned();
        match outcome {
            Ok(page) if page.frames.is_empty() && self.queue.dirty => {}
            Ok(page) if page.frames.is_empty() => {
                self.queue.drain_at_ms = None;
                self.queue.taken_off = Vec::new();
                self.forget_drained();
                self.tell_queue(page.counts);
                self.ask_again();
            }
            Ok(page) => {
                self.queue.dirty = true;
                self.queue.page = Some(page);
            }
            Err(_) => {
                // It cannot be read now. Frames that must not overtake own ones in it follow them.
                self.queue.dirty = false;
                self.queue.drain_at_ms = Some(self.now_ms + PAUSE_MS);
            }
        }
    }

    /// The queue is empty: what this node had in it is in or refused, but for frames that are on
    /// their way into it.
    fn forget_drained(&mut self) {
        let mut own = std::mem::take(&mut self.queue.own);
        let on_their_way = |(id, _): &OwnFrame| {
            let mut appends = self.ops.iter().filter_map(Op::append);
            appends.any(|append| append.enqueued && !append.filed && append.request.frame_id == *id)
        };
        own.retain(|_, ids| {
            ids.retain(on_their_way);
            !ids.is_empty()
        });
        self.queue.own = own;
    }

    /// The queue is empty: who still waits for a frame missed the news of it, or waits in vain.
    fn ask_again(&mut self) {
        for (call, frame_id) in std::mem::take(&mut self.queue.waiters) {
            self.find_again(call, frame_id, self.now_ms);
        }
    }

    /// `whenCommitted` looks once more, before everything else.
    fn find_again(&mut self, call: CallId, frame_id: String, since_ms: f64) {
        let (work, until_ms) = (Work::WhenCommitted { frame_id }, self.patience_until_ms());
        self.ops.push_front(Op { call, work, since_ms, until_ms });
    }

    /// Applies the head of the queue in one transaction, and clears what is settled off it.
    fn apply_page(&mut self, page: QueuePage) {
        let mut names = Vec::new();
        let mut requests = Vec::new();
        let mut rejected = Vec::new();
        let before = std::mem::take(&mut self.queue.taken_off);
        let again = page.frames.iter().any(|(name, _)| before.contains(name));
        for (name, bytes) in &page.frames {
            match envelope::decode(bytes) {
                Ok(request) => {
                    names.push(name.clone());
                    requests.push(request);
                }
                // A newer framelock wrote it and will know what to do with it.
                Err(error) if error.code == Code::ProtocolVersion => {}
                Err(error) => {
                    let frame = FrameName {
                        frame_id: name.clone(),
                        table: String::new(),
                        rows: 0,
                        digest: [0; 16],
                        coerced: BTreeMap::new(),
                        by: None,
                    };
                    self.reject(name.clone(), frame, &error);
                    rejected.push(name.clone());
                }
            }
        }
        let requests: Vec<&AppendRequest> = requests.iter().collect();
        let mut outcomes = if requests.is_empty() { vec![] } else { self.append_each(&requests) };
        self.make_durable_for_others(&mut outcomes);
        let senders = names.iter().map(|name| sender_in(name)).collect::<Vec<_>>();
        self.announce_applied(&requests, &outcomes, &senders);
        let (mut removed, mut applied, mut failed) = (Vec::new(), 0, false);
        for ((name, request), outcome) in names.into_iter().zip(&requests).zip(outcomes) {
            match outcome {
                Ok(outcome) => {
                    match outcome.duplicate {
                        true => self.frames_committed(&[name_of(request)]),
                        false => applied += 1,
                    }
                    removed.push(name);
                }
                Err(error) if is_verdict(&error) => {
                    self.reject(name.clone(), name_of(request), &error);
                    rejected.push(name);
                }
                // So is what comes after it in its table.
                Err(_) => failed = true,
            }
        }
        let moved = !removed.is_empty() || !rejected.is_empty();
        if moved {
            self.count_drained(applied);
        }
        if failed || again || !moved {
            // `drain()` says how many are left.
            let gone = |names: &[String]| {
                names.iter().filter(|name| !before.contains(name)).count() as u64
            };
            let QueueCounts { queued, rejected: refused } = page.counts;
            self.tell_queue(QueueCounts {
                queued: queued.saturating_sub(gone(&removed) + gone(&rejected)),
                rejected: refused + gone(&rejected),
            });
            self.queue.dirty = false;
            self.queue.drain_at_ms = Some(self.now_ms + PAUSE_MS);
        }
        self.queue.taken_off.clone_from(&removed);
        self.queue.taken_off.extend(rejected);
        if !removed.is_empty() {
            self.effects.push(Effect::RemoveQueued(removed));
        }
    }

    /// For `drain()`: whatever came out of the queue since the call, also before it had the lease. It has time as long
    /// as the queue gets shorter.
    fn count_drained(&mut self, now_applied: u64) {
        let longest_ms = self.patience_until_ms();
        for op in &mut self.ops {
            if let Work::Drain { applied, patience_ms, .. } = &mut op.work {
                *applied += now_applied;
                op.until_ms = longest_ms.min(self.now_ms + *patience_ms);
            }
        }
    }

    /// Another tab committed frames: those that this one had queued were in the queue.
    pub(super) fn others_drained(&mut self, frames: &[FrameName]) {
        let is_own =
            |frame: &&FrameName| self.queue.own_digest(&frame.frame_id) == Some(frame.digest);
        let count = frames.iter().filter(is_own).count() as u64;
        if count > 0 {
            self.count_drained(count);
        }
    }

    /// `drain()`: gives the counts once the queue is empty, or cannot be emptied now. How many are left in one that
    /// cannot be read nobody knows.
    pub(super) fn run_drain_call(&mut self) -> bool {
        let Some(Op { call, work: Work::Drain { started, applied, .. }, .. }) =
            self.ops.front_mut()
        else {
            return false;
        };
        if !*started {
            *started = true;
            self.queue.dirty = true;
            self.queue.taken_off = Vec::new();
            return true;
        }
        let (call, applied) = (*call, *applied);
        if let Some(error) = self.queue.unread.take() {
            self.fail_op(0, error.into());
            return true;
        }
        // Whoever has the lease drains, and may have met a bad frame before this call came.
        let QueueCounts { queued: remaining, rejected } = self.queue.counts;
        self.ops.pop_front();
        self.reply(call, Reply::Drained { applied, rejected, remaining });
        true
    }

    /// `whenCommitted`: the queue is drained by now, so the frame is in, refused, or unknown.
    pub(super) fn run_when_committed(&mut self, call: CallId, frame_id: String, since_ms: f64) {
        let applied = match self.store.find_applied(&frame_id) {
            Ok(Some(frame)) if !self.knows_another(&frame) => {
                return self.reply(call, committed_receipt(&frame));
            }
            Ok(applied) => applied,
            Err(error) => return self.fail(call, error),
        };
        if self.queue.loaded_at_ms < since_ms && !self.queue.is_paused() {
            // It may be in the queue since the last look.
            self.queue.dirty = true;
            self.find_again(call, frame_id, since_ms);
        } else if self.queue.drain_at_ms.is_some() {
            self.queue.waiters.push((call, frame_id));
        } else {
            self.queue.rejected_calls.push(RejectedCall::Find(call, frame_id, applied));
            self.effects.push(Effect::LoadRejected);
        }
    }

    /// This node counted: if that is news, the other tabs hear of it, too.
    fn tell_queue(&mut self, counts: QueueCounts) {
        self.queue.counts = counts;
        let is_news = self.queue.told.unwrap_or_default() != counts;
        self.queue_counted(counts);
        if is_news {
            let QueueCounts { queued, rejected } = counts;
            self.send(&Message::Counted { from: self.me(), queued, rejected }, &[]);
        }
    }

    /// The client is told what it does not know yet.
    pub(super) fn queue_counted(&mut self, counts: QueueCounts) {
        if self.queue.told != Some(counts) {
            self.queue.told = Some(counts);
            self.effects.push(Effect::Notify(Notice::Queue(counts)));
        }
    }

    /// The rejected list has so many frames, now that this node took some off it: into the queue, or for good.
    pub(super) fn rejected_counted(&mut self, rejected: u64, again: bool) {
        let before = self.queue.told.unwrap_or_default();
        let moved = if again { before.rejected.saturating_sub(rejected) } else { 0 };
        self.tell_queue(QueueCounts { queued: before.queued + moved, rejected });
    }
}

/// What the name of a file of the queue begins with: its place, and whose frame is in it.
pub fn queue_file_stem(order: u64, node_id: &str) -> String {
    format!("{order:020}-{node_id}")
}

/// Whose frame is in a file of the queue. In memory, where there is one node, names do not say it.
fn sender_in(name: &str) -> Option<&str> {
    let (_, rest) = name.split_once('-')?;
    rest.split('.').next()
}
