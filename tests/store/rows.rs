//! How the rows of a frame come into SQLite: through a table of its own that nobody else can read.

use crate::{append, count, frame, one, past_framelock, request, store};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use framelock::error::{Code, Error};
use framelock::frame::Frame;
use framelock::frame::options::AppendOptions;
use framelock::store::{AppendRequest, Params, Store, Value};
use std::sync::Arc;

/// Tries, and gives what went wrong.
fn refused(store: &mut Store, sql: &str) -> Error {
    store.exec(sql, &Params::None).unwrap_err()
}

/// A table `t` by this DDL, and what became of a frame of so many rows (`id` from 0) in two batches.
fn appended(ddl: &str, rows: i64) -> (Store, framelock::error::Result<u64>) {
    let mut store = store();
    store.exec(ddl, &Params::None).unwrap();
    let batches =
        vec![frame(0, 1234).batches.remove(0), frame(1234, rows - 1234).batches.remove(0)];
    let frame = Frame::new(batches[0].schema(), batches);
    let outcome = append(&mut store, &request("a", frame));
    (store, outcome)
}

#[test]
fn sql_reads_nothing_of_a_frame() {
    let mut store = store();
    append(&mut store, &request("a", frame(0, 10))).unwrap();
    for source in [
        "_framelock_rows3",
        "_framelock_rows3(1)",
        "_framelock_rows3(NULL)",
        "_framelock_rows3(x'00')",
        "_framelock_rows3((SELECT name FROM t))",
        "_framelock_rows3 WHERE c0 IN (1, 2)",
        "t LEFT JOIN _framelock_rows3(t.id) ON false WHERE c1 = 1",
    ] {
        let counted = one(&mut store, &format!("SELECT count(*) FROM {source}"));
        assert_eq!(counted, Value::Integer(0), "{source}");
    }
    assert_eq!(one(&mut store, "SELECT sum(rowid + c2) FROM _framelock_rows3"), Value::Null);
    for sql in [
        "CREATE VIRTUAL TABLE mine USING _framelock_rows3",
        "INSERT INTO _framelock_rows3 VALUES(1, 2)",
        "SELECT * FROM _framelock_rows3(1, 2)",
    ] {
        assert_eq!(refused(&mut store, sql).code, Code::Sql, "{sql}");
    }
}

#[test]
fn a_trigger_that_reads_the_source_is_refused() {
    let mut store = store();
    append(&mut store, &request("a", frame(0, 10))).unwrap();
    let trigger = "CREATE TABLE seen(x); CREATE TRIGGER spy AFTER INSERT ON t BEGIN
        INSERT INTO seen SELECT c1 FROM _framelock_rows3; END";
    store.exec(trigger, &Params::None).unwrap();
    let error = append(&mut store, &request("b", frame(10, 10))).unwrap_err();
    assert_eq!(error.code, Code::Sql);
    assert!(error.message.contains("unsafe use of virtual table"), "{}", error.message);
    assert_eq!(count(&mut store), Value::Integer(10));
}

#[test]
fn another_table_under_the_name_of_the_source_is_an_error() {
    let values = |rest| format!("(c0, c1, c2{rest})");
    let make = [
        format!("CREATE TABLE _framelock_rows3{}", values("")),
        "CREATE VIEW _framelock_rows3 AS SELECT 1 c0, 2 c1, 3 c2".to_owned(),
        format!("CREATE VIRTUAL TABLE _framelock_rows3 USING fts5{}", values("")),
    ];
    for sql in make {
        let mut store = store();
        store.exec("CREATE TABLE x(a)", &Params::None).unwrap();
        past_framelock(&mut store, &sql);
        let error = append(&mut store, &request("a", frame(0, 10))).unwrap_err();
        assert_eq!(error.code, Code::Sql, "{sql}");
        assert_eq!(store.find_frame("a").unwrap(), None);
        let kind = if sql.contains("VIEW") { "VIEW" } else { "TABLE" };
        past_framelock(&mut store, &format!("DROP {kind} _framelock_rows3"));
        append(&mut store, &request("a", frame(0, 10))).unwrap();
        assert_eq!(count(&mut store), Value::Integer(10), "{sql}");
    }
}

#[test]
fn a_refused_row_is_named_whatever_refuses_it() {
    const T: &str = "CREATE TABLE t(id INTEGER, price REAL, name TEXT";
    const TRIGGER: &str = "CREATE TRIGGER no BEFORE INSERT ON t WHEN new.id = 2417
        BEGIN SELECT RAISE(ABORT, 'no'); END";
    let unique = "CREATE UNIQUE INDEX i ON t(CASE id WHEN 2417 THEN 2000 ELSE id END)";
    let parents = "CREATE TABLE p(id INTEGER PRIMARY KEY);
        WITH n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 2416) INSERT INTO p SELECT i FROM n";
    for ddl in [
        format!("{T}, CHECK(id <> 2417))"),
        format!("{T}); {TRIGGER}"),
        format!("{T}); {unique}"),
        format!("{T}); {unique}; CREATE TRIGGER quiet AFTER INSERT ON t BEGIN SELECT 1; END"),
        format!("{T}, UNIQUE(id) ON CONFLICT FAIL, CHECK(id <> 2417))"),
        format!("{parents}; {T}, FOREIGN KEY(id) REFERENCES p)"),
        format!("{T}, CHECK(id <> 2417)) STRICT"),
    ] {
        let (mut store, outcome) = appended(&ddl, 5000);
        let error = outcome.unwrap_err();
        let said = (error.code, error.row, error.table.as_deref());
        assert_eq!(said, (Code::Constraint, Some(2417), Some("t")), "{ddl}");
        assert_eq!(count(&mut store), Value::Integer(0), "{ddl}");
    }
}

#[test]
fn what_a_refused_row_leaves_blames_no_other_row() {
    const T: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, price REAL, name TEXT)";
    const TRIGGER: &str = "CREATE TRIGGER no AFTER INSERT ON t WHEN new.id = 2417
        BEGIN SELECT RAISE(FAIL, 'no'); END";
    let twin = "CREATE TABLE t(id INTEGER, price REAL, name TEXT UNIQUE ON CONFLICT ROLLBACK);
        INSERT INTO t(name) VALUES('name 100')";
    let quiet = format!("{twin}; CREATE TRIGGER quiet AFTER INSERT ON t BEGIN SELECT 1; END");
    let parent = "CREATE TABLE p(id INTEGER PRIMARY KEY); INSERT INTO p VALUES(0);
        CREATE TABLE t(id INTEGER REFERENCES p, price REAL, name TEXT, UNIQUE(name) ON CONFLICT FAIL);
        INSERT INTO t(name) VALUES('name 100')";
    let name = "UNIQUE constraint failed: t.name";
    for (ddl, message, row) in [
        // The rows before it are there yet; nobody knows which it was.
        (&*format!("{T}; {TRIGGER}"), "no", None),
        (&quiet, name, None),
        (twin, name, Some(100)),
        // The first one without a parent, and not the one for which the statement ended.
        (parent, "FOREIGN KEY constraint failed", Some(1)),
    ] {
        let (mut store, outcome) = appended(ddl, 5000);
        let error = outcome.unwrap_err();
        assert_eq!(
            (error.code, &*error.message, error.row),
            (Code::Constraint, message, row),
            "{ddl}"
        );
        let there_before = i64::from(message != "no");
        assert_eq!(count(&mut store), Value::Integer(there_before), "{ddl}");
    }
}

#[test]
fn a_refused_column_is_named_where_the_constraint_is_of_one() {
    for (table, column) in [
        ("(id INTEGER, price REAL, name TEXT NOT NULL)", Some("name")),
        ("(id INTEGER PRIMARY KEY, price REAL, name TEXT)", Some("id")),
        ("(id INTEGER UNIQUE, price REAL, name TEXT)", Some("id")),
        ("(id INTEGER, price REAL, name TEXT, UNIQUE(id, price))", None),
        ("(id INTEGER, price REAL, name TEXT CHECK(name <> 'b'))", None),
    ] {
        let mut store = store();
        store.exec(&format!("CREATE TABLE \"a. t\"{table}"), &Params::None).unwrap();
        let last = if column == Some("name") { None } else { Some("b") };
        let columns: [(&str, ArrayRef); 3] = [
            ("id", Arc::new(Int64Array::from(vec![1, 2, 2]))),
            ("price", Arc::new(Float64Array::from(vec![0.5; 3]))),
            ("name", Arc::new(StringArray::from(vec![Some("a"), Some("a"), last]))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let mut request = request("a", Frame::new(rows.schema(), vec![rows]));
        request.table = "A. T".to_owned();
        let error = append(&mut store, &request).unwrap_err();
        assert_eq!(error.code, Code::Constraint, "{table}: {}", error.message);
        assert_eq!(error.column.as_deref(), column, "{table}: {}", error.message);
    }
}

#[test]
fn a_trigger_sees_the_rows_in_their_order_as_they_are() {
    let log = "CREATE TABLE log(n INTEGER PRIMARY KEY, id, price, name);
        CREATE TABLE t(id INTEGER, price REAL, name TEXT);
        CREATE TRIGGER l AFTER INSERT ON t BEGIN
          INSERT INTO log(id, price, name) VALUES(new.id, new.price, new.name); END";
    let (mut store, outcome) = appended(log, 5000);
    assert_eq!(outcome.unwrap(), 5000);
    let same = "SELECT count(*) FROM log JOIN t ON t.rowid = n
        WHERE n = log.id + 1 AND log.id = t.id AND log.price IS t.price AND log.name = t.name
          AND t.name = 'name ' || iif(t.id < 1234, t.id, t.id - 1234)";
    assert_eq!(one(&mut store, same), Value::Integer(5000));
    let touched: Vec<_> = store.take_committed().into_iter().collect();
    assert_eq!(touched, ["log", "t"]);
}

#[test]
fn what_a_trigger_writes_is_told_though_another_schema_had_its_version() {
    let mut store = store();
    append(&mut store, &request("a", frame(0, 3))).unwrap();
    store.exec("CREATE TABLE log(id)", &Params::None).unwrap();
    store.begin().unwrap();
    store.exec("CREATE TABLE taken_back(a)", &Params::None).unwrap();
    store.apply_in_savepoint(&request("b", frame(3, 3))).unwrap();
    store.rollback();
    let trigger = "CREATE TRIGGER l AFTER INSERT ON t BEGIN INSERT INTO log VALUES(new.id); END";
    store.exec(trigger, &Params::None).unwrap();
    store.take_committed();
    for id in ["c", "d"] {
        append(&mut store, &request(id, frame(6, 3))).unwrap();
        let told: Vec<_> = store.take_committed().into_iter().collect();
        assert_eq!(told, ["log", "t"], "{id}");
    }
}

#[test]
fn two_thousand_columns_come_in_and_so_does_one() {
    for width in [1_i64, 63, 64, 65, 2000] {
        let column = |c: i64| -> (String, ArrayRef) {
            (format!("n{c}"), Arc::new(Int64Array::from_iter_values((0..3).map(|r| r * width + c))))
        };
        let batch = RecordBatch::try_from_iter((0..width).map(column)).unwrap();
        let sent = request("a", Frame::new(batch.schema(), vec![batch]));
        let mut store = store();
        assert_eq!(append(&mut store, &sent).unwrap(), 3);
        for c in [0, width / 2, width - 1] {
            let sum = one(&mut store, &format!("SELECT sum(n{c}) FROM t"));
            assert_eq!(sum, Value::Integer(3 * width + 3 * c), "n{c} of {width}");
        }
    }
}

#[test]
fn a_database_of_another_encoding_keeps_the_text() {
    let mut store = store();
    store.exec("PRAGMA encoding='UTF-16le'", &Params::None).unwrap();
    let names: ArrayRef = Arc::new(StringArray::from(vec!["", "größer\0€", "😀"]));
    let batch = RecordBatch::try_from_iter([("name", names)]).unwrap();
    append(&mut store, &request("a", Frame::new(batch.schema(), vec![batch]))).unwrap();
    let kept = "SELECT group_concat(hex(CAST(name AS BLOB)), ' ') FROM t";
    let Value::Text(hex) = one(&mut store, kept) else { panic!("no text") };
    let utf16_of = |text: &str| -> String {
        text.encode_utf16().map(|unit| format!("{:04X}", unit.swap_bytes())).collect()
    };
    assert_eq!(hex, format!(" {} {}", utf16_of("größer\0€"), utf16_of("😀")));
}

#[test]
fn keyed_modes_write_over_or_leave_rows() {
    let (mut store, outcome) =
        appended("CREATE TABLE t(id INTEGER PRIMARY KEY, price, name)", 3000);
    assert_eq!(outcome.unwrap(), 3000);
    store.exec("UPDATE t SET name = 'old'", &Params::None).unwrap();
    let keyed = |id: &str, mode, rows| AppendRequest {
        options: AppendOptions { mode, ..Default::default() },
        ..request(id, rows)
    };
    use framelock::frame::options::Mode;
    append(&mut store, &keyed("ignore", Mode::Ignore, frame(2990, 20))).unwrap();
    let old = "SELECT count(*) FROM t WHERE name = 'old'";
    assert_eq!(one(&mut store, old), Value::Integer(3000));
    append(&mut store, &keyed("upsert", Mode::Upsert, frame(2990, 30))).unwrap();
    assert_eq!(one(&mut store, old), Value::Integer(2990));
    assert_eq!(count(&mut store), Value::Integer(3020));
}
