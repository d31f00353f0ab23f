//! What the clients are told, and what the oracle makes of it.

use crate::client::{Asked, OpenTx, Purpose};
use crate::file::TabId;
use crate::frames::Kind;
use crate::oracle::{Ending, FrameKey, Told, failure, in_doubt};
use crate::world::{Happening, World};
use framelock::error::{Code, Error};
use framelock::ladder::{Fallback, Path};
use framelock::node::{CallId, Reply};

/// What is due at a time may come so much earlier.
const ROUNDING_US: u64 = 2000;

impl World {
    /// A call is settled.
    pub fn answered(&mut self, id: TabId, call: CallId, outcome: Result<Reply, Error>) {
        let given_up = self.tabs.get_mut(&id).is_some_and(|tab| tab.client.given_up.remove(&call));
        if given_up {
            if outcome.is_ok() {
                let text = format!("t{id} call {call} was given up, and is done afterwards");
                self.fail(failure("I6", text));
            }
            return;
        }
        self.hear_answer(id, call, outcome);
    }

    /// The deadline of an append has passed. Before it has begun the page answers it by itself.
    pub fn give_up(&mut self, id: TabId, call: CallId) {
        let Some(tab) = self.tabs.get_mut(&id) else {
            return;
        };
        if tab.client.asked.contains_key(&call) && !tab.taken.borrow().contains(&call) {
            tab.client.given_up.insert(call);
            self.count("given up by the page");
            let message = "the deadline passed before it began";
            self.hear_answer(id, call, Err(Error::new(Code::Timeout, message)));
        }
    }

    fn hear_answer(&mut self, id: TabId, call: CallId, outcome: Result<Reply, Error>) {
        let pause_us = self.pause_us();
        let Some(client) = self.tabs.get_mut(&id).map(|tab| &mut tab.client) else {
            return;
        };
        let Some(asked) = client.asked.remove(&call) else {
            return self.fail(failure("I6", format!("t{id} call {call} is settled twice")));
        };
        if let Some(tx) = &mut client.tx
            && tx.waits_for == Some(call)
        {
            tx.waits_for = None;
            self.after(pause_us, Happening::GoOn(id));
        }
        if matches!(asked.purpose, Purpose::Append { .. }) && (id as f64) < self.plan.loops {
            let delay_us = self.latency_us(10, 100);
            self.after(delay_us, Happening::Again(id));
        }
        if let Err(error) = &outcome {
            self.count(&format!("error {}", error.code.as_str()));
        }
        if self.gives_up_early(&asked, &outcome) {
            let text = format!("t{id} call {call} is BUSY before its time: {:?}", asked.purpose);
            self.fail(failure("I6", text));
        }
        if let Err(text) = self.hear(id, &asked, outcome) {
            self.fail(failure("reply", format!("t{id} call {call}, {:?}: {text}", asked.purpose)));
        }
    }

    /// Statements wait for the lock as long as they were told to. Where handles are out of reach for
    /// long, waiting is given up before.
    fn gives_up_early(&self, asked: &Asked, outcome: &Result<Reply, Error>) -> bool {
        let statement = matches!(
            asked.purpose,
            Purpose::Exec { tx: None, .. } | Purpose::Query | Purpose::Begin
        );
        let out_of_reach = self.plan.refused_opens
            + self.plan.thefts
            + self.plan.freezes
            + self.plan.interruptions
            > 0.0;
        let busy = outcome.as_ref().is_err_and(|error| error.code == Code::Busy);
        statement && busy && !out_of_reach && self.now_us + ROUNDING_US < asked.waits_until_us
    }

    fn hear(
        &mut self,
        id: TabId,
        asked: &Asked,
        outcome: Result<Reply, Error>,
    ) -> Result<(), String> {
        let purpose = &asked.purpose;
        if let Err(error) = &outcome {
            self.is_plausible(purpose, error)?;
        }
        let refused =
            |error: &Error| if in_doubt(error) { Told::InDoubt } else { Told::Refused(error.code) };
        match (purpose, outcome) {
            (Purpose::Append { key, number, fallback }, outcome) => {
                let told = match &outcome {
                    Ok(Reply::Receipt(receipt)) => {
                        let spec = &self.oracle.frames[key].spec;
                        let is_large = receipt.path == Path::Handoff
                            && spec.request().content.bytes_estimate() > self.offer_bytes();
                        let how = if is_large { ", by the queue" } else { "" };
                        self.count(&format!("path {:?}{how}", receipt.path));
                        match (receipt.path, receipt.committed) {
                            (Path::Queued, false) => Told::Queued,
                            (Path::Queued | Path::Joined, _) | (_, false) => {
                                return Err(format!("a strange receipt: {receipt:?}"));
                            }
                            _ => Told::Committed,
                        }
                    }
                    Ok(_) => return Err("no receipt".into()),
                    // The holder of the lease can look the id up, unless the storage fails for good,
                    // and unless another tab was offered the frame too.
                    Err(error)
                        if error.code == Code::Sql
                            && *fallback != Fallback::Handoff
                            && self.plan.io_stays + self.plan.quota_stays == 0.0 =>
                    {
                        Told::Refused(error.code)
                    }
                    // No room in the queue, and by the deadline no word of the holder that has it too.
                    Err(error)
                        if error.code == Code::QuotaExceeded
                            && *fallback == Fallback::Handoff
                            && self.now_us + ROUNDING_US >= asked.waits_until_us =>
                    {
                        Told::InDoubt
                    }
                    Err(error) => refused(error),
                };
                self.promise(key, *number, told);
            }
            (Purpose::Joined { key, number, tx }, outcome) => {
                let told = match &outcome {
                    Ok(Reply::Receipt(receipt)) if receipt.committed => Told::Committed,
                    Ok(_) => Told::Joined(*tx),
                    // Whatever it was, its savepoint or its transaction is gone.
                    Err(error) => Told::Refused(error.code),
                };
                self.oracle.told(key, *number, told);
            }
            (Purpose::Exec { mark, tx }, outcome) => {
                self.oracle.marks[*mark].told = match (outcome, tx) {
                    (Ok(_), None) => Told::Committed,
                    (Ok(_), Some(tx)) => Told::Joined(*tx),
                    (Err(error), None) => refused(&error),
                    (Err(error), Some(_)) => Told::Refused(error.code),
                };
            }
            (Purpose::Begin, outcome) => {
                let left = self.will.below(5);
                let number = self.oracle.transactions.len();
                let client = &mut self.tabs.get_mut(&id).expect("it is told").client;
                client.begins = false;
                if let Ok(Reply::Transaction(tx)) = outcome {
                    client.tx = Some(OpenTx { id: tx, number, left, waits_for: None });
                    self.oracle.transactions.push(Ending::Open);
                    let pause_us = self.pause_us();
                    self.after(pause_us, Happening::GoOn(id));
                }
            }
            (Purpose::End { tx, commit }, outcome) => {
                self.oracle.transactions[*tx] = match outcome {
                    Ok(_) if *commit => Ending::Committed,
                    Err(error) if *commit && in_doubt(&error) => Ending::InDoubt,
                    _ => Ending::RolledBack,
                };
                self.tabs.get_mut(&id).expect("it is told").client.tx = None;
            }
            (Purpose::WhenCommitted { id, promised }, outcome) => match outcome {
                Ok(_) => {
                    let facts = self.oracle.frames.range((id.clone(), 0)..=(id.clone(), u64::MAX));
                    let mut keys: Vec<FrameKey> = facts.map(|(key, _)| key.clone()).collect();
                    if let (Some(key), true) = (keys.pop(), keys.is_empty()) {
                        self.oracle
                            .frames
                            .get_mut(&key)
                            .expect("just seen")
                            .calls
                            .push(Told::Committed);
                    }
                }
                Err(error)
                    if error.code == Code::InvalidArgument
                        && *promised
                        && self.oracle.promised(id) =>
                {
                    return Err(format!("a receipt was given before, and now: {error}"));
                }
                Err(_) => {}
            },
            (Purpose::Drain, outcome) => {
                let counts = match outcome {
                    Ok(Reply::Drained { applied, rejected, remaining }) => {
                        Ok((applied, rejected, remaining))
                    }
                    Ok(_) => return Err("no counts".into()),
                    Err(error) => Err(error),
                };
                self.tabs.get_mut(&id).expect("it is told").client.drained = Some(counts);
            }
            _ => {}
        }
        Ok(())
    }

    fn promise(&mut self, key: &FrameKey, number: usize, told: Told) {
        self.oracle.told(key, number, told);
        if matches!(told, Told::Committed | Told::Queued) {
            let promise = self.oracle.promises.len();
            self.oracle.promises.push((key.clone(), told));
            self.disk.borrow_mut().promise(promise);
        }
    }

    /// Whether a call may end in this error, in this world.
    fn is_plausible(&self, purpose: &Purpose, error: &Error) -> Result<(), String> {
        let kind = match purpose {
            Purpose::Append { key, .. } | Purpose::Joined { key, .. } => {
                self.oracle.frames[key].spec.kind
            }
            _ => Kind::Good,
        };
        let when = matches!(purpose, Purpose::WhenCommitted { .. });
        let fallback = match purpose {
            Purpose::Append { fallback, .. } => *fallback,
            _ => Fallback::None,
        };
        let fine = match error.code {
            Code::Busy => fallback == Fallback::None || self.plan.refused_opens > 0.0,
            Code::Timeout => matches!(purpose, Purpose::Append { .. }),
            Code::Aborted => self.plan.cancels + self.plan.interruptions > 0.0,
            Code::Closed => true,
            Code::Constraint => kind == Kind::BreaksCheck || when,
            Code::SchemaMismatch => kind == Kind::ExtraColumn || when,
            Code::FrameIdConflict => self.plan.conflicts > 0.0,
            Code::InvalidArgument => when,
            Code::Sql | Code::QuotaExceeded | Code::StorageUnavailable => self.plan.storage_fails(),
            _ => false,
        };
        if fine { Ok(()) } else { Err(format!("no such error is due here: {error}")) }
    }
}
