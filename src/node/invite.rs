//! Invitations: a holder that is writing anyway takes along what others hand over, in its own
//! transactions, and keeps the lease. Passing it on costs as much as three small appends; taking a
//! frame along costs a message there and back.
//!
//! ```text
//! guest, with frames on the second rung          holder, writing in a loop
//!   want, hands over ───────────────────────────►
//!   ◄────────────────────────────────── invite
//!   offer ──────────────────────────────────────►  into the next transaction
//!   ◄────────────────────────────────── answer
//! ```
//!
//! A guest that awaits an answer does not ask for the lock. It stops waiting for answers when the
//! holder says that it is `over`: because it gives the lease up, because its caller's own
//! transaction begins, because it has not written for itself for a while, because a long frame is being
//! written piece by piece; and when no answer comes.
//! Nothing rests on an invitation but who has to wait for whom: what is offered, answered and
//! applied is the same without one.
//!
//! As long as all who ask for the lease are guests whose frames are taken along, it stays.

use super::Node;
use super::op::{Append, Op};
use crate::ladder::Rung;
use crate::message::Message;
use crate::store::Mode;

/// How long a guest waits for an answer before it asks for the lock after all. With four tabs on two
/// processors an answer takes 3 to 6 ms, under load 30.
const ANSWER_MS: f64 = 50.0;
/// How long a guest believes in an invitation, or in the last answer to one.
const BELIEF_MS: f64 = 50.0;
/// A holder that has not written for itself for so long leaves the lease to those who do.
const OWN_WORK_MS: f64 = 100.0;
/// An invitation is repeated at most so often, for those who come later or did not hear it.
const REPEAT_MS: f64 = 2.0;

/// What a node knows of invitations.
#[derive(Default)]
pub(super) struct Invitations {
    /// Whether the others were invited under this lease.
    given: bool,
    /// When that was last said to those who wait now.
    said_ms: Option<f64>,
    /// When work of this node's own last ran.
    worked_ms: f64,
    /// Who invited this node, and until when it believes in it.
    by: Option<(String, f64)>,
}

impl Node {
    /// A node asks for the lease; `hands_over` if it only has frames that it would rather hand over.
    pub(super) fn wish_heard(&mut self, from: String, hands_over: bool) {
        self.wishes.said(from, hands_over, self.now_ms);
        self.others_wait();
    }

    /// So many stand in line for the lock.
    pub(super) fn waiters_seen(&mut self, count: usize) {
        self.wishes.seen(count, self.now_ms);
        self.others_wait();
    }

    fn others_wait(&mut self) {
        if self.lease.held().is_some() {
            self.turn.wanted = true;
            self.invite();
        }
    }

    /// Whether the frames of all who ask for the lease are being taken along: then it may stay here.
    pub(super) fn all_are_guests(&self) -> bool {
        let all_hand_over = self.wishes.all_hand_over(self.now_ms, ANSWER_MS);
        self.invitations.given && all_hand_over && self.takes_along()
    }

    /// Invites those who would hand over, if this node is writing and will go on.
    fn invite(&mut self) {
        let goes_on = self.turn.in_loop || !self.ops.is_empty();
        let asked = self.wishes.some_hand_over(self.now_ms);
        if !self.turn.wanted || !asked || !goes_on || !self.takes_along() {
            return;
        }
        match self.invitations.said_ms {
            Some(at_ms) if self.now_ms - at_ms < REPEAT_MS => return,
            Some(_) => {}
            // Who comes with a frame is served before that; who does not has its turn then.
            None => self.turn.prolong(self.now_ms),
        }
        self.invitations.said_ms = Some(self.now_ms);
        self.invitations.given = true;
        let from = self.me();
        self.send(&Message::Invite { from }, &[]);
    }

    /// Whether those who wait were invited, and may all be served by that.
    pub(super) fn invites(&self) -> bool {
        self.invitations.said_ms.is_some()
    }

    /// Nobody waits for the lock: after an invitation, all who did may be served by it.
    pub(super) fn nobody_waits(&mut self) {
        let none_is_about_to = self.wishes.none_seen(self.now_ms);
        if self.invitations.said_ms.is_some() && none_is_about_to {
            self.invitations.said_ms = None;
            self.turn.wanted = false;
        }
    }

    /// Work of this node's own ran: it writes, so it may as well write for others.
    pub(super) fn worked(&mut self) {
        self.invitations.worked_ms = self.now_ms;
        self.invite();
    }

    fn takes_along(&self) -> bool {
        self.lease.held() == Some(Mode::Exclusive)
            && self.store.is_open()
            && !self.is_midway()
            && !self.suspended
            && !self.hidden
            && self.closing.is_none()
            && self.now_ms - self.invitations.worked_ms <= OWN_WORK_MS
    }

    /// Takes the invitation back if it does not hold any more.
    pub(super) fn check_invitation(&mut self) {
        if !self.takes_along() {
            self.end_invitation();
        }
    }

    /// A frame was dealt with, of a guest or of this node's own caller.
    pub(super) fn note_served(&mut self, node_id: &str) {
        self.wishes.came_true(node_id, self.now_ms);
        if self.invitations.given {
            self.gathering.served(node_id, self.now_ms);
        }
    }

    /// Whether the frames at hand wait for others, who are about to come and share their commit.
    pub(super) fn gathers(&mut self) -> bool {
        let Node { gathering, inbox, ops, config, .. } = self;
        gathering.goes_on(self.now_ms, |id| match id == config.node_id {
            true => !ops.is_empty(),
            false => inbox.iter().any(|offer| offer.from == id),
        })
    }

    /// The invitation is over. What was offered is not forgotten by this.
    pub(super) fn end_invitation(&mut self) {
        self.invitations.said_ms = None;
        self.gathering.end();
        if std::mem::take(&mut self.invitations.given) {
            let from = self.me();
            self.send(&Message::Over { from }, &[]);
        }
    }

    /// A holder takes frames along.
    pub(super) fn invited(&mut self, by: String) {
        self.invitations.by = Some((by, self.now_ms + BELIEF_MS));
    }

    /// It does not any more: whoever waits for its answer asks for the lock.
    pub(super) fn invitation_over(&mut self, by: &str) {
        self.invitations.by.take_if(|(inviter, _)| inviter == by);
        for append in self.ops.iter_mut().filter_map(Op::append_mut) {
            if append.guest_of.as_deref() == Some(by) {
                append.answer_until_ms = None;
            }
        }
    }

    /// The holder that invited this node took a frame along.
    pub(super) fn taken_along(&mut self, by: &str) {
        if let Some((inviter, until_ms)) = &mut self.invitations.by
            && inviter == by
        {
            *until_ms = self.now_ms + BELIEF_MS;
        }
    }

    /// Who takes frames along at present.
    pub(super) fn inviter(&self) -> Option<&str> {
        let (by, until_ms) = self.invitations.by.as_ref()?;
        (self.now_ms < *until_ms).then_some(by)
    }

    /// The frame at `at` was offered; if somebody invited this node, an answer will come soon.
    pub(super) fn note_guest(&mut self, at: usize) {
        let Some(by) = self.inviter().map(str::to_owned) else {
            return;
        };
        let until_ms = self.now_ms + ANSWER_MS;
        if let Some(append) = self.ops[at].append_mut() {
            append.guest_of = Some(by);
            append.answer_until_ms = Some(until_ms);
        }
    }

    /// Whether a frame waits for an answer, and so not for the lock.
    pub(super) fn awaits_answer(&self) -> bool {
        self.ops.iter().filter_map(Op::append).any(|append| append.awaits_answer(self.now_ms))
    }

    /// Whether all that the lease is wanted for are frames that were to be handed over.
    pub(super) fn would_hand_over(&self) -> bool {
        let on_second_rung = |op: &Op| {
            let append = op.append().filter(|append| !append.enqueued);
            append.is_some_and(|append| matches!(append.ladder.rung(), Rung::Handoff { .. }))
        };
        self.doubts.list.is_empty() && !self.ops.is_empty() && self.ops.iter().all(on_second_rung)
    }
}

impl Append {
    /// Whether the frame waits for the answer of a holder that invited this node.
    pub(super) fn awaits_answer(&self, now_ms: f64) -> bool {
        self.answer_until_ms.is_some_and(|until_ms| now_ms < until_ms)
    }
}
