//! The store over files in memory: appends, ids, transactions, plain SQL, the file in and out.

mod broken;
mod cuts;
#[path = "../sim/disk.rs"]
#[allow(dead_code, reason = "the simulator's, which does more with it")]
mod disk;
mod outbox;
mod redo;
#[path = "../sim/rng.rs"]
#[allow(dead_code, reason = "the simulator's, which does more with it")]
mod rng;
mod rows;
mod sql;
mod stream;
mod transfer;
mod types;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use framelock::error::Code;
use framelock::frame::Frame;
use framelock::frame::options::{AppendOptions, ExtraColumns};
use framelock::platform::{Handles, MemoryFile};
use framelock::store::{
    AppendRequest, Applied, Attached, Content, Long, Mode, Os, PackOptions, PackedRows, Params,
    Piece, Store, Value,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

struct NoOs;

/// No two calls give the same.
static RANDOM: AtomicU8 = AtomicU8::new(0);

impl Os for NoOs {
    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(RANDOM.fetch_add(1, Ordering::Relaxed));
    }
    fn epoch_ms(&self) -> i64 {
        0
    }
}

fn store() -> Store {
    let mut store = Store::new(Box::new(NoOs));
    let handles = Handles {
        database: Box::new(MemoryFile::default()),
        journal: Box::new(MemoryFile::default()),
    };
    assert_eq!(store.attach(handles, Mode::Exclusive, true).unwrap(), Attached::Ready);
    store
}

fn frame(start: i64, rows: i64) -> Frame {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(start..start + rows));
    let prices: ArrayRef =
        Arc::new(Float64Array::from_iter((0..rows).map(|i| (i % 3 > 0).then_some(i as f64 / 4.0))));
    let names: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..rows).map(|i| format!("name {i}"))));
    let batch =
        RecordBatch::try_from_iter([("id", ids), ("price", prices), ("name", names)]).unwrap();
    Frame::new(batch.schema(), vec![batch])
}

fn request(frame_id: &str, frame: Frame) -> AppendRequest {
    AppendRequest {
        frame_id: frame_id.into(),
        own_id: true,
        table: "t".into(),
        options: AppendOptions::default(),
        digest: [frame.rows as u8; 16],
        forward: false,
        content: Content::Frame(frame),
    }
}

/// Appends a frame by itself; gives how many rows it has.
fn append(store: &mut Store, request: &AppendRequest) -> framelock::error::Result<u64> {
    let outcome = store.append_group(&[request])?.remove(0);
    outcome.map(|applied| applied.rows)
}

/// Does with SQLite alone what framelock refuses to do to its own tables, and brings the file back.
fn past_framelock(store: &mut Store, sql: &str) {
    let bytes = store.export_file().unwrap();
    let mut conn = rusqlite::Connection::open_in_memory().unwrap();
    conn.deserialize_read_exact("main", &bytes[..], bytes.len(), false).unwrap();
    conn.execute_batch(sql).unwrap();
    let bytes = conn.serialize("main").unwrap().to_vec();
    store.import_file(file(bytes)).unwrap();
}

fn file(bytes: Vec<u8>) -> Box<MemoryFile> {
    Box::new(MemoryFile::from(bytes))
}

fn one(store: &mut Store, sql: &str) -> Value {
    struct First(Option<Value>);
    impl framelock::store::RowSink for First {
        fn columns(
            &mut self,
            _: &[framelock::frame::read::ReadColumn],
        ) -> framelock::error::Result<()> {
            Ok(())
        }
        fn cell(
            &mut self,
            _: usize,
            cell: framelock::frame::cell::Cell<'_>,
        ) -> framelock::error::Result<()> {
            use framelock::frame::cell::Cell;
            self.0.get_or_insert(match cell {
                Cell::Null => Value::Null,
                Cell::Integer(value) => Value::Integer(value),
                Cell::Real(value) => Value::Real(value),
                Cell::Text(text) => Value::Text(text.into_owned()),
                Cell::Blob(bytes) => Value::Blob(bytes.into_owned()),
            });
            Ok(())
        }
    }
    let mut first = First(None);
    store.query(sql, &Params::None, &mut first).unwrap();
    first.0.unwrap()
}

fn count(store: &mut Store) -> Value {
    one(store, "SELECT count(*) FROM t")
}

#[test]
fn a_frame_is_in_once_however_often_it_is_sent() {
    let mut store = store();
    let sent = request("a", frame(0, 250));
    let first = store.append_group(&[&sent]).unwrap().remove(0).unwrap();
    assert_eq!((first.rows, first.duplicate), (250, false));
    let again = store.append_group(&[&sent, &sent]).unwrap();
    assert!(again.into_iter().all(|outcome| outcome.unwrap().duplicate));
    let other = request("a", frame(0, 7));
    let conflict = store.append_group(&[&other]).unwrap().remove(0).unwrap_err();
    assert_eq!(conflict.code, Code::FrameIdConflict);
    assert_eq!(count(&mut store), Value::Integer(250));
    assert_eq!(one(&mut store, "SELECT sum(id) FROM t"), Value::Integer(249 * 250 / 2));
    assert_eq!(
        one(&mut store, "SELECT typeof(price) FROM t WHERE id = 4"),
        Value::Text("real".into())
    );
    assert_eq!(one(&mut store, "PRAGMA integrity_check"), Value::Text("ok".into()));
}

#[test]
fn a_refused_row_is_named_and_takes_its_frame_along_but_not_the_group() {
    let mut store = store();
    let ddl =
        "CREATE TABLE t(id INTEGER PRIMARY KEY, price REAL, name TEXT CHECK(name <> 'name 123'))";
    store.exec(ddl, &Params::None).unwrap();
    let (good, bad, last) = (
        request("good", frame(0, 50)),
        request("bad", frame(1000, 200)),
        request("last", frame(2000, 50)),
    );
    let mut outcomes = store.append_group(&[&good, &bad, &last]).unwrap();
    assert!(outcomes.remove(2).is_ok());
    let error = outcomes.remove(1).unwrap_err();
    assert_eq!((error.code, error.row), (Code::Constraint, Some(123)));
    assert_eq!(error.table.as_deref(), Some("t"));
    assert_eq!(count(&mut store), Value::Integer(100));
    assert_eq!(store.find_frame("bad").unwrap(), None);
}

#[test]
fn a_rolled_back_transaction_takes_its_frames_along() {
    let mut store = store();
    store.append_group(&[&request("kept", frame(0, 10))]).unwrap().remove(0).unwrap();
    store.begin().unwrap();
    store.apply_in_savepoint(&request("lost", frame(10, 10))).unwrap();
    assert_eq!(count(&mut store), Value::Integer(20));
    store.rollback();
    assert_eq!(count(&mut store), Value::Integer(10));
    assert_eq!(store.find_frame("lost").unwrap(), None);
    store.append_group(&[&request("lost", frame(10, 10))]).unwrap().remove(0).unwrap();
    assert_eq!(count(&mut store), Value::Integer(20));
}

/// A frame with one column more.
fn wider(frame_id: &str, column: &str, extra: ExtraColumns) -> AppendRequest {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..3));
    let batch = RecordBatch::try_from_iter([("id", ids.clone()), (column, ids)]).unwrap();
    let options = AppendOptions { extra_columns: extra, ..Default::default() };
    let frame = Frame::new(batch.schema(), vec![batch]);
    AppendRequest { options, ..request(frame_id, frame) }
}

#[test]
fn what_was_learnt_in_a_rolled_back_transaction_is_forgotten() {
    let mut store = store();
    store.append_group(&[&request("a", frame(0, 3))]).unwrap().remove(0).unwrap();
    store.begin().unwrap();
    store.apply_in_savepoint(&wider("b", "x", ExtraColumns::Add)).unwrap();
    for id in ["c", "d"] {
        store.apply_in_savepoint(&wider(id, "x", ExtraColumns::Error)).unwrap();
    }
    store.rollback();
    // As many changes of the schema, but others.
    store.append_group(&[&wider("b", "y", ExtraColumns::Add)]).unwrap().remove(0).unwrap();
    let mut outcomes = store.append_group(&[&wider("c", "x", ExtraColumns::Error)]).unwrap();
    assert_eq!(outcomes.remove(0).unwrap_err().code, Code::SchemaMismatch);
    store.append_group(&[&wider("d", "y", ExtraColumns::Error)]).unwrap().remove(0).unwrap();
    assert_eq!(one(&mut store, "SELECT count(y) FROM t"), Value::Integer(6));
}

#[test]
fn what_another_tab_did_to_the_table_is_seen() {
    let mut first = store();
    let mut second = store();
    for id in ["a", "b", "c"] {
        first.append_group(&[&request(id, frame(0, 3))]).unwrap().remove(0).unwrap();
    }
    let pass_on = |from: &mut Store, to: &mut Store| {
        let bytes = from.export_file().unwrap();
        for store in [from, to] {
            let mut database = MemoryFile::default();
            framelock::platform::File::write(&mut database, &bytes, 0).unwrap();
            let journal = Box::new(MemoryFile::default());
            store.detach().unwrap();
            let handles = Handles { database: Box::new(database), journal };
            store.attach(handles, Mode::Exclusive, true).unwrap();
        }
    };
    pass_on(&mut first, &mut second);
    second.append_group(&[&request("d", frame(0, 3))]).unwrap().remove(0).unwrap();
    second.exec("ALTER TABLE t RENAME COLUMN name TO label", &Params::None).unwrap();
    pass_on(&mut second, &mut first);
    let outcome = first.append_group(&[&request("e", frame(0, 3))]).unwrap().remove(0);
    assert_eq!(outcome.unwrap_err().code, Code::SchemaMismatch);
    assert_eq!(count(&mut first), Value::Integer(12));
}

#[test]
fn an_empty_database_goes_out_as_a_file_and_in_again() {
    let bytes = store().export_file().unwrap();
    assert!(bytes.starts_with(b"SQLite format 3\0"), "{} bytes", bytes.len());
    let mut other = store();
    other.append_group(&[&request("a", frame(0, 10))]).unwrap().remove(0).unwrap();
    other.import_file(file(bytes)).unwrap();
    let tables = "SELECT count(*) FROM sqlite_schema";
    assert_eq!(one(&mut other, tables), Value::Integer(0));
}

#[test]
fn the_connection_survives_a_change_of_lease() {
    let mut store = store();
    store.append_group(&[&request("a", frame(0, 10))]).unwrap().remove(0).unwrap();
    let bytes = store.export_file().unwrap();
    store.detach().unwrap();
    assert_eq!(store.append_group(&[&request("b", frame(0, 10))]).unwrap_err().code, Code::Busy);
    let mut database = MemoryFile::default();
    framelock::platform::File::write(&mut database, &bytes, 0).unwrap();
    let journal = Box::new(MemoryFile::default());
    let handles = Handles { database: Box::new(database), journal };
    assert_eq!(store.attach(handles, Mode::Shared, true).unwrap(), Attached::Ready);
    assert_eq!(count(&mut store), Value::Integer(10));
    assert!(store.exec("DELETE FROM t", &Params::None).is_err(), "a shared lease does not write");
}

#[test]
fn exec_leaves_no_transaction_open_and_no_lock_changed() {
    let mut store = store();
    let script = "CREATE TABLE a(n); INSERT INTO a VALUES (1), (2); INSERT INTO a VALUES (3)";
    assert_eq!(store.exec(script, &Params::None).unwrap().changes, 3);
    assert!(store.exec("BEGIN; INSERT INTO a VALUES (4)", &Params::None).is_err());
    assert!(!store.in_transaction());
    assert_eq!(one(&mut store, "SELECT count(*) FROM a"), Value::Integer(3));
    store.exec("BEGIN; INSERT INTO a VALUES (4); COMMIT", &Params::None).unwrap();
    let pragmas = [
        "journal_mode = WAL",
        "locking_mode = EXCLUSIVE",
        "synchronous = OFF",
        "count_changes = ON",
        "query_only = ON",
        "ignore_check_constraints = ON",
        "case_sensitive_like = ON",
    ];
    for pragma in pragmas {
        assert!(store.exec(&format!("PRAGMA {pragma}"), &Params::None).is_err(), "{pragma}");
    }
    assert!(store.exec("ATTACH 'other' AS other", &Params::None).is_err());
}

#[test]
fn a_query_leaves_no_transaction_open() {
    let mut store = store();
    store.exec("CREATE TABLE a(n)", &Params::None).unwrap();
    let begin = |store: &mut Store, sql: &str| {
        store.query(sql, &Params::None, &mut PackedRows::new(PackOptions::default()))
    };
    for sql in ["BEGIN", "BEGIN IMMEDIATE", "SAVEPOINT s"] {
        assert_eq!(begin(&mut store, sql).unwrap_err().code, Code::Sql, "{sql}");
        assert!(!store.in_transaction(), "{sql}");
    }
    assert_eq!(store.query_arrow("BEGIN", &Params::None).unwrap_err().code, Code::Sql);
    assert!(!store.in_transaction());
    // What comes next is committed by itself, and not part of something.
    store.exec("INSERT INTO a VALUES (1)", &Params::None).unwrap();
    store.append_group(&[&request("a", frame(0, 10))]).unwrap().remove(0).unwrap();
    // In a caller's transaction a savepoint stays open until the caller ends it.
    store.begin().unwrap();
    begin(&mut store, "SAVEPOINT s").unwrap();
    begin(&mut store, "INSERT INTO a VALUES (2)").unwrap();
    begin(&mut store, "ROLLBACK TO s").unwrap();
    store.commit().unwrap();
    assert_eq!(one(&mut store, "SELECT count(*) FROM a"), Value::Integer(1));
}

#[test]
fn a_query_whose_rows_cannot_be_given_changes_nothing() {
    let mut store = store();
    store.exec("CREATE TABLE a(n)", &Params::None).unwrap();
    let frame_of_int64 = request("a", frame(0, 10));
    store.append_group(&[&frame_of_int64]).unwrap().remove(0).unwrap();
    let table = &frame_of_int64.table;
    let refused = format!("INSERT INTO {table}(id) VALUES (1), (1 << 60) RETURNING id");
    let run = |store: &mut Store, sql: &str| {
        let exact = PackOptions { int64_as_number: true, ..PackOptions::default() };
        store.query(sql, &Params::None, &mut PackedRows::new(exact))
    };
    let count = format!("SELECT count(*) FROM {table}");
    assert_eq!(run(&mut store, &refused).unwrap_err().code, Code::LossyValue);
    assert!(!store.in_transaction());
    assert_eq!(one(&mut store, &count), Value::Integer(10));
    // In a transaction: the statement alone.
    store.begin().unwrap();
    let good = format!("INSERT INTO {table}(id) VALUES (7) RETURNING id");
    assert_eq!(run(&mut store, &good), Ok(1));
    assert_eq!(run(&mut store, &refused).unwrap_err().code, Code::LossyValue);
    store.commit().unwrap();
    assert_eq!(one(&mut store, &count), Value::Integer(11));
    assert_eq!(run(&mut store, &good), Ok(1));
    assert!(!store.in_transaction());
    assert!(store.take_touched().contains(table.as_str()));
}

#[test]
fn parameters_that_do_not_fit_are_refused() {
    let mut store = store();
    store.exec("CREATE TABLE a(x, y)", &Params::None).unwrap();
    let (one, two) = (Value::Integer(1), Value::Integer(2));
    let insert = "INSERT INTO a VALUES (:x, $y)";
    let named = |names: &[&str]| {
        Params::Named(names.iter().map(|n| (n.to_string(), one.clone())).collect())
    };
    store.exec(insert, &named(&["x", "y"])).unwrap();
    store.exec(insert, &named(&[":x", "$y"])).unwrap();
    let wrong = [
        named(&["x"]),
        named(&["x", "y", "z"]),
        Params::None,
        Params::Positional(vec![one.clone()]),
        Params::Positional(vec![one.clone(), two.clone(), two]),
    ];
    for params in wrong {
        let error = store.exec(insert, &params).unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument, "{params:?}");
    }
    for more in ["; INSERT INTO a VALUES (3, 4)", "; no statement"] {
        let error = store.exec(&format!("{insert}{more}"), &named(&["x", "y"])).unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument, "{more}");
    }
    store.exec(&format!("{insert}; -- the end"), &named(&["x", "y"])).unwrap();
    let Value::Integer(rows) = self::one(&mut store, "SELECT count(*) FROM a") else { panic!() };
    assert_eq!(rows, 3);
}

/// Writes a frame by so many rows at a time; gives in how many pieces.
fn append_in_pieces(
    store: &mut Store,
    request: &AppendRequest,
    rows: u64,
) -> framelock::error::Result<(Applied, u32)> {
    let mut long = store.begin_long(request)?;
    let mut pieces = 0;
    loop {
        match long {
            Long::Half(half) => long = store.go_on(request, half, rows)?,
            Long::Done(applied) => return Ok((applied, pieces)),
        }
        pieces += 1;
    }
}

#[test]
fn a_frame_in_pieces_leaves_the_same_bytes_as_at_one_go() {
    let batches: Vec<_> = [0, 250, 1, 0, 99].map(|rows| frame(0, rows).batches.remove(0)).into();
    let frame = Frame::new(batches[0].schema(), batches);
    let request = request("a", frame);
    let mut whole = store();
    whole.append_group(&[&request]).unwrap().remove(0).unwrap();
    let whole = whole.export_file().unwrap();
    for (rows, expected) in [(1, 350), (7, 50), (100, 3), (101, 3), (350, 1), (u64::MAX, 1)] {
        let mut pieces = store();
        let (applied, count) = append_in_pieces(&mut pieces, &request, rows).unwrap();
        assert_eq!((applied.rows, applied.duplicate), (350, false));
        assert!(count.abs_diff(expected) <= 1, "{rows} rows: {count} pieces");
        assert!(pieces.export_file().unwrap() == whole, "{rows} rows at a time");
        let (again, _) = append_in_pieces(&mut pieces, &request, rows).unwrap();
        assert!(again.duplicate && !pieces.in_transaction());
    }
}

#[test]
fn half_a_frame_is_rolled_back_and_a_refused_row_is_named_from_any_piece() {
    let mut store = store();
    store
        .exec("CREATE TABLE t(id INTEGER CHECK(id <> 170), price REAL, name TEXT)", &Params::None)
        .unwrap();
    let before = store.export_file().unwrap();
    let request = request("a", frame(0, 300));
    let error = append_in_pieces(&mut store, &request, 40).unwrap_err();
    assert_eq!(
        (error.code, error.row, error.table.as_deref()),
        (Code::Constraint, Some(170), Some("t"))
    );
    assert!(!store.in_transaction());
    let Long::Half(half) = store.begin_long(&request).unwrap() else { panic!("300 rows at once") };
    assert!(matches!(store.go_on(&request, half, 100).unwrap(), Long::Half(_)));
    assert!(store.in_transaction());
    assert_eq!(store.export_piece(0).unwrap_err().code, Code::Busy);
    store.rollback();
    assert_eq!(count(&mut store), Value::Integer(0));
    assert!(store.find_frame("a").unwrap().is_none());
    assert!(store.export_file().unwrap() == before);
}

#[test]
fn a_piece_is_bounded_by_cells_and_by_bytes() {
    let content = Content::Frame(frame(0, 10_000));
    let bytes = content.bytes_estimate();
    let rows = |cells, bytes| Piece { cells, bytes }.rows_of(&content);
    assert_eq!(rows(30_000, u64::MAX), 10_000);
    assert_eq!(rows(300, u64::MAX), 100);
    assert_eq!(rows(u64::MAX, bytes / 4), 2500);
    assert_eq!(rows(1, 1), 1);
}

#[test]
fn a_file_in_wal_mode_is_imported_and_one_that_is_cut_off_is_not() {
    let mut from = store();
    from.append_group(&[&request("b", frame(0, 5000))]).unwrap().remove(0).unwrap();
    let mut bytes = from.export_file().unwrap();
    bytes[18..20].copy_from_slice(&[2, 2]);
    let mut to = store();
    to.import_file(file(bytes.clone())).unwrap();
    assert_eq!(count(&mut to), Value::Integer(5000));
    assert_eq!(to.export_file().unwrap()[18..20], [1, 1]);
    for at in 18..20 {
        let mut unknown = bytes.clone();
        unknown[at] = 3;
        assert_eq!(to.import_file(file(unknown)).unwrap_err().code, Code::NotADatabase);
    }
    bytes.truncate(bytes.len() - 8192);
    assert_eq!(to.import_file(file(bytes.clone())).unwrap_err().code, Code::Corrupt);
    bytes.truncate(300);
    assert_eq!(to.import_file(file(bytes)).unwrap_err().code, Code::NotADatabase);
    assert_eq!(count(&mut to), Value::Integer(5000));
    // The file is there during the import only.
    assert_eq!(to.exec("ATTACH '/import' AS i", &Params::None).unwrap_err().code, Code::Sql);
}

#[test]
fn an_imported_file_replaces_everything_or_nothing() {
    let mut old = store();
    old.append_group(&[&request("a", frame(0, 10))]).unwrap().remove(0).unwrap();
    let mut new = store();
    new.append_group(&[&request("b", frame(0, 99))]).unwrap().remove(0).unwrap();
    let bytes = new.export_file().unwrap();
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 4096].fill(0x5a);
    assert_eq!(old.import_file(file(damaged)).unwrap_err().code, Code::Corrupt);
    assert_eq!(
        old.import_file(file(b"no database".to_vec())).unwrap_err().code,
        Code::NotADatabase
    );
    assert_eq!(count(&mut old), Value::Integer(10));
    old.import_file(file(bytes)).unwrap();
    assert_eq!(count(&mut old), Value::Integer(99));
    assert!(old.find_frame("b").unwrap().is_some());
    assert_eq!(one(&mut old, "PRAGMA integrity_check"), Value::Text("ok".into()));
}

#[test]
fn old_ids_of_our_own_are_forgotten_and_given_ones_are_kept() {
    let mut store = store();
    let given = AppendRequest { own_id: false, ..request("given", frame(0, 1)) };
    store.append_group(&[&given, &request("own", frame(1, 1))]).unwrap();
    let many = "INSERT INTO _framelock_frames(frame_id, table_name, rows, digest, own)
      WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < 100340)
      SELECT 'x' || i, 't', 1, zeroblob(16), 1 FROM n";
    past_framelock(&mut store, many);
    // A tab that appends little and is closed; the next one comes to 98 times 1024.
    for i in 0..12 {
        assert!(store.find_frame("own").unwrap().is_some());
        append(&mut store, &request(&format!("last {i}"), frame(2, 1))).unwrap();
    }
    for (id, is_known) in
        [("given", true), ("own", false), ("x352", false), ("x353", true), ("last 11", true)]
    {
        assert_eq!(store.find_frame(id).unwrap().is_some(), is_known, "{id}");
    }
}

#[test]
fn integers_without_a_catalogue_type_are_numbers_where_that_is_exact() {
    let mut store = store();
    store.append_group(&[&request("a", frame(0, 3))]).unwrap().remove(0).unwrap();
    let mut rows = PackedRows::new(PackOptions::default());
    let sql = "SELECT id, count(*) OVER () AS n, 9007199254740993 AS big FROM t";
    assert_eq!(store.query(sql, &Params::None, &mut rows).unwrap(), 3);
    let tags: Vec<_> = rows.columns.iter().map(|column| column.uniform_tag()).collect();
    assert_eq!(tags, [Some(2), Some(1), Some(2)]);
}
