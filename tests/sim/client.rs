//! What the pages do with their handles, and what they are told: the workload, in the words of the
//! contract, and the oracle's ears.

use crate::file::TabId;
use crate::frames::{Kind, Spec, TABLES};
use crate::oracle::{Ending, FrameKey, Told, failure, in_doubt};
use crate::world::{Happening, World};
use framelock::error::{Code, Error};
use framelock::ladder::{Fallback, Path};
use framelock::node::{Call, CallId, Event, Reply, TxId};
use framelock::policy::RetryPolicy;
use framelock::store::{PackOptions, Params};
use std::collections::BTreeMap;

/// What a call was for.
#[derive(Debug, Clone)]
pub enum Purpose {
    Append { key: FrameKey, number: usize, fallback: Fallback },
    Joined { key: FrameKey, number: usize, tx: usize },
    Exec { mark: usize, tx: Option<usize> },
    Query,
    Begin,
    End { tx: usize, commit: bool },
    WhenCommitted { id: String, promised: bool },
    Drain,
    Discard { id: String },
    Other(&'static str),
    Close,
}

/// A call that is not settled.
pub struct Asked {
    pub purpose: Purpose,
    /// By when it has to be.
    pub due_us: u64,
}

/// The client's open transaction.
pub struct OpenTx {
    id: TxId,
    pub number: usize,
    /// Statements to come.
    left: u64,
    /// The call that it waits for before it goes on.
    waits_for: Option<CallId>,
}

/// One handle's user.
#[derive(Default)]
pub struct Client {
    pub asked: BTreeMap<CallId, Asked>,
    last_call: CallId,
    pub tx: Option<OpenTx>,
    begins: bool,
    sequences: BTreeMap<usize, u64>,
    pub closing: bool,
    /// Ids that this handle sent.
    ids: Vec<String>,
    /// What the last drain said: applied, rejected, remaining.
    pub drained: Option<Result<(u64, u64, u64), Error>>,
}

impl Client {
    /// Nothing is asked for, and no transaction is open.
    pub fn is_idle(&self) -> bool {
        let mut busy = self.asked.values().filter(|asked| asked.due_us != u64::MAX);
        busy.next().is_none() && self.tx.is_none()
    }

    /// A call that should have been settled by now.
    pub fn overdue(&self, now_us: u64) -> Option<(CallId, String)> {
        let found = self.asked.iter().find(|(_, asked)| asked.due_us < now_us);
        found.map(|(call, asked)| (*call, format!("{:?}", asked.purpose)))
    }
}

impl World {
    /// Sends a call; it has to be settled within `limit_ms` and what the plan's slowness adds.
    pub fn ask(&mut self, id: TabId, purpose: Purpose, limit_ms: f64, call: Call) -> CallId {
        let slack_ms = 1000.0 + 500.0 * self.plan.slowness;
        let Some(tab) = self.tabs.get_mut(&id) else {
            return 0;
        };
        let limit_ms = limit_ms + slack_ms + 2.0 * tab.throttle_ms;
        let due_us =
            if limit_ms.is_finite() { self.now_us + (limit_ms * 1000.0) as u64 } else { u64::MAX };
        tab.client.last_call += 1;
        let number = tab.client.last_call;
        self.trace.line(&format!("t{id} asks {number}: {purpose:?}"));
        tab.client.asked.insert(number, Asked { purpose, due_us });
        self.dispatch(id, Event::Call(number, call));
        number
    }

    /// Something to do, and when to do the next.
    pub fn act(&mut self, id: TabId) {
        if self.calm || self.tabs[&id].client.closing {
            return;
        }
        let gap_us = (self.plan.span_ms * 1000.0 / (self.plan.acts + 1.0)) as u64;
        let delay_us = self.will.between(0, gap_us * 2);
        self.after(delay_us, Happening::Act(id));
        let burst = if self.will.chance(0.2) { self.will.between(2, 6) } else { 1 };
        for _ in 0..burst {
            if self.tabs.contains_key(&id) {
                self.act_once(id);
            }
        }
    }

    fn act_once(&mut self, id: TabId) {
        let what = self.will.weighted(&[
            ("append", 1.0),
            ("begin", self.plan.transactions),
            ("exec", 0.12),
            ("query", 0.12),
            ("when", 0.08),
            ("drain", 0.04),
            ("status", 0.04),
            ("rejected", 0.03),
            ("retry", 0.03),
            ("discard", 0.02),
        ]);
        self.count(&format!("asked {what}"));
        let timeout_ms = *self.will.pick(&[50.0, 500.0, 5000.0, 15_000.0]);
        match what {
            "append" => {
                self.append(id);
            }
            "begin" => self.begin(id, timeout_ms),
            "exec" => {
                self.exec(id, None, timeout_ms);
            }
            "query" => {
                let sql = "SELECT count(*), max(mark) FROM marks".to_owned();
                let options = PackOptions::default();
                let call = Call::Query { sql, params: Params::None, options, timeout_ms, tx: None };
                self.ask(id, Purpose::Query, timeout_ms, call);
            }
            "when" => self.when_committed(id),
            "drain" => {
                self.ask(id, Purpose::Drain, timeout_ms, Call::Drain { timeout_ms });
            }
            "status" => {
                self.ask(id, Purpose::Other("status"), 1000.0, Call::Status);
            }
            "rejected" => {
                self.ask(id, Purpose::Other("rejected"), 1000.0, Call::Rejected);
            }
            _ => self.settle_a_rejected(id, what == "retry"),
        }
    }

    fn policy(&mut self) -> (RetryPolicy, Fallback) {
        let mut policy = RetryPolicy::default();
        if self.will.chance(self.plan.impatience) {
            policy.attempts = self.will.below(4) as u32;
            policy.lock_timeout_ms = *self.will.pick(&[0.0, 5.0, 50.0, 200.0, 5000.0]);
            policy.base_delay_ms = *self.will.pick(&[0.0, 5.0, 50.0]);
            policy.deadline_ms = *self.will.pick(&[20.0, 200.0, 1000.0, 5000.0, 15_000.0]);
            policy.jitter = self.will.chance(0.5);
        }
        let fallback = [
            Fallback::Handoff,
            Fallback::Handoff,
            Fallback::Handoff,
            Fallback::Queue,
            Fallback::None,
        ];
        (policy, *self.will.pick(&fallback))
    }

    /// A new frame, or one that somebody else sends too; with whether its order is promised.
    fn spec(&mut self, id: TabId) -> (Spec, bool) {
        let tables = (self.plan.tables as u64).clamp(1, TABLES.len() as u64);
        let mut table = self.will.below(tables) as usize;
        let mut kind = Kind::Good;
        if self.will.chance(self.plan.refusals) {
            kind = *self.will.pick(&[Kind::BreaksCheck, Kind::ExtraColumn]);
            if kind == Kind::BreaksCheck {
                table = TABLES.len() - 1;
            }
        }
        let packed = self.will.chance(self.plan.packed);
        if self.will.chance(self.plan.shared_ids) {
            let name = self.will.below(12);
            let content = u64::from(self.will.chance(self.plan.conflicts));
            let spec = Spec {
                id: format!("shared-{name}"),
                content,
                table: (name % tables) as usize,
                handle: 1_000_000,
                sequence: name,
                rows: 1 + name % 5 + content,
                kind: Kind::Good,
                packed: false,
            };
            return (spec, false);
        }
        let client = &mut self.tabs.get_mut(&id).expect("it acts").client;
        let sequence = client.sequences.entry(table).or_default();
        *sequence += 1;
        let spec = Spec {
            id: format!("f{id}-{table}-{sequence}"),
            content: 0,
            table,
            handle: id as u64,
            sequence: *sequence,
            rows: *self.will.pick(&[1, 2, 3, 5, 60]),
            kind,
            packed,
        };
        client.ids.push(spec.id.clone());
        (spec, true)
    }

    /// `db.appendFrame`.
    fn append(&mut self, id: TabId) -> CallId {
        let (policy, fallback) = self.policy();
        let (spec, ordered) = self.spec(id);
        let (key, number) = self.oracle.sent(&spec, ordered);
        let call = Call::Append { request: Box::new(spec.request()), policy, fallback };
        let purpose = Purpose::Append { key, number, fallback };
        let call = self.ask(id, purpose, policy.deadline_ms, call);
        if self.will.chance(self.plan.cancels) {
            let delay_us = self.will.below(1_000_000);
            self.after(delay_us, Happening::TakeBack(id, call));
        }
        call
    }

    fn exec(&mut self, id: TabId, tx: Option<(TxId, usize)>, timeout_ms: f64) -> CallId {
        let mark = self.oracle.marks.len();
        self.oracle.marks.push(crate::oracle::Mark { told: Told::Nothing });
        let sql = format!("INSERT INTO marks VALUES({mark}, CURRENT_TIMESTAMP)");
        let call = Call::Exec { sql, params: Params::None, timeout_ms, tx: tx.map(|(tx, _)| tx) };
        let tx = tx.map(|(_, number)| number);
        self.ask(id, Purpose::Exec { mark, tx }, timeout_ms, call)
    }

    fn when_committed(&mut self, id: TabId) {
        let (tab, own) = (self.will.below(self.next_tab as u64) as usize, self.will.chance(0.5));
        let whose = self.tabs.get(if own { &id } else { &tab });
        let ids = whose.map(|tab| tab.client.ids.clone()).unwrap_or_default();
        if ids.is_empty() {
            return;
        }
        let frame_id = self.will.pick(&ids).clone();
        let promised = self.oracle.promised(&frame_id);
        let purpose = Purpose::WhenCommitted { id: frame_id.clone(), promised };
        self.ask(id, purpose, f64::INFINITY, Call::WhenCommitted { frame_id });
    }

    fn settle_a_rejected(&mut self, id: TabId, again: bool) {
        let list = crate::folder::rejected_on(&self.disk);
        if list.is_empty() {
            return;
        }
        let frame_id = self.will.pick(&list).frame_id.clone();
        let (purpose, call) = if again {
            (Purpose::Other("retry"), Call::RetryRejected { frame_id })
        } else {
            (Purpose::Discard { id: frame_id.clone() }, Call::DiscardRejected { frame_id })
        };
        if let Purpose::Discard { id } = &purpose {
            // Discarding is asked for: from now on the frame may be gone.
            for (_, fact) in self.oracle.frames.range_mut((id.clone(), 0)..=(id.clone(), u64::MAX))
            {
                fact.discarded = true;
            }
        }
        self.ask(id, purpose, 1000.0, call);
    }

    fn begin(&mut self, id: TabId, timeout_ms: f64) {
        let client = &mut self.tabs.get_mut(&id).expect("it acts").client;
        if client.tx.is_none() && !client.begins {
            client.begins = true;
            self.ask(id, Purpose::Begin, timeout_ms, Call::Begin { timeout_ms });
        }
    }

    /// The next statement of the client's transaction, or its end.
    pub fn go_on(&mut self, id: TabId) {
        let calm = self.calm;
        let Some(tx) = self.tabs.get_mut(&id).and_then(|tab| tab.client.tx.as_mut()) else {
            return;
        };
        if tx.waits_for.is_some() {
            return;
        }
        let (tx_id, number) = (tx.id, tx.number);
        if tx.left == 0 || calm {
            let commit = self.will.chance(0.8);
            let (tx, purpose) = (tx_id, Purpose::End { tx: number, commit });
            let call = if commit { Call::Commit { tx } } else { Call::Rollback { tx } };
            let call = self.ask(id, purpose, 1000.0, call);
            return self.wait_for(id, call);
        }
        tx.left -= 1;
        match self.will.below(5) {
            0 | 1 => {
                let call = self.exec(id, Some((tx_id, number)), 1000.0);
                self.wait_for(id, call);
            }
            2 | 3 => {
                let (spec, _) = self.spec(id);
                let (key, call_number) = self.oracle.sent(&spec, false);
                let request = Box::new(spec.request());
                let purpose = Purpose::Joined { key, number: call_number, tx: number };
                let call = self.ask(id, purpose, 1000.0, Call::JoinedAppend { request, tx: tx_id });
                self.wait_for(id, call);
            }
            _ => {
                // I8: a direct append, awaited inside the handle's own transaction.
                self.count("awaited inside");
                let call = self.append(id);
                self.wait_for(id, call);
            }
        }
    }

    fn wait_for(&mut self, id: TabId, call: CallId) {
        let pause_us = self.pause_us();
        let Some(client) = self.tabs.get_mut(&id).map(|tab| &mut tab.client) else {
            return;
        };
        if client.asked.contains_key(&call) {
            if let Some(tx) = &mut client.tx {
                tx.waits_for = Some(call);
            }
        } else {
            // It was answered at once.
            self.after(pause_us, Happening::GoOn(id));
        }
    }

    fn pause_us(&mut self) -> u64 {
        self.will.below((self.plan.hold_ms * 1000.0) as u64 + 1)
    }

    /// A call is settled.
    pub fn answered(&mut self, id: TabId, call: CallId, outcome: Result<Reply, Error>) {
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
        if let Err(error) = &outcome {
            self.count(&format!("error {}", error.code.as_str()));
        }
        if let Err(text) = self.hear(id, &asked.purpose, outcome) {
            self.fail(failure("reply", format!("t{id} call {call}, {:?}: {text}", asked.purpose)));
        }
    }

    fn hear(
        &mut self,
        id: TabId,
        purpose: &Purpose,
        outcome: Result<Reply, Error>,
    ) -> Result<(), String> {
        if let Err(error) = &outcome {
            self.is_plausible(purpose, error)?;
        }
        let refused =
            |error: &Error| if in_doubt(error) { Told::InDoubt } else { Told::Refused(error.code) };
        match (purpose, outcome) {
            (Purpose::Append { key, number, fallback }, outcome) => {
                let told = match &outcome {
                    Ok(Reply::Receipt(receipt)) => {
                        self.count(&format!("path {:?}", receipt.path));
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
            Code::Aborted => self.plan.cancels > 0.0,
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
