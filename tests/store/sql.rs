//! The caller's own SQL beside frames: what it may not stand in the way of, and what follows it.

use super::*;
use arrow::array::{BooleanArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, TimeUnit};
use framelock::frame::options::Mode as AppendMode;

fn exec(store: &mut Store, sql: &str) -> framelock::error::Result<u64> {
    store.exec(sql, &Params::None).map(|done| done.changes)
}

fn of(frame_id: &str, columns: Vec<(&str, ArrayRef)>) -> AppendRequest {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    request(frame_id, Frame::new(batch.schema(), vec![batch]))
}

fn numbers(values: Vec<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

/// The types with which a query's columns come back.
fn types(store: &mut Store, sql: &str) -> Vec<DataType> {
    let bytes = store.query_arrow(sql, &Params::None).unwrap();
    let frame = Frame::decode(bytes.into()).unwrap();
    frame.schema.fields().iter().map(|field| field.data_type().clone()).collect()
}

#[test]
fn temporary_tables_and_views_do_not_stand_before_a_frames_table() {
    for temporary in ["TABLE t(id, price, name)", "VIEW t AS SELECT 1 AS id, 2 AS price, 3 AS name"]
    {
        for rows in [3, 5000] {
            let mut store = store();
            append(&mut store, &request("first", frame(0, 7))).unwrap();
            exec(&mut store, &format!("CREATE TEMP {temporary}")).unwrap();
            for (nth, mode) in
                [AppendMode::CreateAppend, AppendMode::DeleteRows, AppendMode::Replace]
                    .into_iter()
                    .enumerate()
            {
                let mut next = request(&format!("{nth}"), frame(100, rows));
                next.options.mode = mode;
                append(&mut store, &next).unwrap();
                let before = if nth == 0 { 7 } else { 0 };
                let there = one(&mut store, "SELECT count(*) FROM main.t");
                assert_eq!(there, Value::Integer(rows + before), "{temporary}, {mode:?}");
            }
            let mut more = of("more", vec![("id", numbers(vec![1])), ("extra", numbers(vec![2]))]);
            more.options.extra_columns = ExtraColumns::Add;
            append(&mut store, &more).unwrap();
            assert_eq!(one(&mut store, "SELECT max(extra) FROM main.t"), Value::Integer(2));
        }
    }
}

#[test]
fn what_would_act_on_the_frames_of_other_tabs_is_denied() {
    let mut store = store();
    append(&mut store, &request("a", frame(0, 1))).unwrap();
    for sql in [
        "CREATE TEMP TRIGGER no BEFORE INSERT ON main.t BEGIN SELECT RAISE(IGNORE); END",
        "CREATE TEMP TABLE _framelock_frames(frame_id)",
        "CREATE TEMP VIEW _Framelock_columns AS SELECT 1",
        "PRAGMA journal_mode=WAL",
        "PRAGMA ignore_check_constraints=ON",
        "DROP TABLE _framelock_frames",
        "DELETE FROM _framelock_frames",
        "UPDATE _framelock_columns SET column_name = 'x'",
        "ALTER TABLE _framelock_columns ADD COLUMN x",
        "CREATE TABLE _Framelock_x(a)",
        "CREATE INDEX i ON _framelock_frames(rows)",
    ] {
        let error = exec(&mut store, sql).unwrap_err();
        assert_eq!(error.code, Code::Sql, "{sql}");
        assert!(error.message.contains("framelock"), "{}", error.message);
    }
    // A trigger is the caller's, even if a frame fires it.
    exec(
        &mut store,
        "CREATE TRIGGER tr AFTER INSERT ON t BEGIN DELETE FROM _framelock_frames; END",
    )
    .unwrap();
    assert_eq!(append(&mut store, &request("b", frame(1, 1))).unwrap_err().code, Code::Sql);
    exec(&mut store, "DROP TRIGGER tr; VACUUM").unwrap();
    assert!(append(&mut store, &request("a", frame(0, 1))).is_ok());
    assert_eq!(count(&mut store), Value::Integer(1));
}

#[test]
fn a_query_without_a_statement_says_so() {
    let mut store = store();
    for sql in ["", " -- nothing", ";", "/* none */ ; "] {
        let mut rows = PackedRows::new(PackOptions::default());
        let error = store.query(sql, &Params::None, &mut rows).unwrap_err();
        assert_eq!((error.code, &*error.message), (Code::Sql, "the SQL has no statement"), "{sql}");
    }
}

#[test]
fn a_temporary_table_that_takes_a_name_of_framelocks_hides_nothing() {
    let mut store = store();
    append(&mut store, &request("a", frame(0, 1))).unwrap();
    for name in ["_framelock_frames", "_framelock_columns"] {
        let make = format!("CREATE TEMP TABLE x AS SELECT * FROM {name} LIMIT 0");
        exec(&mut store, &format!("{make}; ALTER TABLE x RENAME TO {name}")).unwrap();
    }
    append(&mut store, &request("b", frame(1, 1))).unwrap();
    assert_eq!(one(&mut store, "SELECT count(*) FROM main._framelock_frames"), Value::Integer(2));
    assert_eq!(one(&mut store, "SELECT count(*) FROM temp._framelock_frames"), Value::Integer(0));
    assert!(append(&mut store, &request("a", frame(0, 1))).is_ok());
    assert_eq!(count(&mut store), Value::Integer(2));
}

#[test]
fn the_file_is_open_once() {
    let mut store = store();
    append(&mut store, &request("a", frame(0, 3))).unwrap();
    for sql in
        ["ATTACH '/database' AS x", "ATTACH '/data' || 'base' AS x", "ATTACH 'file:/database' AS x"]
    {
        assert_eq!(exec(&mut store, sql).unwrap_err().code, Code::Sql, "{sql}");
    }
    let path = Params::Positional(vec![Value::Text("/database".into())]);
    assert_eq!(store.exec("ATTACH ? AS x", &path).unwrap_err().code, Code::Sql);
    exec(&mut store, "ATTACH ':memory:' AS x; DETACH x").unwrap();
    assert_eq!(count(&mut store), Value::Integer(3));
}

#[test]
fn after_an_alter_no_other_statement_is_in_its_savepoint() {
    let widened = || {
        let mut store = store();
        append(&mut store, &request("a", frame(0, 3))).unwrap();
        append(&mut store, &wider("b", "x", ExtraColumns::Add)).unwrap();
        store
    };
    exec(&mut widened(), "VACUUM").unwrap();
    exec(&mut widened(), "BEGIN; DELETE FROM t; COMMIT").unwrap();
    let mut store = widened();
    assert!(exec(&mut store, "ALTER TABLE t RENAME COLUMN nope TO y").is_err());
    exec(&mut store, "VACUUM").unwrap();
}

#[test]
fn a_table_may_be_called_as_what_an_upsert_refuses_is() {
    let mut store = store();
    for (frame_id, value) in [("a", 1), ("b", 2)] {
        let mut row = of(frame_id, vec![("k", numbers(vec![7])), ("v", numbers(vec![value]))]);
        row.table = "excluded".into();
        row.options.mode = AppendMode::Upsert;
        row.options.key = Some(vec!["k".into()]);
        append(&mut store, &row).unwrap();
    }
    assert_eq!(one(&mut store, "SELECT v FROM excluded"), Value::Integer(2));
}

#[test]
fn the_index_of_a_key_takes_no_name_that_something_has() {
    let mut store = store();
    let row = |id: &str| {
        let columns = ["a", "b", "a_b"].map(|name| (name, numbers(vec![1])));
        of(id, columns.to_vec())
    };
    append(&mut store, &row("rows")).unwrap();
    exec(&mut store, "CREATE TABLE key_t_b(n)").unwrap();
    for (nth, key) in [vec!["a", "b"], vec!["a_b"], vec!["b"]].into_iter().enumerate() {
        let mut upsert = row(&format!("{nth}"));
        upsert.options.mode = AppendMode::Upsert;
        upsert.options.key = Some(key.into_iter().map(str::to_owned).collect());
        append(&mut store, &upsert).unwrap();
    }
    let indexes = "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND tbl_name = 't'";
    assert_eq!(one(&mut store, indexes), Value::Integer(3));
    assert_eq!(count(&mut store), Value::Integer(1));
    let mut odd = row("odd");
    odd.table = "sqlite".into();
    odd.options.mode = AppendMode::Upsert;
    odd.options.key = Some(vec!["a".into()]);
    append(&mut store, &AppendRequest { options: AppendOptions::default(), ..odd.clone() })
        .unwrap();
    append(&mut store, &AppendRequest { frame_id: "again".into(), ..odd }).unwrap();
}

#[test]
fn renamed_tables_and_columns_keep_their_types() {
    let mut store = store();
    let moments: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![5]));
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    let rows = |id: &str| of(id, vec![("at", moments.clone()), ("yes", flags.clone())]);
    append(&mut store, &rows("a")).unwrap();
    let wanted = vec![DataType::Timestamp(TimeUnit::Millisecond, None), DataType::Boolean];
    exec(&mut store, "ALTER TABLE t RENAME TO u").unwrap();
    assert_eq!(types(&mut store, "SELECT * FROM u"), wanted);
    exec(&mut store, "ALTER TABLE u RENAME COLUMN \"at\" TO moment; ALTER TABLE u ADD COLUMN n")
        .unwrap();
    assert_eq!(types(&mut store, "SELECT moment, yes FROM u"), wanted);
    // A renaming that is taken back; one inside a transaction; one that fails.
    store.begin().unwrap();
    exec(&mut store, "ALTER TABLE u RENAME TO v").unwrap();
    store.rollback();
    assert_eq!(types(&mut store, "SELECT moment, yes FROM u"), wanted);
    exec(&mut store, "BEGIN; ALTER TABLE u RENAME TO v; COMMIT").unwrap();
    for taken in ["sqlite_v", "_framelock_dead_letters", "_FrameLock_v"] {
        assert!(exec(&mut store, &format!("ALTER TABLE v RENAME TO {taken}")).is_err(), "{taken}");
    }
    assert_eq!(types(&mut store, "SELECT moment, yes FROM v"), wanted);
    // The name is free again, and what has it has types of its own.
    append(&mut store, &of("b", vec![("at", numbers(vec![1]))])).unwrap();
    assert_eq!(types(&mut store, "SELECT \"at\" FROM t"), [DataType::Int64]);
    let mut more = rows("c");
    more.table = "v".into();
    more.options.matching = framelock::frame::options::Match::Position;
    append(&mut store, &more).unwrap();
}

#[test]
fn a_table_that_is_renamed_is_written_under_both_names() {
    let mut store = store();
    append(&mut store, &request("a", frame(0, 1))).unwrap();
    exec(&mut store, "CREATE TABLE plain(a)").unwrap();
    for table in ["t", "plain"] {
        store.take_touched();
        exec(&mut store, &format!("ALTER TABLE {table} ADD COLUMN more")).unwrap();
        assert_eq!(store.take_touched().into_iter().collect::<Vec<_>>(), [table]);
        exec(&mut store, &format!("ALTER TABLE {table} RENAME TO new_{table}")).unwrap();
        let touched = store.take_touched();
        assert!(
            touched.contains(table) && touched.contains(&format!("new_{table}")),
            "{touched:?}"
        );
    }
}

#[test]
fn the_last_rowid_is_that_of_the_callers_last_row() {
    let mut store = store();
    exec(&mut store, "CREATE TABLE t(id INTEGER PRIMARY KEY, n)").unwrap();
    let last = "SELECT last_insert_rowid()";
    for (id, forward) in [(700, false), (800, true)] {
        store.begin().unwrap();
        let rows = of(&id.to_string(), vec![("id", numbers(vec![id - 1, id]))]);
        store.apply_in_savepoint(&AppendRequest { forward, ..rows }).unwrap();
        assert_eq!(one(&mut store, last), Value::Integer(id));
        store.commit().unwrap();
    }
    store.transfer_from(0);
    append(
        &mut store,
        &of("large", vec![("id", numbers(vec![900, 901])), ("n", numbers(vec![1, 2]))]),
    )
    .unwrap();
    assert_eq!((one(&mut store, last), store.transferred()), (Value::Integer(901), 2));
}

#[test]
fn foreign_keys_hold_unless_a_handle_gives_them_up() {
    let mut store = store();
    exec(&mut store, "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE t(id REFERENCES p)")
        .unwrap();
    let orphan = of("a", vec![("id", numbers(vec![1]))]);
    assert_eq!(append(&mut store, &orphan).unwrap_err().code, Code::Constraint);
    exec(&mut store, "PRAGMA foreign_keys=OFF").unwrap();
    append(&mut store, &orphan).unwrap();
}

#[test]
fn a_row_may_refer_to_a_later_one_that_is_near_or_anywhere_if_that_is_deferred() {
    let tree = |rows: i64, first: i64| {
        let parents = (0..rows).map(|id| if id == 0 { first } else { id });
        of(
            "tree",
            vec![("id", numbers((0..rows).collect())), ("parent", numbers(parents.collect()))],
        )
    };
    for (rest, rows, first, is_in) in [
        ("", 1500, 900, true),
        ("", 1500, 1400, false),
        (" DEFERRABLE INITIALLY DEFERRED", 1500, 1400, true),
        (" DEFERRABLE INITIALLY DEFERRED", 1500, 1500, false),
    ] {
        let mut store = store();
        let ddl = format!("CREATE TABLE t(id INTEGER PRIMARY KEY, parent REFERENCES t{rest})");
        exec(&mut store, &ddl).unwrap();
        let outcome = append(&mut store, &tree(rows, first)).map_err(|error| error.code);
        let wanted = if is_in { Ok(1500) } else { Err(Code::Constraint) };
        assert_eq!(
            (outcome, count(&mut store)),
            (wanted, Value::Integer(if is_in { rows } else { 0 })),
            "{ddl}, {first}"
        );
    }
}

#[test]
fn only_what_was_done_counts_as_written() {
    let mut store = store();
    exec(&mut store, "CREATE TABLE u(n UNIQUE); CREATE TABLE v(n)").unwrap();
    store.take_touched();
    assert!(exec(&mut store, "INSERT INTO u VALUES(1), (1)").is_err());
    assert!(store.take_touched().is_empty());
    assert!(exec(&mut store, "INSERT INTO v VALUES(1); INSERT INTO u VALUES(1), (1)").is_err());
    assert_eq!(store.take_touched().into_iter().collect::<Vec<_>>(), ["v"]);
    exec(&mut store, "CREATE INDEX i ON v(n)").unwrap();
    assert!(store.take_touched().contains("v"));
    // OR FAIL keeps what came before.
    assert!(exec(&mut store, "INSERT OR FAIL INTO u VALUES(2), (2)").is_err());
    assert_eq!(store.take_touched().into_iter().collect::<Vec<_>>(), ["u"]);
    // So it is with a query.
    for (sql, written) in [
        ("INSERT INTO u VALUES(3), (3)", &[][..]),
        ("INSERT INTO u VALUES(3), (3) RETURNING n", &[]),
        ("INSERT OR FAIL INTO u VALUES(3), (3) RETURNING n", &[]),
        ("INSERT OR FAIL INTO u VALUES(3), (3)", &["u"]),
        ("INSERT INTO u VALUES(4) RETURNING n", &["u"]),
    ] {
        let _of_interest_is_what_is_written = store.query_arrow(sql, &Params::None);
        assert_eq!(store.take_touched().into_iter().collect::<Vec<_>>(), written, "{sql}");
    }
}

#[test]
fn a_file_that_was_cut_short_is_refused() {
    let mut other = store();
    exec(&mut other, "CREATE TABLE z(a TEXT); INSERT INTO z VALUES('hello world')").unwrap();
    let bytes = other.export_file().unwrap();
    let mut store = store();
    append(&mut store, &request("a", frame(0, 3))).unwrap();
    store.take_touched();
    for missing in [1, 3, 8192] {
        let error = store.import_file(file(bytes[..bytes.len() - missing].to_vec())).unwrap_err();
        assert_eq!(error.code, Code::Corrupt, "{missing} bytes");
    }
    assert_eq!(count(&mut store), Value::Integer(3));
    store.import_file(file(bytes)).unwrap();
    let touched = store.take_touched();
    assert!(touched.contains("z") && touched.contains("t"), "{touched:?}");
}

#[test]
fn a_file_in_utf_16_is_refused() {
    let mut other = store();
    exec(&mut other, "PRAGMA encoding='UTF-16'; CREATE TABLE z(a TEXT)").unwrap();
    let bytes = other.export_file().unwrap();
    let mut store = store();
    append(&mut store, &request("a", frame(0, 3))).unwrap();
    assert_eq!(store.import_file(file(bytes)).unwrap_err().code, Code::InvalidArgument);
    assert_eq!(count(&mut store), Value::Integer(3));
    let bytes = store.export_file().unwrap();
    exec(&mut other, "INSERT INTO z VALUES('é')").unwrap();
    // Nor is one that is not over one that is: no tab could read it.
    assert_eq!(other.import_file(file(bytes)).unwrap_err().code, Code::InvalidArgument);
    assert_eq!(one(&mut other, "SELECT a FROM z"), Value::Text("é".into()));
}

#[test]
fn no_statement_ends_the_transaction_around_it() {
    let ended = "surrounding transaction";
    for (sql, says) in
        [("COMMIT", "not authorized"), ("end", "not authorized"), ("ROLLBACK", ended)]
    {
        for is_query in [false, true] {
            let mut store = store();
            exec(&mut store, "BEGIN; CREATE TABLE own(a); COMMIT").unwrap();
            store.begin().unwrap();
            let ended = match is_query {
                true => store.query_arrow(sql, &Params::None).map(drop),
                false => exec(&mut store, sql).map(drop),
            };
            let error = ended.unwrap_err();
            assert!(error.message.contains(says), "{sql}: {error}");
            assert_eq!(store.in_transaction(), says != "surrounding transaction");
        }
    }
}

#[test]
fn a_file_with_a_name_that_is_not_utf_8_is_refused() {
    let mut other = store();
    exec(&mut other, "CREATE TABLE t(id INTEGER, gr__e TEXT)").unwrap();
    let mut bytes = other.export_file().unwrap();
    let name = bytes.windows(5).position(|name| name == b"gr__e").unwrap();
    // In Latin-1.
    bytes[name + 2..name + 4].copy_from_slice(b"\xf6\xdf");
    let mut store = store();
    append(&mut store, &request("a", frame(0, 3))).unwrap();
    assert_eq!(store.import_file(file(bytes)).unwrap_err().code, Code::InvalidArgument);
    assert_eq!(count(&mut store), Value::Integer(3));
}
