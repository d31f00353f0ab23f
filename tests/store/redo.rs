//! The redo log, through the store: how often a commit flushes, what a tab that dies leaves, and what
//! happens when each of its calls fails.

use crate::{NoOs, count, frame, one, request};
use framelock::error::{Code, Result};
use framelock::platform::{File, FileError, FileResult, Handles, MemoryFile};
use framelock::store::{Attached, LogLimits, Mode, Params, Store, Value};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

/// The files of a database, which outlive their handles; with a list of what was done to them.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    database: Rc<RefCell<MemoryFile>>,
    journal: Rc<RefCell<MemoryFile>>,
    calls: Rc<RefCell<Vec<String>>>,
    /// The calls that fail, counted from now on.
    failing: Rc<RefCell<BTreeSet<u64>>>,
    called: Rc<Cell<u64>>,
    /// How many records the journal's head counted, at each flush of it.
    counts: Rc<RefCell<Vec<u32>>>,
    /// A power cut has given the journal's file its old length back: so much more than what is in it.
    old_length: Rc<Cell<u64>>,
    /// The next lease is of a handle with `durability: 'relaxed'`.
    relaxed: Rc<Cell<bool>>,
}

struct Handle {
    disk: Disk,
    name: &'static str,
    file: Rc<RefCell<MemoryFile>>,
}

impl Handle {
    fn pass(&self, what: &str, bytes: usize) -> FileResult<()> {
        let disk = &self.disk;
        disk.called.set(disk.called.get() + 1);
        if disk.failing.borrow().contains(&disk.called.get()) {
            return Err(FileError::Io(format!("{what} {} fails", self.name)));
        }
        disk.calls.borrow_mut().push(format!("{what} {} {bytes}", self.name));
        Ok(())
    }
}

impl File for Handle {
    fn read(&mut self, buffer: &mut [u8], offset: u64) -> FileResult<usize> {
        self.file.borrow_mut().read(buffer, offset)
    }
    fn write(&mut self, bytes: &[u8], offset: u64) -> FileResult<()> {
        self.pass("write", bytes.len())?;
        self.file.borrow_mut().write(bytes, offset)
    }
    fn truncate(&mut self, size: u64) -> FileResult<()> {
        self.pass("truncate", size as usize)?;
        self.disk.old_length.set(0);
        self.file.borrow_mut().truncate(size)
    }
    fn flush(&mut self) -> FileResult<()> {
        self.pass("flush", 0)?;
        if self.name == "journal" {
            let mut head = [0; 12];
            self.file.borrow_mut().read(&mut head, 0)?;
            let count = u32::from_be_bytes(head[8..].try_into().unwrap());
            self.disk.counts.borrow_mut().push(count);
        }
        Ok(())
    }
    fn size(&mut self) -> FileResult<u64> {
        let more = if self.name == "journal" { self.disk.old_length.get() } else { 0 };
        self.file.borrow_mut().size().map(|size| size + more)
    }
}

impl Disk {
    /// A database with a table of three rows, at rest.
    pub(crate) fn new() -> Disk {
        let disk = Disk::default();
        let mut store = Store::new(Box::new(NoOs));
        disk.attach(&mut store, Mode::Exclusive).unwrap();
        append(&mut store, "first", 3).unwrap();
        store.detach().unwrap();
        disk
    }

    pub(crate) fn attach(&self, store: &mut Store, mode: Mode) -> Result<Attached> {
        let handle = |name, file: &Rc<RefCell<MemoryFile>>| {
            Box::new(Handle { disk: self.clone(), name, file: file.clone() })
        };
        let handles = Handles {
            database: handle("database", &self.database),
            journal: handle("journal", &self.journal),
        };
        store.attach(handles, mode, !self.relaxed.get())
    }

    pub(crate) fn opened(&self) -> Store {
        let mut store = Store::new(Box::new(NoOs));
        assert_eq!(self.attach(&mut store, Mode::Exclusive).unwrap(), Attached::Ready);
        store
    }

    /// The calls since the last look, without where and how much.
    fn calls(&self) -> Vec<String> {
        let calls = std::mem::take(&mut *self.calls.borrow_mut());
        calls.iter().map(|call| call.rsplit_once(' ').unwrap().0.to_owned()).collect()
    }

    /// From now on, these calls fail.
    fn fail(&self, calls: impl IntoIterator<Item = u64>) {
        self.called.set(0);
        *self.failing.borrow_mut() = calls.into_iter().collect();
    }

    fn journal_bytes(&self) -> u64 {
        self.journal.borrow_mut().size().unwrap()
    }

    /// The file is as long as it was, and what it held counts no more.
    fn log_is_emptied(&self) -> bool {
        bytes(&self.journal).starts_with(&[0; 48])
    }
}

fn append(store: &mut Store, id: &str, rows: i64) -> Result<()> {
    store.append_group(&[&request(id, frame(0, rows))])?.remove(0).map(|_| ())
}

fn bytes(file: &RefCell<MemoryFile>) -> Vec<u8> {
    let mut file = file.borrow_mut();
    let mut bytes = vec![0; file.size().unwrap() as usize];
    file.read(&mut bytes, 0).unwrap();
    bytes
}

/// A tab dies: nothing that it has in memory gets to the disk.
fn die(store: Store) {
    std::mem::forget(store);
}

#[test]
fn a_small_commit_is_flushed_once() {
    // Without SQLITE_ENABLE_BATCH_ATOMIC_WRITE (.cargo/config.toml) it is three flushes.
    let disk = Disk::new();
    let mut store = disk.opened();
    append(&mut store, "a", 2).unwrap();
    disk.calls();
    append(&mut store, "b", 2).unwrap();
    // The commit is durable, and its caller can be answered.
    assert_eq!(disk.calls(), ["write journal", "flush journal"]);
    assert_eq!(count(&mut store), Value::Integer(7));
    store.write_through();
    store.write_through();
    assert_eq!(disk.calls(), ["write database"]);
    // Whoever copies the file has the commit.
    let copy = Disk { database: disk.database.clone(), ..Disk::default() };
    assert_eq!(count(&mut copy.opened()), Value::Integer(7));
    store.detach().unwrap();
    // It is written already.
    assert_eq!(disk.calls(), ["flush database", "write journal"]);
    assert!(disk.log_is_emptied());
}

#[test]
fn a_commit_that_the_database_does_not_take_yet_is_read_from_memory() {
    let disk = Disk::new();
    let mut store = disk.opened();
    append(&mut store, "a", 2).unwrap();
    store.write_through();
    disk.calls();
    disk.fail([3]);
    append(&mut store, "b", 2).unwrap();
    store.write_through();
    disk.fail([]);
    assert_eq!(disk.calls(), ["write journal", "flush journal"]);
    assert_eq!(count(&mut store), Value::Integer(7));
    store.detach().unwrap();
    let mut end = disk.calls();
    end.dedup();
    assert_eq!(end, ["write database", "flush database", "write journal"]);
    assert!(disk.log_is_emptied());
    assert_eq!(count(&mut disk.opened()), Value::Integer(7));
}

#[test]
fn a_large_commit_is_written_once_and_flushed_twice() {
    let disk = Disk::new();
    let mut store = disk.opened();
    disk.calls.borrow_mut().clear();
    append(&mut store, "large", 60_000).unwrap();
    let calls = disk.calls.borrow().clone();
    let flushes: Vec<_> = calls.iter().filter(|call| call.starts_with("flush")).collect();
    let written: u64 = calls
        .iter()
        .filter(|call| call.starts_with("write"))
        .map(|call| call.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
        .sum();
    // The new pages are durable before the record that says that there are any.
    assert_eq!(flushes, ["flush database 0", "flush journal 0"], "{calls:?}");
    assert!(written < store.bytes() + (100 << 10), "{written} of {}: {calls:?}", store.bytes());
}

#[test]
fn a_journal_that_was_in_memory_is_counted_after_it_is_durable() {
    let disk = Disk::new();
    let mut store = disk.opened();
    append(&mut store, "large", 100_000).unwrap();
    store.detach().unwrap();
    let mut store = disk.opened();
    disk.calls.borrow_mut().clear();
    // Its journal does not fit into the write buffer, where it could be sealed, but in SQLite's cache.
    store.exec("UPDATE t SET price = 9", &Params::None).unwrap();
    let calls = disk.calls();
    let (before, _) =
        calls.split_at(calls.iter().position(|call| call.ends_with("database")).unwrap());
    let flushes: Vec<usize> =
        (0..before.len()).filter(|at| before[*at].starts_with("flush")).collect();
    assert_eq!(before[..flushes[0]].iter().filter(|call| *call == "write journal").count(), 3);
    assert_eq!(before[flushes[0]..], ["flush journal", "write journal", "flush journal"]);
    let counts = disk.counts.borrow();
    let [.., first, second, emptied] = counts[..] else { panic!("{counts:?}") };
    assert!(first == 0 && second > 200 && emptied == 0, "{counts:?}");
}

#[test]
fn what_a_dead_tab_had_committed_is_there_for_the_next() {
    let disk = Disk::new();
    let mut store = disk.opened();
    append(&mut store, "a", 2).unwrap();
    append(&mut store, "b", 4).unwrap();
    let bytes = store.bytes();
    let file = store.export_file().unwrap();
    die(store);
    let mut reader = Store::new(Box::new(NoOs));
    assert_eq!(disk.attach(&mut reader, Mode::Shared).unwrap(), Attached::NeedsRecovery);
    reader.detach().unwrap();
    let mut next = disk.opened();
    assert_eq!((disk.journal_bytes(), next.bytes()), (0, bytes));
    assert_eq!(count(&mut next), Value::Integer(9));
    assert_eq!(next.export_file().unwrap(), file, "the export is of what is committed");
    assert_eq!(one(&mut next, "PRAGMA integrity_check"), Value::Text("ok".into()));
    next.detach().unwrap();
    assert_eq!(disk.attach(&mut reader, Mode::Shared).unwrap(), Attached::Ready);
    assert_eq!(count(&mut reader), Value::Integer(9));
}

#[test]
fn a_dead_tabs_log_is_durable_before_the_database_is_written_and_emptied_after() {
    let disk = Disk::new();
    let mut store = disk.opened();
    append(&mut store, "a", 2).unwrap();
    die(store);
    disk.calls();
    let next = disk.opened();
    let mut calls = disk.calls();
    calls.dedup();
    // It may have died before it had flushed the last record.
    let order = ["flush journal", "write database", "flush database", "truncate journal"];
    assert_eq!(calls, order);
    drop(next);
}

#[test]
fn a_log_in_a_file_that_is_longer_than_memory_is_replayed() {
    let disk = Disk::new();
    let mut store = disk.opened();
    append(&mut store, "a", 2).unwrap();
    die(store);
    disk.old_length.set(1 << 45);
    let mut next = disk.opened();
    assert_eq!(count(&mut next), Value::Integer(5));
    assert_eq!(disk.journal_bytes(), 0);
}

#[test]
fn a_large_commit_after_small_ones_and_the_other_way_round() {
    let disk = Disk::new();
    let mut store = disk.opened();
    append(&mut store, "a", 2).unwrap();
    assert!(disk.journal_bytes() > 0);
    append(&mut store, "large", 20_000).unwrap();
    assert!(disk.journal_bytes() > 0);
    append(&mut store, "b", 5).unwrap();
    // What changes so many pages that were there has a journal.
    store.exec("UPDATE t SET price = id", &Params::None).unwrap();
    assert_eq!(disk.journal_bytes(), 0);
    append(&mut store, "c", 1).unwrap();
    store.exec("DELETE FROM t WHERE id > 5", &Params::None).unwrap();
    store.exec("VACUUM", &Params::None).unwrap();
    append(&mut store, "d", 1).unwrap();
    assert_eq!(one(&mut store, "PRAGMA integrity_check"), Value::Text("ok".into()));
    let rows = count(&mut store);
    die(store);
    let mut next = disk.opened();
    assert_eq!(count(&mut next), rows);
    assert_eq!(one(&mut next, "PRAGMA integrity_check"), Value::Text("ok".into()));
}

#[test]
fn a_record_that_cannot_be_flushed_is_cut_off_and_the_commit_goes_by_a_journal() {
    let disk = Disk::new();
    let mut store = disk.opened();
    append(&mut store, "a", 2).unwrap();
    for (id, call) in [("not written", 1), ("not flushed", 2)] {
        disk.fail([call]);
        append(&mut store, id, 1).unwrap();
        disk.fail([]);
        assert!(store.is_open());
    }
    // No failure stays behind for a later error to be blamed on.
    let refused = store.exec("INSERT INTO missing VALUES (1)", &Params::None).unwrap_err();
    assert!(!refused.message.contains("fails"), "{}", refused.message);
    die(store);
    assert_eq!(count(&mut disk.opened()), Value::Integer(7));
}

#[test]
fn a_commit_that_nobody_knows_of_ends_the_lease_and_the_log_decides() {
    let disk = Disk::new();
    let mut store = disk.opened();
    append(&mut store, "a", 2).unwrap();
    // Written, not flushed, and not to be cut off again.
    disk.fail([2, 3]);
    assert!(append(&mut store, "b", 1).is_err());
    disk.fail([]);
    assert!(!store.is_open());
    assert!(store.find_frame("b").is_err(), "nobody can tell");
    assert!(store.make_durable().is_err() && store.export_piece(0).is_err());
    disk.calls();
    assert!(store.detach().is_err());
    assert_eq!(disk.calls(), [""; 0], "nothing is written over what the log says");
    disk.attach(&mut store, Mode::Exclusive).unwrap();
    assert!(store.is_open() && store.find_frame("b").unwrap().is_some());
    assert_eq!(count(&mut store), Value::Integer(6));
}

#[test]
fn what_makes_the_database_longer_stays_while_nobody_knows_of_its_commit() {
    let [well, disk] = [(); 2].map(|()| Disk::new());
    let [mut well_store, mut store] = [&well, &disk].map(Disk::opened);
    for store in [&mut well_store, &mut store] {
        append(store, "a", 2).unwrap();
    }
    well.calls();
    append(&mut well_store, "large", 20_000).unwrap();
    let flush = well.calls().iter().position(|call| call == "flush journal").unwrap() as u64 + 1;
    // The record is written, not flushed, and not to be cut off again; the database could be.
    disk.fail([flush, flush + 1]);
    assert!(append(&mut store, "large", 20_000).is_err());
    disk.fail([]);
    assert!(store.detach().is_err());
    disk.attach(&mut store, Mode::Exclusive).unwrap();
    assert!(store.find_frame("large").unwrap().is_some());
    assert_eq!(count(&mut store), Value::Integer(20_005));
    assert_eq!(one(&mut store, "PRAGMA integrity_check"), Value::Text("ok".into()));
}

#[test]
fn every_call_may_fail_once_or_from_then_on_and_nothing_is_lost_or_half_there() {
    let mut outcomes = BTreeSet::new();
    let without = LogLimits { record_bytes: 0, ..LogLimits::default() };
    for (limits, lasts) in
        [LogLimits::default(), without].map(|limits| [(limits, false), (limits, true)]).concat()
    {
        for first in 1..60 {
            let disk = Disk::new();
            let mut store = disk.opened();
            store.limit_log(limits);
            disk.fail(if lasts { (first..500).collect::<Vec<_>>() } else { vec![first] });
            let mut told = Vec::new();
            for (id, rows) in [("a", 2), ("b", 1), ("large", 12_000), ("c", 2), ("d", 1)] {
                if !store.is_open() {
                    let _in_doubt = store.detach();
                    if disk.attach(&mut store, Mode::Exclusive).is_err() {
                        let _no_handles = store.detach();
                        continue;
                    }
                }
                told.push((id, rows, append(&mut store, id, rows).is_ok()));
            }
            let detached = store.detach().is_ok();
            disk.fail([]);
            let mut next = disk.opened();
            let mut rows = 3;
            for (id, frame_rows, committed) in told {
                let there = next.find_frame(id).unwrap().is_some();
                assert!(there || !committed, "{id} is lost: call {first}, lasts: {lasts}");
                rows += if there { frame_rows } else { 0 };
                outcomes.insert((id, there, committed));
            }
            assert_eq!(count(&mut next), Value::Integer(rows), "call {first}, lasts: {lasts}");
            assert_eq!(one(&mut next, "PRAGMA integrity_check"), Value::Text("ok".into()));
            outcomes.insert(("detached", detached, lasts));
        }
    }
    let failed = outcomes.iter().filter(|(id, _, committed)| *id != "detached" && !committed);
    assert!(failed.count() >= 3, "{outcomes:?}");
    assert!(outcomes.contains(&("detached", false, true)), "{outcomes:?}");
}

#[test]
fn a_part_of_an_emptied_log_that_a_power_cut_brings_back_is_not_replayed() {
    let disk = Disk::new();
    let mut store = disk.opened();
    append(&mut store, "a", 2).unwrap();
    let part = bytes(&disk.journal);
    append(&mut store, "b", 4).unwrap();
    store.detach().unwrap();
    disk.journal.borrow_mut().write(&part, 0).unwrap();
    let mut next = disk.opened();
    assert_eq!((count(&mut next), disk.journal_bytes()), (Value::Integer(9), 0));
    next.detach().unwrap();
}

#[test]
fn the_file_of_an_emptied_log_is_written_over_and_nobody_takes_the_rest_for_more() {
    let disk = Disk::new();
    let mut store = disk.opened();
    for id in ["a", "b", "c", "d"] {
        append(&mut store, id, 1).unwrap();
    }
    store.detach().unwrap();
    let bytes = disk.journal_bytes();
    let mut reader = Store::new(Box::new(NoOs));
    assert_eq!(disk.attach(&mut reader, Mode::Shared).unwrap(), Attached::Ready);
    assert_eq!(count(&mut reader), Value::Integer(7));
    reader.detach().unwrap();

    let mut store = disk.opened();
    disk.calls();
    append(&mut store, "e", 2).unwrap();
    assert_eq!(disk.calls(), ["write journal", "flush journal"]);
    assert!(disk.journal_bytes() == bytes && !disk.log_is_emptied());
    die(store);
    let mut next = disk.opened();
    assert_eq!(count(&mut next), Value::Integer(9));
    assert_eq!(one(&mut next, "PRAGMA integrity_check"), Value::Text("ok".into()));
    assert_eq!(disk.journal_bytes(), 0);
}

#[test]
fn any_sqlite_takes_what_is_left_of_a_log_for_no_journal() {
    let disk = Disk::new();
    let mut store = disk.opened();
    append(&mut store, "a", 2).unwrap();
    store.detach().unwrap();
    assert!(disk.log_is_emptied());
    let folder = std::env::temp_dir().join(format!("framelock-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let paths = [folder.join("copy"), folder.join("copy-journal")];
    for (path, file) in paths.iter().zip([&disk.database, &disk.journal]) {
        std::fs::write(path, bytes(file)).unwrap();
    }
    let plain = rusqlite::Connection::open(&paths[0]).unwrap();
    plain.execute_batch("INSERT INTO t(id) VALUES (99)").unwrap();
    let rows: i64 = plain.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 6);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_log_of_another_database_is_refused_and_both_files_are_left_as_they_are() {
    let foreign = Disk::new();
    let mut store = foreign.opened();
    for id in ["a", "b", "c"] {
        append(&mut store, id, 2).unwrap();
    }
    store.detach().unwrap();
    let mut store = foreign.opened();
    append(&mut store, "d", 2).unwrap();
    die(store);
    let disk = Disk::new();
    *disk.journal.borrow_mut() = foreign.journal.borrow().clone();
    let before = (bytes(&disk.database), bytes(&disk.journal));
    for _ in 0..2 {
        let mut next = Store::new(Box::new(NoOs));
        let refused = disk.attach(&mut next, Mode::Exclusive).unwrap_err();
        assert_eq!(refused.code, Code::Corrupt);
        let _nothing_to_close = next.detach();
        assert!(before == (bytes(&disk.database), bytes(&disk.journal)));
    }
    // It is its own database's, still.
    *foreign.journal.borrow_mut() = disk.journal.borrow().clone();
    assert_eq!(count(&mut foreign.opened()), Value::Integer(11));
}

#[test]
fn a_log_of_a_newer_framelock_is_left_as_it_is() {
    let disk = Disk::new();
    let mut store = disk.opened();
    append(&mut store, "a", 2).unwrap();
    die(store);
    let mut head = [0; 48];
    disk.journal.borrow_mut().read(&mut head, 0).unwrap();
    head[7] = 9;
    let sum = xxhash_rust::xxh3::xxh3_128(&head[..32]).to_le_bytes();
    head[32..].copy_from_slice(&sum);
    disk.journal.borrow_mut().write(&head, 0).unwrap();
    let bytes = disk.journal_bytes();
    let mut next = Store::new(Box::new(NoOs));
    let refused = disk.attach(&mut next, Mode::Exclusive).unwrap_err();
    assert!(refused.message.contains("newer framelock"), "{}", refused.message);
    let _nothing_to_close = next.detach();
    assert_eq!(disk.journal_bytes(), bytes);
}

#[test]
fn what_a_relaxed_handle_wrote_is_flushed_when_its_lease_ends_or_others_are_told() {
    let disk = Disk::new();
    disk.relaxed.set(true);
    let mut store = Store::new(Box::new(NoOs));
    disk.attach(&mut store, Mode::Exclusive).unwrap();
    let flushes = || disk.calls.borrow().iter().filter(|call| call.starts_with("flush")).count();
    let last = || disk.calls.borrow().iter().rfind(|call| call.contains("database")).cloned();
    let before = flushes();
    append(&mut store, "relaxed", 5).unwrap();
    assert_eq!(flushes(), before, "that is what it is for");
    store.flush_relaxed().unwrap();
    assert_eq!((flushes(), last().as_deref()), (before + 2, Some("flush database 0")));
    store.flush_relaxed().unwrap();
    assert_eq!(flushes(), before + 2, "there is nothing more to flush");
    append(&mut store, "once more", 5).unwrap();
    store.detach().unwrap();
    assert_eq!((flushes(), last().as_deref()), (before + 4, Some("flush database 0")));
}
