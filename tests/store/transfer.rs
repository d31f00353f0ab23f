//! Large frames, whose rows go into their table as whole records: the same file as row by row, and the same
//! errors.

#[path = "../frame/samples.rs"]
mod samples;

use crate::{append, count, frame, one, request, store};
use arrow::array::*;
use framelock::error::{Code, Result};
use framelock::frame::Frame;
use framelock::frame::options::{AppendOptions, Lossy, MissingColumns, Mode};
use framelock::store::{AppendRequest, Long, Params, Store, Value};
use proptest::prelude::*;
use std::sync::Arc;

fn exec(store: &mut Store, sql: &str) {
    store.exec(sql, &Params::None).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// A store that transfers frames of so many rows.
fn store_from(rows: u64, ddl: &str) -> Store {
    let mut store = store();
    store.transfer_from(rows);
    exec(&mut store, ddl);
    store
}

/// How many images SQLite has attached.
fn images(store: &mut Store) -> i64 {
    let sql =
        "SELECT count(*) FROM pragma_database_list WHERE name LIKE '\\_framelock\\_%' ESCAPE '\\'";
    match one(store, sql) {
        Value::Integer(count) => count,
        other => panic!("{other:?}"),
    }
}

/// Appends to a table by this DDL. Gives what became of it, how many rows were transferred, and the file.
fn written(from: u64, ddl: &str, request: &AppendRequest) -> (Result<u64>, u64, Vec<u8>) {
    let mut store = store_from(from, ddl);
    let outcome = append(&mut store, request);
    assert_eq!(images(&mut store), 0);
    (outcome, store.transferred(), store.export_file().unwrap())
}

/// Whether a frame is transferred. It comes to the same in any case.
fn is_transferred(ddl: &str, request: &AppendRequest) -> bool {
    let (usual, transferred, usual_file) = written(u64::MAX, ddl, request);
    assert_eq!(transferred, 0);
    let (outcome, transferred, file) = written(0, ddl, request);
    match (&outcome, usual) {
        (Ok(rows), Ok(usual)) => assert_eq!(*rows, usual),
        (Err(error), Err(usual)) => {
            let said = (error.code, error.row, &error.message);
            assert_eq!(said, (usual.code, usual.row, &usual.message), "{ddl}");
        }
        (outcome, usual) => panic!("{ddl}: {outcome:?}, {usual:?}"),
    }
    assert!(file == usual_file, "{ddl}: {} bytes, {} bytes", file.len(), usual_file.len());
    // All of it or nothing, but for frames that are too much for one image.
    assert!(transferred == 0 || outcome.is_ok_and(|rows| rows == transferred), "{ddl}");
    transferred > 0
}

fn of(columns: Vec<(&str, ArrayRef)>) -> AppendRequest {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, values)| (name, values, true)),
    );
    let batch = batch.unwrap();
    request("a", Frame::new(batch.schema(), vec![batch]))
}

const NOTHING: &str = "SELECT 1";

#[test]
fn the_file_is_the_same() {
    for rows in [1, 2, 100, 1000, 5000, 100_000] {
        assert!(is_transferred(NOTHING, &request("a", frame(0, rows))), "{rows}");
    }
}

#[test]
fn so_it_is_for_every_type_of_column() {
    for (name, bytes) in samples::all() {
        let frame = Frame::decode(bytes.into()).unwrap();
        let options = AppendOptions { lossy: Lossy::Allow, ..Default::default() };
        let request = AppendRequest { options, ..request("a", frame) };
        assert!(is_transferred(NOTHING, &request), "{name}");
    }
}

#[test]
fn so_it_is_for_every_length_of_a_number() {
    let near = |bits: u32| [-2, -1, 0, 1, 2].map(|d| (1_i64 << bits).wrapping_add(d));
    let integers: Vec<i64> =
        (0..64).flat_map(near).flat_map(|n| [n, n.wrapping_neg(), !n]).collect();
    let mut reals: Vec<f64> = integers.iter().map(|n| *n as f64).collect();
    for (at, odd) in [0.5, -0.0, f64::NAN, f64::INFINITY, f64::MIN, f64::MIN_POSITIVE, 1e300]
        .into_iter()
        .enumerate()
    {
        reals[at * 7] = odd;
    }
    let text = |length: usize| "é".repeat(length / 2) + &"e".repeat(length % 2);
    let texts = (0..integers.len()).map(text);
    let request = AppendRequest {
        options: AppendOptions { lossy: Lossy::Allow, ..Default::default() },
        ..of(vec![
            ("n", Arc::new(Int64Array::from(integers.clone()))),
            ("r", Arc::new(Float64Array::from(reals))),
            ("t", Arc::new(StringArray::from_iter_values(texts))),
        ])
    };
    assert!(is_transferred(NOTHING, &request));
    // Columns that are not of framelock's making take them otherwise.
    assert!(is_transferred("CREATE TABLE t(n BIGINT, r DOUBLE, t VARCHAR)", &request));
    assert!(is_transferred("CREATE TABLE t(n, r, t)", &request));
    assert!(!is_transferred("CREATE TABLE t(n INT, r REAL, t ANY) STRICT", &request));
    assert!(!is_transferred("CREATE TABLE t(n NUMERIC, r NUMERIC, t TEXT)", &request));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn so_it_is_for_whatever_there_is(
        rows in prop::collection::vec(
            (any::<Option<i64>>(), 0u32..64, any::<Option<f64>>(), any::<Option<bool>>(), "\\PC{0,90}"),
            1..400,
        ),
        wide in 1usize..9,
    ) {
        let (mut n, mut r, mut b, mut t) = (vec![], vec![], vec![], vec![]);
        for (integer, bits, real, bool, text) in rows {
            n.push(integer.map(|n| n >> bits));
            r.push(real.filter(|r| !r.is_nan()).map(|r| if bits % 3 == 0 { r.trunc() + 0.0 } else { r }));
            b.push(bool);
            t.push((bits > 5).then_some(text));
        }
        // Wide tables have longer headers.
        let names: Vec<String> = (0..wide * 20).map(|c| format!("c{c}")).collect();
        let kinds: [ArrayRef; 4] = [
            Arc::new(Int64Array::from(n)),
            Arc::new(Float64Array::from(r)),
            Arc::new(BooleanArray::from(b)),
            Arc::new(StringArray::from(t)),
        ];
        let columns = names.iter().enumerate().map(|(c, name)| (&**name, kinds[c % 4].clone()));
        let mut request = of(columns.collect());
        request.options.lossy = Lossy::Allow;
        prop_assert!(is_transferred(NOTHING, &request));
    }
}

#[test]
fn tables_are_known_by_any_name() {
    for name in ["t", "\"t\"", "[t]", "`t`", "'t'", "T"] {
        let ddl = format!("CREATE TABLE {name}(id INTEGER, price REAL /* ) */, name TEXT)");
        assert!(is_transferred(&ddl, &request("a", frame(0, 1000))), "{name}");
    }
    for name in ["a \"b\"", "größe", "a]b", "a`b", "it's", "$x", "CREATE TABLE", "1"] {
        let request = AppendRequest { table: name.into(), ..request("a", frame(0, 1000)) };
        assert!(is_transferred(NOTHING, &request), "{name}");
    }
    for ddl in [
        "CREATE TABLE u(id INTEGER, price REAL, name TEXT); ALTER TABLE u RENAME TO t",
        "CREATE TABLE t AS SELECT 1 AS id, 0.5 AS price, 'x' AS name; DELETE FROM t",
        "CREATE TABLE t(id INTEGER, price REAL); ALTER TABLE t ADD COLUMN name TEXT DEFAULT 'x'",
        "CREATE TABLE t(name TEXT, id INTEGER, price REAL)",
        "CREATE TABLE t(id INTEGER, price REAL, name TEXT); INSERT INTO t(rowid) VALUES(77)",
        "CREATE TABLE t(id INTEGER, price REAL, name TEXT); INSERT INTO t(rowid) VALUES(-5)",
        "PRAGMA auto_vacuum=FULL; CREATE TABLE t(id INTEGER, price REAL, name TEXT COLLATE NOCASE)",
        "PRAGMA page_size=512; VACUUM; CREATE TABLE t(id INTEGER, price REAL, name TEXT)",
    ] {
        assert!(is_transferred(ddl, &request("a", frame(0, 1000))), "{ddl}");
    }
}

/// `id` and, as text, `name`.
fn ids(ids: &[i64]) -> AppendRequest {
    let names = ids.iter().map(|id| id.to_string());
    of(vec![
        ("id", Arc::new(Int64Array::from_iter_values(ids.iter().copied()))),
        ("name", Arc::new(StringArray::from_iter_values(names))),
    ])
}

#[test]
fn row_ids_of_the_frame_ascend_behind_those_that_are_there() {
    let ddl = "CREATE TABLE t(price REAL, id INTEGER PRIMARY KEY, name TEXT)";
    assert!(is_transferred(ddl, &request("a", frame(-500, 1000))));
    let counted = "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, price REAL, name TEXT)";
    assert!(is_transferred(counted, &request("a", frame(1, 1000))));
    let ascending = [i64::MIN, -1, 0, 5, 127, 128, 16_383, 16_384, 1 << 40, 1 << 56, i64::MAX];
    let ddl = "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT)";
    assert!(is_transferred(ddl, &ids(&ascending)));
    for (there, transferred) in [(4, true), (5, false), (6, false), (100, false)] {
        let ddl = format!("{ddl}; INSERT INTO t(id) VALUES(-8), ({there})");
        assert_eq!(is_transferred(&ddl, &ids(&[5, 6, 9])), transferred, "{there}");
    }
    assert!(!is_transferred(ddl, &ids(&[5, 4])));
    assert!(!is_transferred(ddl, &ids(&[5, 5])));
    // Numbers that SQLite makes up.
    let some = Int64Array::from(vec![Some(3), None, Some(9)]);
    let mut numbered = of(vec![("id", Arc::new(some))]);
    numbered.options.lossy = Lossy::Allow;
    assert!(!is_transferred("CREATE TABLE t(id INTEGER PRIMARY KEY)", &numbered));
}

#[test]
fn a_refused_row_is_named() {
    const T: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, price REAL, name TEXT)";
    for ddl in [
        format!("{T}; INSERT INTO t(id) VALUES(417)"),
        "CREATE TABLE t(id INTEGER, price REAL NOT NULL, name TEXT)".into(),
        "CREATE TABLE t(id INTEGER CHECK(id <> 417), price REAL, name TEXT)".into(),
        "CREATE TABLE t(id INTEGER UNIQUE, price REAL, name TEXT); INSERT INTO t(id) VALUES(417)"
            .into(),
        "CREATE TABLE p(id INTEGER PRIMARY KEY); INSERT INTO p VALUES(0), (1), (2);
         CREATE TABLE t(id INTEGER REFERENCES p, price REAL, name TEXT)"
            .into(),
        "CREATE TABLE t(id INTEGER, price REAL, name TEXT); CREATE TRIGGER no BEFORE INSERT ON t
         WHEN new.id = 417 BEGIN SELECT RAISE(ABORT, 'no'); END"
            .into(),
        format!("{}; INSERT INTO t(id) VALUES(417)", T.replace("KEY", "KEY ON CONFLICT FAIL")),
    ] {
        let request = request("a", frame(0, 1000));
        is_transferred(&ddl, &request);
        let error = append(&mut store_from(0, &ddl), &request).unwrap_err();
        assert_eq!(error.code, Code::Constraint, "{ddl}");
        assert!(matches!(error.row, Some(0 | 3 | 417)), "{ddl}: {:?}", error.row);
    }
}

#[test]
fn what_has_to_be_looked_at_is_not_transferred() {
    for rest in [
        "name TEXT, more INTEGER",
        "name TEXT, twice AS (id * 2)",
        "name TEXT CHECK(name <> '')",
        "name TEXT UNIQUE",
        "name TEXT, PRIMARY KEY(name)",
        "name TEXT PRIMARY KEY) WITHOUT ROWID; CREATE TABLE u(n",
        "name TEXT); CREATE INDEX i ON t(name); CREATE TABLE u(n",
        "name TEXT); CREATE TRIGGER i AFTER INSERT ON t BEGIN SELECT 1; END; CREATE TABLE u(n",
        "name TEXT); CREATE TEMP TABLE t(id, price, name); CREATE TABLE u(n",
    ] {
        let ddl = format!("CREATE TABLE t(id INTEGER, price REAL, {rest})");
        let mut request = request("a", frame(0, 1000));
        request.options.missing_columns = MissingColumns::Default;
        assert!(!is_transferred(&ddl, &request), "{rest}");
    }
    // Tables that are referred to are looked at, too.
    const PLAIN: &str = "CREATE TABLE t(id INTEGER, price REAL, name TEXT)";
    let plain =
        |before: &str| is_transferred(&format!("{before}; {PLAIN}"), &request("a", frame(0, 1000)));
    assert!(!plain("CREATE TABLE c(t REFERENCES t DEFERRABLE INITIALLY DEFERRED)"));
    assert!(plain("CREATE TABLE p(id PRIMARY KEY); CREATE TABLE c(id REFERENCES p)"));
    assert!(!plain("PRAGMA reverse_unordered_selects=ON"));
    let odd = "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql =
        CAST(CAST(replace(sql, ')', ' /*') AS BLOB) || x'ff' || CAST('*/)' AS BLOB) AS TEXT)";
    assert!(!is_transferred(&format!("{PLAIN}; {odd}"), &request("a", frame(0, 1000))));
    // Text of another encoding is SQLite's, too.
    assert!(!is_transferred("PRAGMA encoding='UTF-16le'", &request("a", frame(0, 1000))));
    let ddl = "CREATE TABLE t(id INTEGER PRIMARY KEY, price REAL, name TEXT)";
    let options = AppendOptions { mode: Mode::Upsert, ..Default::default() };
    assert!(!is_transferred(ddl, &AppendRequest { options, ..request("a", frame(0, 1000)) }));
}

#[test]
fn long_rows_come_in_another_way() {
    // At the edge of what a page of an image has room for.
    for (length, transferred) in [(8_000, true), (65_450, true), (65_536, false), (300_000, false)]
    {
        let texts = (0..50).map(|i| if i == 40 { "x".repeat(length) } else { i.to_string() });
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
        assert_eq!(is_transferred(NOTHING, &of(vec![("t", texts)])), transferred, "{length}");
    }
}

#[test]
fn a_callers_transaction_sees_no_images() {
    let mut store = store_from(0, NOTHING);
    store.begin().unwrap();
    store.apply_in_savepoint(&request("a", frame(0, 1000))).unwrap();
    assert_eq!((images(&mut store), store.transferred()), (0, 0));
    store.commit().unwrap();
    append(&mut store, &request("b", frame(0, 1000))).unwrap();
    assert_eq!((images(&mut store), store.transferred()), (0, 1000));
    // Nobody else opens one.
    assert!(store.exec("ATTACH '/image-0' AS mine", &Params::None).is_err());
}

#[test]
fn a_group_of_many_frames_has_some_images() {
    let mut store = store_from(0, "ATTACH ':memory:' AS mine");
    let make = |nth: i64| {
        let mut good = request(&nth.to_string(), frame(1000 * nth, 1000));
        good.table = format!("t{}", nth % 3);
        // One that is refused in between.
        let mut bad = request(&format!("{nth} again"), frame(0, 1000));
        bad.table = "broken".into();
        bad.options.key = Some(vec!["id".into()]);
        [good, bad]
    };
    let requests: Vec<_> = (0..9).flat_map(make).collect();
    let outcomes = store.append_group(&requests.iter().collect::<Vec<_>>()).unwrap();
    for (nth, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_ok(), nth % 2 == 0, "{nth}: {outcome:?}");
    }
    assert_eq!((images(&mut store), store.transferred()), (0, 4000));
    for t in ["t0", "t1", "t2"] {
        let rows = one(&mut store, &format!("SELECT count(DISTINCT id) FROM {t}"));
        assert_eq!(rows, Value::Integer(3000), "{t}");
    }
    assert_eq!(one(&mut store, "PRAGMA integrity_check"), Value::Text("ok".into()));
}

#[test]
fn a_transaction_that_ends_by_itself_leaves_no_image() {
    let mut store = store_from(0, "PRAGMA max_page_count=20");
    let error = append(&mut store, &request("a", frame(0, 100_000))).unwrap_err();
    assert_eq!(error.code, Code::QuotaExceeded);
    assert_eq!(images(&mut store), 0);
    append(&mut store, &request("b", frame(0, 10))).unwrap();
    assert_eq!((count(&mut store), store.transferred()), (Value::Integer(10), 10));
}

#[test]
fn a_long_frame_has_one_image() {
    for rows_of_a_piece in [30_000, 7, 100_000] {
        let mut store = store_from(0, NOTHING);
        let mut batches = vec![frame(0, 20_000).batches.remove(0)];
        batches.push(batches[0].slice(0, 0));
        batches.push(frame(20_000, 1).batches.remove(0));
        batches.push(frame(20_001, 9_999).batches.remove(0));
        let request = request("a", Frame::new(batches[0].schema(), batches));
        let mut long = store.begin_long(&request).unwrap();
        let mut pieces = 0;
        while let Long::Half(half) = long {
            // So small pieces are not expected, and what there are no images for goes row by row.
            assert!(images(&mut store) <= if rows_of_a_piece == 7 { 4 } else { 1 });
            long = store.go_on(&request, half, rows_of_a_piece).unwrap();
            pieces += 1;
        }
        assert!(pieces >= 30_000 / rows_of_a_piece, "{pieces}");
        assert_eq!(count(&mut store), Value::Integer(30_000));
        let right = "SELECT count(*) FROM t WHERE id = rowid - 1";
        assert_eq!(one(&mut store, right), Value::Integer(30_000), "{rows_of_a_piece}");
        let (_, _, usual) = written(u64::MAX, NOTHING, &request);
        let mut other = crate::store();
        other.import_file(crate::file(usual)).unwrap();
        let names = "SELECT group_concat(name) || sum(price) FROM t";
        assert_eq!(one(&mut store, names), one(&mut other, names));
    }
}
