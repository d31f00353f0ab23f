//! Files that fail in the middle of a transaction, and go on failing: what the store does in its next lease.

use crate::{NoOs, one, request};
use framelock::platform::{File, FileError, FileResult, Handles, MemoryFile};
use framelock::store::{Attached, Mode, Params, Store, Value};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// A file that two stores may have one after the other.
#[derive(Clone, Default)]
struct Shared {
    file: Rc<RefCell<MemoryFile>>,
    /// Nothing can be written any more, to either file of the database.
    broken: Rc<Cell<bool>>,
    /// The next write breaks them.
    breaks: Rc<Cell<bool>>,
}

impl Shared {
    fn passes(&self) -> FileResult<()> {
        self.broken.set(self.broken.get() || self.breaks.get());
        if self.broken.get() { Err(FileError::Io("broken".into())) } else { Ok(()) }
    }
}

impl File for Shared {
    fn read(&mut self, buffer: &mut [u8], offset: u64) -> FileResult<usize> {
        self.file.borrow_mut().read(buffer, offset)
    }
    fn write(&mut self, bytes: &[u8], offset: u64) -> FileResult<()> {
        self.passes()?;
        self.file.borrow_mut().write(bytes, offset)
    }
    fn truncate(&mut self, size: u64) -> FileResult<()> {
        self.passes()?;
        self.file.borrow_mut().truncate(size)
    }
    fn flush(&mut self) -> FileResult<()> {
        self.passes()
    }
    fn size(&mut self) -> FileResult<u64> {
        self.file.borrow_mut().size()
    }
}

#[test]
fn a_commit_that_cannot_be_undone_does_not_spoil_the_reads_of_later_leases() {
    let database = Shared::default();
    let journal = Shared { broken: database.broken.clone(), ..Shared::default() };
    let attach = |store: &mut Store, mode| {
        let handles =
            Handles { database: Box::new(database.clone()), journal: Box::new(journal.clone()) };
        store.attach(handles, mode, true).unwrap()
    };
    let count = "SELECT count(*) FROM t WHERE price IS NULL OR price <> 9";
    let [mut ours, mut theirs] = [(); 2].map(|()| Store::new(Box::new(NoOs)));
    attach(&mut ours, Mode::Exclusive);
    // More than goes into the redo log.
    ours.append_group(&[&request("a", crate::frame(0, 20_000))]).unwrap().remove(0).unwrap();
    // The journal is in its file when the database cannot be written.
    database.breaks.set(true);
    assert!(ours.exec("UPDATE t SET price = 9", &Params::None).is_err());
    assert!(database.broken.get() && ours.has_hot_journal());
    let _what_was_pending = ours.detach();
    database.breaks.set(false);
    database.broken.set(false);
    assert_eq!(attach(&mut ours, Mode::Shared), Attached::NeedsRecovery);
    ours.detach().unwrap();
    // Somebody else takes it back.
    attach(&mut theirs, Mode::Exclusive);
    assert_eq!(one(&mut theirs, count), Value::Integer(20_000));
    theirs.detach().unwrap();
    assert_eq!(attach(&mut ours, Mode::Shared), Attached::Ready);
    assert_eq!(one(&mut ours, count), Value::Integer(20_000));
}

/// A file of which one call fails although it was done.
#[derive(Default)]
struct Late {
    file: MemoryFile,
    fails: Rc<Cell<bool>>,
}

impl File for Late {
    fn read(&mut self, buffer: &mut [u8], offset: u64) -> FileResult<usize> {
        self.file.read(buffer, offset)
    }
    fn write(&mut self, bytes: &[u8], offset: u64) -> FileResult<()> {
        self.file.write(bytes, offset)
    }
    fn truncate(&mut self, size: u64) -> FileResult<()> {
        self.file.truncate(size)?;
        if self.fails.take() { Err(FileError::Io("it is empty, though".into())) } else { Ok(()) }
    }
    fn flush(&mut self) -> FileResult<()> {
        Ok(())
    }
    fn size(&mut self) -> FileResult<u64> {
        self.file.size()
    }
}

#[test]
fn a_commit_that_fails_after_the_point_of_no_return_is_told_as_done() {
    let journal = Late::default();
    let fails = journal.fails.clone();
    let handles = Handles { database: Box::new(MemoryFile::default()), journal: Box::new(journal) };
    let mut store = Store::new(Box::new(NoOs));
    store.attach(handles, Mode::Exclusive, true).unwrap();
    store.append_group(&[&request("a", crate::frame(0, 20_000))]).unwrap().remove(0).unwrap();
    // More than goes into the redo log: the commit is when the journal is emptied.
    let large = request("b", crate::frame(20_000, 20_000));
    fails.set(true);
    let applied = store.append_group(&[&large]).unwrap().remove(0).unwrap();
    assert!(!fails.get());
    assert_eq!((applied.rows, applied.duplicate), (20_000, false));
    assert!(store.append_group(&[&large]).unwrap().remove(0).unwrap().duplicate);
    assert_eq!(one(&mut store, "SELECT count(*) FROM t"), Value::Integer(40_000));
}
