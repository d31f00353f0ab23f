//! The types with which a query's columns come back, as Arrow and as JavaScript's values.

use crate::redo::Disk;
use crate::{append, request, store};
use arrow::array::*;
use arrow::datatypes::*;
use arrow::ipc::reader::StreamReader;
use framelock::error::{Code, Error};
use framelock::frame::Frame;
use framelock::frame::options::AppendOptions;
use framelock::store::{
    AppendRequest, Mode, PackOptions, PackedColumn, PackedRows, Params, Store, Value,
};
use std::sync::Arc;

/// A table by this name with these columns.
fn table(store: &mut Store, name: &str, columns: Vec<(&str, ArrayRef)>, options: &str) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let frame = Frame::new(batch.schema(), vec![batch]);
    let id = format!("{name} {options}");
    let options: AppendOptions = serde_json::from_str(options).unwrap();
    append(store, &AppendRequest { table: name.into(), options, ..request(&id, frame) }).unwrap();
}

fn exec(store: &mut Store, sql: &str) {
    store.exec(sql, &Params::None).unwrap();
}

/// The types of a query's columns.
fn types(store: &mut Store, sql: &str) -> Vec<DataType> {
    let stream = store.query_arrow(sql, &Params::None).unwrap_or_else(|e| panic!("{sql}: {e}"));
    let reader = StreamReader::try_new(&stream[..], None).unwrap();
    reader.schema().fields().iter().map(|field| field.data_type().clone()).collect()
}

fn rows(store: &mut Store, sql: &str, options: PackOptions) -> Result<Vec<PackedColumn>, Error> {
    let mut rows = PackedRows::new(options);
    store.query(sql, &Params::None, &mut rows)?;
    Ok(rows.columns)
}

/// A column `ts` of seconds.
fn seconds() -> (&'static str, ArrayRef) {
    ("ts", Arc::new(TimestampSecondArray::from(vec![7])))
}

/// The same number without a unit.
fn int() -> (&'static str, ArrayRef) {
    ("ts", Arc::new(Int32Array::from(vec![7])))
}

const SECONDS: DataType = DataType::Timestamp(TimeUnit::Second, None);

/// Tables `a` and `b`, whose `ts` count seconds and milliseconds, and views of them.
fn two_units() -> Store {
    let mut store = store();
    let ids = || -> (&str, ArrayRef) { ("id", Arc::new(Int32Array::from(vec![1]))) };
    table(
        &mut store,
        "a",
        vec![ids(), ("ts", Arc::new(TimestampSecondArray::from(vec![7])))],
        "{}",
    );
    let millis = Arc::new(TimestampMillisecondArray::from(vec![7_500]));
    table(&mut store, "b", vec![ids(), ("ts", millis)], "{}");
    let views = "CREATE VIEW plain AS SELECT ts, 'union' AS \"union\" FROM a;
        CREATE VIEW \"Mi x\" AS SELECT ts FROM b UNION ALL SELECT ts FROM a;
        CREATE VIEW over_mix AS SELECT * FROM [mi X];
        CREATE TEMP VIEW passing AS SELECT ts FROM b EXCEPT SELECT ts FROM main.a";
    store.exec(views, &Params::None).unwrap();
    store
}

#[test]
fn a_column_of_a_compound_has_the_type_of_its_values() {
    let mut store = two_units();
    for sql in [
        "SELECT ts FROM a UNION SELECT ts FROM b",
        "SELECT ts FROM a UNION ALL SELECT ts FROM b",
        "SELECT ts FROM a INTERSECT SELECT 7",
        "select ts from a except select 8",
        "SELECT ts FROM a/**/UNION--\nSELECT ts FROM a UNION SELECT ts FROM b UNION SELECT ts FROM a",
        "SELECT ts FROM (SELECT 5 AS ts UNION ALL SELECT ts FROM a)",
        "SELECT * FROM (SELECT * FROM (SELECT 5 AS ts UNION ALL SELECT ts FROM a)) AS x",
        "SELECT (SELECT ts FROM a UNION SELECT ts FROM b)",
        "WITH c AS (SELECT 5 AS ts UNION ALL SELECT ts FROM a) SELECT ts FROM c",
        "WITH c(ts) AS (SELECT 5 UNION ALL SELECT ts FROM a) SELECT ts FROM c",
        "WITH c(ts) AS NOT MATERIALIZED (SELECT 5 UNION ALL SELECT ts FROM a) SELECT c.ts FROM c JOIN a USING (ts)
         UNION SELECT 4",
        "WITH c(ts) AS (SELECT 5 UNION SELECT ts FROM a), d AS (SELECT * FROM c) SELECT ts FROM d",
        "SELECT column1 FROM (VALUES (5), ((SELECT ts FROM a)))",
        "VALUES ((SELECT ts FROM a)), (5)",
        "SELECT ts FROM \"mi X\"",
        "SELECT ts FROM `Mi x`",
        "SELECT x.ts FROM 'MI X' AS x, plain",
        "SELECT ts FROM over_mix",
        "SELECT ts FROM passing",
        "SELECT ts FROM (SELECT * FROM over_mix WHERE ts IN (SELECT ts FROM b))",
        "SELECT ?1UNION SELECT ts FROM a",
        "SELECT ts FROM a WHERE $a(') OR 1 UNION SELECT ts FROM b -- ')",
        "\u{feff}SELECT ts FROM a \u{feff}UNION SELECT ts FROM b",
    ] {
        let mut args = Params::None;
        if sql.contains('$') || sql.contains('?') {
            args = Params::Positional(vec![framelock::store::Value::Integer(1)]);
        }
        let stream = store.query_arrow(sql, &args).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let reader = StreamReader::try_new(&stream[..], None).unwrap();
        let data_type = reader.schema().field(0).data_type().clone();
        assert!([DataType::Int64, DataType::Null].contains(&data_type), "{sql}: {data_type}");
    }
    let returned =
        "INSERT INTO a VALUES (2, 8) RETURNING ts, (SELECT ts FROM a UNION SELECT ts FROM b)";
    assert_eq!(types(&mut store, returned), [DataType::Int64, DataType::Int64]);
    let with = "WITH c AS (SELECT 5 AS ts UNION ALL SELECT ts FROM a)
        UPDATE a SET id = 1 RETURNING (SELECT ts FROM c)";
    assert_eq!(types(&mut store, with), [DataType::Int64]);
}

#[test]
fn a_plain_reference_beside_a_compound_keeps_its_type() {
    let mut store = two_units();
    for sql in [
        "SELECT ts FROM a",
        "SELECT x.ts AS \"union\" FROM (SELECT * FROM a) AS x JOIN b USING (id) -- UNION",
        "SELECT ts FROM plain /* EXCEPT */ WHERE \"union\" <> 'x UNION ALL y' AND [union] <> 'it''s'",
        "SELECT ts FROM a WHERE id IN (SELECT 1 UNION SELECT id FROM b)",
        "SELECT ts FROM a WHERE EXISTS (SELECT ts FROM over_mix) AND (id, 1) IN (VALUES (1, 1), (2, 2))",
        "WITH RECURSIVE n(i, j) AS (SELECT 1, 2 UNION ALL SELECT i + 1, j FROM n WHERE i < 3)
         SELECT a.ts, i FROM n JOIN a ON a.id = n.i",
        "WITH n(i) AS MATERIALIZED (SELECT id FROM b UNION SELECT 1), m AS (SELECT ts FROM a)
         SELECT m.* FROM m, n WHERE i IN (1)",
        "WITH c AS (SELECT ts FROM a) SELECT ts FROM c",
        "SELECT (SELECT ts FROM a)",
        "SELECT ts FROM a JOIN (VALUES (1)) ON column1 = id",
        "INSERT INTO a VALUES (1, 7), (1, 8) RETURNING ts",
        "INSERT INTO a SELECT 1, 7 UNION ALL SELECT 1, 8 RETURNING (ts) AS ts",
    ] {
        assert_eq!(types(&mut store, sql)[0], SECONDS, "{sql}");
    }
}

#[test]
fn a_compound_keeps_the_types_in_which_its_branches_agree() {
    let mut store = two_units();
    let moments: ArrayRef = Arc::new(TimestampSecondArray::from(vec![Some(8), None]));
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    table(&mut store, "c", vec![("id", ids), ("at", moments)], "{}");
    for (sql, wanted) in [
        ("SELECT ts FROM a UNION ALL SELECT ts FROM a", vec![SECONDS]),
        (
            "SELECT id, ts FROM a UNION SELECT id, at FROM c ORDER BY ts LIMIT 3",
            vec![DataType::Int64, SECONDS],
        ),
        (
            "SELECT ts FROM plain EXCEPT SELECT at FROM c WHERE id IN (VALUES (1), (2))",
            vec![SECONDS],
        ),
        ("SELECT ts, ts FROM a INTERSECT SELECT ts, 7 FROM a", vec![SECONDS, DataType::Int64]),
        ("SELECT ts FROM a UNION SELECT ts FROM a UNION SELECT ts FROM b", vec![DataType::Int64]),
        ("SELECT ts FROM a UNION SELECT ts FROM over_mix", vec![DataType::Int64]),
    ] {
        assert_eq!(types(&mut store, sql), wanted, "{sql}");
    }
}

const DATES: PackOptions = PackOptions { int64_as_number: false, dates: true };
const NUMBERS: PackOptions = PackOptions { int64_as_number: true, dates: false };
const DATE: Option<u8> = Some(7);

#[test]
fn dates_that_are_stored_as_text_are_dates_too() {
    let mut store = store();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("s", Arc::new(TimestampSecondArray::from(vec![7]))),
        ("us", Arc::new(TimestampMicrosecondArray::from(vec![-1]).with_timezone("UTC"))),
        ("ns", Arc::new(TimestampNanosecondArray::from(vec![1_700_000_000_000_999_999]))),
        ("day", Arc::new(Date32Array::from(vec![-1]))),
        ("ms", Arc::new(Date64Array::from(vec![86_400_000]))),
        ("time", Arc::new(Time32SecondArray::from(vec![60]))),
    ];
    let names: Vec<_> = columns.iter().map(|(name, _)| format!("\"{name}\":\"iso8601\"")).collect();
    let iso8601 = format!("{{\"types\":{{{}}}}}", names.join(","));
    table(&mut store, "counted", columns.clone(), "{}");
    table(&mut store, "spelled", columns, &iso8601);
    for name in ["counted", "spelled"] {
        let read = rows(&mut store, &format!("SELECT * FROM {name}"), DATES).unwrap();
        let dates: Vec<_> = read[..5].iter().map(|c| (c.uniform_tag(), c.numbers[0])).collect();
        let expected = [7_000.0, -1.0, 1_700_000_000_000.0, -86_400_000.0, 86_400_000.0];
        assert_eq!(dates, expected.map(|ms| (DATE, ms)), "{name}");
    }
    let read = rows(&mut store, "SELECT time FROM spelled", DATES).unwrap();
    assert_eq!(read[0].text, b"00:01:00");
    // What plain SQL wrote there, and is no date, is given as it is.
    store.exec("UPDATE spelled SET s = 'soon'", &Params::None).unwrap();
    let read = rows(&mut store, "SELECT s FROM spelled", DATES).unwrap();
    assert_eq!((read[0].uniform_tag(), &read[0].text[..]), (Some(3), &b"soon"[..]));
    let read = rows(&mut store, "SELECT us FROM spelled", PackOptions::default()).unwrap();
    assert_eq!(read[0].text, b"1969-12-31T23:59:59.999999Z");
}

#[test]
fn a_date_beyond_javascripts_is_refused_by_row_and_column() {
    const LAST: i64 = 8_640_000_000_000_000;
    let mut store = store();
    let day = LAST / 86_400_000;
    let columns = |over: i64| -> Vec<(&str, ArrayRef)> {
        let days = vec![day as i32, -day as i32, (day + over) as i32];
        vec![
            ("ms", Arc::new(TimestampMillisecondArray::from(vec![LAST, -LAST, LAST + over]))),
            ("s", Arc::new(TimestampSecondArray::from(vec![0, 0, -(LAST / 1000 + over)]))),
            ("day", Arc::new(Date32Array::from(days))),
        ]
    };
    table(&mut store, "good", columns(0), "{}");
    table(&mut store, "bad", columns(1), "{}");
    table(
        &mut store,
        "text",
        columns(1),
        r#"{"types":{"ms":"iso8601","s":"iso8601","day":"iso8601"}}"#,
    );
    for column in ["ms", "s", "day"] {
        let read = rows(&mut store, &format!("SELECT {column} FROM good"), DATES).unwrap();
        assert_eq!(read[0].uniform_tag(), DATE);
        for table in ["bad", "text"] {
            let error =
                rows(&mut store, &format!("SELECT {column} FROM {table}"), DATES).unwrap_err();
            let said = (error.code, error.column.as_deref(), error.row);
            assert_eq!(said, (Code::LossyValue, Some(column), Some(2)), "{table}");
            let sql = format!("SELECT {column} FROM {table}");
            assert!(rows(&mut store, &sql, PackOptions::default()).is_ok());
        }
    }
}

#[test]
fn an_unsafe_integer_is_no_number_in_an_expression_either() {
    let mut store = store();
    let sql = "SELECT 1 AS one, 9007199254740991 + i AS n FROM (SELECT 0 AS i UNION ALL SELECT 1)";
    let read = rows(&mut store, sql, PackOptions::default()).unwrap();
    assert_eq!((read[0].uniform_tag(), &read[1].tags[..]), (Some(1), &[1, 2][..]));
    let error = rows(&mut store, sql, NUMBERS).unwrap_err();
    let said = (error.code, error.column.as_deref(), error.row);
    assert_eq!(said, (Code::LossyValue, Some("n"), Some(1)));
    let read = rows(&mut store, &format!("{sql} LIMIT 1"), NUMBERS).unwrap();
    assert_eq!((read[0].uniform_tag(), read[1].uniform_tag()), (Some(1), Some(1)));
}

#[test]
fn a_descending_primary_key_is_no_row_id() {
    let mut store = store();
    let ddl = "CREATE TABLE down(k INTEGER PRIMARY KEY DESC, n INTEGER);
        CREATE TABLE up(k INTEGER, n INTEGER, PRIMARY KEY(k DESC))";
    store.exec(ddl, &Params::None).unwrap();
    let key = |key: Option<i64>| -> Vec<(&str, ArrayRef)> {
        vec![("k", Arc::new(TimestampSecondArray::from(vec![key])))]
    };
    // NULL stays NULL in the one, and the other is the row id for all that `DESC` says.
    table(&mut store, "down", key(None), "{}");
    let batch = RecordBatch::try_from_iter(key(None)).unwrap();
    let frame = Frame::new(batch.schema(), vec![batch]);
    let sent = AppendRequest { table: "up".into(), ..request("up", frame) };
    assert_eq!(append(&mut store, &sent).unwrap_err().code, Code::LossyValue);
    let batch =
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]);
    let batch = batch.unwrap();
    let frame = Frame::new(batch.schema(), vec![batch]);
    append(&mut store, &AppendRequest { table: "down".into(), ..request("n", frame) }).unwrap();
    assert_eq!(types(&mut store, "SELECT k FROM down"), [SECONDS]);
    let nulls = "SELECT count(*) FROM down WHERE k IS NULL";
    assert_eq!(crate::one(&mut store, nulls), framelock::store::Value::Integer(2));
}

#[test]
fn types_that_were_known_are_forgotten_with_their_schema() {
    const FROM_U: &str = "SELECT ts FROM u";
    const FROM_V: &str = "SELECT ts FROM v";
    let disk = Disk::new();
    let (mut one, mut other) = (disk.opened(), Store::new(Box::new(crate::NoOs)));

    // A transaction that is rolled back takes the version of its schema back; another tab reaches it too.
    one.begin().unwrap();
    let batch = RecordBatch::try_from_iter([seconds()]).unwrap();
    let frame = Frame::new(batch.schema(), vec![batch]);
    one.apply_in_savepoint(&AppendRequest { table: "u".into(), ..request("u", frame) }).unwrap();
    assert_eq!(types(&mut one, FROM_U), [SECONDS]);
    one.rollback();
    one.detach().unwrap();
    disk.attach(&mut other, Mode::Exclusive).unwrap();
    table(&mut other, "u", vec![int()], "{}");
    other.detach().unwrap();
    disk.attach(&mut one, Mode::Shared).unwrap();
    assert_eq!(types(&mut one, FROM_U), [DataType::Int32]);
    one.detach().unwrap();

    // A table that is replaced, a view that is made anew, and a temporary one before it.
    disk.attach(&mut other, Mode::Exclusive).unwrap();
    table(&mut other, "w", vec![int()], "{}");
    exec(&mut other, "CREATE VIEW v AS SELECT ts FROM u");
    assert_eq!(types(&mut other, FROM_V), [DataType::Int32]);
    other.detach().unwrap();
    disk.attach(&mut one, Mode::Exclusive).unwrap();
    table(&mut one, "u", vec![seconds()], r#"{"mode": "replace"}"#);
    assert_eq!(types(&mut one, FROM_V), [SECONDS]);
    exec(&mut one, "DROP VIEW v; CREATE VIEW v AS SELECT ts FROM u UNION SELECT ts FROM w");
    assert_eq!(types(&mut one, FROM_V), [DataType::Int64]);
    exec(&mut one, "CREATE TEMP VIEW v AS SELECT ts FROM w");
    // Two views of one name: the text of either may be meant.
    assert_eq!(types(&mut one, FROM_V), [DataType::Int64]);
    exec(&mut one, "DROP VIEW main.v; CREATE VIEW v AS SELECT ts FROM u");
    assert_eq!(types(&mut one, FROM_V), [DataType::Int32]);
    exec(&mut one, "DROP VIEW temp.v");
    assert_eq!(types(&mut one, FROM_V), [SECONDS]);
    one.detach().unwrap();
    disk.attach(&mut other, Mode::Shared).unwrap();
    assert_eq!(types(&mut other, FROM_V), [SECONDS]);
}

#[test]
fn types_stay_whatever_a_table_is_renamed_by() {
    for (sql, now) in [
        ("ALTER TABLE a RENAME TO c", "SELECT ts FROM c"),
        ("ALTER TABLE a RENAME COLUMN ts TO moment", "SELECT moment FROM a"),
    ] {
        let mut store = two_units();
        exec(
            &mut store,
            "DROP VIEW \"Mi x\"; DROP VIEW plain; DROP VIEW over_mix; DROP VIEW passing",
        );
        rows(&mut store, sql, PackOptions::default()).unwrap();
        assert_eq!(types(&mut store, now), [SECONDS], "{sql}");
    }
}

#[test]
fn names_that_another_program_has_freed_may_be_taken() {
    let mut store = store();
    let number: ArrayRef = Arc::new(Int32Array::from(vec![7]));
    table(&mut store, "a", vec![seconds(), ("n", number)], "{}");
    table(&mut store, "b", vec![int()], "{}");
    crate::past_framelock(&mut store, "DROP TABLE b; ALTER TABLE a DROP COLUMN n");
    exec(&mut store, "ALTER TABLE a RENAME COLUMN ts TO n");
    exec(&mut store, "ALTER TABLE a RENAME TO b");
    assert_eq!(types(&mut store, "SELECT n FROM b"), [SECONDS]);
}

#[test]
fn a_temporary_table_hides_no_types() {
    let millis: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![5]));
    let mut store = store();
    table(&mut store, "t", vec![("ts", millis)], "{}");
    exec(&mut store, "CREATE TEMP TABLE t(other TEXT)");
    assert_eq!(
        types(&mut store, "SELECT ts FROM main.t"),
        [DataType::Timestamp(TimeUnit::Millisecond, None)]
    );
    table(&mut store, "t", vec![seconds()], r#"{"mode": "append"}"#);
    let sum = "SELECT group_concat(ts) AS all_of_them FROM main.t";
    assert_eq!(crate::one(&mut store, sum), Value::Text("5,7000".into()));
}

#[test]
fn types_are_forgotten_when_sqlite_itself_rolls_back() {
    const FROM_U: &str = "SELECT ts FROM u";
    let disk = Disk::new();
    let (mut one, mut other) = (disk.opened(), Store::new(Box::new(crate::NoOs)));
    table(&mut one, "bad", vec![int()], "{}");
    exec(
        &mut one,
        "CREATE TRIGGER tr BEFORE INSERT ON bad BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
    );
    one.begin().unwrap();
    let batch = RecordBatch::try_from_iter([seconds()]).unwrap();
    let frame = Frame::new(batch.schema(), vec![batch]);
    one.apply_in_savepoint(&AppendRequest { table: "u".into(), ..request("u", frame) }).unwrap();
    assert_eq!(types(&mut one, FROM_U), [SECONDS]);
    let batch = RecordBatch::try_from_iter([int()]).unwrap();
    let frame = Frame::new(batch.schema(), vec![batch]);
    one.apply_in_savepoint(&AppendRequest { table: "bad".into(), ..request("b", frame) })
        .unwrap_err();
    assert!(!one.in_transaction());
    one.detach().unwrap();
    disk.attach(&mut other, Mode::Exclusive).unwrap();
    table(&mut other, "u", vec![int()], "{}");
    other.detach().unwrap();
    disk.attach(&mut one, Mode::Shared).unwrap();
    assert_eq!(types(&mut one, FROM_U), [DataType::Int32]);
}

#[test]
fn a_schema_that_was_taken_back_after_ddl_that_failed_is_forgotten() {
    let fails = "ALTER TABLE a RENAME COLUMN n TO ts";
    for (attach, a) in
        [("", "main.a"), ("ATTACH ':memory:' AS more; CREATE TABLE more.a(ts)", "more.a")]
    {
        for ends_by_savepoint in [false, true] {
            let mut store = store();
            if a == "main.a" {
                table(&mut store, "a", vec![seconds()], "{}");
            }
            exec(&mut store, attach);
            let columns = format!("SELECT * FROM {a}");
            let before = types(&mut store, &columns);
            store.begin().unwrap();
            exec(&mut store, "SAVEPOINT s");
            exec(&mut store, &format!("ALTER TABLE {a} ADD COLUMN n"));
            store.exec(fails, &Params::None).unwrap_err();
            assert_eq!(types(&mut store, &columns).len(), 2);
            match ends_by_savepoint {
                true => exec(&mut store, "ROLLBACK TO s"),
                false => store.rollback(),
            }
            assert_eq!(types(&mut store, &columns), before, "{a} {ends_by_savepoint}");
        }
    }
}
