//! A world of one tab. Locks, the queue and the clock do what the test says; the database is real and
//! lives in memory. Other tabs are what they do: they hold the lock, stand in line for it, send messages,
//! leave files behind.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use framelock::envelope;
use framelock::error::{Code, Error, Result};
use framelock::frame::Frame;
use framelock::frame::cell::Cell as Value;
use framelock::frame::options::AppendOptions;
use framelock::frame::read::ReadColumn;
use framelock::ladder::Fallback;
use framelock::lease::LockId;
use framelock::message::{self, Message};
use framelock::node::{
    Call, CallId, Config, Effect, Event, Node, Notice, PIECE, QueueCounts, QueuePage, Receipt,
    Rejected, Reply, TxId,
};
use framelock::platform::{File, FileError, FileResult, Handles, MemoryFile};
use framelock::policy::RetryPolicy;
use framelock::store::{
    AppendRequest, Attached, Content, LogLimits, Mode, Os, Params, RowSink, Store, TRANSFER_ROWS,
};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// Larger frames are not offered; small, so that those are not large.
pub const OFFER_BYTES: u64 = 2000;

/// No randomness, no clock.
pub struct NoOs;

impl Os for NoOs {
    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
    fn epoch_ms(&self) -> i64 {
        0
    }
}

/// The two files of the database, which outlive their handles.
#[derive(Clone, Default)]
pub struct Disk {
    database: Rc<RefCell<MemoryFile>>,
    journal: Rc<RefCell<MemoryFile>>,
    /// Nothing more fits on it.
    pub is_full: Rc<Cell<bool>>,
    /// No file may become longer than that.
    pub most_bytes: Rc<Cell<Option<u64>>>,
    /// After so many more changes of its files, whoever makes them is dead.
    pub changes_left: Rc<Cell<Option<u32>>>,
}

struct Handle {
    disk: Disk,
    file: Rc<RefCell<MemoryFile>>,
}

impl Handle {
    fn changes(&self) -> FileResult<()> {
        match self.disk.changes_left.get() {
            None => Ok(()),
            Some(0) => Err(FileError::Io("its tab is dead".into())),
            Some(left) => {
                self.disk.changes_left.set(Some(left - 1));
                Ok(())
            }
        }
    }
}

impl File for Handle {
    fn read(&mut self, buffer: &mut [u8], offset: u64) -> FileResult<usize> {
        self.file.borrow_mut().read(buffer, offset)
    }
    fn write(&mut self, bytes: &[u8], offset: u64) -> FileResult<()> {
        let end = offset + bytes.len() as u64;
        if self.disk.is_full.get() || self.disk.most_bytes.get().is_some_and(|most| end > most) {
            return Err(FileError::Quota("full".into()));
        }
        self.changes()?;
        self.file.borrow_mut().write(bytes, offset)
    }
    fn truncate(&mut self, size: u64) -> FileResult<()> {
        self.changes()?;
        self.file.borrow_mut().truncate(size)
    }
    fn flush(&mut self) -> FileResult<()> {
        self.changes()
    }
    fn size(&mut self) -> FileResult<u64> {
        self.file.borrow_mut().size()
    }
}

impl Disk {
    pub fn handles(&self) -> Handles {
        let handle = |file: &Rc<RefCell<MemoryFile>>| {
            Box::new(Handle { disk: self.clone(), file: file.clone() })
        };
        Handles { database: handle(&self.database), journal: handle(&self.journal) }
    }

    pub fn database_bytes(&self) -> Vec<u8> {
        let mut file = self.database.borrow_mut();
        let mut bytes = vec![0; file.size().unwrap() as usize];
        file.read(&mut bytes, 0).unwrap();
        bytes
    }

    /// A number from the database, read in a copy of it.
    pub fn number(&self, sql: &str) -> i64 {
        let database = self.database.borrow().clone();
        number_in(database, self.journal.borrow().clone(), sql)
    }
}

/// A number from the database in these files.
pub fn number_in(database: MemoryFile, journal: MemoryFile, sql: &str) -> i64 {
    struct First(Option<i64>);
    impl RowSink for First {
        fn columns(&mut self, _: &[ReadColumn]) -> Result<()> {
            Ok(())
        }
        fn cell(&mut self, _: usize, cell: Value<'_>) -> Result<()> {
            if let Value::Integer(number) = cell {
                self.0.get_or_insert(number);
            }
            Ok(())
        }
    }
    let mut store = Store::new(Box::new(NoOs));
    let handles = Handles { database: Box::new(database), journal: Box::new(journal) };
    assert_eq!(store.attach(handles, Mode::Exclusive, true).unwrap(), Attached::Ready);
    let mut first = First(None);
    store.query(sql, &Params::None, &mut first).unwrap();
    first.0.expect("a number")
}

/// A frame for table `t`, of two columns and these ids, each with a text of so many bytes.
pub fn frame(frame_id: &str, ids: impl Iterator<Item = i64>, text_bytes: usize) -> AppendRequest {
    let ids = Int64Array::from_iter_values(ids);
    let names = vec!["x".repeat(text_bytes); ids.values().len()];
    let columns: [(_, ArrayRef); 2] =
        [("id", Arc::new(ids)), ("name", Arc::new(StringArray::from(names)))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut digest = [0; 16];
    digest[..frame_id.len()].copy_from_slice(frame_id.as_bytes());
    AppendRequest {
        frame_id: frame_id.into(),
        own_id: true,
        table: "t".into(),
        options: AppendOptions::default(),
        digest,
        forward: false,
        content: Content::Frame(Frame::new(batch.schema(), vec![batch])),
    }
}

/// A frame of one small row.
pub fn row(frame_id: &str, id: i64) -> AppendRequest {
    frame(frame_id, std::iter::once(id), 1)
}

/// See the module.
pub struct World {
    pub node: Node,
    pub now_ms: f64,
    /// So much time passes before each event.
    pub event_ms: f64,
    pub disk: Disk,
    /// The lock that the node asked for or has.
    lock: Option<LockId>,
    /// When the lock was granted to it, while it has it.
    granted_ms: Option<f64>,
    /// How long it kept the lock, each time.
    pub leases_ms: Vec<f64>,
    /// Whether the lock is granted as soon as it is asked for.
    pub lock_is_free: bool,
    /// Whether a tab with another version of the protocol has the file handles.
    pub other_version_has_it: bool,
    /// So many others stand in line for the lock.
    pub waiting: usize,
    /// So often yet, a guest has offered another frame by the time that the node sees who waits.
    pub offers_left: u32,
    /// The queue's folder: what is in its files, by name.
    queue: BTreeMap<String, Vec<u8>>,
    /// How many files were put into it.
    pub enqueued: u32,
    /// Whether the folder can be read.
    pub queue_is_readable: bool,
    /// Whether nothing more can be put into it.
    pub queue_is_full: bool,
    /// So many of its frames are read at a time.
    pub page_frames: usize,
    /// Reading it takes until [`World::finish_reading`].
    pub reads_slowly: bool,
    being_read: Vec<Event>,
    /// Writing a file of it takes until [`World::finish_writing`].
    pub writes_slowly: bool,
    /// Another tab puts a frame into it each time the lock is granted, so often.
    pub refills: u32,
    being_written: Vec<CallId>,
    /// Whether the names of the queue's files say whose frames they are; in memory they do not.
    pub names_senders: bool,
    /// The frames that were refused, by file name.
    pub rejected: Vec<String>,
    /// What is yet to be told to the node.
    coming: VecDeque<Event>,
    /// What became of the calls, and when.
    settled: BTreeMap<CallId, (f64, Result<Reply>)>,
    /// The frames of which the page was told that they are in.
    pub announced: Vec<String>,
    /// What the page was told of the queue: how many frames wait, and how many were refused.
    pub counts_told: Vec<(u64, u64)>,
    /// What the other tabs were told of it.
    pub counts_posted: Vec<(u64, u64)>,
    /// The frames that the other tabs were told of, and whose they are.
    pub committed: Vec<(String, Option<String>)>,
    /// The bytes of the last export.
    pub exported: Vec<u8>,
    /// How many bytes were posted to the other tabs.
    pub posted_bytes: usize,
}

impl World {
    /// A tab beside nobody, which has made a table `t` and given its lease back; it is 5 s old.
    pub fn new(columns: &str) -> World {
        let config = Config {
            node_id: "me".into(),
            seed: 1,
            shared_reads: false,
            durable: true,
            queue_waits: false,
            forward: None,
            offer_bytes: OFFER_BYTES,
            piece: PIECE,
            log: LogLimits::default(),
            transfer_rows: TRANSFER_ROWS,
        };
        let mut world = World {
            node: Node::new(config, Box::new(NoOs)),
            now_ms: 0.0,
            event_ms: 0.0,
            disk: Disk::default(),
            lock: None,
            granted_ms: None,
            leases_ms: Vec::new(),
            lock_is_free: true,
            other_version_has_it: false,
            waiting: 0,
            offers_left: 0,
            queue: BTreeMap::new(),
            enqueued: 0,
            queue_is_readable: true,
            queue_is_full: false,
            page_frames: 1,
            reads_slowly: false,
            being_read: Vec::new(),
            writes_slowly: false,
            refills: 0,
            being_written: Vec::new(),
            names_senders: true,
            rejected: Vec::new(),
            coming: VecDeque::new(),
            settled: BTreeMap::new(),
            announced: Vec::new(),
            counts_told: Vec::new(),
            counts_posted: Vec::new(),
            committed: Vec::new(),
            exported: Vec::new(),
            posted_bytes: 0,
        };
        world.exec(1000, &format!("CREATE TABLE t({columns})"), None);
        world.run_until(5000.0);
        assert!(world.is_settled(1000) && world.lock.is_none());
        world.leases_ms.clear();
        world.counts_told.clear();
        world
    }

    /// The node hears of this, and of all that follows from it at once.
    pub fn tell(&mut self, event: Event) {
        self.coming.push_back(event);
        while let Some(event) = self.coming.pop_front() {
            self.now_ms += self.event_ms;
            for effect in self.node.handle(self.now_ms, event) {
                self.carry_out(effect);
            }
            self.node.carried_out(self.now_ms);
        }
    }

    /// Lets time pass, and the node's timers fire.
    pub fn run_until(&mut self, end_ms: f64) {
        while let Some(at_ms) = self.node.wake_at_ms().filter(|at_ms| *at_ms <= end_ms) {
            self.now_ms = self.now_ms.max(at_ms);
            self.tell(Event::Wake);
        }
        self.now_ms = self.now_ms.max(end_ms);
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::RequestLock { id, .. } => {
                self.lock = Some(id);
                if self.lock_is_free {
                    self.grant();
                }
            }
            Effect::CancelLock { .. } | Effect::ReleaseLock { .. } => {
                self.lock = None;
                let since_ms = self.granted_ms.take();
                self.leases_ms.extend(since_ms.map(|since_ms| self.now_ms - since_ms));
            }
            Effect::OpenHandles { id, .. } => {
                let outcome = match self.other_version_has_it {
                    true => Err(FileError::InUse("another version has it".into())),
                    false => Ok(self.disk.handles()),
                };
                self.coming.push_back(Event::Opened(id, outcome));
            }
            Effect::QueryLock { count_queue } => {
                if let Some(left) = self.offers_left.checked_sub(1) {
                    self.offers_left = left;
                    self.offer();
                }
                let queue = count_queue.then(|| self.counts());
                let (held, waiting) = (self.lock.is_some(), self.waiting);
                let foreign_version = self.other_version_has_it;
                let answer = Event::LockQueried { held, waiting, foreign_version, queue };
                self.coming.push_back(answer);
            }
            Effect::Enqueue { call, .. } if self.queue_is_full => {
                let full = FileError::Quota("full".into());
                self.coming.push_back(Event::Enqueued(call, Err(full)));
            }
            Effect::Enqueue { call, bytes, .. } => {
                self.put(bytes);
                if self.writes_slowly {
                    self.being_written.push(call);
                } else {
                    self.coming.push_back(Event::Enqueued(call, Ok(self.counts())));
                }
            }
            Effect::LoadQueue => self.read_queue(),
            Effect::RemoveQueued(names) => names.iter().for_each(|name| {
                self.queue.remove(name);
            }),
            Effect::Reject { name, .. } => {
                self.queue.remove(&name);
                self.rejected.push(name);
            }
            Effect::LoadRejected => {
                let list = self.rejected.iter().map(|name| Rejected::without_reason(name, &[]));
                self.coming.push_back(Event::RejectedLoaded(Ok(list.collect())));
            }
            // What the test settles is the last one.
            Effect::RemoveRejected { .. } => drop(self.rejected.pop()),
            Effect::RequeueRejected { .. } => {
                let name = self.rejected.pop().expect("a refused frame");
                self.queue.insert(name, Vec::new());
            }
            Effect::Reply(call, outcome, _) => {
                let before = self.settled.insert(call, (self.now_ms, outcome));
                assert!(before.is_none(), "call {call} is settled twice");
            }
            Effect::Yield => self.coming.push_back(Event::Yielded),
            Effect::Notify(Notice::Commit { frame_ids, .. }) => self.announced.extend(frame_ids),
            Effect::Part { bytes, .. } => self.exported.extend(bytes),
            Effect::Notify(Notice::Queue(QueueCounts { queued, rejected })) => {
                self.counts_told.push((queued, rejected));
            }
            Effect::Post(bytes) => {
                self.posted_bytes += bytes.len();
                for message in message::split(&bytes) {
                    match Message::decode(message) {
                        Some((Message::Counted { queued, rejected, .. }, _)) => {
                            self.counts_posted.push((queued, rejected));
                        }
                        Some((Message::Committed { frames, .. }, _)) => {
                            let said = frames.into_iter().map(|frame| (frame.frame_id, frame.by));
                            self.committed.extend(said);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    fn grant(&mut self) {
        if let Some(id) = self.lock {
            self.granted_ms = Some(self.now_ms);
            if self.refills > 0 {
                self.refills -= 1;
                let number = self.refills;
                self.other_queues(&row(&format!("refill {number}"), i64::from(number)));
            }
            self.coming.push_back(Event::LockGranted(id));
        }
    }

    /// Whoever had the lock has let go of it.
    pub fn free_the_lock(&mut self) {
        self.lock_is_free = true;
        self.lend_the_lock();
    }

    /// It is this tab's turn, once.
    pub fn lend_the_lock(&mut self) {
        self.grant();
        self.tell(Event::Wake);
    }

    fn counts(&self) -> QueueCounts {
        let (queued, rejected) = (self.queue.len() as u64, self.rejected.len() as u64);
        QueueCounts { queued, rejected }
    }

    /// How many frames are in the queue.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Another tab empties the queue.
    pub fn other_drains(&mut self) {
        self.queue.clear();
    }

    /// A file for the queue.
    fn put(&mut self, bytes: Vec<u8>) {
        self.enqueued += 1;
        let sender = if self.names_senders { "-node.frame" } else { "" };
        self.queue.insert(format!("{:020}{sender}", self.enqueued), bytes);
    }

    /// Another tab puts a frame into the queue; that it says so is up to the test.
    pub fn other_queues(&mut self, request: &AppendRequest) {
        self.put(envelope::encode(request).unwrap());
    }

    /// The queue's head, as it is now.
    fn read_queue(&mut self) {
        let head = self
            .queue
            .iter()
            .take(self.page_frames)
            .map(|(name, bytes)| (name.clone(), bytes.clone()));
        let page = QueuePage { frames: head.collect(), counts: self.counts() };
        let outcome = match self.queue_is_readable {
            true => Ok(page),
            false => Err(FileError::Io("the folder cannot be read".into())),
        };
        match self.reads_slowly {
            true => self.being_read.push(Event::QueueLoaded(outcome)),
            false => self.coming.push_back(Event::QueueLoaded(outcome)),
        }
    }

    /// Reading the queue, as it was when that began, is over. Gives whether it was being read.
    pub fn finish_reading(&mut self) -> bool {
        self.reads_slowly = false;
        let read = std::mem::take(&mut self.being_read);
        let was_read = !read.is_empty();
        read.into_iter().for_each(|event| self.tell(event));
        was_read
    }

    /// What was to be put into the queue is there.
    pub fn finish_writing(&mut self) {
        self.writes_slowly = false;
        for call in std::mem::take(&mut self.being_written) {
            self.tell(Event::Enqueued(call, Ok(self.counts())));
        }
    }

    /// A guest offers a frame, which will be heard of before what comes next.
    pub fn offer(&mut self) {
        let call = self.offers_left;
        let request = row(&format!("offer {call}"), i64::from(call));
        let (from, frame_id) = (format!("guest {}", call % 4), request.frame_id.clone());
        let offer = Message::Offer { from, call, frame_id, after: vec![] };
        self.coming.push_back(Event::Message(offer.encode(&envelope::encode(&request).unwrap())));
    }

    /// Another tab says something.
    pub fn other_says(&mut self, message: &Message) {
        self.tell(Event::Message(message.encode(&[])));
    }

    /// Another tab says that the queue grew.
    pub fn other_says_queued(&mut self) {
        self.other_says(&Message::Queued { from: "other".into() });
    }

    pub fn exec(&mut self, call: CallId, sql: &str, tx: Option<TxId>) {
        let (sql, params, timeout_ms) = (sql.into(), Params::None, 15_000.0);
        self.tell(Event::Call(call, Call::Exec { sql, params, timeout_ms, tx }));
    }

    pub fn append(
        &mut self,
        call: CallId,
        request: AppendRequest,
        policy: RetryPolicy,
        fallback: Fallback,
    ) {
        let request = Box::new(request);
        let since_ms = self.now_ms;
        self.tell(Event::Call(call, Call::Append { request, policy, fallback, since_ms }));
    }

    /// Into the queue, whether the lock is free or not.
    pub fn enqueue(&mut self, call: CallId, request: AppendRequest) {
        let policy = RetryPolicy { attempts: 0, ..RetryPolicy::default() };
        self.append(call, request, policy, Fallback::Queue);
    }

    pub fn begin(&mut self, call: CallId) -> TxId {
        self.tell(Event::Call(call, Call::Begin { timeout_ms: 5000.0 }));
        match self.outcome(call) {
            Ok(Reply::Transaction(tx)) => *tx,
            _ => panic!("no transaction begins"),
        }
    }

    pub fn join(&mut self, call: CallId, tx: TxId, request: AppendRequest) {
        let request = Box::new(request);
        let until_ms = f64::INFINITY;
        self.tell(Event::Call(call, Call::JoinedAppend { request, tx, until_ms }));
    }

    pub fn commit(&mut self, call: CallId, tx: TxId) {
        self.tell(Event::Call(call, Call::Commit { tx }));
        assert!(matches!(self.outcome(call), Ok(Reply::Nothing)));
    }

    /// What became of a call.
    pub fn outcome(&self, call: CallId) -> &Result<Reply> {
        let (_, outcome) = self.settled.get(&call).expect("the call is settled");
        outcome
    }

    pub fn is_settled(&self, call: CallId) -> bool {
        self.settled.contains_key(&call)
    }

    /// When a call was settled.
    pub fn settled_ms(&self, call: CallId) -> f64 {
        self.settled.get(&call).expect("the call is settled").0
    }

    pub fn receipt(&self, call: CallId) -> &Receipt {
        match self.outcome(call) {
            Ok(Reply::Receipt(receipt)) => receipt,
            Ok(_) => panic!("no receipt"),
            Err(error) => panic!("{error}"),
        }
    }

    /// The error that a call ended with.
    pub fn code(&self, call: CallId) -> Option<Code> {
        self.outcome(call).as_ref().err().map(|error: &Error| error.code)
    }
}
