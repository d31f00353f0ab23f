//! The surface that the worker sees: `Handle`, and two functions over all databases.
//!
//! Arguments are taken apart in `calls`, frames are decoded before the first rung, and everything else
//! is the node's. Nothing here decides.

use crate::calls::{parse_call, uuid};
use crate::error::{Code, Error, Result};
use crate::message::{lock_name, presence_name};
use crate::node::{Call, Config, Event, OFFER_BYTES, PIECE};
use crate::platform::FileError;
use crate::web::both::both;
use crate::web::convert::{Post, error_object, get, number};
use crate::web::driver::{Driver, Storage, random_bytes, sleep_ms};
use crate::web::forward::{self, ExchangeFn, Forwarding};
use crate::web::locks::{self, LastingLock};
use crate::web::memory::Memory;
use crate::web::opfs::{self, DatabaseFiles};
use crate::web::queue::QueueFiles;
use js_sys::Array;
use std::collections::BTreeSet;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use web_sys::FileSystemDirectoryHandle;

/// One open handle. Calls are answered through `post`.
#[wasm_bindgen]
pub struct Handle {
    driver: Rc<Driver>,
    /// Tables whose frames are forwarded unless a call says otherwise, folded.
    forwarded: BTreeSet<String>,
}

#[wasm_bindgen]
impl Handle {
    /// Opens or creates a database. Never waits for the write lock. `exchange` asks the server, for
    /// a handle with `options.forward`.
    pub async fn open(
        name: String,
        options: JsValue,
        post: Post,
        exchange: Option<ExchangeFn>,
    ) -> std::result::Result<Handle, JsValue> {
        console_error_panic_hook::set_once();
        open(&name, &options, post, exchange).await.map_err(|e| error_object(&e, &[]))
    }

    /// Starts an operation; its reply carries `id`.
    pub fn call(&self, id: u32, op: &str, args: JsValue, buffers: Array) {
        let cursor = number(&args, "cursor").unwrap_or_default() as u32;
        let transfer = Array::new();
        match op {
            "streamNext" => {
                let batch = self.driver.stream_next(cursor);
                let value = batch.map_or(JsValue::NULL, |batch| {
                    transfer.push(&batch.buffer());
                    batch.into()
                });
                return self.driver.answer(id, &value, &transfer);
            }
            "streamClose" => {
                self.driver.stream_close(cursor);
                return self.driver.answer(id, &JsValue::UNDEFINED, &transfer);
            }
            _ => {}
        }
        match parse_call(op, &args, &buffers, &self.forwarded) {
            Ok(call) => {
                if op == "exportBlob" {
                    self.driver.export_as_blob(id);
                }
                if get(&args, "tell").is_truthy() {
                    self.driver.tell_when_taken(id);
                }
                if let (Call::Append { request, .. } | Call::JoinedAppend { request, .. }, true) =
                    (&call, get(&args, "progress").is_truthy())
                {
                    self.driver.watch(id, &request.frame_id);
                }
                self.driver.hear(Event::Call(id, call));
            }
            Err(error) => self.driver.refuse(id, &error),
        }
    }

    /// The page no longer wants the answer of `id`.
    pub fn cancel(&self, id: u32) {
        self.driver.hear(Event::Cancel(id));
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
            "online" => vec![Event::Online],
            _ => vec![],
        };
        for event in events {
            self.driver.dispatch(event);
        }
    }

    /// The exchange has the token that was asked for under this id, or there is none to be had.
    pub fn token(&self, id: u32, came: bool) {
        self.driver.dispatch(Event::Token(id, came));
    }
}

async fn open(
    name: &str,
    options: &JsValue,
    post: Post,
    exchange: Option<ExchangeFn>,
) -> Result<Handle> {
    check_name(name)?;
    let (settings, forwarded) = forward::settings(options).unzip();
    let forwarding = Forwarding::new(exchange);
    let forwarded = forwarded.unwrap_or_default();
    let durable = get(options, "durability").as_string().as_deref() != Some("relaxed");
    let in_memory = get(options, "storage").as_string().as_deref() == Some("memory");
    let mut config = Config {
        node_id: uuid(),
        seed: u64::from_le_bytes(random_bytes()),
        shared_reads: false,
        durable,
        queue_waits: false,
        forward: settings,
        offer_bytes: OFFER_BYTES,
        piece: PIECE,
        log: crate::store::LogLimits::default(),
        transfer_rows: crate::store::TRANSFER_ROWS,
    };
    if in_memory {
        let storage = Storage::Memory(Memory::default());
        let driver = Driver::start(name, config, storage, None, post, forwarding);
        driver.dispatch(Event::Wake);
        return Ok(Handle { driver, forwarded });
    }
    if !locks::available() {
        let message = "this browser has no Web Locks here (an insecure context?)";
        return Err(Error::new(Code::StorageUnavailable, message));
    }
    let ((directory, presence), persisted) =
        both(both(opfs::directory(), be_present(name)), opfs::persisted()).await;
    let (directory, presence) = (directory?, presence?);
    // Nobody removes the files from here on.
    if get(options, "mustExist").is_truthy()
        && let Err(FileError::Lost(_)) = opfs::file_in(&directory, name, false).await
    {
        let message = "the database was deleted, or the browser's storage cleared";
        return Err(Error::new(Code::StorageLost, message));
    }
    let queue = QueueFiles::new(directory.clone(), name);
    let looks = both(opfs::shared_reads(&directory), queue.may_wait());
    let ((shared_reads, queue_waits), files) = both(looks, checked_files(&directory, name)).await;
    let mut files = files?;
    files.watch(shared_reads);
    config.shared_reads = shared_reads;
    config.queue_waits = queue_waits;
    let has_work = config.queue_waits || settings.is_some();
    let storage = Storage::Opfs { files, queue };
    let driver = Driver::start(name, config, storage, Some(presence), post, forwarding);
    driver.set_persisted(persisted);
    if has_work {
        driver.dispatch(Event::Wake);
    }
    Ok(Handle { driver, forwarded })
}

/// The files, made where there were none.
async fn checked_files(directory: &FileSystemDirectoryHandle, name: &str) -> Result<DatabaseFiles> {
    let files = DatabaseFiles::locate(directory, name).await?;
    check_header(&files).await?;
    Ok(files)
}

/// The lock that every open handle shares.
async fn be_present(name: &str) -> Result<LastingLock> {
    let refused = || Error::new(Code::StorageUnavailable, "Web Locks cannot be used here");
    LastingLock::take(&presence_name(name)).await.ok_or_else(refused)
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
    let mut tries_left = DELETE_TRIES;
    loop {
        tries_left -= 1;
        match try_delete(name.clone()).await {
            Err(error) if error.code == Code::Busy && tries_left > 0 => {
                sleep_ms(DELETE_PAUSE_MS).await;
            }
            outcome => return outcome,
        }
    }
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
