//! The lease comes and goes: when to ask for it, keep it, give it up.

use super::Node;
use super::op::{Append, Work};
use super::types::{Effect, LockStatus, Notice, Origin, QueueCounts, Reply, Status};
use crate::error::{Code, Error};
use crate::lease::{LockId, State, Step};
use crate::message::Message;
use crate::platform::{FileError, Handles};
use crate::store::{Attached, Mode};

/// With the lock but without handles for this many tries (6 s), somebody who does not know the
/// lock has them.
const OPEN_PATIENCE: u32 = 60;
/// After so many refusals: perhaps a tab with another version of the protocol has the handles.
const SUSPICIOUS_REFUSALS: u32 = 8;

impl Node {
    /// Wants, keeps or gives up the lease, as the work at hand asks.
    pub(super) fn settle_lease(&mut self) {
        if self.closed {
            return;
        }
        let Some(held) = self.lease.held() else {
            let steps = match self.needed() {
                Some(mode) if !self.suspended => self.want(mode),
                // Who stands in line already keeps its place.
                None if !self.suspended && self.awaits_answer() => return,
                _ => self.lease.release(),
            };
            return self.take(steps);
        };
        if self.is_midway() || self.turn.looking || self.queue.loading {
            return;
        }
        let needed = self.needed();
        let idle = needed.is_none() && self.inbox.is_empty();
        let too_weak = needed.is_some_and(|mode| mode > held);
        let expired = idle && self.now_ms >= self.turn.idle_until_ms();
        let others_turn = match idle {
            true => self.turn.wanted && !self.lingers(),
            false => self.is_others_turn(),
        };
        let broken = !self.store.is_open();
        if broken || others_turn || too_weak || expired || self.suspended || (idle && self.hidden) {
            self.release_lease();
            if others_turn && !idle {
                self.rest();
            }
            self.settle_lease();
        }
    }

    /// Asks for the lease; and says so again when it turns out to be for more than frames to hand over,
    /// which a holder may take along for long.
    fn want(&mut self, mode: Mode) -> Vec<Step> {
        let mut steps = self.lease.want(mode, self.now_ms);
        let waits = matches!(self.lease.state(), State::Waiting { .. });
        if steps.is_empty() && waits && self.said_hands_over && !self.would_hand_over() {
            steps.push(Step::AskOthers);
        }
        steps
    }

    /// Another tab waits, and this one has had its turn.
    pub(super) fn is_others_turn(&self) -> bool {
        self.turn.is_up(self.now_ms) && !self.all_are_guests()
    }

    /// Nothing is to be done, but the caller is in a loop, and its next call is worth waiting for:
    /// passing the lease on and getting it back costs more.
    fn lingers(&self) -> bool {
        self.turn.served && self.linger_until_ms().is_some_and(|at| self.now_ms < at)
    }

    pub(super) fn linger_until_ms(&self) -> Option<f64> {
        self.turn.linger_until_ms().filter(|_| !self.hidden)
    }

    /// The lease that the work at hand needs.
    fn needed(&self) -> Option<Mode> {
        let drains = self.wants_drain() || self.doubts_need_lease();
        let drain = drains.then_some(Mode::Exclusive);
        let held = self.lease.held().is_some();
        let ops = self.ops.iter().filter(|op| {
            let awaits = |append: &Append| append.awaits_answer(self.now_ms);
            // Nor does what is in the queue, and waits for whoever drains it.
            let is_filed = op.append().is_some_and(|append| append.filed);
            !is_filed && (held || !op.append().is_some_and(awaits))
        });
        let ops = ops.map(|op| self.needed_mode(&op.work));
        let mut modes = drain.into_iter().chain(self.forward_needs()).chain(ops);
        let first = modes.next()?;
        // Nothing needs more than that, and thousands of calls may wait.
        let writes = first == Mode::Exclusive || modes.any(|mode| mode == Mode::Exclusive);
        Some(if writes { Mode::Exclusive } else { first })
    }

    pub(super) fn needed_mode(&self, work: &Work) -> Mode {
        let shared = self.config.shared_reads && !self.recover;
        if shared { work.mode() } else { Mode::Exclusive }
    }

    /// Gives up the lease, or what is on the way to one.
    pub(super) fn release_lease(&mut self) {
        self.close_handles();
        let steps = self.lease.release();
        self.take(steps);
    }

    /// The lease ends, and all that rests on it.
    fn close_handles(&mut self) {
        self.end_invitation();
        self.count_outbox();
        // Merged writes are pending only inside a transaction, and none is open; should one fail
        // to reach the file all the same, the journal has it, and the next lease undoes it.
        let _undone_by_the_journal = self.store.detach();
        self.turn.end();
        self.inbox.clear();
        self.queue.lease_ended();
    }

    /// The database cannot be opened now.
    fn cannot_open(&mut self, error: &Error) {
        self.release_lease();
        self.queue.pause(self.now_ms);
        self.pause_forward();
        self.pause_doubts();
        self.fail_all(error);
    }

    pub(super) fn take(&mut self, steps: Vec<Step>) {
        for step in steps {
            self.effects.push(match step {
                Step::Request { id, mode } => Effect::RequestLock { id, mode },
                Step::Cancel { id } => Effect::CancelLock { id },
                Step::Open { id, mode } => Effect::OpenHandles { id, mode },
                Step::Release { id } => Effect::ReleaseLock { id },
                Step::AskOthers => {
                    let hands_over = self.would_hand_over();
                    self.said_hands_over = hands_over;
                    self.send(&Message::Want { from: self.me(), hands_over }, &[]);
                    continue;
                }
            });
        }
    }

    pub(super) fn opened(&mut self, id: LockId, outcome: Result<Handles, FileError>) {
        if !self.lease.expects_handles(id) {
            return; // Dropping the handles closes them.
        }
        let handles = match outcome {
            Ok(handles) => handles,
            Err(FileError::InUse(_)) if self.lease.refusals() < OPEN_PATIENCE => {
                self.lease.handles_in_use(self.now_ms);
                if self.lease.refusals() == SUSPICIOUS_REFUSALS {
                    self.effects.push(Effect::QueryLock { count_queue: false });
                }
                return;
            }
            Err(error) => return self.cannot_open(&error.into()),
        };
        let attached = self.store.attach(handles, self.lease.mode(), self.config.durable);
        self.lease.opened();
        self.rest_until_ms = f64::NEG_INFINITY;
        self.turn.begin(self.now_ms);
        self.queue.lease_began(self.now_ms);
        match attached {
            Ok(Attached::Ready) => {
                self.recover = false;
                self.effects.push(Effect::QueryLock { count_queue: false });
            }
            Ok(Attached::NeedsRecovery) => {
                self.recover = true;
                self.release_lease();
            }
            Err(error) => self.cannot_open(&error),
        }
    }

    pub(super) fn lock_lost(&mut self, id: LockId) {
        if self.lease.is_current(id) {
            // The handles are still ours alone, so undoing is safe; writing on is not.
            self.put_back();
            self.abandon_transaction();
            self.close_handles();
            self.lease.lost(self.now_ms);
        }
    }

    /// The page is frozen or left: nothing is kept, and nothing is asked for until it is back.
    pub(super) fn suspend(&mut self) {
        self.suspended = true;
        self.stop_sending();
        self.put_back();
        self.abandon_transaction();
        self.release_lease();
    }

    /// A hidden page lets a visible one send, and a page that is seen again tries at once.
    pub(super) fn hide(&mut self, hidden: bool) {
        if hidden && !self.hidden {
            self.stop_sending();
        }
        self.hidden = hidden;
        self.wake_sender();
    }

    pub(super) fn lock_queried(
        &mut self,
        held: bool,
        waiting: usize,
        foreign_version: bool,
        queue: Option<QueueCounts>,
    ) {
        self.turn.looking = false;
        if foreign_version && matches!(self.lease.state(), State::Opening { .. }) {
            self.cannot_open(&Error::new(
                Code::ProtocolVersion,
                "a tab with another version of framelock has this database open; reload it",
            ));
        }
        match waiting {
            0 => self.nobody_waits(),
            _ => self.waiters_seen(waiting),
        }
        let Some(QueueCounts { queued, rejected }) = queue else {
            return;
        };
        let (mut lock, mut holder) = self.lock_status();
        if holder.is_none() && held {
            holder = Some(Origin::OtherTab);
            if lock == LockStatus::Free {
                lock = LockStatus::Held;
            }
        }
        let counters = self.counters;
        let forwarding = self.forward_status();
        for call in std::mem::take(&mut self.status_calls) {
            let forwarding = forwarding.clone();
            let status = Status { lock, holder, queued, rejected, counters, forwarding };
            self.reply(call, Reply::Status(Box::new(status)));
        }
    }

    /// The write lock, as this handle sees it; reading beside others is not holding it.
    fn lock_status(&self) -> (LockStatus, Option<Origin>) {
        match self.lease.state() {
            State::Held if self.lease.mode() == Mode::Exclusive => {
                (LockStatus::Held, Some(Origin::ThisTab))
            }
            State::Held | State::Free => (LockStatus::Free, None),
            State::Waiting { .. } | State::Opening { .. } => (LockStatus::Waiting, None),
        }
    }

    pub(super) fn tell_status(&mut self) {
        let status = self.lock_status();
        if self.told != Some(status) {
            self.told = Some(status);
            let (lock, holder) = status;
            self.effects.push(Effect::Notify(Notice::Status { lock, holder }));
        }
    }
}
