//! Invitations: a holder that is writing anyway takes the other tabs' small frames along, in its own
//! transactions. Passing the lease on costs as much as three small appends; taking a frame along
//! costs a message there and back.
//!
//! ```text
//! guest                                          holder, writing in a loop
//!   want ───────────────────────────────────────►  (somebody waits)
//!   ◄──────────────────────────────── invite 7     its turn goes on
//!   offer, invitation 7 ────────────────────────►  into the next transaction
//!   ◄──────────────────── answer: applied, or declined
//! ```
//!
//! A guest that awaits an answer does not ask for the lock, so the holder need not give it up. An
//! invitation ends when the lease does, when the caller's own transaction begins, and when the
//! holder has not written for itself for a while; `over` tells everybody. From then on no frame that
//! names it is taken, however late or often it comes. So a guest that was *declined* knows that its
//! frame is nowhere, and goes on down the ladder as if nothing had been.

use super::handoff::Offer;
use super::lock::TURN_MS;
use super::{Append, Node, Op};
use crate::ladder::Rung;
use crate::message::{Answer, Invitation, Message};
use crate::store::Mode;
use std::collections::VecDeque;

/// Larger frames take a lease of their own: writing them takes longer than passing it on.
const MAX_EARLY_BYTES: u64 = 256 << 10;
/// How long a guest waits for the answer before it asks for the lock after all. With four tabs on two
/// processors it takes 3 to 6 ms, under load 30.
const ANSWER_MS: f64 = 50.0;
/// How long a guest believes in an invitation, or in the last answer to one.
const BELIEF_MS: f64 = 50.0;
/// A holder that has not written for itself for so long leaves the lease to those who do.
const OWN_WORK_MS: f64 = 100.0;
/// An invitation is repeated at most so often, for those who come later or did not hear it.
const REPEAT_MS: f64 = 2.0;
/// Whoever asked this recently may not be in the browser's list of waiting requests yet.
const FRESH_WISH_MS: f64 = 5.0;

/// What a node knows of invitations: its own, and the one that it has.
#[derive(Default)]
pub(super) struct Invitations {
    /// The number of its own; an offer that names another one is not taken.
    number: u32,
    /// Whether it was said at all.
    invites: bool,
    /// When it was last said to those who wait now.
    said_ms: Option<f64>,
    /// When anybody last asked for the lease.
    wished_ms: f64,
    /// When work of its own last ran.
    worked_ms: f64,
    /// The invitation that it has, and until when it believes in it.
    has: Option<(Invitation, f64)>,
}

impl Node {
    /// Somebody waits for the lease.
    pub(super) fn wish_heard(&mut self) {
        if self.lease.held().is_some() {
            self.invitations.wished_ms = self.now_ms;
            self.wanted = true;
            self.invite();
        }
    }

    /// Invites those who wait, if this node is writing and will go on.
    fn invite(&mut self) {
        let goes_on = self.in_loop || !self.ops.is_empty();
        if !self.wanted || !goes_on || !self.takes_frames() {
            return;
        }
        match self.invitations.said_ms {
            Some(at_ms) if self.now_ms - at_ms < REPEAT_MS => return,
            Some(_) => {}
            // Who comes with a frame is served before that; who does not has its turn then.
            None => self.turn_until_ms = self.turn_until_ms.max(self.now_ms + TURN_MS),
        }
        self.invitations.said_ms = Some(self.now_ms);
        self.invitations.invites = true;
        let invitation = self.own_invitation();
        self.send(&Message::Invite { invitation }, &[]);
    }

    fn own_invitation(&self) -> Invitation {
        Invitation { by: self.me(), number: self.invitations.number }
    }

    /// Nobody waits for the lock: after an invitation, all who did may be served by it.
    pub(super) fn nobody_waits(&mut self) {
        let fresh = self.now_ms - self.invitations.wished_ms < FRESH_WISH_MS;
        if self.invitations.said_ms.is_some() && !fresh {
            self.invitations.said_ms = None;
            self.wanted = false;
        }
    }

    /// Work of this node's own ran: it writes, so it may as well write for others.
    pub(super) fn worked(&mut self) {
        self.invitations.worked_ms = self.now_ms;
        self.invite();
    }

    fn takes_frames(&self) -> bool {
        self.lease.held() == Some(Mode::Exclusive)
            && self.store.is_open()
            && self.tx.is_none()
            && !self.suspended
            && !self.hidden
            && self.closing.is_none()
            && self.now_ms - self.invitations.worked_ms <= OWN_WORK_MS
    }

    /// An offer came that names an invitation. One that names an old one may be a late copy of a
    /// frame that was taken, so it is not declined.
    pub(super) fn early_offer_received(&mut self, invitation: Invitation, offer: Offer) {
        if invitation.by != self.config.node_id {
            return;
        }
        if invitation.number != self.invitations.number {
            return self.send(&Message::Over { invitation }, &[]);
        }
        self.inbox.push_back(offer);
        if !self.takes_frames() {
            self.end_invitation();
        }
    }

    /// The invitation is over, and the frames that came on it are declined.
    pub(super) fn end_invitation(&mut self) {
        let invitation = self.own_invitation();
        let said = self.invitations.invites;
        self.invitations.invites = false;
        self.invitations.said_ms = None;
        self.invitations.number = self.invitations.number.wrapping_add(1);
        let inbox = std::mem::take(&mut self.inbox);
        let (early, rest): (VecDeque<Offer>, _) = inbox.into_iter().partition(|offer| offer.early);
        self.inbox = rest;
        for offer in early {
            // A second copy of a frame that is in, or may be, is not declined.
            if matches!(self.store.find_frame(&offer.request.frame_id), Ok(None)) {
                self.answer(&offer, Answer::Declined { number: invitation.number });
            }
        }
        if said {
            self.send(&Message::Over { invitation }, &[]);
        }
    }

    /// A holder takes frames along.
    pub(super) fn invited(&mut self, invitation: Invitation) {
        self.invitations.has = Some((invitation, self.now_ms + BELIEF_MS));
    }

    /// An invitation is over. Frames that were offered on it may be in or not.
    pub(super) fn invitation_over(&mut self, invitation: &Invitation) {
        self.invitations.has.take_if(|(has, _)| has == invitation);
        for append in self.ops.iter_mut().filter_map(Op::append_mut) {
            if let Some(early) = &mut append.early
                && early.invitation == *invitation
            {
                early.over = true;
            }
        }
    }

    /// The invitation under which a frame may be offered now.
    fn invitation(&self) -> Option<Invitation> {
        let (invitation, until_ms) = self.invitations.has.as_ref()?;
        (self.now_ms < *until_ms).then(|| invitation.clone())
    }

    /// Whether a frame waits for an answer, and so not for the lock.
    pub(super) fn awaits_answer(&self) -> bool {
        self.ops.iter().filter_map(Op::append).any(|append| append.awaits_answer(self.now_ms))
    }

    /// Offers the frames at the head of the calls to a holder that invited this node. They overtake
    /// no call that needs the lease itself.
    pub(super) fn offer_early(&mut self) {
        if self.lease.held().is_some() || self.suspended || self.closing.is_some() {
            return;
        }
        let Some(invitation) = self.invitation() else {
            return;
        };
        let now_ms = self.now_ms;
        for at in 0..self.ops.len() {
            match self.ops[at].append() {
                Some(append) if append.awaits_answer(now_ms) => {}
                Some(append) if append.may_be_offered_early(&invitation, now_ms) => {
                    if !self.offer(at, Some(invitation.clone())) {
                        return;
                    }
                }
                _ => return,
            }
        }
    }

    /// The holder that invited this node took a frame of it.
    pub(super) fn taken_along(&mut self, by: &str) {
        if let Some((invitation, until_ms)) = &mut self.invitations.has
            && invitation.by == by
        {
            *until_ms = self.now_ms + BELIEF_MS;
        }
    }

    /// The holder has not taken a frame, and never will.
    pub(super) fn declined(&mut self, at: usize, by: &str, number: u32) {
        let invitation = Invitation { by: by.to_owned(), number };
        if let Some(append) = self.ops[at].append_mut() {
            append.early.take_if(|early| early.invitation == invitation);
        }
        self.invitation_over(&invitation);
    }
}

/// A frame was offered on an invitation.
pub(super) struct Early {
    invitation: Invitation,
    pub since_ms: f64,
    over: bool,
}

impl Append {
    /// The frame is offered on an invitation. Of an earlier one nothing more will be known.
    pub(super) fn note_early(&mut self, invitation: &Invitation, since_ms: f64) {
        let early = Early { invitation: invitation.clone(), since_ms, over: false };
        self.astray |= self.early.replace(early).is_some();
    }

    /// Whether the frame waits for the answer to an early offer, and not for the lock.
    pub(super) fn awaits_answer(&self, now_ms: f64) -> bool {
        self.answer_until_ms().is_some_and(|until_ms| now_ms < until_ms)
    }

    /// When it stops doing so.
    pub(super) fn answer_until_ms(&self) -> Option<f64> {
        let early = self.early.as_ref().filter(|early| !early.over)?;
        Some(early.since_ms + ANSWER_MS)
    }

    /// Small, on the first rung, where a holder may be asked at all, and once for each invitation.
    fn may_be_offered_early(&self, invitation: &Invitation, now_ms: f64) -> bool {
        !self.offered
            && !self.enqueued
            && self.early.as_ref().is_none_or(|early| early.invitation != *invitation)
            && matches!(self.ladder.rung(), Rung::Direct { .. } | Rung::Backoff { .. })
            && self.ladder.wants_holder(now_ms)
            && self.request.content.bytes_estimate() <= MAX_EARLY_BYTES
    }
}
