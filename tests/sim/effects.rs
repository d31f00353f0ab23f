//! Carries out a node's effects with the simulated lock, files, bus and timers, as the browser layer
//! does with the real ones (`src/web/driver.rs`), and tells the node what became of them.

use crate::client::Purpose;
use crate::file::{SimFile, TabId};
use crate::folder::{Files, Job};
use crate::oracle::failure;
use crate::world::{DATABASE, Happening, JOURNAL, World};
use framelock::forward::Outcome;
use framelock::lease::LockId;
use framelock::message::{self, Message};
use framelock::node::{CallId, Effect, Event};
use framelock::platform::{File, FileError, FileResult, Handles};
use framelock::store::Mode;

/// More timers in a row than this, each doing nothing, and a browser would be spinning.
const MAX_SPINS: u32 = 50;

impl World {
    /// Gives the node an event and carries out what it says.
    pub fn dispatch(&mut self, id: TabId, event: Event) {
        let is_wake = matches!(event, Event::Wake);
        if tells_of_frames(&event) {
            self.drains_of_one_go_on(id);
        }
        if let Event::Enqueued(call, Err(_)) = event {
            self.frame_in_doubt(id, call);
        }
        let Some(tab) = self.tabs.get_mut(&id) else {
            return;
        };
        self.trace.line(&format!("t{id} <- {}", describe_event(&event)));
        let now_ms = tab.now_ms(self.now_us);
        let effects = tab.node.handle(now_ms, event);
        if tab.gate.is_dead() {
            return self.kill(id, "in a file call");
        }
        tab.spins = if is_wake && effects.is_empty() { tab.spins + 1 } else { 0 };
        if tab.spins > MAX_SPINS {
            return self.fail(failure("spin", format!("t{id} wakes again and again for nothing")));
        }
        for effect in effects {
            let Some(tab) = self.tabs.get_mut(&id) else {
                return;
            };
            match &mut tab.effects_left {
                Some(0) => return self.kill(id, "between effects"),
                Some(left) => *left -= 1,
                None => {}
            }
            self.carry_out(id, effect);
        }
        if let Some(tab) = self.tabs.get_mut(&id) {
            tab.node.carried_out(tab.now_ms(self.now_us));
            if tab.gate.is_dead() {
                return self.kill(id, "in a file call");
            }
        }
        self.schedule(id);
    }

    /// The queue cannot take a frame. If the holder was offered it too, it may get in after later ones whose time was up
    /// earlier.
    fn frame_in_doubt(&mut self, id: TabId, call: CallId) {
        let asked = self.tabs.get(&id).and_then(|tab| tab.client.asked.get(&call));
        if let Some(Purpose::Append { key, .. }) = asked.map(|asked| &asked.purpose)
            && let Some(fact) = self.oracle.frames.get_mut(key)
        {
            fact.ordered = false;
        }
    }

    fn schedule(&mut self, id: TabId) {
        let Some(tab) = self.tabs.get_mut(&id) else {
            return;
        };
        let wake_at_ms = tab.node.wake_at_ms();
        if tab.timer == wake_at_ms {
            return;
        }
        tab.timer_number += 1;
        tab.timer = wake_at_ms;
        if let Some(at_ms) = wake_at_ms {
            let delay_ms = (at_ms - tab.now_ms(self.now_us)).max(1.0).ceil();
            let number = tab.timer_number;
            let throttle_us = (tab.throttle_ms * 1000.0) as u64;
            let mut delay_us = (delay_ms * 1000.0) as u64 + self.pace.below(1000);
            if throttle_us > 0 {
                // Throttled timers fire together, at full periods.
                let due_us = self.now_us + delay_us;
                delay_us += throttle_us - due_us % throttle_us;
            }
            self.after(delay_us, Happening::Timer(id, number));
        }
    }

    pub fn timer(&mut self, id: TabId, number: u64) {
        if let Some(tab) = self.tabs.get_mut(&id)
            && tab.timer_number == number
        {
            tab.timer = None;
            self.dispatch(id, Event::Wake);
        }
    }

    fn carry_out(&mut self, id: TabId, effect: Effect) {
        self.trace.line(&format!("t{id} -> {}", describe_effect(&effect)));
        match effect {
            Effect::RequestLock { id: lock, mode } => {
                self.lock.request(id, lock, mode == Mode::Exclusive);
                self.grant();
            }
            Effect::CancelLock { id: lock } | Effect::ReleaseLock { id: lock } => {
                self.lock.end(id, lock);
                self.grant();
            }
            Effect::OpenHandles { id: lock, mode } => {
                let delay_us = self.latency_us(100, 600);
                self.after(delay_us, Happening::OpenDatabase(id, lock, mode));
            }
            Effect::QueryLock { count_queue } => {
                let delay_us = self.latency_us(50, 500);
                self.after(delay_us, Happening::Query(id, count_queue));
            }
            Effect::Enqueue { call, bytes, .. } => self.job(id, Job::Add { call, bytes }),
            Effect::LoadQueue => self.job(id, Job::Load),
            Effect::RemoveQueued(names) => {
                self.drains_go_on();
                self.job(id, Job::Remove(names));
            }
            Effect::Reject { name, report } => {
                self.drains_go_on();
                self.job(id, Job::Reject { name, report });
            }
            Effect::LoadRejected => self.job(id, Job::LoadRejected),
            Effect::RequeueRejected { frame_id } => {
                self.job(id, Job::SettleRejected { frame_id, again: true });
            }
            Effect::RemoveRejected { frame_id } => {
                self.job(id, Job::SettleRejected { frame_id, again: false });
            }
            Effect::RequestSender { id: lock } => self.request_sender(id, lock),
            Effect::ReleaseSender { id: lock } => self.release_sender(id, lock),
            Effect::Exchange { id: exchange, request } => self.exchange(id, exchange, *request),
            Effect::CancelExchange { id: exchange } => {
                self.exchanges.remove(&(id, exchange));
            }
            Effect::AskToken { id: asked, .. } => self.ask_token(id, asked),
            Effect::Yield => self.yields(id),
            Effect::Part { .. } => {}
            Effect::Post(bytes) => self.post(id, &bytes),
            Effect::Reply(call, outcome, _) => self.answered(id, call, outcome),
            Effect::Notify(_) => {}
            Effect::Closed => self.close(id),
        }
    }

    /// Grants the lock to whose turn it is; they hear of it a moment later.
    pub fn grant(&mut self) {
        for (tab, id) in self.lock.grant() {
            let delay_us = self.latency_us(20, 400);
            self.after(delay_us, Happening::Granted(tab, id));
        }
    }

    /// A grant arrives; one that was given back meanwhile is not told.
    pub fn granted(&mut self, tab: TabId, id: LockId) {
        if self.lock.holds(tab, id) {
            self.dispatch(tab, Event::LockGranted(id));
        }
    }

    pub fn open_database(&mut self, tab: TabId, id: LockId, mode: Mode) {
        match self.open(tab, DATABASE, mode) {
            Ok(database) => {
                let delay_us = self.latency_us(50, 300);
                self.after(delay_us, Happening::OpenJournal(tab, id, database));
            }
            Err(error) => self.dispatch(tab, Event::Opened(id, Err(error))),
        }
    }

    pub fn open_journal(&mut self, tab: TabId, id: LockId, database: SimFile) {
        let mode = if database.writable { Mode::Exclusive } else { Mode::Shared };
        if let Some(kind) = self.disk.borrow().journal_kind(JOURNAL) {
            *self.tally.entry(format!("{kind} found, {mode:?}")).or_default() += 1;
        }
        let outcome = self
            .open(tab, JOURNAL, mode)
            .map(|journal| Handles { database: Box::new(database), journal: Box::new(journal) });
        self.dispatch(tab, Event::Opened(id, outcome));
    }

    fn open(&mut self, owner: TabId, name: &str, mode: Mode) -> FileResult<SimFile> {
        if !self.calm && self.luck.chance(self.plan.refused_opens) {
            return Err(FileError::InUse("refused by chance".into()));
        }
        let writable = mode == Mode::Exclusive;
        let gate = self.tabs[&owner].gate.clone();
        self.handles.borrow_mut().open(name, owner, writable, self.now_us)?;
        let mut file = SimFile {
            disk: self.disk.clone(),
            handles: self.handles.clone(),
            gate,
            trace: self.trace.clone(),
            owner,
            name: name.to_owned(),
            writable,
        };
        // Opening is a call that can fail like any other.
        file.size().map(|_| file)
    }

    pub fn queried(&mut self, id: TabId, count_queue: bool) {
        let tab = &self.tabs[&id];
        let files = Files { disk: &self.disk, gate: &tab.gate, node_id: &tab.node_id };
        let queue = count_queue.then(|| files.counts().unwrap_or_default());
        let event = Event::LockQueried {
            held: self.lock.holders().next().is_some(),
            waiting: self.lock.waiting(),
            foreign_version: false,
            queue,
        };
        self.dispatch(id, event);
    }

    fn job(&mut self, id: TabId, job: Job) {
        let Some(tab) = self.tabs.get_mut(&id) else {
            return;
        };
        tab.jobs.push(job);
        if !tab.working {
            tab.working = true;
            let delay_us = self.latency_us(50, 1000);
            self.after(delay_us, Happening::Job(id));
        }
    }

    pub fn job_step(&mut self, id: TabId) {
        let Some(tab) = self.tabs.get_mut(&id) else {
            return;
        };
        let files = Files { disk: &self.disk, gate: &tab.gate, node_id: &tab.node_id };
        let event = tab.jobs.step(&files);
        if tab.gate.is_dead() {
            return self.kill(id, "in a queue job");
        }
        if let Some(event) = event {
            self.dispatch(id, event);
        }
        let Some(tab) = self.tabs.get_mut(&id) else {
            return;
        };
        if tab.jobs.is_empty() {
            tab.jobs.rest();
            tab.working = false;
        } else {
            let delay_us = self.latency_us(50, 1000);
            self.after(delay_us, Happening::Job(id));
        }
    }

    /// Sends to every other handle, as faithfully as the plan allows.
    fn post(&mut self, from: TabId, bytes: &[u8]) {
        self.said.push(bytes.to_vec());
        let messages = message::split(bytes);
        if messages.len() > 1 {
            self.count("said several");
        }
        for message in messages {
            match Message::decode(message) {
                Some((Message::Invite { .. }, _)) => self.count("said invite"),
                Some((Message::Over { .. }, _)) => self.count("said over"),
                _ => {}
            }
        }
        let others: Vec<TabId> = self.tabs.keys().copied().filter(|id| *id != from).collect();
        for to in others {
            if self.calm {
                self.deliver(from, to, bytes.to_vec());
                continue;
            }
            if self.luck.chance(self.plan.lost) {
                continue;
            }
            if self.luck.chance(self.plan.hostile) {
                let bytes = self.hostile(bytes);
                self.deliver(from, to, bytes);
            }
            let late = self.luck.chance(self.plan.late);
            let doubled = self.luck.chance(self.plan.doubled);
            if late || doubled {
                let delay_us = self.luck.between(1000, 4_000_000);
                self.after(delay_us, Happening::Tell(to, Event::Message(bytes.to_vec())));
            }
            if !late {
                self.deliver(from, to, bytes.to_vec());
            }
        }
    }

    /// In the order of sending, between two tabs.
    fn deliver(&mut self, from: TabId, to: TabId, bytes: Vec<u8>) {
        let delay_us = self.latency_us(100, 1500);
        let last_us = self.bus.entry((from, to)).or_default();
        *last_us = (*last_us).max(self.now_us + delay_us);
        let delay_us = *last_us - self.now_us;
        self.after(delay_us, Happening::Tell(to, Event::Message(bytes)));
    }

    /// Bytes that somebody might post: cut off, of no known kind, noise, an offer with a damaged
    /// payload, or something that was said before.
    fn hostile(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        match self.luck.below(5) {
            0 => bytes.truncate(self.luck.below(bytes.len() as u64) as usize),
            1 => self.luck.fill(&mut bytes),
            2 => {
                bytes = b"FLM1\x15\0\0\0{\"kind\":\"usurp\",\"a\":1}".to_vec();
            }
            3 if bytes.len() > 400 => {
                let last = bytes.len() - 1;
                bytes[last] ^= 0x40;
            }
            _ => bytes = self.luck.pick(&self.said).clone(),
        }
        bytes
    }

    fn close(&mut self, id: TabId) {
        if let Some(tab) = self.tabs.remove(&id) {
            self.count("closed");
            if let Some((call, asked)) = tab.client.asked.first_key_value() {
                let text =
                    format!("t{id} is closed, and call {call} is not settled: {:?}", asked.purpose);
                self.fail(failure("I6", text));
            }
            drop(tab);
            self.lock.forget(id);
            self.sender_lock.forget(id);
            self.grant();
            self.grant_sender();
        }
    }
}

fn describe_event(event: &Event) -> String {
    match event {
        Event::Call(call, _) => format!("call {call}"),
        Event::Cancel(call) => format!("cancel {call}"),
        Event::LockGranted(id) => format!("granted {id}"),
        Event::LockLost(id) => format!("lock lost {id}"),
        Event::Opened(id, Ok(_)) => format!("opened {id}"),
        Event::Opened(id, Err(error)) => format!("not opened {id}: {error}"),
        Event::LockQueried { held, waiting, queue, .. } => {
            format!("lock: held {held}, {waiting} wait, {queue:?}")
        }
        Event::Enqueued(call, outcome) => format!("enqueued {call}: {outcome:?}"),
        Event::QueueLoaded(Ok(page)) => {
            let names: Vec<&String> = page.frames.iter().map(|(name, _)| name).collect();
            format!("queue {names:?} of {:?}", page.counts)
        }
        Event::QueueLoaded(Err(error)) => format!("queue: {error}"),
        Event::RejectedLoaded(list) => format!("rejected {:?}", list.as_ref().map(Vec::len)),
        Event::Message(bytes) => format!("message {}", header_of(bytes)),
        Event::SenderGranted(id) => format!("sender granted {id}"),
        Event::SenderLost(id) => format!("sender lost {id}"),
        Event::Exchanged(id, Outcome::Failed) => format!("exchange {id} failed"),
        Event::Exchanged(id, Outcome::Answered(answer)) => {
            format!("exchange {id}: {} {}", answer.status, answer.body)
        }
        Event::Token(id, came) => format!("token {id}: {came}"),
        Event::Online => "online".into(),
        Event::Hidden(hidden) => format!("hidden {hidden}"),
        Event::Suspend => "suspend".into(),
        Event::Resume => "resume".into(),
        Event::Yielded => "yielded".into(),
        Event::Wake => "wake".into(),
    }
}

fn describe_effect(effect: &Effect) -> String {
    match effect {
        Effect::RequestLock { id, mode } => format!("request lock {id} {mode:?}"),
        Effect::CancelLock { id } => format!("cancel lock {id}"),
        Effect::ReleaseLock { id } => format!("release lock {id}"),
        Effect::OpenHandles { id, .. } => format!("open {id}"),
        Effect::QueryLock { .. } => "query lock".into(),
        Effect::Enqueue { call, frame_id, .. } => format!("enqueue {call} {frame_id}"),
        Effect::LoadQueue => "load queue".into(),
        Effect::RemoveQueued(names) => format!("remove {names:?}"),
        Effect::Reject { name, report } => format!("reject {name}: {}", report.error.message),
        Effect::LoadRejected => "load rejected".into(),
        Effect::RequeueRejected { frame_id } => format!("requeue {frame_id}"),
        Effect::RemoveRejected { frame_id } => format!("discard {frame_id}"),
        Effect::RequestSender { id } => format!("request sender {id}"),
        Effect::ReleaseSender { id } => format!("release sender {id}"),
        Effect::Exchange { id, request } => {
            format!("exchange {id} {} +{}", request.path, request.body.len())
        }
        Effect::CancelExchange { id } => format!("cancel exchange {id}"),
        Effect::AskToken { id, refresh } => format!("ask token {id}, refresh {refresh}"),
        Effect::Yield => "yield".into(),
        Effect::Part { call, offset, bytes, .. } => {
            format!("part of {call} at {offset} +{}", bytes.len())
        }
        Effect::Post(bytes) => {
            let headers: Vec<_> = message::split(bytes).into_iter().map(header_of).collect();
            format!("post {}", headers.join(" & "))
        }
        Effect::Reply(call, outcome, _) => match outcome {
            Ok(_) => format!("reply {call}"),
            Err(error) => format!("reply {call}: {error}"),
        },
        Effect::Notify(notice) => format!("notify {}", notice.name()),
        Effect::Closed => "closed".into(),
    }
}

/// Whether somebody says which frames are in.
fn tells_of_frames(event: &Event) -> bool {
    let Event::Message(bytes) = event else {
        return false;
    };
    let mut messages = message::split(bytes).into_iter().filter_map(Message::decode);
    messages.any(|(message, _)| matches!(message, Message::Committed { .. }))
}

/// The readable part of a message.
fn header_of(bytes: &[u8]) -> String {
    match Message::decode(bytes) {
        Some((message, payload)) => format!("{message:?}+{}", payload.len()),
        None => format!("of {} hostile bytes", bytes.len()),
    }
}
