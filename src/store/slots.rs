//! The slots of a store and what goes through them: which handles a lease brought, in what order things
//! reach the database, its journal and the redo log, and when they are flushed.
//!
//! The database is written only when what could undo or repeat it is durable: SQLite's journal, or the
//! log (see [`redo`]). The two share a file and never mix: the log is emptied before a journal begins.

mod batches;

use super::error::from_file;
use super::redo::{self, Head, LogLimits, Redo, Standing};
use super::seal::{self, Seal};
use super::slot::Slot;
use super::vfs::read_only;
use crate::error::{Code, Error, Result};
use crate::platform::{FileError, FileResult, Handles};
use framelock_image::Image;
use rsqlite_vfs::{VfsError, VfsErrorCode, VfsResult};
use std::cell::{Cell, RefCell};

/// What a lease allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Reading, beside other readers.
    Shared,
    /// Reading and writing, alone.
    Exclusive,
}

/// What the store needs of the platform while SQLite runs: time and randomness for SQLite's own use
/// (`random()`, `CURRENT_TIMESTAMP`), and an ear for what is told before SQLite is done.
pub trait Os {
    /// Fills the buffer with random bytes.
    fn random(&self, buffer: &mut [u8]);
    /// UTC milliseconds since 1970-01-01.
    fn epoch_ms(&self) -> i64;
    /// The frame of this call is about to be written, offered or queued. Before that, and after its deadline, nothing of
    /// it is anywhere, nor will be.
    fn taken(&self, _call: u32) {}
    /// So many of a frame's rows are written; called often, in the middle of the write.
    fn progress(&self, _frame_id: &str, _rows: u64, _total_rows: u64) {}
    /// The next batch of a stream, an Arrow IPC stream. Nothing: those before it do not count.
    fn batch(&self, _ipc: Option<&[u8]>) {}
}

/// The slots of a store, and what became of the last failed call.
pub struct Slots {
    pub(super) database: RefCell<Slot>,
    pub(super) journal: RefCell<Slot>,
    /// What SQLite reads under [`IMPORT_PATH`](super::vfs::IMPORT_PATH).
    pub(super) import: RefCell<Slot>,
    /// Rows of frames as databases; those that SQLite has attached.
    pub(super) images: RefCell<Vec<Image>>,
    /// SQLite has the database open.
    pub(super) is_open: Cell<bool>,
    mode: Cell<Option<Mode>>,
    durable: Cell<bool>,
    /// Something was written and not flushed, since `durability` is `'relaxed'`.
    unflushed: Cell<bool>,
    redo: RefCell<Redo>,
    /// Nobody knows whether the last commit is in the log: nothing may be read or written that would
    /// rest on the one or the other.
    in_doubt: Cell<bool>,
    /// SQLite asked for the first of a journal's two syncs; both are done with the second.
    sync_owed: Cell<bool>,
    /// Nothing of this journal is durable yet.
    journal_unflushed: Cell<bool>,
    /// How many records a journal has that SQLite had in memory, until it is flushed.
    held_count: Cell<Option<[u8; 4]>>,
    /// So many bytes of the journal are under a seal, and may not change before it is emptied.
    sealed_bytes: Cell<u64>,
    failure: RefCell<Option<FileError>>,
    os: Box<dyn Os>,
}

impl Slots {
    /// Slots without handles.
    pub fn new(os: Box<dyn Os>) -> Slots {
        Slots {
            database: RefCell::default(),
            journal: RefCell::default(),
            import: RefCell::default(),
            images: RefCell::default(),
            is_open: Cell::new(false),
            mode: Cell::new(None),
            durable: Cell::new(true),
            unflushed: Cell::new(false),
            redo: RefCell::default(),
            in_doubt: Cell::new(false),
            sync_owed: Cell::new(false),
            journal_unflushed: Cell::new(true),
            held_count: Cell::new(None),
            sealed_bytes: Cell::new(0),
            failure: RefCell::default(),
            os,
        }
    }

    /// Other limits for logs that begin from now on.
    pub fn limit_log(&self, limits: LogLimits) {
        self.redo.borrow_mut().limits = limits;
    }

    /// Puts the handles of a lease under the slots. What a dead tab left in the log gets into the
    /// database; a shared lease may not do that.
    ///
    /// # Errors
    /// `CORRUPT` when that is another database's; both files are left as they are.
    pub fn attach(&self, handles: Handles, mode: Mode, durable: bool) -> Result<()> {
        self.database.borrow_mut().attach(handles.database).map_err(from_file)?;
        self.journal.borrow_mut().attach(handles.journal).map_err(from_file)?;
        self.redo.borrow_mut().emptied();
        self.in_doubt.set(false);
        self.mode.set(Some(mode));
        self.durable.set(durable);
        self.unflushed.set(false);
        self.journal_emptied();
        if self.has_hot_journal() { self.judge_journal(mode) } else { Ok(()) }
    }

    /// Decides on what the journal's file holds: what is left of a log, or the journal of a dead tab. One of
    /// SQLite's is left to SQLite.
    fn judge_journal(&self, mode: Mode) -> Result<()> {
        let mut head = [0; seal::HEAD_BYTES];
        let read = self.journal.borrow_mut().read_head(&mut head).map_err(from_file)?;
        let judged = match redo::find(&head[..read]) {
            Head::Emptied => {
                self.journal.borrow_mut().disregard();
                Ok(())
            }
            _ if mode == Mode::Shared => Ok(()),
            Head::Whole => return self.replay(),
            Head::Newer => {
                let message = "the last commits were written by a newer framelock; reload the page";
                Err(FileError::Io(message.into()))
            }
            Head::Absent => self.drop_unless_whole(&head),
        };
        judged.map_err(from_file)
    }

    /// Drops what is no journal, and one that was torn: its transaction had not touched the database yet.
    fn drop_unless_whole(&self, head: &[u8; seal::HEAD_BYTES]) -> FileResult<()> {
        match seal::is_journal(head) && self.journal_is_whole(head)? {
            true => Ok(()),
            false => self.journal.borrow_mut().truncate(0),
        }
    }

    /// Whether SQLite's journal is all there; see [`seal`]. One without a seal is SQLite's to judge.
    fn journal_is_whole(&self, head: &[u8; seal::HEAD_BYTES]) -> FileResult<bool> {
        let mut journal = self.journal.borrow_mut();
        let length = match seal::find(head) {
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

    /// Writes what a log holds to the database. Whoever dies in the middle of it leaves the log.
    fn replay(&self) -> Result<()> {
        // The power cut that tore the last record may have given the file back the length of an old journal.
        let most = self.journal.borrow().size().min(redo::MOST_BYTES);
        let mut log = vec![0; most as usize];
        let read = self.journal.borrow_mut().read(&mut log, 0).map_err(from_file)?;
        let mut first = [0; 100];
        let there = self.database.borrow_mut().read(&mut first, 0).map_err(from_file)?;
        let pages = redo::pages(&log[..read]);
        let standing = match there {
            // No batch is of an empty database: one that is empty now is another.
            0 => Standing::Stale,
            _ => redo::standing(&pages, &first[..there]),
        };
        match standing {
            Standing::Due => self.repeat(&pages).map_err(from_file)?,
            Standing::Stale => {}
            Standing::Foreign => {
                let message = "the journal is another database's, or an older file was put in the database's place";
                return Err(Error::new(Code::Corrupt, message));
            }
        }
        self.journal.borrow_mut().truncate(0).map_err(from_file)
    }

    fn repeat(&self, pages: &redo::Pages<'_>) -> FileResult<()> {
        // Its tab may have died before it had flushed the last record: a power cut now must not leave half of that in
        // the database and nothing of it in the log.
        self.journal.borrow_mut().sync()?;
        let mut database = self.database.borrow_mut();
        for (offset, page) in pages {
            database.write(page, *offset)?;
        }
        database.sync()
    }

    /// What is written to the journal from now on belongs to another transaction.
    pub(super) fn journal_emptied(&self) {
        self.sync_owed.set(false);
        self.sealed_bytes.set(0);
        self.journal_unflushed.set(true);
        self.held_count.set(None);
    }

    /// What SQLite asks for: of a journal that is still in the write buffer, both syncs are one.
    fn sync_journal(&self) -> FileResult<()> {
        let first =
            self.journal.borrow_mut().all_pending().is_some_and(|all| seal::is_uncounted(all));
        if first && !self.sync_owed.replace(true) {
            return Ok(());
        }
        self.flush_journal()
    }

    fn flush_journal(&self) -> FileResult<()> {
        let mut journal = self.journal.borrow_mut();
        if let Some(count) = self.held_count.get() {
            if journal.all_pending().is_none() {
                journal.sync()?;
            }
            journal.write(&count, seal::COUNT.start as u64)?;
            self.held_count.set(None);
        }
        if let Some(whole) = journal.all_pending()
            && seal::fits(whole)
        {
            seal::put(whole);
            self.sealed_bytes.set(whole.len() as u64);
        }
        journal.sync()?;
        self.sync_owed.set(false);
        self.journal_unflushed.set(false);
        Ok(())
    }

    /// Whether the database may be written at all, and SQLite's journal.
    fn may_write(&self) -> VfsResult<()> {
        self.is_sound()?;
        match self.mode.get() {
            Some(Mode::Exclusive) => Ok(()),
            _ => Err(read_only()),
        }
    }

    /// Before the database changes, the journal that could undo the change must be in the file, and
    /// durable. SQLite does not always see to it: a journal that it had in memory, because the pages
    /// were to be one batch, it writes without a sync; and with `durability: 'relaxed'` there is none.
    pub(super) fn before_database(&self) -> VfsResult<()> {
        self.may_write()?;
        self.empty_log().map_err(|e| self.fail(VfsErrorCode::IoWrite, e))?;
        if self.durable.get() && self.journal_unflushed.get() && self.has_hot_journal() {
            self.flush_journal().map_err(|e| self.fail(VfsErrorCode::IoSync, e))?;
        }
        let written = self.journal.borrow_mut().write_pending();
        written.map_err(|e| self.fail(VfsErrorCode::IoWrite, e))
    }

    /// Before SQLite's journal changes, the log must be out of its file.
    pub(super) fn before_journal(&self) -> VfsResult<()> {
        self.may_write()?;
        self.empty_log().map_err(|e| self.fail(VfsErrorCode::IoWrite, e))
    }

    /// As [`Slot::write`]. A journal that was in memory comes with its records counted; they are to be
    /// durable before their count is, or a power cut could leave some that SQLite takes for whole.
    pub(super) fn write_journal(&self, bytes: &[u8], offset: u64) -> FileResult<()> {
        if offset < self.sealed_bytes.get() {
            // SQLite has no reason to; a seal that does not fit any more would cost the journal.
            return Err(FileError::Io("a write into the sealed part of the journal".into()));
        }
        let mut journal = self.journal.borrow_mut();
        if journal.size() == 0 {
            // Nothing of a log stays behind it.
            journal.truncate(0)?;
            self.journal_unflushed.set(true);
        }
        match bytes.get(seal::COUNT).and_then(|count| count.try_into().ok()) {
            Some(count) if journal.size() == 0 && count != [0; 4] && self.durable.get() => {
                self.held_count.set(Some(count));
                let mut uncounted = bytes.to_vec();
                uncounted[seal::COUNT].fill(0);
                journal.write(&uncounted, offset)
            }
            _ => journal.write(bytes, offset),
        }
    }

    /// As [`Slot::read`], of the journal as SQLite wrote it.
    pub(super) fn read_journal(&self, buffer: &mut [u8], offset: u64) -> FileResult<usize> {
        let read = self.journal.borrow_mut().read(buffer, offset)?;
        for (at, byte) in seal::COUNT.zip(self.held_count.get().into_iter().flatten()) {
            let place = (at as u64).checked_sub(offset).filter(|place| *place < read as u64);
            if let Some(place) = place {
                buffer[place as usize] = byte;
            }
        }
        Ok(read)
    }

    /// A sync of the database or of its journal, as SQLite asks for it.
    pub(super) fn sync(&self, slot: &RefCell<Slot>) -> VfsResult<()> {
        self.is_sound()?;
        let done = if !self.durable.get() {
            self.unflushed.set(true);
            slot.borrow_mut().write_pending()
        } else if self.has_log() {
            // The log is durable, and the database was not written.
            Ok(())
        } else if std::ptr::eq(slot, &raw const self.journal) {
            self.sync_journal()
        } else {
            slot.borrow_mut().sync()
        };
        done.map_err(|e| self.fail(VfsErrorCode::IoSync, e))
    }

    /// Empties the log, writes what is pending (the journal first) and closes both handles in any case.
    /// Without the journal that could undo it, or with a log that repeats it, nothing is written to the
    /// database.
    pub fn detach(&self) -> FileResult<()> {
        let settled = self.is_sound_or_why().and_then(|()| self.empty_log());
        if settled.is_ok() {
            // Nobody was promised it, but whoever has the next lease may rely on what it finds.
            let _as_it_was = self.flush_relaxed();
        }
        self.mode.set(None);
        self.redo.borrow_mut().emptied();
        let mut journal = self.journal.borrow_mut();
        let mut database = self.database.borrow_mut();
        if settled.is_err() {
            journal.discard();
        }
        let written = settled.and_then(|()| journal.detach());
        if written.is_err() {
            database.discard();
        }
        written.and(database.detach())
    }

    /// Makes durable what a sync that failed may have left: the end of a transaction, too, is only a
    /// truncated journal.
    pub fn flush(&self) -> FileResult<()> {
        self.is_sound_or_why()?;
        if self.durable.get() { self.sync_both() } else { Ok(()) }
    }

    fn sync_both(&self) -> FileResult<()> {
        self.journal.borrow_mut().sync()?;
        self.database.borrow_mut().sync()
    }

    /// As [`Slots::flush`], where nothing was flushed so far.
    pub fn flush_relaxed(&self) -> FileResult<()> {
        if self.unflushed.get() {
            self.sync_both()?;
            self.unflushed.set(false);
        }
        Ok(())
    }

    /// The kind of the present lease.
    pub fn mode(&self) -> Option<Mode> {
        self.mode.get()
    }

    /// Whether the journal holds what somebody left: a transaction that nobody finished, or a log.
    pub fn has_hot_journal(&self) -> bool {
        self.journal.borrow().size() > 0 && !self.has_log()
    }

    /// Whether commits of this lease are in the log.
    pub(super) fn has_log(&self) -> bool {
        self.redo.borrow().is_live()
    }

    /// Whether this lease has to end, since nobody knows what is committed. The next one finds it out.
    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt.get()
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

    /// Reads the database as it is committed: what SQLite reads, and what is exported past it (then the
    /// caller holds a lease and no transaction).
    pub fn read_database(&self, buffer: &mut [u8], offset: u64) -> FileResult<usize> {
        self.is_sound_or_why()?;
        let redo = self.redo.borrow();
        if let Some(part) = redo.part(offset, buffer.len()) {
            buffer.copy_from_slice(part);
            return Ok(buffer.len());
        }
        let read = self.database.borrow_mut().read(buffer, offset)?;
        redo.cover(buffer, offset);
        Ok(read)
    }

    fn is_sound_or_why(&self) -> FileResult<()> {
        match self.in_doubt.get() {
            true => Err(FileError::Io("nobody knows whether the last commit is durable".into())),
            false => Ok(()),
        }
    }

    fn is_sound(&self) -> VfsResult<()> {
        self.is_sound_or_why().map_err(|e| self.fail(VfsErrorCode::Io, e))
    }

    pub(super) fn fail(&self, code: VfsErrorCode, error: FileError) -> VfsError {
        let code = match error {
            FileError::Quota(_) => VfsErrorCode::Full,
            _ => code,
        };
        let text = error.to_string();
        *self.failure.borrow_mut() = Some(error);
        VfsError::new(code, text.into())
    }
}
