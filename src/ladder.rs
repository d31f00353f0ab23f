//! The ladder: direct → handoff → queued. One per append; says which rung it stands on and how
//! long it stays there. Pure: times and random numbers come in, the next step goes out.

use crate::error::{Code, Error};
use crate::lease::LEAST_WAIT_MS;
use crate::policy::RetryPolicy;
use serde::{Deserialize, Serialize};

/// How long a frame that was handed over waits for the holder's answer before it is queued. A
/// holder that can answer does so in 3 to 8 ms; one in a long transaction says nothing.
const HANDOFF_WAIT_MS: f64 = 1000.0;
/// Kept back from the deadline for writing the frame into the durable queue.
const QUEUE_RESERVE_MS: f64 = 1000.0;

/// What follows when every direct attempt stayed busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fallback {
    /// Hand the frame to the tab that holds the lock, then queue it.
    #[default]
    Handoff,
    /// Queue it.
    Queue,
    /// `BUSY`.
    None,
}

/// A way into the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Path {
    Direct,
    Handoff,
    Queued,
    Joined,
    Duplicate,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    Committed,
    Busy,
    Unreachable,
    Refused,
}

/// One attempt, as the receipt lists it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    pub path: Path,
    pub outcome: Outcome,
    pub waited_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Which rung.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rung {
    /// Waiting for the lock.
    Direct { since_ms: f64 },
    /// Between two attempts. The request for the lock stands; a grant ends the pause.
    Backoff { until_ms: f64 },
    /// Handed to the holder.
    Handoff { since_ms: f64, until_ms: f64 },
    /// Being written into the durable queue.
    Queue,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Nothing before this time.
    WaitUntil(f64),
    /// Offer the frame to the holder, now.
    Handoff,
    /// Write it into the queue, now.
    Queue,
    /// Settle with this error.
    Fail(Error),
}

/// One append's way down; see the module.
#[derive(Debug, PartialEq)]
pub struct Ladder {
    policy: RetryPolicy,
    fallback: Fallback,
    started_ms: f64,
    rung: Rung,
    attempts: Vec<Attempt>,
}

impl Ladder {
    /// Starts on the first rung at `now_ms`.
    pub fn new(policy: RetryPolicy, fallback: Fallback, now_ms: f64) -> Self {
        let rung = Rung::Direct { since_ms: now_ms };
        Ladder { policy, fallback, started_ms: now_ms, rung, attempts: Vec::new() }
    }

    /// The call was made then, and has stood in line since.
    pub fn called_at(self, since_ms: f64) -> Self {
        Ladder { started_ms: since_ms.min(self.started_ms), ..self }
    }

    /// The attempts so far.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// Where it stands.
    pub fn rung(&self) -> Rung {
        self.rung
    }

    /// Milliseconds since the call.
    pub fn elapsed_ms(&self, now_ms: f64) -> f64 {
        now_ms - self.started_ms
    }

    /// When the call has to be settled.
    pub fn deadline_ms(&self) -> f64 {
        self.started_ms + self.policy.deadline_ms
    }

    /// When it has to be polled first, if the lock stays taken.
    pub fn first_ms(&self) -> f64 {
        match self.policy.attempts {
            0 => self.started_ms,
            _ => self.attempt_until_ms(self.started_ms),
        }
    }

    /// Until when an attempt that began then waits for the lock.
    fn attempt_until_ms(&self, since_ms: f64) -> f64 {
        let until_ms = since_ms + self.policy.lock_timeout_ms.max(LEAST_WAIT_MS);
        until_ms.min(self.direct_until_ms())
    }

    /// Whether its time is up.
    pub fn is_overdue(&self, now_ms: f64) -> bool {
        now_ms >= self.deadline_ms()
    }

    /// When it leaves the upper rungs at the latest, with time left for the queue where there is one.
    pub fn direct_until_ms(&self) -> f64 {
        match self.fallback {
            Fallback::None => self.deadline_ms(),
            _ => self.deadline_ms() - QUEUE_RESERVE_MS.min(self.policy.deadline_ms / 4.0),
        }
    }

    /// Time has passed: what now? `random` gives uniform numbers in `[0, 1)`.
    pub fn poll(&mut self, now_ms: f64, random: &mut dyn FnMut() -> f64) -> Next {
        loop {
            match self.rung {
                Rung::Direct { since_ms } => {
                    if self.policy.attempts == 0 {
                        return self.fall(now_ms);
                    }
                    let stop_ms = self.attempt_until_ms(since_ms);
                    if now_ms < stop_ms {
                        return Next::WaitUntil(stop_ms);
                    }
                    self.note(Path::Direct, Outcome::Busy, now_ms - since_ms, None);
                    let made = self.attempts.len() as u32;
                    if now_ms >= self.direct_until_ms() {
                        return self.out_of_time(now_ms);
                    }
                    if made >= self.policy.attempts {
                        return self.fall(now_ms);
                    }
                    let delay_ms = self.policy.delay_ms(made - 1, random());
                    self.rung = Rung::Backoff { until_ms: now_ms + delay_ms };
                }
                Rung::Backoff { until_ms } => {
                    if now_ms >= self.direct_until_ms() {
                        return self.out_of_time(now_ms);
                    }
                    if now_ms < until_ms {
                        return Next::WaitUntil(until_ms.min(self.direct_until_ms()));
                    }
                    self.rung = Rung::Direct { since_ms: now_ms };
                }
                Rung::Handoff { since_ms, until_ms } => {
                    if now_ms < until_ms {
                        return Next::WaitUntil(until_ms);
                    }
                    self.note(Path::Handoff, Outcome::Unreachable, now_ms - since_ms, None);
                    self.rung = Rung::Queue;
                    return Next::Queue;
                }
                Rung::Queue => return Next::WaitUntil(f64::INFINITY),
            }
        }
    }

    fn out_of_time(&mut self, now_ms: f64) -> Next {
        if self.fallback == Fallback::None {
            return Next::Fail(self.timed_out(now_ms));
        }
        self.rung = Rung::Queue;
        Next::Queue
    }

    /// The error of a call whose time is up before any rung had taken the frame.
    pub fn timed_out(&self, now_ms: f64) -> Error {
        let waited = self.elapsed_ms(now_ms);
        let message = format!("the deadline passed after {waited:.0} ms; nothing was written");
        Error::new(Code::Timeout, message)
    }

    /// Whether the holder is asked at all, and there is time for it.
    pub fn wants_holder(&self, now_ms: f64) -> bool {
        self.fallback == Fallback::Handoff && now_ms < self.direct_until_ms()
    }

    fn fall(&mut self, now_ms: f64) -> Next {
        match self.fallback {
            Fallback::None => {
                let message = format!(
                    "the write lock stayed taken through {} attempts; nothing was written",
                    self.attempts.len()
                );
                Next::Fail(Error::new(Code::Busy, message))
            }
            Fallback::Queue => {
                self.rung = Rung::Queue;
                Next::Queue
            }
            Fallback::Handoff => {
                self.await_holder(now_ms);
                Next::Handoff
            }
        }
    }

    /// There is nobody to hand the frame to, as can be seen at once: on to the queue.
    pub fn handoff_refused(&mut self, why: &str) {
        self.note(Path::Handoff, Outcome::Refused, 0.0, Some(why.to_owned()));
        self.rung = Rung::Queue;
    }

    /// Whether the frame may be put into the queue at all.
    pub fn may_queue(&self) -> bool {
        self.fallback != Fallback::None
    }

    /// A later frame of the same table has to be queued now, so this one goes before it.
    pub fn force_queue(&mut self) {
        self.rung = Rung::Queue;
    }

    /// The holder has the frame, or finds it in the queue, and a while to apply it: until the time that this gives.
    pub fn await_holder(&mut self, now_ms: f64) -> f64 {
        let until_ms = (now_ms + HANDOFF_WAIT_MS).min(self.direct_until_ms());
        self.rung = Rung::Handoff { since_ms: now_ms, until_ms };
        until_ms
    }

    /// The frame is in: notes the attempt that did it.
    pub fn committed(&mut self, path: Path, now_ms: f64) {
        let since_ms = match self.rung {
            Rung::Direct { since_ms } | Rung::Handoff { since_ms, .. } => since_ms,
            Rung::Backoff { .. } | Rung::Queue => now_ms,
        };
        self.note(path, Outcome::Committed, now_ms - since_ms, None);
    }

    fn note(&mut self, path: Path, outcome: Outcome, waited_ms: f64, error: Option<String>) {
        self.attempts.push(Attempt { path, outcome, waited_ms, error });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(policy: RetryPolicy, fallback: Fallback) -> (Vec<f64>, Next, Ladder) {
        let mut ladder = Ladder::new(policy, fallback, 0.0);
        let mut times = Vec::new();
        let mut now_ms = 0.0;
        loop {
            match ladder.poll(now_ms, &mut || 0.5) {
                Next::WaitUntil(at_ms) => {
                    assert!(at_ms > now_ms, "time moves");
                    now_ms = at_ms;
                    times.push(now_ms);
                }
                end => return (times, end, ladder),
            }
        }
    }

    #[test]
    fn three_attempts_and_two_jittered_pauses_then_busy() {
        let (times, end, ladder) = run(RetryPolicy::default(), Fallback::None);
        // 200 ms of waiting, half of 50, 200 again, half of 100, 200.
        assert_eq!(times, [200.0, 225.0, 425.0, 475.0, 675.0]);
        assert!(matches!(end, Next::Fail(Error { code: Code::Busy, .. })));
        let waits: Vec<f64> = ladder.attempts().iter().map(|a| a.waited_ms).collect();
        assert_eq!(waits, [200.0; 3]);
        assert!(ladder.attempts().iter().all(|a| a.outcome == Outcome::Busy));
    }

    #[test]
    fn no_patience_is_still_time_to_ask() {
        let policy = RetryPolicy { attempts: 1, lock_timeout_ms: 0.0, ..Default::default() };
        assert_eq!(run(policy, Fallback::None).0, [LEAST_WAIT_MS]);
    }

    #[test]
    fn the_deadline_ends_it_whatever_the_attempts() {
        let policy = RetryPolicy { attempts: 1000, deadline_ms: 900.0, ..Default::default() };
        let (times, end, _) = run(policy, Fallback::None);
        assert_eq!(*times.last().unwrap(), 900.0);
        assert!(matches!(end, Next::Fail(Error { code: Code::Timeout, .. })));
        let (times, end, _) = run(policy, Fallback::Queue);
        assert_eq!(*times.last().unwrap(), 675.0, "a quarter is kept for the queue");
        assert_eq!(end, Next::Queue);
    }

    #[test]
    fn no_attempts_goes_straight_to_the_fallback() {
        let policy = RetryPolicy { attempts: 0, ..Default::default() };
        assert_eq!(run(policy, Fallback::Queue).1, Next::Queue);
        assert_eq!(run(policy, Fallback::Handoff).1, Next::Handoff);
        assert!(matches!(
            run(policy, Fallback::None).1,
            Next::Fail(Error { code: Code::Busy, .. })
        ));
    }

    #[test]
    fn a_silent_holder_sends_the_frame_to_the_queue() {
        let policy = RetryPolicy { attempts: 0, ..Default::default() };
        let mut ladder = Ladder::new(policy, Fallback::Handoff, 0.0);
        assert_eq!(ladder.poll(0.0, &mut || 0.0), Next::Handoff);
        assert_eq!(ladder.poll(1.0, &mut || 0.0), Next::WaitUntil(HANDOFF_WAIT_MS));
        assert_eq!(ladder.poll(HANDOFF_WAIT_MS, &mut || 0.0), Next::Queue);
        assert_eq!(ladder.attempts()[0].outcome, Outcome::Unreachable);
    }
}
