//! What the sender makes of an answer.

use super::item::{Content, Digest};
use super::outbox::{DeadLetter, PauseReason, Record, Refused};
use super::report::Happened;
use super::sender::{Asked, BODY_BYTES, LEAST_BODY_BYTES, Sender};
use super::wire::{Remote, Verdict};

impl Sender {
    /// An answer to what was asked.
    pub(super) fn judge(&mut self, asked: Asked, verdict: Verdict) {
        match (verdict, asked) {
            (Verdict::Stands(remote), Asked::Where) => {
                self.went_well();
                self.doubt = false;
                self.meet(remote);
            }
            (Verdict::Stands(remote), Asked::Items { to, count, digest, .. }) => {
                let ours = Remote { last_seq: to - self.outbox.base, digest: Some(digest) };
                self.went_well();
                if remote == ours {
                    self.previous = Some((to, digest));
                    self.acknowledge(to, count);
                } else {
                    // It has more than was ever sent, or something else: look into that.
                    self.doubt = true;
                    if remote.last_seq < ours.last_seq {
                        self.failed("BAD_ANSWER".to_owned(), None);
                    }
                }
            }
            (Verdict::Gap(remote), Asked::Items { .. })
                if remote.last_seq == self.outbox.acknowledged - self.outbox.base
                    && remote.digest == self.digest_before(self.outbox.acknowledged + 1) =>
            {
                // Just what comes next was sent, and what it says to have before that is right.
                self.failed("BAD_ANSWER".to_owned(), None);
            }
            (Verdict::Gap(remote), Asked::Items { .. }) => {
                self.went_well();
                self.meet(remote);
            }
            (Verdict::Forked, Asked::Items { .. }) => self.fork(),
            (Verdict::Unauthorized(code), _) => {
                self.reason = Some(code.clone());
                if self.settings.has_token && !self.refreshed {
                    self.refreshed = true;
                    self.forget_token();
                } else {
                    self.stop(code);
                }
            }
            (Verdict::Damaged(refused), asked) if self.resent => {
                self.judge(asked, Verdict::Refused(refused));
            }
            (Verdict::Damaged(_), Asked::Items { .. }) => self.resent = true,
            (Verdict::Refused(_), Asked::Items { to, count, .. }) if count > 1 => {
                self.alone_until = to;
            }
            (Verdict::TooLarge(_), Asked::Items { count, .. }) if count > 1 => {
                self.send_less();
                self.alone_until = match self.body_bytes {
                    LEAST_BODY_BYTES => self.outbox.acknowledged + count as i64,
                    _ => self.alone_until,
                };
            }
            (
                Verdict::Refused(refused) | Verdict::TooLarge(refused),
                Asked::Items { to, digest, .. },
            ) => self.refuse(to, digest, refused),
            (Verdict::Unsupported, Asked::Items { gzip: true, .. }) => self.gzip = false,
            (Verdict::Later { reason, after_ms }, _) => self.failed(reason, after_ms),
            // Answers that make no sense to what was asked: a server that is none of ours.
            (Verdict::Unsupported, _) => self.failed("HTTP_415".to_owned(), None),
            (_, Asked::Where) => self.failed("BAD_ANSWER".to_owned(), None),
        }
    }

    fn went_well(&mut self) {
        (self.attempts, self.reason) = (0, None);
        (self.refreshed, self.resent) = (false, false);
        self.body_bytes = (self.body_bytes * 2).min(BODY_BYTES);
    }

    /// The server has the first `count` items, up to this number.
    pub(super) fn acknowledge(&mut self, number: i64, count: usize) {
        let bytes = self.items.drain(..count).map(|item| item.bytes() as u64).sum();
        self.window.acknowledged(number, bytes, self.now_ms);
        self.outbox.acknowledged = number;
        self.record_later();
        self.tell(Happened::Acknowledged);
    }

    /// The server says where its stream ends. What it has there must be what the outbox has there.
    fn meet(&mut self, remote: Remote) {
        if remote.last_seq > 0 {
            return self.look_to_compare(remote);
        }
        // An empty stream. It is empty here too, or was lost over there.
        if self.outbox.acknowledged > self.outbox.base {
            match self.outbox.first <= self.outbox.base + 1 {
                true => self.rewind(self.outbox.base),
                false => self.lost(self.outbox.base),
            }
        }
    }

    /// `own` is the digest of the own item in the server's last place, if it is kept.
    pub(super) fn compared(&mut self, remote: Remote, own: Option<Digest>) {
        let number = self.outbox.base + remote.last_seq;
        let (acknowledged, agrees) = (self.outbox.acknowledged, own == remote.digest);
        if agrees {
            self.previous = own.map(|digest| (number, digest));
        }
        if number > acknowledged {
            match agrees {
                // Its answer was lost, or the record of it.
                true => self.catch_up(number),
                false => self.fork(),
            }
        } else if !agrees {
            // Something else is there, and nobody can tell what of its own the server has before it.
            self.lost(self.outbox.base);
        } else if number < acknowledged {
            self.rewind(number);
        }
    }

    fn catch_up(&mut self, number: i64) {
        let known = self.items.iter().take_while(|item| item.number <= number).count();
        let bytes = self.items.drain(..known).map(|item| item.bytes() as u64).sum();
        self.window.acknowledged(number, bytes, self.now_ms);
        self.outbox.acknowledged = number;
        self.record_later();
        self.tell(Happened::Acknowledged);
    }

    /// The server lost what came after this number, and is sent it again.
    fn rewind(&mut self, number: i64) {
        self.items.clear();
        self.window.rewound(number);
        self.outbox.acknowledged = number;
        self.record_later();
        self.tell(Happened::Rewound);
    }

    /// The server lost what is kept no more, or has something else in its place.
    pub(super) fn lost(&mut self, remote: i64) {
        let reason = PauseReason::RemoteRewound { remote };
        self.record(|stream| Record::Paused { stream, reason }, Happened::Paused, None);
    }

    /// Another copy of this database sends under the same stream.
    fn fork(&mut self) {
        let base = self.outbox.acknowledged;
        self.record(|stream| Record::Forked { stream, base }, Happened::Forked, None);
    }

    /// The server does not take this item, ever.
    fn refuse(&mut self, number: i64, digest: Digest, refused: Refused) {
        let item = self.items.front().filter(|item| item.number == number);
        let (Some(item), Some(stream)) = (item, self.outbox.stream.clone()) else {
            return;
        };
        if matches!(item.content, Content::Skip { .. }) {
            // It does not even take that it will not come.
            return self.failed(refused.code, None);
        }
        let letter = DeadLetter {
            id: number,
            stream,
            seq: number - self.outbox.base,
            table: item.table.clone(),
            rows: item.rows,
            refused: refused.clone(),
        };
        let record = |stream| Record::DeadLetter { stream, number, digest, refused };
        self.record(record, Happened::DeadLetter, Some(letter));
    }
}
