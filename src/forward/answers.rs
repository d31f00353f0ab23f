//! What the sender makes of an answer.

use super::item::{Content, Digest, Item};
use super::outbox::{DeadLetter, PauseReason, Record, Refused};
use super::report::Happened;
use super::sender::{Asked, BODY_BYTES, LEAST_BODY_BYTES, Sender};
use super::wire::{Remote, Skips, Verdict};

/// The reason when an answer does not say what the server has.
const UNCLEAR: &str = "BAD_ANSWER";

impl Sender {
    /// An answer to what was asked.
    pub(super) fn judge(&mut self, asked: Asked, verdict: Verdict) {
        match (verdict, asked) {
            (Verdict::Stands(remote, skips), Asked::Where) => {
                let unclear = (self.reason.as_deref() == Some(UNCLEAR)).then_some(self.attempts);
                self.went_well();
                // Whoever answers questions and not frames is sent them seldom, until they are seen to be there.
                self.attempts = unclear.unwrap_or(0);
                self.doubt = false;
                self.meet(remote, skips);
            }
            (Verdict::Stands(remote, skips), Asked::Items { to, digest, .. }) => {
                // A server that does not know the header with the item's digest has recorded what it does know.
                let said = remote.digest.map(|digest| (to, digest));
                let by_body = said != Some((to, digest)) && said == self.last_body;
                self.one_by_one |= by_body;
                let digest = if by_body { remote.digest } else { Some(digest) };
                let ours = Remote { last_seq: to - self.outbox.base, digest };
                self.went_well();
                if remote == ours && skips != Skips::Unknown {
                    // It was there before: from here, or from a copy of this database.
                    self.meet(remote, skips);
                } else if remote == ours {
                    self.previous = digest.map(|digest| (to, digest));
                    self.acknowledge(to);
                } else {
                    // It has more than was ever sent, or something else: look into that.
                    self.doubt = true;
                    if remote.last_seq < ours.last_seq {
                        self.failed(UNCLEAR.to_owned(), None);
                    }
                }
            }
            (Verdict::Gap(remote, _), Asked::Items { .. })
                if remote.last_seq == self.outbox.acknowledged - self.outbox.base
                    && remote.digest == self.digest_before(self.outbox.acknowledged + 1) =>
            {
                // Just what comes next was sent, and what it says to have before that is right.
                self.failed(UNCLEAR.to_owned(), None);
            }
            (Verdict::Gap(remote, skips), Asked::Items { .. }) => {
                self.went_well();
                self.meet(remote, skips);
            }
            (Verdict::Forked, Asked::Items { .. }) => self.fork(),
            (Verdict::Unauthorized(code), _) => {
                self.reason = Some(code.clone());
                if self.settings.has_token && !self.refreshed {
                    self.refreshed = true;
                    self.token_known = false;
                } else {
                    self.stop(code);
                }
            }
            (Verdict::Damaged(refused), asked) if self.resent => {
                self.judge(asked, Verdict::Refused(refused));
            }
            (Verdict::Damaged(_), Asked::Items { .. }) => self.resent = true,
            (Verdict::Refused(_), Asked::Items { to, count, .. }) if count > 1 => {
                (self.alone_until, self.resent) = (to, false);
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
            (Verdict::Unclear { after_ms }, _) => {
                self.doubt = true;
                self.failed(UNCLEAR.to_owned(), after_ms);
            }
            (Verdict::Later { reason, after_ms }, _) => self.failed(reason, after_ms),
            // Answers that make no sense to what was asked: a server that is none of ours.
            (Verdict::Unsupported, _) => self.failed("HTTP_415".to_owned(), None),
            (_, Asked::Where) => self.failed(UNCLEAR.to_owned(), None),
        }
    }

    fn went_well(&mut self) {
        (self.attempts, self.reason) = (0, None);
        (self.refreshed, self.resent) = (false, false);
        self.body_bytes = (self.body_bytes * 2).min(BODY_BYTES);
    }

    /// The server says where its stream ends. What it has there must be what the outbox has there.
    fn meet(&mut self, remote: Remote, skips: Skips) {
        let acknowledged = self.outbox.acknowledged - self.outbox.base;
        if let Skips::First(skip) = &skips {
            if skip.seq <= acknowledged || skip.seq > remote.last_seq {
                return self.look_to_compare(remote, Skips::Unknown);
            }
            // As if its stream ended there, as it once did. What comes behind is asked for afterwards.
            let there = Remote { last_seq: skip.seq, digest: Some(skip.digest) };
            self.doubt = true;
            return self.look_to_compare(there, skips);
        }
        if remote.last_seq > 0 {
            return self.look_to_compare(remote, skips);
        }
        // An empty stream. It is empty here too, or was lost over there.
        if self.outbox.acknowledged > self.outbox.base {
            match self.outbox.first <= self.outbox.base + 1 {
                true => self.rewind(self.outbox.base),
                false => self.lost(self.outbox.base),
            }
        }
    }

    /// `item` is the own one in the server's last place, if it is kept.
    pub(super) fn compared(&mut self, remote: Remote, skips: Skips, item: Option<&Item>) {
        let (number, own) = (self.outbox.base + remote.last_seq, item.map(Item::digest));
        let (acknowledged, is_ours) = (self.outbox.acknowledged, own == remote.digest);
        // Or what a server says that has recorded the digest of a body of several.
        let by_body = !is_ours && remote.digest.map(|digest| (number, digest)) == self.last_body;
        self.one_by_one |= by_body;
        let agrees = is_ours || by_body;
        if agrees {
            self.previous = remote.digest.map(|digest| (number, digest));
        }
        if number > acknowledged {
            match (agrees, item, skips) {
                (true, Some(item), Skips::First(skip)) => {
                    self.meet_skip(item, skip.digest, skip.code)
                }
                (true, _, Skips::None) => self.all_is_there(number),
                // Its answer was lost, or the record of it.
                (true, ..) => self.acknowledge(number),
                (false, ..) => self.fork(),
            }
        } else if !agrees {
            // Something else is there, and nobody can tell what of its own the server has before it.
            self.lost(self.outbox.base);
        } else if number < acknowledged {
            self.rewind(number);
        }
    }

    /// The server has a skip in this item's place, and rows of all before that. What is rows here was refused when a
    /// copy of this database sent it: it is a dead letter here, too.
    fn meet_skip(&mut self, item: &Item, digest: Digest, code: String) {
        self.all_is_there(item.number - 1);
        match item.content {
            Content::Skip { .. } => self.acknowledge(item.number),
            Content::Frame(_) => {
                let refused = Refused { code, title: None, column: None, row: None };
                self.put_aside(self.letter(item, refused), digest);
            }
        }
    }

    /// The server has rows of everything up to this number: those of a dead letter among it came from a copy of this
    /// database.
    fn all_is_there(&mut self, number: i64) {
        let after = self.outbox.acknowledged;
        if number > after {
            self.acknowledge(number);
            if self.outbox.dead_letters > 0 {
                let arrived = |stream| Record::Arrived { stream, after, number };
                self.record(arrived, Happened::Acknowledged, None);
            }
        }
    }

    /// The server has everything up to this number.
    pub(super) fn acknowledge(&mut self, number: i64) {
        let known = self.items.iter().take_while(|item| item.number <= number).count();
        let bytes = self.items.drain(..known).map(|item| item.bytes() as u64).sum();
        self.window.acknowledged(number, bytes, self.now_ms);
        self.outbox.acknowledged = number;
        self.attempts = 0;
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
        let Some(item) = self.items.front().filter(|item| item.number == number) else {
            return;
        };
        if matches!(item.content, Content::Skip { .. }) {
            // It does not even take that it will not come.
            return self.failed(refused.code, None);
        }
        self.put_aside(self.letter(item, refused), digest);
    }

    fn letter(&self, item: &Item, refused: Refused) -> DeadLetter {
        DeadLetter {
            id: item.number,
            stream: self.outbox.stream.clone().unwrap_or_default(),
            seq: item.number - self.outbox.base,
            table: item.table.clone(),
            rows: item.rows,
            refused,
        }
    }

    /// A skip takes the item's place, and the item is for the user to settle.
    fn put_aside(&mut self, letter: DeadLetter, digest: Digest) {
        let (number, refused) = (letter.id, letter.refused.clone());
        let record = |stream| Record::DeadLetter { stream, number, digest, refused };
        self.record(record, Happened::DeadLetter, Some(letter));
    }
}
