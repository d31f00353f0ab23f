//! The SQLite VFS: two slots (database and journal), a third for a file that is imported, temporary
//! files in memory, and no locks.
//!
//! Locking is not this layer's: whoever attached handles holds the lease, so `xLock` only checks
//! that there is one and of which kind. It never blocks, never sleeps, never opens anything.
//!
//! "Exists" for the journal means that it is not empty, and deleting it is `truncate(0)`: OPFS
//! can neither unlink nor create a file synchronously (SQLite: "Atomic Commit In SQLite", 6.6).

use super::seal::{self, Seal};
use super::slot::Slot;
use crate::platform::{File, FileError, Handles};
use rsqlite_vfs::{
    AccessMode, DeviceCharacteristics, FileKind, LockLevel, MemChunksFile, OpenAccess, OpenOptions,
    OpenRequest, OpenedFile, OsCallback, SQLiteIoMethods, SQLiteVfs, SyncOptions, VfsError,
    VfsErrorCode, VfsFile, VfsRegistration, VfsResult, VfsStore, register_vfs,
};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What SQLite is told the database is called; the platform knows its name in OPFS.
pub const DATABASE_PATH: &str = "/database";
const JOURNAL_PATH: &str = "/database-journal";
/// The file that is being imported, read-only; there is one only meanwhile.
pub(super) const IMPORT_PATH: &str = "/import";

/// What a lease allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Reading, beside other readers.
    Shared,
    /// Reading and writing, alone.
    Exclusive,
}

/// What the store needs of the platform while SQLite runs: time and randomness for SQLite's own use
/// (`random()`, `CURRENT_TIMESTAMP`), and an ear for progress and for the batches of streams.
pub trait Os {
    /// Fills the buffer with random bytes.
    fn random(&self, buffer: &mut [u8]);
    /// UTC milliseconds since 1970-01-01.
    fn epoch_ms(&self) -> i64;
    /// So many of a frame's rows are written; called often, in the middle of the write.
    fn progress(&self, _frame_id: &str, _rows: u64, _total_rows: u64) {}
    /// The next batch of a stream, an Arrow IPC stream. Nothing: those before it do not count.
    fn batch(&self, _ipc: Option<&[u8]>) {}
}

/// The two slots, and what became of the last failed call.
pub struct Slots {
    database: RefCell<Slot>,
    journal: RefCell<Slot>,
    import: RefCell<Slot>,
    mode: Cell<Option<Mode>>,
    durable: Cell<bool>,
    /// SQLite asked for the first of a journal's two syncs; both are done with the second.
    sync_owed: Cell<bool>,
    /// So many bytes of the journal are under a seal, and may not change before it is emptied.
    sealed_bytes: Cell<u64>,
    failure: RefCell<Option<FileError>>,
    os: Box<dyn Os>,
}

impl Slots {
    /// Puts the handles of a lease under the slots.
    pub fn attach(&self, handles: Handles, mode: Mode, durable: bool) -> Result<(), FileError> {
        self.database.borrow_mut().attach(handles.database)?;
        self.journal.borrow_mut().attach(handles.journal)?;
        self.mode.set(Some(mode));
        self.durable.set(durable);
        self.journal_emptied();
        if mode == Mode::Exclusive && !self.journal_is_whole()? {
            // Its transaction had not touched the database yet.
            self.journal.borrow_mut().truncate(0)?;
        }
        Ok(())
    }

    /// Whether a sealed journal is all there; see [`seal`]. One without a seal is SQLite's to judge.
    fn journal_is_whole(&self) -> Result<bool, FileError> {
        let mut journal = self.journal.borrow_mut();
        let mut head = [0; seal::HEAD_BYTES];
        if journal.size() < head.len() as u64 {
            return Ok(true);
        }
        journal.read(&mut head, 0)?;
        let length = match seal::find(&head) {
            Seal::Absent => return Ok(true),
            Seal::Length(length) if (head.len() as u64..=journal.size()).contains(&length) => {
                length
            }
            Seal::Length(_) | Seal::Torn => return Ok(false),
        };
        let mut sealed = vec![0; length as usize];
        journal.read(&mut sealed, 0)?;
        Ok(seal::holds(&sealed))
    }

    /// What is written to the journal from now on belongs to another transaction.
    fn journal_emptied(&self) {
        self.sync_owed.set(false);
        self.sealed_bytes.set(0);
    }

    /// Flushes the journal, its two syncs as one where that can be.
    fn sync_journal(&self) -> Result<(), FileError> {
        let mut journal = self.journal.borrow_mut();
        if let Some(whole) = journal.all_pending() {
            if seal::is_uncounted(whole) && !self.sync_owed.get() {
                self.sync_owed.set(true);
                return Ok(());
            }
            if seal::fits(whole) {
                seal::put(whole);
                self.sealed_bytes.set(whole.len() as u64);
            }
        }
        journal.sync()?;
        self.sync_owed.set(false);
        Ok(())
    }

    /// Writes what is pending (the journal first) and closes both handles in any case. Without the
    /// journal that could undo it, nothing is written to the database.
    pub fn detach(&self) -> Result<(), FileError> {
        self.mode.set(None);
        let journal = self.journal.borrow_mut().detach();
        let mut database = self.database.borrow_mut();
        if journal.is_err() {
            database.discard();
        }
        journal.and(database.detach())
    }

    /// Makes durable what a sync that failed may have left: the end of a transaction, too, is only a
    /// truncated journal.
    pub fn flush(&self) -> Result<(), FileError> {
        if self.durable.get() {
            self.journal.borrow_mut().sync()?;
            self.database.borrow_mut().sync()?;
        }
        Ok(())
    }

    /// The kind of the present lease.
    pub fn mode(&self) -> Option<Mode> {
        self.mode.get()
    }

    /// Whether the journal holds something: a transaction that nobody finished.
    pub fn has_hot_journal(&self) -> bool {
        self.journal.borrow().size() > 0
    }

    /// The size of the database in bytes.
    pub fn database_bytes(&self) -> u64 {
        self.database.borrow().size()
    }

    /// The platform.
    pub fn os(&self) -> &dyn Os {
        &*self.os
    }

    /// The storage failure behind SQLite's last I/O error, once.
    pub fn take_failure(&self) -> Option<FileError> {
        self.failure.borrow_mut().take()
    }

    /// Reads the file past SQLite, for exporting it; the caller holds a lease and no transaction.
    pub fn read_database(&self, buffer: &mut [u8], offset: u64) -> Result<usize, FileError> {
        self.database.borrow_mut().read(buffer, offset)
    }

    /// Gives SQLite a file to read under [`IMPORT_PATH`].
    pub fn attach_import(&self, file: Box<dyn File>) -> Result<(), FileError> {
        self.import.borrow_mut().attach(file)
    }

    /// Takes that file away. No connection may be open on it.
    pub fn detach_import(&self) {
        self.import.borrow_mut().discard();
    }

    /// Reads that file past SQLite.
    pub fn read_import(&self, buffer: &mut [u8], offset: u64) -> Result<usize, FileError> {
        self.import.borrow_mut().read(buffer, offset)
    }

    fn fail(&self, code: VfsErrorCode, error: FileError) -> VfsError {
        let code = match error {
            FileError::Quota(_) => VfsErrorCode::Full,
            _ => code,
        };
        let text = error.to_string();
        *self.failure.borrow_mut() = Some(error);
        VfsError::new(code, text.into())
    }
}

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
        let slots = Rc::new(Slots {
            database: RefCell::default(),
            journal: RefCell::default(),
            import: RefCell::default(),
            mode: Cell::new(None),
            durable: Cell::new(true),
            sync_owed: Cell::new(false),
            sealed_bytes: Cell::new(0),
            failure: RefCell::default(),
            os,
        });
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
        self.os.random(buffer);
        buffer.len()
    }

    fn epoch_timestamp_in_ms(&self) -> VfsResult<i64> {
        Ok(self.os.epoch_ms())
    }
}

/// A file SQLite has open.
enum Open {
    Database(Rc<Slots>),
    Journal(Rc<Slots>),
    Import(Rc<Slots>),
    Temporary(MemChunksFile),
}

impl VfsStore for Layer {
    type File = Open;
    type AppData = Rc<Slots>;

    fn open_file(slots: &Rc<Slots>, request: OpenRequest<'_>) -> VfsResult<OpenedFile<Open>> {
        let path = request.filename.map(|name| name.path());
        let file = match (request.options.kind(), path) {
            (Some(FileKind::MainDb), Some(DATABASE_PATH)) => Open::Database(slots.clone()),
            (Some(FileKind::MainJournal), Some(JOURNAL_PATH)) => Open::Journal(slots.clone()),
            (Some(FileKind::MainDb), Some(IMPORT_PATH)) if slots.import.borrow().is_attached() => {
                let file = Open::Import(slots.clone());
                return Ok(OpenedFile { file, access: OpenAccess::ReadOnly });
            }
            (Some(FileKind::MainDb | FileKind::MainJournal | FileKind::Wal), _) => {
                return Err(VfsError::new(
                    VfsErrorCode::CantOpen,
                    "only the database itself can be opened; attach ':memory:' instead".into(),
                ));
            }
            _ => Open::Temporary(MemChunksFile::default()),
        };
        Ok(OpenedFile { file, access: OpenAccess::ReadWrite })
    }

    fn close_file(_: &Rc<Slots>, _: Option<&str>, _: Open, _: OpenOptions) -> VfsResult<()> {
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

impl Open {
    fn slot(&self) -> Option<(&Rc<Slots>, &RefCell<Slot>)> {
        match self {
            Open::Database(slots) => Some((slots, &slots.database)),
            Open::Journal(slots) => Some((slots, &slots.journal)),
            Open::Import(slots) => Some((slots, &slots.import)),
            Open::Temporary(_) => None,
        }
    }

    /// Before the database changes, the journal that could undo the change must be in the file:
    /// with `durability: 'relaxed'` no sync puts it there.
    fn journal_first(&self) -> VfsResult<()> {
        if let Open::Database(slots) = self {
            if slots.mode.get() != Some(Mode::Exclusive) {
                return Err(VfsError::new(
                    VfsErrorCode::ReadOnly,
                    "writing needs the exclusive lease".into(),
                ));
            }
            if slots.sync_owed.get() {
                slots.sync_journal().map_err(|e| slots.fail(VfsErrorCode::IoSync, e))?;
            }
            let mut journal = slots.journal.borrow_mut();
            if journal.has_pending() {
                let written = journal.write_pending();
                written.map_err(|e| slots.fail(VfsErrorCode::IoWrite, e))?;
            }
        }
        Ok(())
    }
}

impl VfsFile for Open {
    fn device_characteristics(&self) -> DeviceCharacteristics {
        // As SQLite's own unix and windows VFSes assume: a power cut in a write does not damage
        // the bytes beside it (https://www.sqlite.org/psow.html).
        DeviceCharacteristics::POWERSAFE_OVERWRITE
    }

    fn read(&mut self, buffer: &mut [u8], offset: u64) -> VfsResult<usize> {
        if let Open::Temporary(file) = self {
            return file.read(buffer, offset);
        }
        let Some((slots, slot)) = self.slot() else {
            return Ok(0);
        };
        let read = slot.borrow_mut().read(buffer, offset);
        read.map_err(|e| slots.fail(VfsErrorCode::IoRead, e))
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> VfsResult<()> {
        if let Open::Temporary(file) = self {
            return file.write(bytes, offset);
        }
        self.journal_first()?;
        let Some((slots, slot)) = self.slot() else {
            return Ok(());
        };
        if matches!(self, Open::Journal(_)) && offset < slots.sealed_bytes.get() {
            // SQLite has no reason to; a seal that does not fit any more would cost the journal.
            let error = FileError::Io("a write into the sealed part of the journal".into());
            return Err(slots.fail(VfsErrorCode::IoWrite, error));
        }
        let written = slot.borrow_mut().write(bytes, offset);
        written.map_err(|e| slots.fail(VfsErrorCode::IoWrite, e))
    }

    fn truncate(&mut self, size: u64) -> VfsResult<()> {
        if let Open::Temporary(file) = self {
            return file.truncate(size);
        }
        self.journal_first()?;
        let Some((slots, slot)) = self.slot() else {
            return Ok(());
        };
        let done = slot.borrow_mut().truncate(size);
        if matches!(self, Open::Journal(_)) {
            slots.journal_emptied();
        }
        done.map_err(|e| slots.fail(VfsErrorCode::IoTruncate, e))
    }

    fn sync(&mut self, _: SyncOptions) -> VfsResult<()> {
        let Some((slots, slot)) = self.slot() else {
            return Ok(());
        };
        let done = match (slots.durable.get(), &*self) {
            (false, _) => slot.borrow_mut().write_pending(),
            (true, Open::Journal(_)) => slots.sync_journal(),
            (true, _) => slot.borrow_mut().sync(),
        };
        done.map_err(|e| slots.fail(VfsErrorCode::IoSync, e))
    }

    fn size(&self) -> VfsResult<u64> {
        match self {
            Open::Temporary(file) => file.size(),
            Open::Database(slots) => Ok(slots.database.borrow().size()),
            Open::Journal(slots) => Ok(slots.journal.borrow().size()),
            Open::Import(slots) => Ok(slots.import.borrow().size()),
        }
    }

    fn lock(&mut self, level: LockLevel) -> VfsResult<()> {
        let Open::Database(slots) = self else {
            return Ok(());
        };
        let needed = if level == LockLevel::Shared { Mode::Shared } else { Mode::Exclusive };
        match slots.mode.get() {
            Some(mode) if mode >= needed => Ok(()),
            Some(_) => Err(VfsError::new(
                VfsErrorCode::ReadOnly,
                "writing needs the exclusive lease".into(),
            )),
            None => Err(VfsError::new(VfsErrorCode::Busy, "no lease is held".into())),
        }
    }

    fn unlock(&mut self, _: LockLevel) -> VfsResult<()> {
        let Open::Database(slots) = self else {
            return Ok(());
        };
        if !slots.database.borrow().is_attached() {
            return Ok(());
        }
        let written = slots.database.borrow_mut().write_pending();
        written.map_err(|e| slots.fail(VfsErrorCode::IoUnlock, e))
    }

    fn check_reserved_lock(&self) -> VfsResult<bool> {
        Ok(false)
    }
}
