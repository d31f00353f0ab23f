//! Files that fail in the middle of a transaction, and go on failing: what the store does in its next lease.

use crate::{NoOs, one, request};
use arrow::array::{ArrayRef, RecordBatch, TimestampSecondArray};
use arrow::datatypes::DataType;
use arrow::ipc::reader::StreamReader;
use framelock::error::Code;
use framelock::frame::Frame;
use framelock::platform::{File, FileError, FileResult, Handles, MemoryFile};
use framelock::store::{Attached, LogLimits, Mode, Params, Store, Value};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// A file that two stores may have one after the other.
#[derive(Clone, Default)]
struct Shared {
    file: Rc<RefCell<MemoryFile>>,
    /// Nothing can be written any more, to either file of the database.
    broken: Rc<Cell<bool>>,
    /// So many more calls that change this file, and the next one breaks both.
    calls_left: Rc<Cell<Option<u32>>>,
}

impl Shared {
    fn passes(&self) -> FileResult<()> {
        match self.calls_left.get() {
            Some(0) => self.broken.set(true),
            left => self.calls_left.set(left.map(|left| left - 1)),
        }
        if self.broken.get() { Err(FileError::Quota("broken".into())) } else { Ok(()) }
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

/// The files of a database, and what gives its handles to a store.
fn database() -> (Shared, impl Fn(&mut Store, Mode) -> Attached) {
    let database = Shared::default();
    let journal = Shared { broken: database.broken.clone(), ..Shared::default() };
    let file = database.clone();
    let attach = move |store: &mut Store, mode| {
        let handles =
            Handles { database: Box::new(file.clone()), journal: Box::new(journal.clone()) };
        store.attach(handles, mode, true).unwrap()
    };
    (database, attach)
}

#[test]
fn a_commit_that_cannot_be_undone_does_not_spoil_the_reads_of_later_leases() {
    let (database, attach) = database();
    let count = "SELECT count(*) FROM t WHERE price IS NULL OR price <> 9";
    let [mut ours, mut theirs] = [(); 2].map(|()| Store::new(Box::new(NoOs)));
    attach(&mut ours, Mode::Exclusive);
    // More than goes into the redo log.
    ours.append_group(&[&request("a", crate::frame(0, 20_000))]).unwrap().remove(0).unwrap();
    // The journal is in its file when the database cannot be written.
    database.calls_left.set(Some(0));
    assert!(ours.exec("UPDATE t SET price = 9", &Params::None).is_err());
    assert!(database.broken.get() && ours.has_hot_journal());
    let _what_was_pending = ours.detach();
    database.calls_left.set(None);
    database.broken.set(false);
    assert_eq!(attach(&mut ours, Mode::Shared), Attached::NeedsRecovery);
    ours.detach().unwrap();
    // Somebody else takes it back.
    attach(&mut theirs, Mode::Exclusive);
    assert_eq!(one(&mut theirs, count), Value::Integer(20_000));
    theirs.detach().unwrap();
    assert_eq!(attach(&mut ours, Mode::Shared), Attached::Ready);
    assert_eq!(one(&mut ours, count), Value::Integer(20_000));
    let error = ours.exec("SELECT nothing", &Params::None).unwrap_err();
    assert_eq!((error.code, error.message.contains("broken")), (Code::Sql, false), "{error}");
}

#[test]
fn what_is_dropped_takes_its_types_along_whatever_fails_after_it() {
    let seconds = TimestampSecondArray::from(vec![7]);
    let batch = RecordBatch::try_from_iter([("ts", Arc::new(seconds) as ArrayRef)]).unwrap();
    let frame = Frame::new(batch.schema(), vec![batch]);
    for (drop, make) in [
        ("DROP TABLE t", "CREATE TABLE t(ts INTEGER)"),
        ("ALTER TABLE t DROP COLUMN ts", "ALTER TABLE t ADD COLUMN ts INTEGER"),
    ] {
        let mut was_dropped = 0;
        for calls in 0.. {
            let (database, attach) = database();
            let [mut ours, mut theirs] = [(); 2].map(|()| Store::new(Box::new(NoOs)));
            attach(&mut ours, Mode::Exclusive);
            ours.append_group(&[&request("a", frame.clone())]).unwrap().remove(0).unwrap();
            ours.exec("ALTER TABLE t ADD COLUMN other", &Params::None).unwrap();
            database.calls_left.set(Some(calls));
            let fails = ours.exec(drop, &Params::None).is_err();
            std::mem::drop(ours);
            database.calls_left.set(None);
            database.broken.set(false);
            attach(&mut theirs, Mode::Exclusive);
            if theirs.exec(make, &Params::None).is_ok() {
                was_dropped += 1;
                theirs.exec("UPDATE t SET ts = 1", &Params::None).unwrap();
                let stream = theirs.query_arrow("SELECT ts FROM t", &Params::None).unwrap();
                let schema = StreamReader::try_new(&stream[..], None).unwrap().schema();
                let is_typed = matches!(schema.field(0).data_type(), DataType::Timestamp(..));
                assert!(!is_typed, "{drop}: after {calls} calls");
            }
            if !fails {
                break;
            }
        }
        assert!(was_dropped > 0, "{drop}");
    }
}

#[test]
fn an_export_is_without_what_a_hot_journal_undoes() {
    let nines = "SELECT count(*) FROM t WHERE price = 9";
    let mut half_written = 0;
    for calls in 0.. {
        let (database, attach) = database();
        let [mut ours, mut theirs] = [(); 2].map(|()| Store::new(Box::new(NoOs)));
        attach(&mut ours, Mode::Exclusive);
        ours.append_group(&[&request("a", crate::frame(0, 20_000))]).unwrap().remove(0).unwrap();
        ours.detach().unwrap();
        let before = database.file.borrow().clone();
        attach(&mut theirs, Mode::Exclusive);
        database.calls_left.set(Some(calls));
        let dies = theirs.exec("UPDATE t SET price = 9", &Params::None).is_err();
        drop(theirs);
        database.calls_left.set(None);
        database.broken.set(false);
        if !dies {
            break;
        }
        half_written += u32::from(bytes(&database.file.borrow()) != bytes(&before));
        // The first thing that is done in the next lease.
        assert_eq!(attach(&mut ours, Mode::Exclusive), Attached::Ready);
        let exported = crate::file(ours.export_file().unwrap());
        let mut copy = Store::new(Box::new(NoOs));
        let journal = Box::new(MemoryFile::default());
        copy.attach(Handles { database: exported, journal }, Mode::Exclusive, true).unwrap();
        assert_eq!(one(&mut copy, nines), Value::Integer(0), "after {calls} calls");
        assert_eq!(one(&mut copy, "PRAGMA integrity_check"), Value::Text("ok".into()));
    }
    assert!(half_written > 0, "nothing was there to undo");
}

fn bytes(file: &MemoryFile) -> Vec<u8> {
    let mut file = file.clone();
    let mut bytes = vec![0; file.size().unwrap() as usize];
    file.read(&mut bytes, 0).unwrap();
    bytes
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
    // Without a redo log the commit is when the journal is emptied.
    store.limit_log(LogLimits { record_bytes: 0, ..LogLimits::default() });
    let large = request("b", crate::frame(20_000, 20_000));
    fails.set(true);
    let applied = store.append_group(&[&large]).unwrap().remove(0).unwrap();
    assert!(!fails.get());
    assert_eq!((applied.rows, applied.duplicate), (20_000, false));
    assert!(store.append_group(&[&large]).unwrap().remove(0).unwrap().duplicate);
    assert_eq!(one(&mut store, "SELECT count(*) FROM t"), Value::Integer(40_000));
}
