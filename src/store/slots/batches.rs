//! Commits that SQLite hands over as one batch: their pages go into the redo log, and new ones that are too many
//! straight to the database; and the log is emptied.

use super::Slots;
use crate::platform::{FileError, FileResult};
use crate::store::redo::{self, Batch};

impl Slots {
    /// Whether SQLite is to hand commits over as batches. The same in all leases of a handle: SQLite may
    /// not be told one thing when a transaction begins and another when it ends.
    pub(in crate::store) fn takes_batches(&self) -> bool {
        self.durable.get()
    }

    /// The pages of a commit are about to come.
    pub(in crate::store) fn begin_batch(&self) -> bool {
        let begun = self.may_write().is_ok();
        if begun {
            self.redo.borrow_mut().begin(self.database_bytes());
        }
        begun
    }

    /// The database will be so large.
    pub(in crate::store) fn expect_size(&self, bytes: u64) {
        if let Some(batch) = self.redo.borrow_mut().batch() {
            batch.expect(bytes);
        }
    }

    /// Takes a page of the batch; none when there is no batch, and otherwise whether it could.
    pub(in crate::store) fn take_page(&self, page: &[u8], offset: u64) -> Option<bool> {
        let mut redo = self.redo.borrow_mut();
        let batch = redo.batch()?;
        Some(match batch.passes(offset) {
            true => self.database.borrow_mut().write(page, offset).is_ok(),
            false => batch.take(page, offset),
        })
    }

    /// The pages were not all of the commit.
    pub(in crate::store) fn drop_batch(&self) {
        if let Some(batch) = self.redo.borrow_mut().end_batch() {
            self.cut_to(batch.old_size());
        }
    }

    /// Commits the batch: gives whether it is in the log, and durable. If not, SQLite goes on with a
    /// journal of its own, whose errors are the caller's to hear.
    pub(in crate::store) fn commit_batch(&self) -> bool {
        let Some(batch) = self.redo.borrow_mut().end_batch() else {
            return false;
        };
        let old_size = batch.old_size();
        let fits = self.redo.borrow().takes(&batch);
        let done = fits && self.is_sound().is_ok() && self.append(batch).is_ok();
        if !done {
            self.cut_to(old_size);
        }
        done
    }

    /// Takes away what a commit that failed has made the database longer by. No more than a courtesy:
    /// SQLite does not read beyond the pages that it counts. In doubt they may be needed.
    fn cut_to(&self, size: u64) {
        if self.database_bytes() > size && !self.is_in_doubt() {
            let _longer_than_needed = self.database.borrow_mut().truncate(size);
        }
    }

    fn append(&self, batch: Batch) -> FileResult<()> {
        if self.redo.borrow().is_full(&batch) {
            self.empty_log()?;
        }
        if self.has_hot_journal() {
            return Err(FileError::Io("the journal is in use".into()));
        }
        self.grow(&batch)?;
        let entry = self.redo.borrow().entry(batch, |salt| self.os.random(salt));
        let mut journal = self.journal.borrow_mut();
        let appended = journal.write(&entry.bytes, entry.at).and_then(|()| journal.sync());
        if let Err(error) = appended {
            // SQLite is told that it failed: it must not come back after a power cut.
            let cut = journal.truncate(entry.at).and_then(|()| journal.sync());
            self.in_doubt.set(cut.is_err());
            return Err(error);
        }
        self.redo.borrow_mut().appended(&entry);
        Ok(())
    }

    /// Writes what is in the log to the database, without a flush. Between commits the file is the database, for
    /// whoever copies it, too; but a commit need not wait for that, since the log has it all.
    ///
    /// # Errors
    /// When the database does not take it now. It is read from memory, and written the next time.
    pub fn write_through(&self) -> FileResult<()> {
        let mut redo = self.redo.borrow_mut();
        if redo.unwritten().next().is_none() {
            return Ok(());
        }
        let mut database = self.database.borrow_mut();
        redo.unwritten().try_for_each(|(offset, page)| database.write(page, offset))?;
        database.write_pending()?;
        redo.written();
        Ok(())
    }

    /// Writes the pages of a batch that make the database longer. A disk that has no room for them says
    /// so now, before the commit. Nobody reads them unless it succeeds. Those that are not in the record
    /// are written already, and have to be durable.
    fn grow(&self, batch: &Batch) -> FileResult<()> {
        let mut database = self.database.borrow_mut();
        if batch.passes_new_pages() {
            return database.sync();
        }
        for (offset, page) in batch.pages().filter(|(offset, _)| *offset >= batch.old_size()) {
            database.write(page, offset)?;
        }
        database.write_pending()
    }

    /// Makes durable in the database what is in the log, and empties that. Where the database does not take it,
    /// the log is what it was.
    ///
    /// That it is empty becomes durable with the next flush of its file, before which the database does
    /// not change. Should a power cut bring it back, whole, it says what the database says; should a part
    /// of it come back under what was written over it, it is found to be stale.
    pub(super) fn empty_log(&self) -> FileResult<()> {
        if self.has_log() {
            self.write_through()?;
            self.database.borrow_mut().sync()?;
            // From here on nobody needs it: should its head stay, it says what the database says.
            self.redo.borrow_mut().emptied();
            let mut journal = self.journal.borrow_mut();
            let emptied = journal.overwrite_head(&redo::EMPTIED);
            journal.disregard();
            emptied?;
        }
        Ok(())
    }
}
