//! The sender: one for all tabs, strictly in order, for ever.
//!
//! ```text
//! Off ──granted──► look at the outbox ──► ask the server where it stands ──► compare
//!                       ▲                                                      │
//!                       │  stale (told of a change, after a record)            ▼
//!                       └───────────── send, acknowledged, send … ◄── agreed, rewound, forked
//! ```
//!
//! One thing is under way at a time: a look, a record that must be in, a token, an exchange. Waiting
//! and pausing only keep the next exchange from being begun. What the server has is recorded lazily:
//! who takes over asks it anyway, and what is sent twice it answers as a duplicate.
//!
//! Hashing, compressing and sending take their time from the thread that also writes. So while the
//! caller's calls come one upon the other, the sender rests ten times as long as the last exchange took,
//! at the beginning and after each exchange; what came in the meantime goes together.

use super::item::{Digest, Item};
use super::looks::Purpose;
use super::outbox::{DeadLetter, Look, OutboxState, PauseReason, Record};
use super::report::{Happened, Report, Status};
use super::window::Window;
use super::wire::{self, Outcome, Request};
use std::collections::VecDeque;

/// What may go in one body: as much as an item may have.
pub(super) const BODY_BYTES: usize = 4 << 20;
const BODY_ROWS: u64 = 250_000;
/// Timeouts, and failures in a row, halve what goes in one body, down to this.
pub(super) const LEAST_BODY_BYTES: usize = 64 << 10;
/// Backoff: random between 0 and 0.5, 1, 2 … 60 s.
const FIRST_WAIT_MS: f64 = 500.0;
const LONGEST_WAIT_MS: f64 = 60_000.0;
/// The longest once new frames came: a caller in a loop is no reason to ask a dead server more often.
const HASTENED_WAIT_MS: f64 = 1_000.0;
/// What a server may impose with `Retry-After`.
const LONGEST_IMPOSED_MS: f64 = 3_600_000.0;
/// An exchange that takes longer has failed.
const EXCHANGE_MS: f64 = 120_000.0;
const TOKEN_MS: f64 = 60_000.0;
/// While the caller is busy: a rest in lengths of the last exchange, at least and at most. 4 MiB take 200 ms,
/// most of it for compression.
const REST_LENGTHS: f64 = 10.0;
const SHORTEST_REST_MS: f64 = 100.0;
const LONGEST_REST_MS: f64 = 5000.0;

/// What the user set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// How long acknowledged items are kept,
    pub keep_ms: f64,
    /// and how many bytes of them.
    pub keep_bytes: u64,
    /// Whether there is somebody to ask for a token.
    pub has_token: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { keep_ms: 900_000.0, keep_bytes: 64 << 20, has_token: false }
    }
}

/// What to do. Answers come back by [`Sender::looked`], [`Sender::recorded`], [`Sender::answered`]
/// and [`Sender::token`].
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Look(Look),
    Record(Record),
    Exchange {
        id: u32,
        request: Request,
    },
    /// The answer is not wanted any more.
    Cancel {
        id: u32,
    },
    /// Ask the page for a token; `refresh` says that the last one was refused.
    Token {
        id: u32,
        refresh: bool,
    },
    Tell(Report),
}

/// What an exchange is about.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Asked {
    Where,
    Items { to: i64, count: usize, digest: Digest, gzip: bool },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    /// Another tab sends, or none.
    Off,
    Idle,
    Looking(Purpose),
    Recording,
    Token {
        id: u32,
        until_ms: f64,
    },
    Exchanging {
        id: u32,
        asked: Asked,
        until_ms: f64,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Sender {
    pub(super) settings: Settings,
    pub(super) state: State,
    pub(super) now_ms: f64,
    random: u64,
    last_id: u32,
    pub(super) steps: Vec<Step>,
    /// The outbox as it was last seen; `acknowledged` is ahead of what is recorded.
    pub(super) outbox: OutboxState,
    pub(super) recorded: i64,
    /// Items after the acknowledged ones, without gaps.
    pub(super) items: VecDeque<Item>,
    /// The outbox has to be looked at as a whole.
    pub(super) stale: bool,
    /// The server has to be asked where it stands.
    pub(super) doubt: bool,
    /// Its numbers may have grown.
    pub(super) fresh: bool,
    pub(super) look_at_ms: f64,
    pub(super) record_at_ms: Option<f64>,
    pub(super) expire_at_ms: f64,
    pub(super) window: Window,
    wait: Option<Wait>,
    pub(super) attempts: u32,
    /// Nothing is sent until somebody says so; the reason. One that is not in the database.
    stopped: Option<String>,
    /// Why the last exchange failed.
    pub(super) reason: Option<String>,
    told: Option<String>,
    /// To be told once the outbox was looked at again.
    pub(super) news: Option<(Happened, Option<DeadLetter>)>,
    /// Whether there is a token that was not refused.
    pub(super) token_known: bool,
    /// A token was refused, and a fresh one was asked for since.
    pub(super) refreshed: bool,
    /// Items up to this number go one by one: one of them was refused.
    pub(super) alone_until: i64,
    /// Number of the last item and digest of the last body that had several.
    pub(super) last_body: Option<(i64, Digest)>,
    /// The server has recorded such a digest in place of the item's: it is sent no other body of several.
    pub(super) one_by_one: bool,
    pub(super) body_bytes: usize,
    pub(super) gzip: bool,
    /// The body was damaged on its way, and is sent once more.
    pub(super) resent: bool,
    /// Number and digest of the last item that the server is known to have.
    pub(super) previous: Option<(i64, Digest)>,
    /// Until then the caller is taken to be in the middle of something.
    pub(super) busy_until_ms: f64,
    /// How long it rests, and until when, should the caller be busy.
    rest_ms: f64,
    rest_until_ms: f64,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    since_ms: f64,
    until_ms: f64,
    /// The server said so; nothing shortens it.
    imposed: bool,
}

impl Sender {
    /// A sender that is not the one who sends yet. `seed` is for the jitter.
    pub fn new(settings: Settings, seed: u64) -> Sender {
        Sender {
            settings,
            state: State::Off,
            now_ms: 0.0,
            random: seed,
            last_id: 0,
            steps: Vec::new(),
            outbox: OutboxState::default(),
            recorded: 0,
            items: VecDeque::new(),
            stale: true,
            doubt: true,
            fresh: true,
            look_at_ms: 0.0,
            record_at_ms: None,
            expire_at_ms: 0.0,
            window: Window::default(),
            wait: None,
            attempts: 0,
            stopped: None,
            reason: None,
            told: None,
            news: None,
            token_known: false,
            refreshed: false,
            alone_until: 0,
            last_body: None,
            one_by_one: false,
            body_bytes: BODY_BYTES,
            gzip: true,
            resent: false,
            previous: None,
            busy_until_ms: 0.0,
            rest_ms: SHORTEST_REST_MS,
            rest_until_ms: 0.0,
        }
    }

    /// Whether this is the one who sends.
    pub fn is_on(&self) -> bool {
        self.state != State::Off
    }

    /// Whether it has seen a stream in the outbox.
    pub fn has_looked(&self) -> bool {
        self.outbox.stream.is_some()
    }

    /// Forwarding, as this sender knows it.
    pub fn status(&self) -> Status {
        self.status_while(self.outbox.paused)
    }

    /// The same with the pause that the database has.
    pub fn status_while(&self, paused: Option<PauseReason>) -> Status {
        let mut status = Status::of(&OutboxState { paused, ..self.outbox.clone() });
        if let Some(reason) = &self.stopped {
            (status.paused, status.reason) = (true, Some(reason.clone()));
        }
        status.reason = status.reason.or_else(|| self.reason.clone());
        status
    }

    /// Somebody looked at the outbox for another reason.
    pub fn saw(&mut self, state: &OutboxState) {
        if self.is_on() && self.outbox.stream.is_none() && state.stream.is_some() {
            // The first frame came. What there is to be told of it, the look tells.
            self.outbox = OutboxState { paused: None, ..state.clone() };
            (self.stale, self.fresh) = (true, true);
        } else if self.is_on() && self.knows(state) {
            self.outbox.dead_letters = state.dead_letters;
            if state.last > self.outbox.last {
                (self.outbox.last, self.fresh) = (state.last, true);
            }
        }
    }

    /// Whether it looked at this stream, and none has taken its place since.
    pub fn knows(&self, state: &OutboxState) -> bool {
        state.stream == self.outbox.stream && state.base == self.outbox.base
    }

    /// It is this one's turn.
    pub fn begin(&mut self, now_ms: f64) -> Vec<Step> {
        let (random, last_id) = (self.random, self.last_id);
        *self = Sender { random, last_id, state: State::Idle, ..Sender::new(self.settings, 0) };
        self.advance(now_ms)
    }

    /// It is another one's turn.
    pub fn end(&mut self) -> Vec<Step> {
        if let State::Exchanging { id, .. } = self.state {
            self.steps.push(Step::Cancel { id });
        }
        (self.state, self.stopped) = (State::Off, None);
        std::mem::take(&mut self.steps)
    }

    /// The outbox is another file's: nothing holds of what is known, and an answer that is on its way is to the old one.
    pub fn begin_anew(&mut self, now_ms: f64) -> Vec<Step> {
        if !self.is_on() {
            return Vec::new();
        }
        let mut steps = self.end();
        steps.extend(self.begin(now_ms));
        steps
    }

    /// Frames were put into the outbox. Whoever waits by itself does so for a second at most from then on.
    pub fn frames_came(&mut self, now_ms: f64) -> Vec<Step> {
        self.fresh = true;
        if let Some(wait) = self.wait.as_mut().filter(|wait| !wait.imposed) {
            wait.until_ms = wait.until_ms.min(wait.since_ms + HASTENED_WAIT_MS);
        }
        self.advance(now_ms)
    }

    /// The network, or the page, is back: what waits, tries now.
    pub fn woken(&mut self, now_ms: f64) -> Vec<Step> {
        self.wait = self.wait.filter(|wait| wait.imposed);
        self.advance(now_ms)
    }

    /// The caller calls, or was answered; until then its next call is expected.
    pub fn caller_is_busy(&mut self, now_ms: f64, until_ms: f64) {
        if now_ms > self.busy_until_ms {
            // It begins: what it does may be over before the rest is.
            self.rest_until_ms = self.rest_until_ms.max(now_ms + self.rest_ms);
        }
        self.busy_until_ms = until_ms;
    }

    /// The outbox was changed by somebody else: settled dead letters, a pause.
    pub fn outbox_changed(&mut self, now_ms: f64) -> Vec<Step> {
        self.stale = true;
        self.advance(now_ms)
    }

    /// `resume()` was called: whatever stopped the sender is forgotten.
    pub fn resume(&mut self, now_ms: f64) -> Vec<Step> {
        (self.wait, self.attempts, self.refreshed) = (None, 0, false);
        if self.stopped.take().is_some() {
            self.token_known = false;
            self.reason = None;
            self.tell(Happened::Resumed);
        }
        (self.stale, self.doubt) = (true, true);
        self.advance(now_ms)
    }

    /// The answer to [`Step::Token`].
    pub fn token(&mut self, now_ms: f64, of: u32, came: bool) -> Vec<Step> {
        self.now_ms = now_ms;
        if matches!(self.state, State::Token { id, .. } if id == of) {
            self.state = State::Idle;
            self.token_known = came;
            if !came {
                self.failed("TOKEN".to_owned(), None);
            }
        }
        self.advance(now_ms)
    }

    /// The answer to [`Step::Exchange`].
    pub fn answered(&mut self, now_ms: f64, of: u32, outcome: Outcome) -> Vec<Step> {
        self.now_ms = now_ms;
        if let State::Exchanging { id, asked, until_ms } = &self.state
            && *id == of
        {
            let (asked, took_ms) = (asked.clone(), now_ms - (until_ms - EXCHANGE_MS));
            self.state = State::Idle;
            let items = matches!(asked, Asked::Items { .. });
            if items {
                self.rest_ms = (REST_LENGTHS * took_ms).clamp(SHORTEST_REST_MS, LONGEST_REST_MS);
                self.rest_until_ms = now_ms + self.rest_ms;
            }
            let failed_before = self.attempts;
            match outcome {
                Outcome::Failed => self.failed("NETWORK".to_owned(), None),
                Outcome::Answered(answer) => self.judge(asked, answer.verdict()),
            }
            if items && failed_before > 0 && self.attempts > failed_before {
                // Twice in a row. It may be that nobody has the patience for a slow line.
                self.send_less();
            }
        }
        self.advance(now_ms)
    }

    /// Moves on as far as it goes.
    pub fn advance(&mut self, now_ms: f64) -> Vec<Step> {
        self.now_ms = now_ms;
        if self.is_on() {
            self.wait = self.wait.filter(|wait| now_ms < wait.until_ms);
            self.fresh |= now_ms >= self.look_again_at_ms();
            self.time_out();
            self.write_down();
            while self.state == State::Idle && self.begin_next() {}
        }
        std::mem::take(&mut self.steps)
    }

    fn time_out(&mut self) {
        match self.state {
            State::Exchanging { id, until_ms, .. } if self.now_ms >= until_ms => {
                self.steps.push(Step::Cancel { id });
                self.state = State::Idle;
                self.send_less();
                self.failed("TIMEOUT".to_owned(), None);
            }
            State::Token { until_ms, .. } if self.now_ms >= until_ms => {
                self.state = State::Idle;
                self.failed("TOKEN".to_owned(), None);
            }
            _ => {}
        }
    }

    /// Whether an exchange may be begun.
    pub(super) fn may_exchange(&self) -> bool {
        self.wait.is_none() && self.stopped.is_none() && self.outbox.paused.is_none()
    }

    /// When there is time to send: now, unless the caller is busy and the rest is not over.
    pub(super) fn free_at_ms(&self) -> f64 {
        self.rest_until_ms.min(self.busy_until_ms)
    }

    /// Begins what comes next, if anything does.
    fn begin_next(&mut self) -> bool {
        if let Some(purpose) = self.next_look()
            && self.now_ms >= self.may_look_at_ms(&purpose)
        {
            return self.look(purpose);
        }
        let exchanges = self.may_exchange() && !self.stale && self.now_ms >= self.free_at_ms();
        let wants = exchanges && (self.doubt || !self.items.is_empty());
        if wants && self.settings.has_token && !self.token_known {
            self.last_id += 1;
            let (id, refresh) = (self.last_id, self.refreshed);
            self.state = State::Token { id, until_ms: self.now_ms + TOKEN_MS };
            self.steps.push(Step::Token { id, refresh });
            return true;
        }
        wants && self.exchange()
    }

    fn exchange(&mut self) -> bool {
        let Some(stream) = &self.outbox.stream else {
            return false;
        };
        let (request, asked) = if self.doubt {
            (wire::ask(stream, self.outbox.acknowledged - self.outbox.base), Asked::Where)
        } else {
            let items: Vec<&Item> = self.items.iter().take(self.count_together()).collect();
            let after = items.first().and_then(|item| self.digest_before(item.number));
            let put = wire::put(stream, self.outbox.base, &items, after, self.gzip);
            let (Some((request, digest)), Some(last)) = (put, items.last()) else {
                return false;
            };
            let (count, gzip) = (items.len(), request.gzip);
            if count > 1 {
                let body = Digest::parse(&request.content_digest);
                self.last_body = body.map(|body| (last.number, body));
            }
            (request, Asked::Items { to: last.number, count, digest, gzip })
        };
        self.last_id += 1;
        let id = self.last_id;
        self.state = State::Exchanging { id, asked, until_ms: self.now_ms + EXCHANGE_MS };
        self.steps.push(Step::Exchange { id, request });
        true
    }

    /// The digest of the item before this one, if it is of this stream and known.
    pub(super) fn digest_before(&self, number: i64) -> Option<Digest> {
        let (before, digest) = self.previous?;
        (before == number - 1 && before > self.outbox.base).then_some(digest)
    }

    /// How many of the items go in one body.
    fn count_together(&self) -> usize {
        let Some(first) = self.items.front() else {
            return 0;
        };
        let (mut bytes, mut rows) = (0, 0);
        let together = self.items.iter().take_while(|item| {
            bytes += item.bytes();
            rows += item.rows;
            let fits = bytes <= self.body_bytes && rows <= BODY_ROWS;
            let joins = !self.one_by_one && item.number > self.alone_until;
            fits && joins && first.joins(item)
        });
        together.count().max(1)
    }

    /// An exchange failed: the next one is made after a while.
    pub(super) fn failed(&mut self, reason: String, after_ms: Option<f64>) {
        let grown_ms = FIRST_WAIT_MS * f64::from(1u32 << self.attempts.min(16));
        self.attempts += 1;
        let wait_ms = grown_ms.min(LONGEST_WAIT_MS) * self.jitter();
        let imposed_ms = after_ms.map_or(0.0, |ms| ms.clamp(0.0, LONGEST_IMPOSED_MS));
        let until_ms = self.now_ms + wait_ms.max(imposed_ms);
        self.wait = Some(Wait { since_ms: self.now_ms, until_ms, imposed: imposed_ms > 0.0 });
        self.reason = Some(reason);
        if self.told != self.reason {
            self.tell(Happened::Waiting);
        }
    }

    /// Less at a time gets through a slow line more often.
    pub(super) fn send_less(&mut self) {
        self.body_bytes = (self.body_bytes / 2).max(LEAST_BODY_BYTES);
    }

    /// Nothing is sent until somebody says so, or another tab takes over.
    pub(super) fn stop(&mut self, reason: String) {
        self.stopped = Some(reason);
        self.tell(Happened::Paused);
    }

    pub(super) fn tell(&mut self, what: Happened) {
        let status = self.status();
        self.told = status.reason.clone();
        self.steps.push(Step::Tell(Report { what, status, dead_letter: None }));
    }

    /// When there is something to do by time alone.
    pub fn wake_at_ms(&self) -> Option<f64> {
        let timeout = match self.state {
            State::Off => return None,
            State::Exchanging { until_ms, .. } | State::Token { until_ms, .. } => Some(until_ms),
            _ => None,
        };
        let idle = self.state == State::Idle;
        let look = self.next_look().filter(|_| idle).map(|purpose| self.may_look_at_ms(&purpose));
        let sends = idle && (self.doubt || !self.items.is_empty()) && self.may_exchange();
        let times = [
            timeout,
            self.wait.map(|wait| wait.until_ms),
            look,
            sends.then(|| self.free_at_ms()).filter(|at_ms| *at_ms > self.now_ms),
            (idle && !self.fresh).then(|| self.look_again_at_ms()),
            self.write_down_at_ms(),
        ];
        times.into_iter().flatten().min_by(f64::total_cmp)
    }

    /// A uniform number in `[0, 1)`.
    fn jitter(&mut self) -> f64 {
        crate::policy::next_random(&mut self.random)
    }
}
