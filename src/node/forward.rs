//! Forwarding, from the node's side: when this handle is the one who sends, when its looks and records
//! get the lease, and what everybody is told.
//!
//! The decisions are the sender's ([`crate::forward`]). One handle of all tabs sends: it holds a lock
//! of its own for that, which has nothing to do with the lease. The lease is taken for one look or
//! one record at a time, behind the calls of the client, and never kept for the network's sake.

use super::Node;
use super::types::{Effect, Notice, OutboxCall, Reply};
use crate::error::Result;
use crate::forward::{Look, Outcome, Record, Report, Sender, Settings, Status, Step};
use crate::lease::LockId;
use crate::message::Message;
use crate::store::Mode;

/// Calls of the client go first, but not for longer than this.
const PATIENCE_MS: f64 = 250.0;
/// Calls that come within so much of the last answer come one upon the other: a frame of 100,000 rows takes
/// a page 50 ms to make.
const BUSY_MS: f64 = 100.0;
/// `status()` waits so long for a lease to count the outbox under.
const COUNT_MS: f64 = 200.0;
/// The database could not be opened; and the sender's lock was taken away.
const PAUSE_MS: f64 = 2000.0;

/// See the module.
pub(super) struct Forwarder {
    sender: Sender,
    /// The sender's lock, or the request for it.
    lock: Option<LockId>,
    last_lock: LockId,
    lock_at_ms: f64,
    look: Option<Look>,
    records: Vec<Record>,
    due_since_ms: f64,
    not_before_ms: f64,
    /// What the one who sends said last.
    heard: Status,
    /// Frames were put into the outbox under this lease.
    grew: bool,
    /// There may be more in the outbox than is known: it was not looked at yet, or others have put frames there.
    unsure: bool,
    /// Until when `status()` waits for it to be counted.
    count_until_ms: Option<f64>,
}

impl Forwarder {
    pub fn new(settings: Settings, seed: u64) -> Forwarder {
        Forwarder {
            sender: Sender::new(settings, seed),
            lock: None,
            last_lock: 0,
            lock_at_ms: 0.0,
            look: None,
            records: Vec::new(),
            due_since_ms: 0.0,
            not_before_ms: 0.0,
            heard: Status::default(),
            grew: false,
            unsure: true,
            count_until_ms: None,
        }
    }

    fn has_work(&self) -> bool {
        self.look.is_some() || !self.records.is_empty()
    }
}

impl Node {
    /// Gives the sender something, and does what it says.
    fn with_sender(&mut self, event: impl FnOnce(&mut Sender, f64) -> Vec<Step>) {
        let now_ms = self.now_ms;
        let Some(forward) = &mut self.forward else {
            return;
        };
        let steps = event(&mut forward.sender, now_ms);
        let had_work = forward.has_work();
        let mut reports = Vec::new();
        for step in steps {
            match step {
                Step::Look(look) => forward.look = Some(look),
                Step::Record(record) => forward.records.push(record),
                Step::Exchange { id, request } => {
                    self.effects.push(Effect::Exchange { id, request: Box::new(request) });
                }
                Step::Cancel { id } => self.effects.push(Effect::CancelExchange { id }),
                Step::Token { id, refresh } => self.effects.push(Effect::AskToken { id, refresh }),
                Step::Tell(report) => reports.push(report),
            }
        }
        if !had_work {
            forward.due_since_ms = now_ms;
        }
        for report in reports {
            self.report(report);
        }
    }

    /// A call came, or was answered: the next one may come at any moment, and the sender can wait for that.
    pub(super) fn let_caller_go_first(&mut self) {
        if let Some(forward) = &mut self.forward {
            forward.sender.caller_is_busy(self.now_ms, self.now_ms + BUSY_MS);
        }
    }

    fn report(&mut self, report: Report) {
        self.send(&Message::Forwarding { from: self.me(), report: report.clone() }, &[]);
        self.effects.push(Effect::Notify(Notice::Forward(Box::new(report))));
    }

    /// The one who sends, in another tab, says how it goes.
    pub(super) fn report_heard(&mut self, report: Report) {
        if let Some(forward) = &mut self.forward
            && !forward.sender.is_on()
        {
            forward.heard = report.status.clone();
            forward.unsure = false;
            self.effects.push(Effect::Notify(Notice::Forward(Box::new(report))));
        }
    }

    /// Asks for the sender's lock where that is to be had, and lets the sender go on.
    pub(super) fn advance_forward(&mut self) {
        let may_send = !self.suspended && self.closing.is_none();
        let now_ms = self.now_ms;
        if let Some(forward) = &mut self.forward
            && forward.lock.is_none()
            && may_send
            && now_ms >= forward.lock_at_ms
        {
            forward.last_lock += 1;
            forward.lock = Some(forward.last_lock);
            self.effects.push(Effect::RequestSender { id: forward.last_lock });
        }
        let until_ms = self.forward.as_ref().and_then(|forward| forward.count_until_ms);
        if until_ms.is_some_and(|until_ms| now_ms >= until_ms) {
            self.answer_status();
        }
        self.with_sender(Sender::advance);
    }

    pub(super) fn sender_granted(&mut self, id: LockId) {
        if let Some(forward) = self.forward.as_mut().filter(|forward| forward.lock == Some(id)) {
            forward.unsure = true;
            self.with_sender(Sender::begin);
        } else {
            self.effects.push(Effect::ReleaseSender { id });
        }
    }

    /// Somebody stole the lock, or it cannot be asked for.
    pub(super) fn sender_lost(&mut self, id: LockId) {
        if self.forward.as_ref().is_some_and(|forward| forward.lock == Some(id)) {
            self.stop_sending();
            if let Some(forward) = &mut self.forward {
                forward.lock_at_ms = self.now_ms + PAUSE_MS;
            }
        }
    }

    /// Lets another tab send: this one is left, frozen, closed, or hidden. A hidden one stands in line
    /// again, behind the others.
    pub(super) fn stop_sending(&mut self) {
        if let Some(forward) = self.forward.as_mut().filter(|forward| forward.sender.is_on()) {
            forward.heard = forward.sender.status();
        }
        self.with_sender(|sender, _| sender.end());
        if let Some(forward) = &mut self.forward {
            (forward.look, forward.records) = (None, Vec::new());
            if let Some(id) = forward.lock.take() {
                self.effects.push(Effect::ReleaseSender { id });
            }
        }
    }

    pub(super) fn exchanged(&mut self, id: u32, outcome: Outcome) {
        self.with_sender(|sender, now_ms| sender.answered(now_ms, id, outcome));
    }

    pub(super) fn token_came(&mut self, id: u32, came: bool) {
        self.with_sender(|sender, now_ms| sender.token(now_ms, id, came));
    }

    /// The network or the page is back.
    pub(super) fn wake_sender(&mut self) {
        self.with_sender(Sender::woken);
    }

    /// A commit, here or elsewhere, put frames into the outbox.
    pub(super) fn frames_to_forward(&mut self) {
        let here = self.lease.held().is_some();
        if let Some(forward) = &mut self.forward {
            forward.grew |= here;
            forward.unsure |= !here;
        }
        self.with_sender(Sender::frames_came);
    }

    /// The lease ends: the last chance to know how much waits, for the sender may not look for a while.
    pub(super) fn count_outbox(&mut self) {
        if self.forward.as_mut().is_some_and(|forward| std::mem::take(&mut forward.grew)) {
            let _kept_for_later = self.forward_status();
        }
    }

    /// Somebody changed the outbox, and perhaps wants the sender to forget what stopped it.
    pub(super) fn outbox_changed(&mut self, resume: bool) {
        match resume {
            true => self.with_sender(Sender::resume),
            false => self.with_sender(Sender::outbox_changed),
        }
    }

    /// Another file's outbox is there. What was to be written down is of the old one, whose stream may have the same id.
    pub(super) fn outbox_replaced(&mut self) {
        if let Some(forward) = &mut self.forward {
            (forward.look, forward.records) = (None, Vec::new());
            (forward.unsure, forward.heard) = (true, Status::default());
        }
        self.with_sender(Sender::begin_anew);
    }

    /// The database cannot be opened now.
    pub(super) fn pause_forward(&mut self) {
        if let Some(forward) = &mut self.forward {
            forward.not_before_ms = self.now_ms + PAUSE_MS;
        }
    }

    /// The lease that a look or a record waits for.
    pub(super) fn forward_needs(&self) -> Option<Mode> {
        let forward = self.forward.as_ref().filter(|f| self.now_ms >= f.not_before_ms)?;
        let looks = forward.look.is_some() || forward.count_until_ms.is_some();
        match forward.records.is_empty() {
            false => Some(Mode::Exclusive),
            true if self.config.shared_reads && !self.recover => looks.then_some(Mode::Shared),
            true => looks.then_some(Mode::Exclusive),
        }
    }

    /// Runs what waits for this lease, records before looks. Gives whether anything did.
    pub(super) fn run_forward(&mut self, held: Mode) -> bool {
        if self.forward.as_ref().is_some_and(|forward| forward.count_until_ms.is_some()) {
            let _kept_for_later = self.forward_status();
            self.answer_status();
        }
        let waited_ms = self.forward.as_ref().map_or(0.0, |f| self.now_ms - f.due_since_ms);
        let its_turn = self.ops.is_empty() || waited_ms >= PATIENCE_MS;
        if !its_turn || self.forward_needs().is_none_or(|mode| mode > held) {
            return false;
        }
        let Some(forward) = &mut self.forward else {
            return false;
        };
        let (records, look) = (std::mem::take(&mut forward.records), forward.look.take());
        if !records.is_empty() {
            let done = self.store.record_in_outbox(&records).is_ok();
            self.with_sender(|sender, now_ms| sender.recorded(now_ms, done));
        }
        if let Some(look) = look {
            let page = self.store.look_at_outbox(&look).ok();
            if let Some(forward) = &mut self.forward {
                forward.unsure &= page.is_none();
            }
            self.with_sender(|sender, now_ms| sender.looked(now_ms, page));
        }
        true
    }

    /// When forwarding has something to do by time alone.
    pub(super) fn forward_at_ms(&self) -> Option<f64> {
        let forward = self.forward.as_ref()?;
        let work = forward.has_work().then(|| {
            let patience_ms = forward.due_since_ms + PATIENCE_MS;
            if self.ops.is_empty() { forward.not_before_ms } else { patience_ms }
        });
        let lock = forward.lock.is_none() && !self.suspended;
        let lock = lock.then_some(forward.lock_at_ms);
        let times = [forward.sender.wake_at_ms(), work, lock, forward.count_until_ms];
        times.into_iter().flatten().filter(|at| *at > self.now_ms).min_by(f64::total_cmp)
    }

    /// `status()` was called. Where the outbox may hold more than is known, it is counted first.
    pub(super) fn status_asked(&mut self) {
        let readable = self.reads_outbox();
        let until_ms = self.now_ms + COUNT_MS;
        match &mut self.forward {
            Some(forward) if forward.unsure && !readable => {
                // Once: a lease that is not to be had soon is not waited for by every call.
                forward.unsure = false;
                forward.count_until_ms = Some(until_ms);
            }
            Some(forward) if forward.count_until_ms.is_some() => {}
            _ => self.effects.push(Effect::QueryLock { count_queue: true }),
        }
    }

    /// The outbox was counted, or there was no time for it.
    fn answer_status(&mut self) {
        if let Some(forward) = &mut self.forward {
            forward.count_until_ms = None;
        }
        self.effects.push(Effect::QueryLock { count_queue: true });
    }

    fn reads_outbox(&self) -> bool {
        self.lease.held().is_some() && !self.is_midway() && self.store.is_open()
    }

    /// The contract's `status().forwarding`; exact under a lease, else as of the last news.
    pub(super) fn forward_status(&mut self) -> Option<Status> {
        let readable = self.reads_outbox();
        let forward = self.forward.as_mut()?;
        let state = readable.then(|| self.store.outbox_state().ok()).flatten();
        if let Some(state) = &state {
            forward.unsure = false;
            forward.sender.saw(state);
            forward.heard = forward.heard.updated(state);
        }
        Some(match state {
            _ if !forward.sender.is_on() => forward.heard.clone(),
            // After a fork, before the sender has looked: it knows the old stream.
            Some(state) if !forward.sender.knows(&state) => forward.heard.clone(),
            // A pause, or its end, is known here before the sender has looked.
            Some(state) => forward.sender.status_while(state.paused),
            // It has just begun.
            None if !forward.sender.has_looked() => forward.heard.clone(),
            None => forward.sender.status(),
        })
    }

    /// What the user does to the outbox.
    pub(super) fn run_outbox_call(&mut self, what: OutboxCall) -> Result<Reply> {
        match what {
            OutboxCall::DeadLetters => return self.store.dead_letters().map(Reply::DeadLetters),
            OutboxCall::Pause => self.store.pause_outbox()?,
            OutboxCall::Resume => self.store.resume_outbox()?,
            OutboxCall::Restart => self.store.restart_outbox()?,
            OutboxCall::Retry(id) => self.store.retry_dead_letter(id)?,
            OutboxCall::Discard(id) => self.store.discard_dead_letter(id)?,
        }
        let resume = matches!(what, OutboxCall::Resume | OutboxCall::Restart);
        self.tell_outbox_changed(resume);
        Ok(Reply::Nothing)
    }

    /// Tells the one who sends, wherever that is.
    pub(super) fn tell_outbox_changed(&mut self, resume: bool) {
        self.send(&Message::OutboxChanged { from: self.me(), resume, imported: false }, &[]);
        self.outbox_changed(resume);
    }

    /// Tells the one who sends that another file's outbox is there.
    pub(super) fn tell_outbox_replaced(&mut self) {
        let (from, resume, imported) = (self.me(), false, true);
        self.send(&Message::OutboxChanged { from, resume, imported }, &[]);
        self.outbox_replaced();
    }
}
