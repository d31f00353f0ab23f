//! The surface that the worker sees: `Handle`, and two functions over all databases.
//!
//! Arguments are taken apart here, frames are decoded before the first rung, and everything else
//! is the node's. Nothing here decides.

use crate::error::{Code, Error, Result};
use crate::frame::Frame;
use crate::frame::options::AppendOptions;
use crate::frame::packed::Packed;
use crate::frame::{ident, raw};
use crate::ladder::Fallback;
use crate::message::{lock_name, presence_name};
use crate::node::{Call, Config, Event, TxId};
use crate::policy::RetryPolicy;
use crate::store::{AppendRequest, Content, PackOptions};
use crate::web::convert::{self, Post, error_object, get, number, read, text};
use crate::web::driver::{Driver, Storage, epoch_ms, random_bytes, sleep_ms};
use crate::web::locks::{self, LockEvent, LockRequest};
use crate::web::memory::SharedMemory;
use crate::web::opfs::{self, DatabaseFiles};
use crate::web::queue::QueueFiles;
use arrow::buffer::Buffer;
use js_sys::{Array, Reflect, Uint8Array};
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use xxhash_rust::xxh3::Xxh3;

/// How long statements wait for the lock, unless told otherwise.
const TIMEOUT_MS: f64 = 15_000.0;
/// Rows of one batch of `stream`, unless told otherwise.
const STREAM_ROWS: f64 = 10_000.0;

/// One open handle. Calls are answered through `post`.
#[wasm_bindgen]
pub struct Handle {
    driver: Rc<Driver>,
}

#[wasm_bindgen]
impl Handle {
    /// Opens or creates a database. Never waits for the write lock.
    pub async fn open(
        name: String,
        options: JsValue,
        post: Post,
    ) -> std::result::Result<Handle, JsValue> {
        console_error_panic_hook::set_once();
        open(&name, &options, post).await.map_err(|e| error_object(&e, &[]))
    }

    /// Starts an operation; its reply carries `id`.
    pub fn call(&self, id: u32, op: &str, args: JsValue, buffers: Array) {
        let cursor = number(&args, "cursor").unwrap_or_default() as u32;
        let transfer = Array::new();
        match op {
            "streamNext" => {
                let batch = self.driver.stream_next(cursor);
                let value = batch.map_or(JsValue::NULL, |b| convert::bytes(&b, &transfer));
                return self.driver.answer(id, &value, &transfer);
            }
            "streamClose" => {
                self.driver.stream_close(cursor);
                return self.driver.answer(id, &JsValue::UNDEFINED, &transfer);
            }
            _ => {}
        }
        match parse_call(op, &args, &buffers) {
            Ok(call) => {
                if let (Call::Append { request, .. } | Call::JoinedAppend { request, .. }, true) =
                    (&call, get(&args, "progress").is_truthy())
                {
                    self.driver.watch(id, &request.frame_id);
                }
                self.driver.call(id, call);
            }
            Err(error) => self.driver.refuse(id, &error),
        }
    }

    /// The page no longer wants the answer of `id`.
    pub fn cancel(&self, id: u32) {
        self.driver.dispatch(Event::Cancel(id));
    }

    /// Somebody on the page listens to this event.
    pub fn listen(&self, event: &str) {
        self.driver.listen(event);
    }

    /// What became of the page: visible, hidden, freeze, pagehide, resume.
    pub fn lifecycle(&self, state: &str) {
        let events = match state {
            "hidden" => vec![Event::Hidden(true)],
            "visible" => vec![Event::Resume, Event::Hidden(false)],
            "freeze" | "pagehide" => vec![Event::Suspend],
            "resume" => vec![Event::Resume],
            _ => vec![],
        };
        for event in events {
            self.driver.dispatch(event);
        }
    }
}

async fn open(name: &str, options: &JsValue, post: Post) -> Result<Handle> {
    check_name(name)?;
    let durable = get(options, "durability").as_string().as_deref() != Some("relaxed");
    let in_memory = get(options, "storage").as_string().as_deref() == Some("memory");
    let mut config = Config {
        node_id: uuid(),
        seed: u64::from_le_bytes(random_bytes()),
        shared_reads: false,
        durable,
        queue_waits: false,
    };
    if in_memory {
        let storage = Storage::Memory(SharedMemory::default(), SharedMemory::default());
        return Ok(Handle { driver: Driver::start(name, config, storage, None, post) });
    }
    if !locks::available() {
        let message = "this browser has no Web Locks here (an insecure context?)";
        return Err(Error::new(Code::StorageUnavailable, message));
    }
    let directory = opfs::directory().await?;
    let presence = be_present(name).await?;
    config.shared_reads = opfs::shared_reads(&directory).await;
    let files = DatabaseFiles::locate(&directory, name).await?;
    if let Err(error) = check_header(&files).await {
        presence.end();
        return Err(error);
    }
    let queue = QueueFiles::new(directory, name);
    config.queue_waits = queue.counts().await.is_ok_and(|counts| counts.queued > 0);
    let drains = config.queue_waits;
    let persisted = persisted().await;
    let driver = Driver::start(name, config, Storage::Opfs { files, queue }, Some(presence), post);
    driver.set_persisted(persisted);
    if drains {
        driver.dispatch(Event::Wake);
    }
    Ok(Handle { driver })
}

/// The lock that every open handle shares.
async fn be_present(name: &str) -> Result<LockRequest> {
    let mut request = None;
    let granted = js_sys::Promise::new(&mut |resolve, _| {
        request = Some(LockRequest::new(&presence_name(name), false, move |event| {
            let _nobody_listens =
                resolve.call1(&JsValue::UNDEFINED, &matches!(event, LockEvent::Granted).into());
        }));
    });
    let granted = JsFuture::from(granted).await.is_ok_and(|answer| answer.is_truthy());
    match request {
        Some(request) if granted => Ok(request),
        _ => Err(Error::new(Code::StorageUnavailable, "Web Locks cannot be used here")),
    }
}

/// A first look at the file, without a lock: what cannot be a database is refused at once. What
/// another tab is writing just now may look half-made; SQLite judges that, under the lease.
async fn check_header(files: &DatabaseFiles) -> Result<()> {
    let Ok(head) = files.first_bytes(16).await else {
        return Ok(());
    };
    let magic = crate::store::MAGIC;
    let nothing_yet = head.iter().all(|byte| *byte == 0);
    if nothing_yet || head == *magic {
        return Ok(());
    }
    Err(Error::new(Code::NotADatabase, "the file is not an SQLite database; it was left as it is"))
}

async fn persisted() -> bool {
    let storage = get(&get(&js_sys::global(), "navigator"), "storage");
    let Ok(method) = get(&storage, "persisted").dyn_into::<js_sys::Function>() else {
        return false;
    };
    let Ok(promise) = method.call0(&storage) else {
        return false;
    };
    match promise.dyn_into::<js_sys::Promise>() {
        Ok(promise) => JsFuture::from(promise).await.is_ok_and(|answer| answer.is_truthy()),
        Err(_) => false,
    }
}

/// The names of the databases of this origin, sorted.
#[wasm_bindgen]
pub async fn list_databases() -> std::result::Result<Vec<String>, JsValue> {
    opfs::list().await.map_err(|e| error_object(&e, &[]))
}

/// Removes a database with its journal and queue; `BUSY` while anybody has it open.
#[wasm_bindgen]
pub async fn delete_database(name: String) -> std::result::Result<(), JsValue> {
    delete(name).await.map_err(|e| error_object(&e, &[]))
}

/// A handle that was closed just now may hold its lock for a moment longer.
const DELETE_TRIES: u32 = 25;
const DELETE_PAUSE_MS: f64 = 40.0;

async fn delete(name: String) -> Result<()> {
    check_name(&name)?;
    opfs::directory().await?;
    for attempt in 1..=DELETE_TRIES {
        match try_delete(name.clone()).await {
            Err(error) if error.code == Code::Busy && attempt < DELETE_TRIES => {
                sleep_ms(DELETE_PAUSE_MS).await;
            }
            outcome => return outcome,
        }
    }
    Ok(())
}

async fn try_delete(name: String) -> Result<()> {
    let refused = |_| Error::new(Code::StorageUnavailable, "Web Locks cannot be used here");
    let inner_name = name.clone();
    let alone = async move {
        let lock = lock_name(&inner_name);
        locks::with_free_lock(&lock, async move { opfs::delete(&inner_name).await }).await
    };
    match locks::with_free_lock(&presence_name(&name), alone).await.map_err(refused)? {
        Some(Ok(Some(outcome))) => outcome,
        Some(Err(error)) => Err(refused(error)),
        None | Some(Ok(None)) => {
            Err(Error::new(Code::Busy, format!("the database {name:?} is open elsewhere")))
        }
    }
}

fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let reserved = name.ends_with("-journal") || name.ends_with(".queue");
    if (1..=128).contains(&name.len())
        && !name.starts_with('.')
        && name.chars().all(allowed)
        && !reserved
    {
        return Ok(());
    }
    let rule = "1 to 128 characters of A-Z a-z 0-9 . _ -, no dot at the start, not ending in -journal or .queue";
    Err(Error::new(Code::InvalidArgument, format!("a database name is {rule}; not {name:?}")))
}

fn uuid() -> String {
    uuid::Builder::from_unix_timestamp_millis(epoch_ms() as u64, &random_bytes())
        .into_uuid()
        .to_string()
}

fn parse_call(op: &str, args: &JsValue, buffers: &Array) -> Result<Call> {
    let tx = number(args, "tx").map(|tx| tx as TxId);
    let timeout_ms = timeout(args)?;
    let sql = || text(args, "sql");
    let params = || convert::params(&get(args, "params"));
    let open_tx = || tx.ok_or_else(|| Error::new(Code::InvalidArgument, "no transaction named"));
    Ok(match op {
        "append" => return parse_append(args, buffers, tx),
        "exec" => Call::Exec { sql: sql()?, params: params()?, timeout_ms, tx },
        "query" => {
            let options = PackOptions {
                int64_as_number: get(args, "int64").as_string().as_deref() == Some("number"),
                dates: get(args, "dates").is_truthy(),
            };
            Call::Query { sql: sql()?, params: params()?, options, timeout_ms, tx }
        }
        "queryArrow" | "streamOpen" => {
            let rows = number(args, "batchRows").unwrap_or(STREAM_ROWS);
            let batch_rows = (op == "streamOpen").then_some(rows as usize);
            Call::QueryArrow { sql: sql()?, params: params()?, batch_rows, timeout_ms, tx }
        }
        "begin" => Call::Begin { timeout_ms: begin_timeout(args, timeout_ms)? },
        "commit" => Call::Commit { tx: open_tx()? },
        "rollback" => Call::Rollback { tx: open_tx()? },
        "status" => Call::Status,
        "whenCommitted" => Call::WhenCommitted { frame_id: text(args, "frameId")? },
        "drain" => Call::Drain { timeout_ms },
        "rejected" => Call::Rejected,
        "retryRejected" => Call::RetryRejected { frame_id: text(args, "frameId")? },
        "discardRejected" => Call::DiscardRejected { frame_id: text(args, "frameId")? },
        "export" => Call::Export { timeout_ms },
        "import" => Call::Import { bytes: buffer(buffers, 0)?, timeout_ms },
        "close" => Call::Close,
        other => {
            return Err(Error::new(Code::InvalidArgument, format!("no operation {other:?}")));
        }
    })
}

fn timeout(args: &JsValue) -> Result<f64> {
    match number(args, "timeoutMs") {
        None => Ok(TIMEOUT_MS),
        Some(ms) if (0.0..=86_400_000.0).contains(&ms) => Ok(ms),
        Some(ms) => Err(Error::new(Code::InvalidArgument, format!("timeoutMs must not be {ms}"))),
    }
}

/// A transaction waits for the lock as its retry policy would, all attempts together.
fn begin_timeout(args: &JsValue, timeout_ms: f64) -> Result<f64> {
    let retry = get(args, "retry");
    if retry.is_undefined() {
        return Ok(timeout_ms);
    }
    let policy: RetryPolicy = read(retry, "retry")?;
    policy.check()?;
    Ok(policy.longest_wait_ms().min(timeout_ms))
}

fn buffer(buffers: &Array, index: u32) -> Result<Vec<u8>> {
    buffers
        .get(index)
        .dyn_into::<Uint8Array>()
        .map(|bytes| bytes.to_vec())
        .map_err(|_| Error::new(Code::InvalidArgument, "the bytes are missing"))
}

fn parse_append(args: &JsValue, buffers: &Array, tx: Option<TxId>) -> Result<Call> {
    let table = text(args, "table")?;
    ident::check_table_name(&table)?;
    let options = get(args, "options");
    let options = if options.is_object() { options } else { js_sys::Object::new().into() };
    let take = |key: &str| {
        let value = get(&options, key);
        let ours: &js_sys::Object = options.unchecked_ref();
        let _deleted = Reflect::delete_property(ours, &key.into());
        value
    };
    let retry = take("retry");
    let policy: RetryPolicy =
        if retry.is_undefined() { RetryPolicy::default() } else { read(retry, "retry")? };
    policy.check()?;
    let fallback = take("fallback");
    let fallback: Fallback =
        if fallback.is_undefined() { Fallback::default() } else { read(fallback, "fallback")? };
    let (frame_id, own_id) = match take("frameId") {
        missing if missing.is_undefined() => (uuid(), true),
        given => (check_frame_id(given.as_string())?, false),
    };
    let options: AppendOptions = read(options, "options")?;
    let (content, digest) = parse_content(args, buffers, &table)?;
    let request = Box::new(AppendRequest { frame_id, own_id, table, options, content, digest });
    Ok(match tx {
        Some(tx) => Call::JoinedAppend { request, tx },
        None => Call::Append { request, policy, fallback },
    })
}

fn check_frame_id(id: Option<String>) -> Result<String> {
    match id {
        Some(id) if (1..=128).contains(&id.chars().count()) => Ok(id),
        _ => Err(Error::new(Code::InvalidArgument, "a frameId is a string of 1 to 128 characters")),
    }
}

/// The rows, decoded and checked, and the digest of what was sent.
fn parse_content(args: &JsValue, buffers: &Array, table: &str) -> Result<(Content, [u8; 16])> {
    let form = text(args, "form")?;
    let mut parts =
        (0..buffers.length()).map(|i| buffer(buffers, i)).collect::<Result<Vec<_>>>()?;
    let descriptor = get(args, "descriptor").as_string().unwrap_or_default();
    let mut hasher = Xxh3::new();
    for part in [table.as_bytes(), form.as_bytes(), descriptor.as_bytes()] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    for part in &parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest = hasher.digest128().to_le_bytes();
    let in_table = |e: Error| e.in_table(table);
    let content = match form.as_str() {
        "ipc" => {
            let bytes = parts.pop().unwrap_or_default();
            Content::Frame(Frame::decode(Buffer::from_vec(bytes)).map_err(in_table)?)
        }
        "raw" => {
            let buffers = parts.into_iter().map(Buffer::from_vec).collect();
            Content::Frame(raw::from_raw(&descriptor, buffers).map_err(in_table)?)
        }
        "packed" => {
            let buffers = parts.into_iter().map(Buffer::from_vec).collect();
            Content::Packed(Packed::parse(&descriptor, buffers).map_err(in_table)?)
        }
        _ => {
            return Err(Error::new(Code::InvalidArgument, format!("no frame form {form:?}")));
        }
    };
    Ok((content, digest))
}
