//! What the pages do with their handles: the workload, in the words of the contract. What they are
//! told is heard in `answers`.

use crate::file::TabId;
use crate::frames::{Kind, SHARED, Spec, TABLES};
use crate::oracle::{FrameKey, Told};
use crate::world::{Happening, World};
use framelock::error::Error;
use framelock::ladder::Fallback;
use framelock::node::{Call, CallId, Event, TxId};
use framelock::policy::RetryPolicy;
use framelock::store::{PackOptions, Params};
use std::collections::{BTreeMap, BTreeSet};

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
    Status,
    Rejected,
    Retry,
    Outbox,
    Close,
}

/// A call that is not settled.
pub struct Asked {
    pub purpose: Purpose,
    /// By when it has to be.
    pub due_us: u64,
    /// Until when it may wait for the lock.
    pub waits_until_us: u64,
    /// How long that was from its beginning.
    limit_us: u64,
}

/// The client's open transaction.
pub struct OpenTx {
    pub id: TxId,
    pub number: usize,
    /// Statements to come.
    pub left: u64,
    /// The call that it waits for before it goes on.
    pub waits_for: Option<CallId>,
}

/// One handle's user.
#[derive(Default)]
pub struct Client {
    pub asked: BTreeMap<CallId, Asked>,
    last_call: CallId,
    pub tx: Option<OpenTx>,
    /// One is being asked for.
    pub begins: bool,
    sequences: BTreeMap<usize, u64>,
    pub closing: bool,
    /// Ids that this handle sent.
    ids: Vec<String>,
    /// Appends that the page has settled, and the engine has not.
    pub given_up: BTreeSet<CallId>,
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

/// So long after its deadline a page settles an append that has not begun.
const GIVES_UP_US: u64 = 1;

impl World {
    /// Sends a call; it has to be settled within `limit_ms` and what the plan's slowness adds.
    pub fn ask(&mut self, id: TabId, purpose: Purpose, limit_ms: f64, call: Call) -> CallId {
        let slack_ms = 1000.0 + 500.0 * self.plan.slowness;
        let Some(tab) = self.tabs.get_mut(&id) else {
            return 0;
        };
        // An endless limit ends at the largest number.
        let limit_us = (limit_ms * 1000.0) as u64;
        let waits_until_us = self.now_us.saturating_add(limit_us);
        let slack_us = (slack_ms + 2.0 * tab.throttle_ms) * 1000.0;
        let due_us = waits_until_us.saturating_add(slack_us as u64);
        tab.client.last_call += 1;
        let number = tab.client.last_call;
        self.trace.line(&format!("t{id} asks {number}: {purpose:?}"));
        tab.client.asked.insert(number, Asked { purpose, due_us, waits_until_us, limit_us });
        self.dispatch(id, Event::Call(number, call));
        number
    }

    /// The queue gets shorter: whoever drains it has more time.
    pub fn drains_go_on(&mut self) {
        let tabs: Vec<TabId> = self.tabs.keys().copied().collect();
        for id in tabs {
            self.drains_of_one_go_on(id);
        }
    }

    /// One tab hears that it got shorter, which may be a good while later.
    pub fn drains_of_one_go_on(&mut self, id: TabId) {
        let client = self.tabs.get_mut(&id).map(|tab| &mut tab.client);
        for asked in client.into_iter().flat_map(|client| client.asked.values_mut()) {
            if matches!(asked.purpose, Purpose::Drain) {
                let slack_us = asked.due_us - asked.waits_until_us;
                asked.waits_until_us = self.now_us + asked.limit_us;
                asked.due_us = asked.waits_until_us + slack_us;
            }
        }
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
                self.ask(id, Purpose::Status, 1000.0, Call::Status);
            }
            "rejected" => {
                self.ask(id, Purpose::Rejected, 1000.0, Call::Rejected);
            }
            _ => self.settle_a_rejected(id, what == "retry"),
        }
    }

    /// The next append of a loop.
    pub fn append_again(&mut self, id: TabId) {
        let closing = self.tabs.get(&id).is_none_or(|tab| tab.client.closing);
        if !self.calm && !closing && self.loops_left > 0 {
            self.loops_left -= 1;
            let policy = RetryPolicy { attempts: 0, ..RetryPolicy::default() };
            self.append_by(id, policy, Fallback::Handoff);
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
        // A loop is faster than the server.
        let forwards = self.plan.forwarding > 0.0 && self.plan.loops == 0.0;
        let forward = forwards && self.will.chance(self.plan.forwarding);
        if self.will.chance(self.plan.shared_ids) {
            let name = self.will.below(12);
            let content = u64::from(self.will.chance(self.plan.conflicts));
            let spec = Spec {
                id: format!("shared-{name}"),
                content,
                table: (name % tables) as usize,
                handle: SHARED,
                sequence: name,
                rows: 1 + name % 5 + content,
                kind: Kind::Good,
                packed: false,
                forward: forwards && name.is_multiple_of(2),
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
            forward,
        };
        client.ids.push(spec.id.clone());
        (spec, true)
    }

    /// `db.appendFrame`.
    fn append(&mut self, id: TabId) -> CallId {
        let (policy, fallback) = self.policy();
        self.append_by(id, policy, fallback)
    }

    fn append_by(&mut self, id: TabId, policy: RetryPolicy, fallback: Fallback) -> CallId {
        let (spec, ordered) = self.spec(id);
        let (key, number) = self.oracle.sent(&spec, ordered);
        let (request, since_ms) = (Box::new(spec.request()), self.tabs[&id].now_ms(self.now_us));
        let call = Call::Append { request, policy, fallback, since_ms };
        let purpose = Purpose::Append { key, number, fallback };
        let call = self.ask(id, purpose, policy.deadline_ms, call);
        let gives_up_us = policy.deadline_ms as u64 * 1000 + GIVES_UP_US;
        self.after(gives_up_us, Happening::GiveUp(id, call));
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
            (Purpose::Retry, Call::RetryRejected { frame_id })
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
                let call = Call::JoinedAppend { request, tx: tx_id, until_ms: f64::INFINITY };
                let call = self.ask(id, purpose, 1000.0, call);
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

    pub fn pause_us(&mut self) -> u64 {
        self.will.below((self.plan.hold_ms * 1000.0) as u64 + 1)
    }
}
