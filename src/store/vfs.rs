//! The SQLite VFS: two slots (database and journal), a third for a file that is imported, temporary
//! files in memory, and no locks.
//!
//! Locking is not this layer's: whoever attached handles holds the lease, so `xLock` only checks
//! that there is one and of which kind. It never blocks, never sleeps, never opens anything.
//!
//! "Exists" for the journal means that it is not empty, and deleting it is `truncate(0)`: OPFS
//! can neither unlink nor create a file synchronously (SQLite: "Atomic Commit In SQLite", 6.6).

use super::slots::{Mode, Os, Slots};
use framelock_image::Image;
use rsqlite_vfs::ffi::{
    SQLITE_FCNTL_BEGIN_ATOMIC_WRITE, SQLITE_FCNTL_COMMIT_ATOMIC_WRITE,
    SQLITE_FCNTL_ROLLBACK_ATOMIC_WRITE, SQLITE_FCNTL_SIZE_HINT, SQLITE_IOERR, SQLITE_NOTFOUND,
    SQLITE_OK, sqlite3_file,
};
use rsqlite_vfs::{
    AccessMode, DeviceCharacteristics, FileKind, LockLevel, MemChunksFile, OpenAccess, OpenOptions,
    OpenRequest, OpenedFile, OsCallback, SQLiteIoMethods, SQLiteVfs, SQLiteVfsFile, SyncOptions,
    VfsError, VfsErrorCode, VfsFile, VfsRegistration, VfsResult, VfsStore, register_vfs,
};
use std::ffi::{c_int, c_void};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What SQLite is told the database is called; the platform knows its name in OPFS.
pub const DATABASE_PATH: &str = "/database";
const JOURNAL_PATH: &str = "/database-journal";
/// The file that is being imported, read-only; there is one only meanwhile.
pub(super) const IMPORT_PATH: &str = "/import";
/// The rows of frames as databases, read-only: this, and the number of one that is there.
pub(super) const IMAGE_PATH: &str = "/image-";

/// A VFS of its own for each connection, registered under a name of its own.
pub struct Vfs {
    name: String,
    slots: Rc<Slots>,
    registration: Option<VfsRegistration<Rc<Slots>>>,
}

static NEXT_NAME: AtomicU64 = AtomicU64::new(0);

impl Vfs {
    /// Registers a VFS with empty slots.
    pub fn register(os: Box<dyn Os>) -> Vfs {
        let name = format!("framelock-{}", NEXT_NAME.fetch_add(1, Ordering::Relaxed));
        let slots = Rc::new(Slots::new(os));
        // SAFETY: the callbacks, file layout and app data are all of `Io`/`Layer` below; the slots
        // live in the registration, which outlives the connection (`Store` drops it first). The
        // name is unique, and a connection is used by the thread that made it.
        let registration = unsafe { register_vfs::<Io, Layer>(&name, slots.clone(), false) };
        let registration = Some(registration.expect("a fresh VFS name registers"));
        Vfs { name, slots, registration }
    }

    /// The name to open connections with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The slots under it.
    pub fn slots(&self) -> &Rc<Slots> {
        &self.slots
    }
}

impl Drop for Vfs {
    fn drop(&mut self) {
        if let Some(registration) = self.registration.take() {
            // SAFETY: `Store` closes its only connection before it drops the VFS. Should SQLite
            // refuse, the registration is leaked rather than freed under it.
            if let Err((kept, _)) = unsafe { registration.unregister() } {
                kept.into_raw();
            }
        }
    }
}

struct Io;
struct Layer;

impl SQLiteIoMethods for Io {
    type Store = Layer;

    /// How SQLite hands over the pages of a commit: <https://www.sqlite.org/c3ref/c_fcntl_begin_atomic_write.html>.
    /// A batch that fails with an I/O error it does again with a journal.
    unsafe extern "C" fn xFileControl(
        file: *mut sqlite3_file,
        operation: c_int,
        argument: *mut c_void,
    ) -> c_int {
        // SAFETY: SQLite calls this with a file that it has open, which `open_file` below made, and
        // makes no other call with the same file meanwhile.
        let open = unsafe { (*SQLiteVfsFile::from_file(file)).handle::<Open>() };
        let Open::Database(slots) = open else {
            return SQLITE_NOTFOUND;
        };
        let done = match operation {
            SQLITE_FCNTL_BEGIN_ATOMIC_WRITE => slots.begin_batch(),
            SQLITE_FCNTL_COMMIT_ATOMIC_WRITE => slots.commit_batch(),
            SQLITE_FCNTL_ROLLBACK_ATOMIC_WRITE => {
                slots.drop_batch();
                true
            }
            SQLITE_FCNTL_SIZE_HINT => {
                // SAFETY: the argument of a hint is the future size of the file, an `sqlite3_int64`.
                let bytes = unsafe { argument.cast::<i64>().read() };
                slots.expect_size(u64::try_from(bytes).unwrap_or(0));
                true
            }
            _ => return SQLITE_NOTFOUND,
        };
        if done { SQLITE_OK } else { SQLITE_IOERR }
    }
}

impl SQLiteVfs<Io> for Layer {
    type Os = Slots;

    fn os(data: &Rc<Slots>) -> &Slots {
        data
    }
}

impl OsCallback for Slots {
    /// Nothing here waits: contention is settled before SQLite runs.
    fn sleep(&self, _: Duration) {}

    fn random(&self, buffer: &mut [u8]) -> usize {
        self.os().random(buffer);
        buffer.len()
    }

    fn epoch_timestamp_in_ms(&self) -> VfsResult<i64> {
        Ok(self.os().epoch_ms())
    }
}

/// A file SQLite has open.
enum Open {
    Database(Rc<Slots>),
    Journal(Rc<Slots>),
    Import(Rc<Slots>),
    Image(Rc<Slots>, usize),
    Temporary(MemChunksFile),
}

impl VfsStore for Layer {
    type File = Open;
    type AppData = Rc<Slots>;

    fn open_file(slots: &Rc<Slots>, request: OpenRequest<'_>) -> VfsResult<OpenedFile<Open>> {
        let path = request.filename.map(|name| name.path());
        let image = |path: &str| {
            let nth = path.strip_prefix(IMAGE_PATH)?.parse().ok()?;
            (nth < slots.images.borrow().len()).then_some(nth)
        };
        let file = match (request.options.kind(), path) {
            // A second time, with a cache of its own, it would not see what the first one writes.
            (Some(FileKind::MainDb), Some(DATABASE_PATH)) if !slots.is_open.replace(true) => {
                Open::Database(slots.clone())
            }
            (Some(FileKind::MainJournal), Some(JOURNAL_PATH)) => Open::Journal(slots.clone()),
            (Some(FileKind::MainDb), Some(IMPORT_PATH)) if slots.import.borrow().is_attached() => {
                Open::Import(slots.clone())
            }
            (Some(FileKind::MainDb), Some(path)) if let Some(nth) = image(path) => {
                Open::Image(slots.clone(), nth)
            }
            (Some(FileKind::MainDb | FileKind::MainJournal | FileKind::Wal), _) => {
                return Err(VfsError::new(
                    VfsErrorCode::CantOpen,
                    "only the database itself can be opened; attach ':memory:' instead".into(),
                ));
            }
            _ => Open::Temporary(MemChunksFile::default()),
        };
        let access = match file {
            Open::Import(_) | Open::Image(..) => OpenAccess::ReadOnly,
            _ => OpenAccess::ReadWrite,
        };
        Ok(OpenedFile { file, access })
    }

    fn close_file(slots: &Rc<Slots>, _: Option<&str>, file: Open, _: OpenOptions) -> VfsResult<()> {
        if let Open::Database(_) = file {
            slots.is_open.set(false);
        }
        Ok(())
    }

    fn access(slots: &Rc<Slots>, name: &str, _: AccessMode) -> VfsResult<bool> {
        Ok(match name {
            DATABASE_PATH => slots.database.borrow().size() > 0,
            JOURNAL_PATH => slots.has_hot_journal(),
            _ => false,
        })
    }

    fn full_pathname(_: &Rc<Slots>, name: &str) -> VfsResult<String> {
        Ok(name.to_owned())
    }

    fn delete_file(slots: &Rc<Slots>, name: &str, _: bool) -> VfsResult<()> {
        if name == JOURNAL_PATH && slots.has_hot_journal() {
            let mut journal = slots.journal.borrow_mut();
            slots.journal_emptied();
            let emptied = journal.truncate(0).and_then(|()| journal.sync());
            emptied.map_err(|e| slots.fail(VfsErrorCode::IoDelete, e))?;
        }
        Ok(())
    }
}

pub(super) fn read_only() -> VfsError {
    VfsError::new(VfsErrorCode::ReadOnly, "writing needs the exclusive lease".into())
}

/// No failure, so none is kept for the caller: SQLite goes on with a journal.
fn too_large() -> VfsError {
    VfsError::new(VfsErrorCode::Io, "too large for the redo log".into())
}

impl VfsFile for Open {
    fn device_characteristics(&self) -> DeviceCharacteristics {
        // As SQLite's own unix and windows VFSes assume: a power cut in a write does not damage
        // the bytes beside it (https://www.sqlite.org/psow.html).
        let usual = DeviceCharacteristics::POWERSAFE_OVERWRITE;
        match self {
            Open::Database(slots) if slots.takes_batches() => {
                usual | DeviceCharacteristics::BATCH_ATOMIC
            }
            // SQLite looks for no journal and takes no lock.
            Open::Image(..) => usual | DeviceCharacteristics::IMMUTABLE,
            _ => usual,
        }
    }

    fn read(&mut self, buffer: &mut [u8], offset: u64) -> VfsResult<usize> {
        let (slots, read) = match self {
            Open::Temporary(file) => return file.read(buffer, offset),
            Open::Database(slots) => (&*slots, slots.read_database(buffer, offset)),
            Open::Journal(slots) => (&*slots, slots.read_journal(buffer, offset)),
            Open::Import(slots) => (&*slots, slots.import.borrow_mut().read(buffer, offset)),
            Open::Image(slots, nth) => {
                let images = slots.images.borrow();
                return Ok(images.get(*nth).map_or(0, |image| image.read(buffer, offset)));
            }
        };
        read.map_err(|e| slots.fail(VfsErrorCode::IoRead, e))
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> VfsResult<()> {
        let (slots, written) = match self {
            Open::Temporary(file) => return file.write(bytes, offset),
            Open::Import(_) | Open::Image(..) => return Err(read_only()),
            Open::Database(slots) => match slots.take_page(bytes, offset) {
                Some(true) => return Ok(()),
                Some(false) => return Err(too_large()),
                None => {
                    slots.before_database()?;
                    (&*slots, slots.database.borrow_mut().write(bytes, offset))
                }
            },
            Open::Journal(slots) => {
                slots.before_journal()?;
                (&*slots, slots.write_journal(bytes, offset))
            }
        };
        written.map_err(|e| slots.fail(VfsErrorCode::IoWrite, e))
    }

    fn truncate(&mut self, size: u64) -> VfsResult<()> {
        let (slots, done) = match self {
            Open::Temporary(file) => return file.truncate(size),
            Open::Import(_) | Open::Image(..) => return Err(read_only()),
            Open::Database(slots) => {
                slots.before_database()?;
                (&*slots, slots.database.borrow_mut().truncate(size))
            }
            Open::Journal(slots) => {
                slots.before_journal()?;
                let done = slots.journal.borrow_mut().truncate(size);
                slots.journal_emptied();
                (&*slots, done)
            }
        };
        done.map_err(|e| slots.fail(VfsErrorCode::IoTruncate, e))
    }

    fn sync(&mut self, _: SyncOptions) -> VfsResult<()> {
        match self {
            Open::Temporary(_) | Open::Import(_) | Open::Image(..) => Ok(()),
            Open::Database(slots) => slots.sync(&slots.database),
            Open::Journal(slots) => slots.sync(&slots.journal),
        }
    }

    fn size(&self) -> VfsResult<u64> {
        match self {
            Open::Temporary(file) => file.size(),
            Open::Database(slots) => Ok(slots.database.borrow().size()),
            Open::Journal(slots) => Ok(slots.journal.borrow().size()),
            Open::Import(slots) => Ok(slots.import.borrow().size()),
            Open::Image(slots, nth) => Ok(slots.images.borrow().get(*nth).map_or(0, Image::bytes)),
        }
    }

    fn lock(&mut self, level: LockLevel) -> VfsResult<()> {
        let Open::Database(slots) = self else {
            return Ok(());
        };
        let needed = if level == LockLevel::Shared { Mode::Shared } else { Mode::Exclusive };
        match slots.mode() {
            Some(mode) if mode >= needed => Ok(()),
            Some(_) => Err(read_only()),
            None => Err(VfsError::new(VfsErrorCode::Busy, "no lease is held".into())),
        }
    }

    fn unlock(&mut self, _: LockLevel) -> VfsResult<()> {
        let Open::Database(slots) = self else {
            return Ok(());
        };
        // What of a log could not be written yet is no matter of the transaction that ends here.
        if !slots.database.borrow().is_attached() || slots.has_log() {
            return Ok(());
        }
        let written = slots.database.borrow_mut().write_pending();
        written.map_err(|e| slots.fail(VfsErrorCode::IoUnlock, e))
    }

    fn check_reserved_lock(&self) -> VfsResult<bool> {
        Ok(false)
    }
}
