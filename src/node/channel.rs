//! What the tabs say to each other, on its way in and out.

use super::Node;
use super::types::{Effect, Notice, Origin, QueueCounts};
use crate::message::{self, FrameName, Message};
use std::collections::BTreeSet;

impl Node {
    /// Bytes that came on the channel: what is no message of ours is ignored.
    pub(super) fn heard(&mut self, bytes: &[u8]) {
        for message in message::split(bytes) {
            self.message(message);
        }
    }

    fn message(&mut self, bytes: &[u8]) {
        let Some((message, payload)) = Message::decode(bytes) else {
            return;
        };
        match message {
            Message::Want { from, hands_over } => self.wish_heard(from, hands_over),
            Message::Invite { from } => {
                self.wishes.came_true(&from, self.now_ms);
                self.invited(from);
            }
            Message::Over { from } => self.invitation_over(&from),
            Message::Committed { from, tables, frames, forwarded } => {
                self.wishes.came_true(&from, self.now_ms);
                self.committed(tables, frames, forwarded, Origin::OtherTab);
            }
            Message::Queued { .. } => self.queue_grew(),
            Message::Counted { queued, rejected, .. } => {
                self.queue_counted(QueueCounts { queued, rejected });
            }
            Message::Rejected { frame, error, .. } => self.frame_rejected(&frame, error.into()),
            Message::Offer { from, call, frame_id, after } => {
                self.offer_received(from, call, &frame_id, after, payload);
            }
            Message::Answer { from, to, call, frame_id, answer } => {
                self.wishes.came_true(&to, self.now_ms);
                if to == self.config.node_id {
                    self.answered(&from, call, &frame_id, answer);
                }
            }
            Message::Forwarding { report, .. } => self.report_heard(report),
            Message::OutboxChanged { imported: true, .. } => self.outbox_replaced(),
            Message::OutboxChanged { resume, .. } => self.outbox_changed(resume),
        }
    }

    /// Says something to everybody, once this event is dealt with.
    pub(super) fn send(&mut self, message: &Message, payload: &[u8]) {
        self.said.push(message.encode(payload));
    }

    pub(super) fn me(&self) -> String {
        self.config.node_id.clone()
    }

    /// Tells everybody, this node's own waiters too, what a commit changed.
    pub(super) fn announce(
        &mut self,
        tables: BTreeSet<String>,
        frames: Vec<FrameName>,
        forwarded: bool,
    ) {
        if tables.is_empty() && frames.is_empty() {
            return;
        }
        let tables: Vec<String> = tables.into_iter().collect();
        let message = Message::Committed {
            from: self.me(),
            tables: tables.clone(),
            frames: frames.clone(),
            forwarded,
        };
        self.send(&message, &[]);
        self.committed(tables, frames, forwarded, Origin::ThisTab);
    }

    /// Tells whoever waits here what a commit changed.
    fn committed(
        &mut self,
        tables: Vec<String>,
        frames: Vec<FrameName>,
        forwarded: bool,
        origin: Origin,
    ) {
        if origin == Origin::OtherTab {
            self.others_drained(&frames);
        }
        self.frames_committed(&frames);
        if forwarded {
            self.frames_to_forward();
        }
        let frame_ids = frames.into_iter().map(|frame| frame.frame_id).collect();
        self.effects.push(Effect::Notify(Notice::Commit { tables, frame_ids, origin }));
    }

    /// Posts what there is to be said to the others: after the replies, which somebody waits for, and
    /// before the channel closes.
    pub(super) fn say(&mut self) {
        let said = std::mem::take(&mut self.said);
        if !said.is_empty() {
            let closes = matches!(self.effects.last(), Some(Effect::Closed));
            let at = self.effects.len() - usize::from(closes);
            self.effects.insert(at, Effect::Post(message::join(said)));
        }
    }
}
