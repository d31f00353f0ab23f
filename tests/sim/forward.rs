//! Forwarding in this world: the sender's lock, tokens, the way to the server and back, with what goes wrong
//! on it; and what must be there in the end.

use crate::client::Purpose;
use crate::file::TabId;
use crate::image::Image;
use crate::oracle::{Failure, Found, failure};
use crate::world::{DATABASE, Happening, JOURNAL, World};
use framelock::forward::{Answer, Outcome, PauseReason, Request, Settings};
use framelock::lease::LockId;
use framelock::node::{Call, Event, OutboxCall};
use std::collections::{BTreeMap, BTreeSet};

/// How often the world is looked at while the outbox empties.
const LOOK_US: u64 = 5_000_000;

impl World {
    /// How a new handle forwards; some do not.
    pub fn forward_settings(&mut self) -> Option<Settings> {
        let some = self.plan.forwarding > 0.0 && (self.calm || self.luck.chance(0.8));
        let keep_bytes = if self.plan.small_window > 0.0 { 0 } else { 64 << 20 };
        let keep_ms = if self.plan.small_window > 0.0 { 500.0 } else { 900_000.0 };
        some.then_some(Settings { keep_ms, keep_bytes, has_token: self.plan.tokens > 0.0 })
    }

    pub fn request_sender(&mut self, tab: TabId, id: LockId) {
        self.sender_lock.request(tab, id, true);
        self.grant_sender();
    }

    pub fn release_sender(&mut self, tab: TabId, id: LockId) {
        self.sender_lock.end(tab, id);
        self.grant_sender();
    }

    pub fn grant_sender(&mut self) {
        for (tab, id) in self.sender_lock.grant() {
            let delay_us = self.latency_us(20, 400);
            self.after(delay_us, Happening::SenderGranted(tab, id));
        }
    }

    pub fn sender_granted(&mut self, tab: TabId, id: LockId) {
        if self.sender_lock.holds(tab, id) {
            self.count("sender");
            self.dispatch(tab, Event::SenderGranted(id));
        }
    }

    /// The page answers with a token, or not; some that it gives are refused.
    pub fn ask_token(&mut self, tab: TabId, id: u32) {
        let came = self.calm || !self.luck.chance(self.plan.tokens * 0.3);
        let delay_us = self.latency_us(100, 5000);
        self.after(delay_us, Happening::Tell(tab, Event::Token(id, came)));
    }

    /// A request is on its way; it may get lost, and it may arrive twice.
    pub fn exchange(&mut self, tab: TabId, id: u32, request: Request) {
        self.exchanges.insert((tab, id));
        let delay_us = self.latency_us(2000, 30_000);
        if !self.calm && self.luck.chance(self.plan.requests_lost) {
            self.count("request lost");
            return self.after(delay_us, Happening::Answer(tab, id, Outcome::Failed));
        }
        if !self.calm && self.luck.chance(self.plan.requests_doubled) {
            self.count("request doubled");
            let late_us = self.luck.between(0, 3_000_000);
            self.after(late_us, Happening::Request(tab, 0, request.clone()));
        }
        self.after(delay_us, Happening::Request(tab, id, request));
    }

    pub fn server_hears(&mut self, tab: TabId, id: u32, request: &Request) {
        if !self.calm && self.luck.chance(self.plan.given_up) && self.server.give_up(request) {
            self.count("given up by a copy");
        }
        let hurdle = (!self.calm).then(|| self.hurdle()).flatten();
        let answer = hurdle.unwrap_or_else(|| self.server.answer(request));
        self.trace
            .line(&format!("server <- {} -> {} {}", request.path, answer.status, answer.body));
        self.count(&format!("answer {}", answer.status));
        let lost = !self.calm && self.luck.chance(self.plan.answers_lost);
        let outcome = if lost { Outcome::Failed } else { Outcome::Answered(answer) };
        let delay_us = self.latency_us(2000, 30_000);
        self.after(delay_us, Happening::Answer(tab, id, outcome));
    }

    /// What stands before the server proper.
    fn hurdle(&mut self) -> Option<Answer> {
        let answer = |status, retry_after_ms, body: &str| {
            Some(Answer { status, retry_after_ms, body: body.to_owned() })
        };
        if self.luck.chance(self.plan.server_busy) {
            let after_ms = self.luck.chance(0.5).then_some(1000.0);
            return answer(*self.luck.pick(&[429, 500, 503]), after_ms, "<html>");
        }
        if self.luck.chance(self.plan.tokens * 0.2) {
            return answer(401, None, r#"{"code":"UNAUTHENTICATED"}"#);
        }
        None
    }

    pub fn answer_arrives(&mut self, tab: TabId, id: u32, outcome: Outcome) {
        if self.exchanges.remove(&(tab, id)) {
            self.dispatch(tab, Event::Exchanged(id, outcome));
        }
    }

    /// At rest: everything in the outbox gets through, or somebody is told why not.
    pub fn come_through(&mut self, fresh: TabId) {
        if self.plan.forwarding == 0.0 {
            return;
        }
        self.outbox_call(fresh, OutboxCall::Resume);
        // Nothing fails now, so nothing waits for longer than it takes.
        let mut end_us = self.now_us + 15_000_000 + (self.plan.slowness * 10_000_000.0) as u64;
        while self.now_us < end_us {
            self.run_until(self.now_us + LOOK_US, |_| false);
            if self.failure.is_some() {
                return;
            }
            let state = match self.image().and_then(|image| image.0.outbox_state()) {
                Ok(state) => state,
                Err(error) => return self.fail(failure("F", format!("the outbox: {error}"))),
            };
            if let Some(PauseReason::RemoteRewound { .. }) = state.paused {
                self.rewound = true;
                self.count("remote rewound");
                self.outbox_call(fresh, OutboxCall::Restart);
                end_us += LOOK_US;
            } else if state.acknowledged == state.last {
                return;
            }
        }
        let text = format!("the outbox does not empty: {:?}", self.server.size());
        self.fail(failure("F", text));
    }

    fn outbox_call(&mut self, tab: TabId, what: OutboxCall) {
        let call = Call::Outbox { what, timeout_ms: 15_000.0 };
        self.ask(tab, Purpose::Outbox, 15_000.0, call);
    }

    fn image(&self) -> Result<Image, framelock::error::Error> {
        let disk = self.disk.borrow();
        Image::open(disk.bytes(DATABASE), disk.bytes(JOURNAL))
    }

    /// Every forwarded frame that is in here is over there, once, in whole and in order; or it is a dead
    /// letter here and a skip there.
    pub fn check_server(&self, found: &Found, image: &Image) -> Result<(), Failure> {
        let broken = |text: String| Err(failure("F", text));
        let letters = image.0.dead_letters().map_err(|e| failure("F", e.to_string()))?;
        let ours = found.forwarded(&self.oracle);
        let over_there = self.server.rows();
        let mut times: BTreeMap<(usize, &str), Vec<u64>> = BTreeMap::new();
        for row in &over_there {
            times.entry((row.stream, &row.frame)).or_default().push(row.number);
        }
        let cut = self.plan.power_cuts > 0.0;
        let here: BTreeSet<&str> = ours.iter().map(|(_, frame, _)| &**frame).collect();
        for ((stream, frame), numbers) in &times {
            let whole: Vec<u64> = (0..numbers.len() as u64).collect();
            if *numbers != whole {
                return broken(format!("the server has rows {numbers:?} of {frame} in {stream}"));
            }
            if !here.contains(frame) && !cut {
                return broken(format!("the server has {frame}, which is not to be forwarded"));
            }
        }
        let given_up = &self.server.given_up;
        let refused = |frame: &str| self.server.refuses(frame) || given_up.contains(frame);
        let expected: Vec<_> = ours.iter().filter(|(_, frame, _)| !refused(frame)).collect();
        for (_, frame, rows) in &expected {
            let streams = times.iter().filter(|((_, name), _)| name == frame);
            let counts: Vec<usize> = streams.map(|(_, numbers)| numbers.len()).collect();
            let lost_aloud = self.rewound && self.server.lost.contains(frame);
            let enough = match counts[..] {
                [] => lost_aloud,
                [count] => count as u64 == *rows,
                // A copy of the file sent under the same id: what was unacknowledged was sent again.
                _ => (self.server.forked || cut) && counts.iter().all(|n| *n as u64 == *rows),
            };
            if !enough {
                return broken(format!("{frame} has {rows} rows, and over there {counts:?}"));
            }
        }
        let dead = ours.len() - expected.len();
        // A skip is lost with a rewind, and sent again; after a fork on the new stream too.
        let settled = letters.len() == dead && self.server.skips() >= dead;
        if !settled && !cut && !self.rewound {
            let skips = self.server.skips();
            return broken(format!("{dead} frames are refused: {letters:?}, {skips} skips"));
        }
        if self.server.forked || self.rewound || cut {
            return Ok(());
        }
        let order = |table: usize| {
            let wanted = expected.iter().filter(move |(of, _, _)| *of == table);
            wanted.map(|(_, frame, _)| frame.as_str()).collect::<Vec<_>>()
        };
        for table in 0..crate::frames::TABLES.len() {
            let wanted = order(table);
            let mut there: Vec<&str> = over_there.iter().map(|row| &*row.frame).collect();
            there.retain(|frame| wanted.contains(frame));
            there.dedup();
            if there != wanted {
                return broken(format!("table {table}: here {wanted:?}, over there {there:?}"));
            }
        }
        Ok(())
    }
}
