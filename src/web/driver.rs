//! Carries out a node's effects with locks, files, a channel and one timer, and feeds back what
//! became of them.

use super::convert::{self, Post};
use super::export::Export;
use super::forward::Forwarding;
use super::jobs::Job;
use super::locks::{self, LastingLock, LockEvent, LockRequest};
use super::memory::Memory;
use super::opfs::{self, DatabaseFiles};
use super::queue::QueueFiles;
use super::turn::Turn;
use crate::error::{Code, Error, Result};
use crate::ladder::Attempt;
use crate::lease::LockId;
use crate::message::{PROTOCOL, channel_name, lock_name};
use crate::node::{Config, Effect, Event, Node, QueueCounts, Reply};
use crate::platform::{File, Handles};
use crate::sorted::SortedMap;
use crate::store::{Mode, Os};
use js_sys::Uint8Array;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::rc::{Rc, Weak};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{BroadcastChannel, MessageEvent};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &js_sys::Function, delay_ms: f64) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(id: &JsValue);
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    pub fn performance_now() -> f64;
    #[wasm_bindgen(thread_local_v2, js_namespace = performance, js_name = timeOrigin)]
    static TIME_ORIGIN: f64;
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn get_random_values(bytes: &Uint8Array);
}

/// When something was said, of which the page's clock says `shared_ms`. Both clocks are monotonic, and know how far apart
/// they began (W3C High Resolution Time). Not in a page whose clock a test has set: there it was now.
pub fn said_at_ms(shared_ms: f64) -> f64 {
    let at_ms = shared_ms - TIME_ORIGIN.with(|origin| *origin);
    // Longer ago than this worker has been there, but for the time that it took to start.
    if at_ms < -60_000.0 { performance_now() } else { at_ms }
}

/// Waits.
pub async fn sleep_ms(delay_ms: f64) {
    let slept = js_sys::Promise::new(&mut |resolve, _| {
        set_timeout(&resolve, delay_ms);
    });
    let _always_resolves = wasm_bindgen_futures::JsFuture::from(slept).await;
}

/// Random bytes from the browser's generator.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let array = Uint8Array::new_with_length(N as u32);
    get_random_values(&array);
    let mut bytes = [0; N];
    array.copy_to(&mut bytes);
    bytes
}

/// Milliseconds since 1970, for names and SQL's `now`; never for order.
pub fn epoch_ms() -> f64 {
    js_sys::Date::now()
}

/// SQLite's time and randomness, the progress of appends on to the page, and batches out of wasm's memory.
struct BrowserOs {
    post: Post,
    watched: Rc<RefCell<Watched>>,
}

/// What is watched while SQLite runs.
#[derive(Default)]
struct Watched {
    /// The appends whose callers want to hear of progress.
    calls: SortedMap<String, u32>,
    /// The appends whose callers want to hear when they begin.
    unbegun: BTreeSet<u32>,
    told_ms: f64,
    /// The batches of the stream that is being read.
    batches: VecDeque<Uint8Array>,
}

/// Progress is told at most so often.
const PROGRESS_MS: f64 = 100.0;

impl Os for BrowserOs {
    fn random(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            chunk.copy_from_slice(&random_bytes::<32>()[..chunk.len()]);
        }
    }

    fn epoch_ms(&self) -> i64 {
        epoch_ms() as i64
    }

    fn taken(&self, call: u32) {
        if self.watched.borrow_mut().unbegun.remove(&call) {
            convert::post_taken(&self.post, call);
        }
    }

    fn progress(&self, frame_id: &str, rows: u64, total_rows: u64) {
        let mut watched = self.watched.borrow_mut();
        if watched.calls.is_empty() {
            return;
        }
        let now_ms = performance_now();
        let due = now_ms - watched.told_ms >= PROGRESS_MS || rows == total_rows;
        if let (true, Some(call)) = (due, watched.calls.get(frame_id)) {
            convert::post_progress(&self.post, *call, rows, total_rows);
            watched.told_ms = now_ms;
        }
    }

    fn batch(&self, ipc: Option<&[u8]>) {
        let batches = &mut self.watched.borrow_mut().batches;
        match ipc {
            Some(ipc) => batches.push_back(ipc.into()),
            None => batches.clear(),
        }
    }
}

/// Where a handle's files are.
pub enum Storage {
    Opfs { files: DatabaseFiles, queue: QueueFiles },
    Memory(Memory),
}

/// Listens to the channel.
type OnMessage = Closure<dyn FnMut(MessageEvent)>;

/// One open handle in its worker.
pub struct Driver {
    pub(super) name: String,
    node: RefCell<Node>,
    pub(super) storage: Storage,
    pub(super) post: Post,
    pub(super) forwarding: Forwarding,
    channel: Option<BroadcastChannel>,
    /// Held as long as the handle is open; keeps the database from being deleted.
    presence: Option<LastingLock>,
    pub(super) locks: RefCell<SortedMap<LockId, LockRequest>>,
    timer: RefCell<Option<(f64, JsValue)>>,
    on_timer: RefCell<Option<Closure<dyn FnMut()>>>,
    on_message: RefCell<Option<OnMessage>>,
    watched: Rc<RefCell<Watched>>,
    /// The events that somebody listens to; a message to the page costs more than a small append.
    listened: RefCell<BTreeSet<String>>,
    persisted: Cell<bool>,
    /// The size of the database, as of the last look.
    bytes: Cell<u64>,
    pub(super) node_id: String,
    pub(super) jobs: RefCell<VecDeque<Job>>,
    pub(super) jobs_running: Cell<bool>,
    pub(super) turn: RefCell<Option<Turn>>,
    /// Files on their way out, by call.
    pub(super) exports: RefCell<SortedMap<u32, Export>>,
    /// No file of the queue that this handle named has this number, or a higher one.
    pub(super) unused_order: Cell<u64>,
    /// What the page said while the files are being looked for, in order.
    pub(super) held_back: RefCell<Option<VecDeque<Event>>>,
    /// Batches that streams have yet to hand over, by cursor (the call that opened it).
    cursors: RefCell<SortedMap<u32, VecDeque<Uint8Array>>>,
}

impl Driver {
    /// Starts a node on its storage.
    pub fn start(
        name: &str,
        config: Config,
        storage: Storage,
        presence: Option<LastingLock>,
        post: Post,
        forwarding: Forwarding,
    ) -> Rc<Driver> {
        let in_opfs = matches!(storage, Storage::Opfs { .. });
        let channel = if in_opfs { BroadcastChannel::new(&channel_name(name)).ok() } else { None };
        let watched = Rc::new(RefCell::new(Watched::default()));
        let os = BrowserOs { post: post.clone(), watched: watched.clone() };
        let driver = Rc::new(Driver {
            name: name.to_owned(),
            node_id: config.node_id.clone(),
            jobs: RefCell::default(),
            jobs_running: Cell::new(false),
            turn: RefCell::default(),
            exports: RefCell::default(),
            unused_order: Cell::new(0),
            held_back: RefCell::default(),
            cursors: RefCell::default(),
            node: RefCell::new(Node::new(config, Box::new(os))),
            watched,
            storage,
            post,
            forwarding,
            channel,
            presence,
            locks: RefCell::default(),
            timer: RefCell::default(),
            on_timer: RefCell::default(),
            on_message: RefCell::default(),
            listened: RefCell::default(),
            persisted: Cell::new(false),
            bytes: Cell::new(0),
        });
        let weak = Rc::downgrade(&driver);
        let on_timer = with(&weak, |driver| {
            driver.timer.take();
            driver.dispatch(Event::Wake);
        });
        *driver.on_timer.borrow_mut() = Some(Closure::new(on_timer));
        if let Some(channel) = &driver.channel {
            let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
                if let (Some(driver), Ok(bytes)) =
                    (weak.upgrade(), event.data().dyn_into::<Uint8Array>())
                {
                    driver.dispatch(Event::Message(bytes.to_vec()));
                }
            });
            channel.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
            *driver.on_message.borrow_mut() = Some(on_message);
        }
        driver
    }

    /// The caller of an append wants to hear of its progress.
    pub fn watch(&self, call: u32, frame_id: &str) {
        self.watched.borrow_mut().calls.insert(frame_id.to_owned(), call);
    }

    /// The caller of an append wants to hear when it begins.
    pub fn tell_when_taken(&self, call: u32) {
        self.watched.borrow_mut().unbegun.insert(call);
    }

    /// Somebody listens to an event from now on.
    pub fn listen(&self, event: &str) {
        self.listened.borrow_mut().insert(event.to_owned());
    }

    /// A call that could not even be read.
    pub fn refuse(&self, id: u32, error: &crate::error::Error) {
        convert::post_error(&self.post, id, error, &[]);
    }

    /// Gives the node an event and carries out what it says.
    pub fn dispatch(self: &Rc<Self>, event: Event) {
        let suspends = matches!(event, Event::Suspend);
        let effects = self.node.borrow_mut().handle(performance_now(), event);
        let ends = effects.iter().any(|effect| matches!(effect, Effect::Closed));
        let at_once = suspends || ends;
        for effect in effects {
            self.carry_out(effect, at_once);
        }
        self.close_files(None, at_once);
        self.node.borrow_mut().carried_out(performance_now());
        self.schedule();
    }

    fn schedule(&self) {
        let wake_at_ms = self.node.borrow_mut().wake_at_ms();
        let mut timer = self.timer.borrow_mut();
        if timer.as_ref().map(|(at_ms, _)| *at_ms) == wake_at_ms {
            return;
        }
        if let Some((_, id)) = timer.take() {
            clear_timeout(&id);
        }
        if let (Some(at_ms), Some(callback)) = (wake_at_ms, &*self.on_timer.borrow()) {
            let delay_ms = (at_ms - performance_now()).max(0.0).ceil();
            *timer = Some((at_ms, set_timeout(callback.as_ref().unchecked_ref(), delay_ms)));
        }
    }

    fn carry_out(self: &Rc<Self>, effect: Effect, at_once: bool) {
        match effect {
            Effect::CancelLock { id } | Effect::ReleaseLock { id } => {
                let lock = self.locks.borrow_mut().remove(&id);
                self.close_files(lock, at_once);
            }
            Effect::RequestLock { id, mode } => self.request_lock(id, mode),
            Effect::OpenHandles { id, mode } => self.open_handles(id, mode),
            Effect::QueryLock { count_queue } => self.query_lock(count_queue),
            Effect::Enqueue { call, bytes, .. } => self.queue_job(Job::Add { call, bytes }),
            Effect::LoadQueue => self.queue_job(Job::Load),
            Effect::RemoveQueued(names) => self.queue_job(Job::Remove(names)),
            Effect::Reject { name, report } => self.queue_job(Job::Reject { name, report }),
            Effect::LoadRejected => self.queue_job(Job::LoadRejected),
            Effect::RequeueRejected { frame_id } => {
                self.queue_job(Job::SettleRejected { frame_id, again: true });
            }
            Effect::RemoveRejected { frame_id } => {
                self.queue_job(Job::SettleRejected { frame_id, again: false });
            }
            Effect::RequestSender { id } => self.request_sender(id),
            Effect::ReleaseSender { id } => self.release_sender(id),
            Effect::Exchange { id, request } => self.exchange(id, &request),
            Effect::CancelExchange { id } => self.cancel_exchange(id),
            Effect::AskToken { id, refresh } => self.ask_token(id, refresh),
            Effect::Yield => self.yields(),
            Effect::Part { call, total, offset, bytes } => {
                self.export_part(call, total, offset, &bytes);
            }
            Effect::Post(bytes) => {
                if let Some(channel) = &self.channel {
                    // A message that cannot be sent is a message lost: the protocol bears that.
                    let _lost = channel.post_message(&Uint8Array::from(&bytes[..]));
                }
            }
            Effect::Reply(call, outcome, attempts) => self.reply(call, outcome, attempts),
            Effect::Notify(notice) => {
                if self.listened.borrow().contains(notice.name()) {
                    convert::post_notice(&self.post, &notice);
                }
            }
            Effect::Closed => self.close(),
        }
    }

    fn reply(self: &Rc<Self>, call: u32, outcome: Result<Reply>, attempts: Vec<Attempt>) {
        let export = self.exports.borrow_mut().remove(&call);
        {
            let watched = &mut *self.watched.borrow_mut();
            watched.calls.retain(|_, watching| *watching != call);
            watched.unbegun.remove(&call);
        }
        let outcome = match outcome {
            Ok(Reply::Exported) => return self.export_done(call, export),
            Ok(Reply::Batches) => {
                let batches = std::mem::take(&mut self.watched.borrow_mut().batches);
                self.cursors.borrow_mut().insert(call, batches);
                Ok(Reply::Cursor(call))
            }
            Err(error) if error.code == Code::QuotaExceeded => {
                return self.reply_quota_exceeded(call, error, attempts);
            }
            other => other,
        };
        let bytes = match &self.storage {
            Storage::Opfs { .. } => self.bytes.get(),
            Storage::Memory(memory) => memory.database.clone().size().unwrap_or_default(),
        };
        let facts = convert::Facts {
            in_memory: matches!(self.storage, Storage::Memory(..)),
            persisted: self.persisted.get(),
            bytes,
        };
        convert::post_reply(&self.post, call, outcome, &attempts, &facts);
    }

    /// Only here is there time to ask how much space is left.
    fn reply_quota_exceeded(self: &Rc<Self>, call: u32, mut error: Error, attempts: Vec<Attempt>) {
        let driver = self.clone();
        spawn_local(async move {
            if let Some(bytes) = opfs::available_bytes().await {
                error.message += &format!("; the browser estimates that {bytes} bytes are left");
            }
            convert::post_error(&driver.post, call, &error, &attempts);
        });
    }

    fn request_lock(self: &Rc<Self>, id: LockId, mode: Mode) {
        let weak = Rc::downgrade(self);
        if matches!(self.storage, Storage::Memory(..)) {
            return spawn_local(async move {
                if let Some(driver) = weak.upgrade() {
                    driver.dispatch(Event::LockGranted(id));
                }
            });
        }
        let tell = move |event: LockEvent| {
            if let Some(driver) = weak.upgrade() {
                driver.dispatch(match event {
                    LockEvent::Granted => Event::LockGranted(id),
                    LockEvent::Lost => Event::LockLost(id),
                });
            }
        };
        let request = LockRequest::new(&lock_name(&self.name), mode == Mode::Exclusive, tell);
        self.locks.borrow_mut().insert(id, request);
    }

    fn open_handles(self: &Rc<Self>, id: LockId, mode: Mode) {
        let driver = self.clone();
        spawn_local(async move {
            let outcome = match &driver.storage {
                Storage::Opfs { files, .. } => files.open(mode).await,
                Storage::Memory(memory) => Ok(Handles {
                    database: Box::new(memory.database.clone()),
                    journal: Box::new(memory.journal.clone()),
                }),
            };
            driver.dispatch(Event::Opened(id, outcome));
        });
    }

    fn query_lock(self: &Rc<Self>, count_queue: bool) {
        let driver = self.clone();
        spawn_local(async move {
            let (mut held, mut waiting, mut foreign_version) = (false, 0, false);
            let mut counts = QueueCounts::default();
            match &driver.storage {
                Storage::Opfs { files, queue } => {
                    let ours = lock_name(&driver.name);
                    let snapshot = locks::snapshot().await;
                    held = snapshot.held_alone.contains(&ours);
                    waiting = snapshot.pending.iter().filter(|name| **name == ours).count();
                    foreign_version = snapshot
                        .held_alone
                        .iter()
                        .any(|lock| *lock != ours && is_version_of(lock, &driver.name));
                    if count_queue {
                        counts = queue.counts().await.unwrap_or_default();
                        driver.bytes.set(files.size().await.unwrap_or_default());
                    }
                }
                Storage::Memory(memory) => counts = memory.queue.borrow().counts(),
            }
            let queue = count_queue.then_some(counts);
            driver.dispatch(Event::LockQueried { held, waiting, foreign_version, queue });
        });
    }

    fn close(&self) {
        self.forwarding.close();
        self.turn.take();
        if let Some(channel) = &self.channel {
            channel.set_onmessage(None);
            channel.close();
        }
        for request in std::mem::take(&mut *self.locks.borrow_mut()).into_values() {
            request.end();
        }
        if let Some(presence) = &self.presence {
            presence.end();
        }
        if let Some((_, id)) = self.timer.take() {
            clear_timeout(&id);
        }
    }

    /// The next batch of a stream; after the last one, nothing, and the cursor is closed.
    pub fn stream_next(&self, cursor: u32) -> Option<Uint8Array> {
        let mut cursors = self.cursors.borrow_mut();
        let batch = cursors.get_mut(&cursor)?.pop_front();
        if batch.is_none() {
            cursors.remove(&cursor);
        }
        batch
    }

    /// Forgets what a stream has not handed over.
    pub fn stream_close(&self, cursor: u32) {
        self.cursors.borrow_mut().remove(&cursor);
    }

    /// Settles a call that the node has no part in.
    pub fn answer(&self, call: u32, value: &JsValue, transfer: &js_sys::Array) {
        convert::post_value(&self.post, call, value, transfer);
    }

    /// What the page found out about `navigator.storage.persisted()`.
    pub fn set_persisted(&self, persisted: bool) {
        self.persisted.set(persisted);
    }
}

pub(super) fn with(
    driver: &Weak<Driver>,
    work: impl Fn(&Rc<Driver>) + 'static,
) -> impl FnMut() + 'static {
    let driver = driver.clone();
    move || {
        if let Some(driver) = driver.upgrade() {
            work(&driver);
        }
    }
}

/// Whether a lock is the write lock of this database in some version of the protocol.
fn is_version_of(lock: &str, database: &str) -> bool {
    lock.strip_prefix("framelock/").and_then(|rest| rest.split_once('/')).is_some_and(
        |(version, name)| {
            name == database && version.parse::<u32>().is_ok_and(|version| version != PROTOCOL)
        },
    )
}
