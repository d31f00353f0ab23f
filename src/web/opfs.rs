//! Files on the Origin Private File System (WHATWG File System).
//!
//! The only place that knows directories, handles and the names of DOM exceptions.

use super::both::both;
use super::convert::{get, number};
use super::driver::performance_now;
use crate::error::{Code, Error, Result};
use crate::platform::{File, FileError, FileResult, Handles};
use crate::store::Mode;
use js_sys::{Object, Reflect};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions, FileSystemReadWriteOptions, FileSystemRemoveOptions,
    FileSystemSyncAccessHandle,
};

const DIRECTORY: &str = "framelock";
const JOURNAL_SUFFIX: &str = "-journal";
const QUEUE_SUFFIX: &str = ".queue";
/// A file that is never written: it is opened to learn what the browser can do, and its time is the folder's.
const PROBE: &str = ".probe";

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(thread_local_v2, js_namespace = ["globalThis", "navigator"], js_name = storage)]
    static STORAGE: Option<Object>;

    /// `createSyncAccessHandle` with an option object of our own making.
    #[wasm_bindgen(extends = FileSystemFileHandle)]
    type ModeHandle;
    #[wasm_bindgen(method, catch, js_name = createSyncAccessHandle)]
    fn create_with(
        this: &ModeHandle,
        options: &Object,
    ) -> std::result::Result<js_sys::Promise, JsValue>;
}

/// The name of a DOM exception, or of whatever was thrown.
fn exception_name(thrown: &JsValue) -> String {
    get(thrown, "name").as_string().unwrap_or_default()
}

fn exception_text(thrown: &JsValue) -> String {
    let message = get(thrown, "message").as_string().unwrap_or_default();
    format!("{}: {message}", exception_name(thrown))
}

pub(super) fn file_error(thrown: &JsValue) -> FileError {
    let text = exception_text(thrown);
    match exception_name(thrown).as_str() {
        "QuotaExceededError" => FileError::Quota(text),
        "NotFoundError" | "InvalidStateError" => FileError::Lost(text),
        "NoModificationAllowedError" => FileError::InUse(text),
        _ => FileError::Io(text),
    }
}

fn unavailable(thrown: &JsValue) -> Error {
    Error::new(
        Code::StorageUnavailable,
        format!("the Origin Private File System cannot be used here: {}", exception_text(thrown)),
    )
}

pub(super) async fn await_as<T: JsCast>(
    promise: js_sys::Promise,
) -> std::result::Result<T, JsValue> {
    Ok(JsFuture::from(promise).await?.unchecked_into())
}

/// framelock's directory in OPFS.
pub async fn directory() -> Result<FileSystemDirectoryHandle> {
    let missing = |what: &str| {
        Error::new(Code::StorageUnavailable, format!("{what} (insecure context or private mode?)"))
    };
    let storage = STORAGE
        .with(Clone::clone)
        .ok_or_else(|| missing("navigator.storage does not exist here"))?;
    let get_directory = get(&storage, "getDirectory")
        .dyn_into::<js_sys::Function>()
        .map_err(|_| missing("navigator.storage.getDirectory does not exist here"))?;
    let promise = get_directory.call0(&storage).map_err(|e| unavailable(&e))?;
    let promise: js_sys::Promise = promise.dyn_into().map_err(|e| unavailable(&e))?;
    let root: FileSystemDirectoryHandle = await_as(promise).await.map_err(|e| unavailable(&e))?;
    let options = FileSystemGetDirectoryOptions::new();
    options.set_create(true);
    let promise = root.get_directory_handle_with_options(DIRECTORY, &options);
    let directory: FileSystemDirectoryHandle =
        await_as(promise).await.map_err(|e| unavailable(&e))?;
    Ok(directory)
}

async fn file(
    directory: &FileSystemDirectoryHandle,
    name: &str,
    create: bool,
) -> std::result::Result<FileSystemFileHandle, JsValue> {
    let options = FileSystemGetFileOptions::new();
    options.set_create(create);
    await_as(directory.get_file_handle_with_options(name, &options)).await
}

/// framelock's folder as it was found. The browsers' handles are paths: once the storage was cleared and another tab
/// made the files anew, they name those, of which this tab knows nothing but pages of the old ones.
struct Folder {
    probe: FileSystemFileHandle,
    made_ms: f64,
}

impl Folder {
    async fn find(directory: &FileSystemDirectoryHandle) -> std::result::Result<Folder, JsValue> {
        let probe = file(directory, PROBE, true).await?;
        let made_ms = await_as::<web_sys::File>(probe.get_file()).await?.last_modified();
        Ok(Folder { probe, made_ms })
    }

    /// Fails when it is gone, or another one is in its place.
    async fn is_the_same(&self) -> FileResult<()> {
        let probe = await_as::<web_sys::File>(self.probe.get_file()).await;
        let made_ms = probe.map_err(|e| file_error(&e))?.last_modified();
        match made_ms == self.made_ms {
            true => Ok(()),
            false => Err(FileError::Lost("the storage was cleared, and made anew".into())),
        }
    }
}

/// Handles whose lease is over, and which are not closed yet.
pub type Left = Vec<FileSystemSyncAccessHandle>;

/// What was in place so long ago, in milliseconds, is looked for again; that takes a third of one.
const LOOK_AGAIN_MS: f64 = 5.0;

/// The two files of one database; they stay known across leases, so that a file which vanished
/// is noticed instead of being made anew.
pub struct DatabaseFiles {
    database: FileSystemFileHandle,
    journal: FileSystemFileHandle,
    folder: Folder,
    left: Rc<RefCell<Left>>,
    /// Whether it is worth looking for them while they are open.
    watched: bool,
    /// When they were last found in place, while they are open.
    seen_ms: Cell<Option<f64>>,
    /// The folder is gone, and the handles are of files that nobody finds any more.
    lost: Cell<bool>,
}

impl DatabaseFiles {
    /// Finds or creates the files of a database.
    pub async fn locate(directory: &FileSystemDirectoryHandle, name: &str) -> Result<Self> {
        let journal_name = format!("{name}{JOURNAL_SUFFIX}");
        let files = both(file(directory, name, true), file(directory, &journal_name, true));
        let ((database, journal), folder) = both(files, Folder::find(directory)).await;
        let database = database.map_err(|e| unavailable(&e))?;
        let journal = journal.map_err(|e| unavailable(&e))?;
        let folder = folder.map_err(|e| unavailable(&e))?;
        if !get(&database, "createSyncAccessHandle").is_function() {
            return Err(Error::new(
                Code::StorageUnavailable,
                "this browser has no synchronous access handles (createSyncAccessHandle)",
            ));
        }
        Ok(DatabaseFiles {
            database,
            journal,
            folder,
            left: Rc::default(),
            watched: false,
            seen_ms: Cell::new(None),
            lost: Cell::new(false),
        })
    }

    /// Fails when the folder is not the one in which the files were found.
    pub async fn are_in_place(&self) -> FileResult<()> {
        self.folder.is_the_same().await
    }

    /// Opens both at once; one is closed again when the other is refused.
    pub async fn open(&self, mode: Mode) -> FileResult<Handles> {
        // Chromium 156: once the site's data was cleared, `createSyncAccessHandle` of a file that
        // is no more fails, and from then on every call of the origin's OPFS hangs. This one does
        // not, and takes 0.3 ms.
        await_as::<web_sys::File>(self.database.get_file()).await.map_err(|e| file_error(&e))?;
        let (database, journal) = (start(&self.database, mode), start(&self.journal, mode));
        let handles = async { (finish(database).await, finish(journal).await) };
        // While they are open, nobody can remove what was found to be in place.
        let ((database, journal), in_place) = both(handles, self.are_in_place()).await;
        in_place?;
        let (mut database, mut journal) = (database?, journal?);
        if self.watched {
            for file in [&mut database, &mut journal] {
                file.left = Some(self.left.clone());
            }
            self.seen_ms.set(Some(performance_now()));
        }
        Ok(Handles { database: Box::new(database), journal: Box::new(journal) })
    }

    /// Looks for them while they are open. In Chromium: there it takes a third of a millisecond.
    pub fn watch(&mut self, watched: bool) {
        self.watched = watched;
    }

    /// Whether they are open, and may have been taken away since they were last seen.
    pub fn are_to_be_looked_for(&self) -> bool {
        self.seen_ms.get().is_some_and(|at| performance_now() - at > LOOK_AGAIN_MS)
    }

    /// Whether somebody cleared the storage under the open files.
    pub async fn are_lost(&self) -> bool {
        if let Err(FileError::Lost(_)) = self.are_in_place().await {
            self.lost.set(true);
        }
        if self.seen_ms.get().is_some() {
            self.seen_ms.set(Some(performance_now()));
        }
        self.lost.get()
    }

    /// The handles of a lease that is over.
    pub fn take_left(&self) -> Left {
        let left = self.left.take();
        if !left.is_empty() {
            self.seen_ms.set(None);
        }
        left
    }

    /// Closes the handles of a lease that is over. Chromium 156: to close one whose file was cleared away never returns;
    /// so those stay open as long as the worker lives, and are in nobody's way.
    pub fn close(&self, left: Left) {
        if !self.lost.get() {
            left.iter().for_each(FileSystemSyncAccessHandle::close);
        }
    }

    /// The size of the database in bytes, read without any lock.
    pub async fn size(&self) -> FileResult<u64> {
        let file = await_as::<web_sys::File>(self.database.get_file()).await;
        file.map(|file| file.size() as u64).map_err(|e| file_error(&e))
    }

    /// The first bytes of the database, read without any lock.
    pub async fn first_bytes(&self, count: u32) -> FileResult<Vec<u8>> {
        let read = async {
            let file: web_sys::File = await_as(self.database.get_file()).await?;
            let head = file.slice_with_i32_and_i32(0, count as i32)?;
            let buffer: js_sys::ArrayBuffer = await_as(head.array_buffer()).await?;
            Ok::<_, JsValue>(js_sys::Uint8Array::new(&buffer).to_vec())
        };
        read.await.map_err(|e| file_error(&e))
    }
}

/// Opens an access handle.
pub async fn open(file: &FileSystemFileHandle, mode: Mode) -> FileResult<OpfsFile> {
    finish(start(file, mode)).await
}

/// Starts opening. The future listens from now on, so that a refusal which comes before it is
/// awaited does not count as unhandled.
fn start(file: &FileSystemFileHandle, mode: Mode) -> std::result::Result<JsFuture, JsValue> {
    let promise = match mode {
        Mode::Exclusive => file.create_sync_access_handle(),
        Mode::Shared => {
            let options = Object::new();
            Reflect::set(&options, &"mode".into(), &"read-only".into())?;
            file.unchecked_ref::<ModeHandle>().create_with(&options)?
        }
    };
    Ok(promise.into())
}

async fn finish(started: std::result::Result<JsFuture, JsValue>) -> FileResult<OpfsFile> {
    let opening = started.map_err(|e| file_error(&e))?;
    let handle = opening.await.map_err(|e| file_error(&e))?.unchecked_into();
    Ok(OpfsFile { handle, at: FileSystemReadWriteOptions::new(), left: None })
}

/// Whether several tabs may have a file open for reading. Firefox never reads the option, and then
/// opens exclusively; so the option is a getter that tells.
pub async fn shared_reads(directory: &FileSystemDirectoryHandle) -> bool {
    let Ok(probe) = file(directory, PROBE, true).await else {
        return false;
    };
    let seen = Rc::new(Cell::new(false));
    let getter = {
        let seen = seen.clone();
        Closure::<dyn FnMut() -> JsValue>::new(move || {
            seen.set(true);
            "read-only".into()
        })
    };
    let descriptor = Object::new();
    let options = Object::new();
    let defined = Reflect::set(&descriptor, &"get".into(), getter.as_ref())
        .and_then(|_| Reflect::define_property(&options, &"mode".into(), &descriptor));
    if defined != Ok(true) {
        return false;
    }
    let Ok(promise) = probe.unchecked_ref::<ModeHandle>().create_with(&options) else {
        return false;
    };
    if let Ok(handle) = await_as::<FileSystemSyncAccessHandle>(promise).await {
        handle.close();
    }
    seen.get()
}

/// What the browser thinks it may still store. An estimate: nothing is decided by it.
pub async fn available_bytes() -> Option<f64> {
    let answer = ask_storage("estimate").await?;
    Some((number(&answer, "quota")? - number(&answer, "usage")?).max(0.0))
}

/// Whether the browser has promised to keep what is stored.
pub async fn persisted() -> bool {
    ask_storage("persisted").await.is_some_and(|answer| answer.is_truthy())
}

/// What a method of `navigator.storage` answers; nothing where there is none, or it fails.
async fn ask_storage(method: &str) -> Option<JsValue> {
    let storage = STORAGE.with(Clone::clone)?;
    let method = get(&storage, method).dyn_into::<js_sys::Function>().ok()?;
    let promise = method.call0(&storage).ok()?;
    await_as(promise.dyn_into().ok()?).await.ok()
}

/// The name of a database's queue folder.
pub fn queue_name(database: &str) -> String {
    format!("{database}{QUEUE_SUFFIX}")
}

/// A folder; nothing when it does not exist and is not to be made.
pub(super) async fn folder(
    parent: &FileSystemDirectoryHandle,
    name: &str,
    create: bool,
) -> FileResult<Option<FileSystemDirectoryHandle>> {
    let options = FileSystemGetDirectoryOptions::new();
    options.set_create(create);
    match await_as(parent.get_directory_handle_with_options(name, &options)).await {
        Ok(folder) => Ok(Some(folder)),
        Err(e) if exception_name(&e) == "NotFoundError" && !create => Ok(None),
        Err(e) => Err(file_error(&e)),
    }
}

/// A file of a folder.
pub async fn file_in(
    folder: &FileSystemDirectoryHandle,
    name: &str,
    create: bool,
) -> FileResult<FileSystemFileHandle> {
    file(folder, name, create).await.map_err(|e| file_error(&e))
}

/// The names of everything in a folder, in no order.
pub(super) async fn names(folder: &FileSystemDirectoryHandle) -> FileResult<Vec<String>> {
    let names = folder.keys();
    let mut found = Vec::new();
    loop {
        let promise = names.next().map_err(|e| file_error(&e))?;
        let next: JsValue = await_as(promise).await.map_err(|e| file_error(&e))?;
        if get(&next, "done").is_truthy() {
            return Ok(found);
        }
        found.extend(get(&next, "value").as_string());
    }
}

/// The names of the databases, sorted.
pub async fn list() -> Result<Vec<String>> {
    let directory = directory().await?;
    let mut found = names(&directory).await?;
    found.retain(|name| is_database(name));
    found.sort();
    Ok(found)
}

fn is_database(file_name: &str) -> bool {
    !file_name.starts_with('.')
        && !file_name.ends_with(JOURNAL_SUFFIX)
        && !file_name.ends_with(QUEUE_SUFFIX)
}

/// Removes the files of a database. The caller holds its locks.
pub async fn delete(name: &str) -> Result<()> {
    let directory = directory().await?;
    for file_name in [format!("{name}{JOURNAL_SUFFIX}"), name.to_owned()] {
        let Ok(found) = file(&directory, &file_name, false).await else {
            continue;
        };
        // Without this, Chromium goes on counting the bytes against the quota.
        let mut handle = open(&found, Mode::Exclusive).await?;
        handle.truncate(0)?;
        drop(handle);
        remove(&directory, &file_name, false).await?;
    }
    Ok(remove(&directory, &queue_name(name), true).await?)
}

/// Removes a file or folder; one that is not there is removed already.
pub(super) async fn remove(
    directory: &FileSystemDirectoryHandle,
    name: &str,
    recursive: bool,
) -> FileResult<()> {
    let options = FileSystemRemoveOptions::new();
    options.set_recursive(recursive);
    match JsFuture::from(directory.remove_entry_with_options(name, &options)).await {
        Err(e) if exception_name(&e) != "NotFoundError" => Err(file_error(&e)),
        _ => Ok(()),
    }
}

/// An open access handle. Its methods see wasm's memory directly: nothing is copied on the way.
pub struct OpfsFile {
    handle: FileSystemSyncAccessHandle,
    at: FileSystemReadWriteOptions,
    /// Where it goes when its lease is over, if it is watched; any other is closed at once.
    left: Option<Rc<RefCell<Left>>>,
}

impl Drop for OpfsFile {
    fn drop(&mut self) {
        match &self.left {
            Some(left) => left.borrow_mut().push(self.handle.clone()),
            None => self.handle.close(),
        }
    }
}

impl File for OpfsFile {
    fn read(&mut self, buffer: &mut [u8], offset: u64) -> FileResult<usize> {
        let mut done = 0;
        while done < buffer.len() {
            self.at.set_at((offset + done as u64) as f64);
            let rest = &mut buffer[done..];
            let read = self.handle.read_with_u8_array_and_options(rest, &self.at);
            match read.map_err(|e| file_error(&e))? as usize {
                0 => break,
                count => done += count,
            }
        }
        Ok(done)
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> FileResult<()> {
        self.at.set_at(offset as f64);
        let written = self.handle.write_with_u8_array_and_options(bytes, &self.at);
        let written = written.map_err(|e| match file_error(&e) {
            FileError::Quota(text) => {
                FileError::Quota(format!("{} bytes were needed: {text}", bytes.len()))
            }
            other => other,
        })?;
        // At the quota, Chromium may report a huge number and Firefox may write less.
        if written == bytes.len() as f64 {
            Ok(())
        } else {
            let needed = bytes.len();
            Err(FileError::Quota(format!("{needed} bytes were needed, {written} were written")))
        }
    }

    fn truncate(&mut self, size: u64) -> FileResult<()> {
        self.handle.truncate_with_f64(size as f64).map_err(|e| file_error(&e))
    }

    fn flush(&mut self) -> FileResult<()> {
        self.handle.flush().map_err(|e| file_error(&e))
    }

    fn size(&mut self) -> FileResult<u64> {
        self.handle.get_size().map(|size| size as u64).map_err(|e| file_error(&e))
    }
}
