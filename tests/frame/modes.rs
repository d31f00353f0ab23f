//! Modes, matching, columns too many and too few, widening, and tables made by other people.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use framelock::error::Code;
use framelock::frame::{Frame, early};

use super::harness::*;

fn ints(names: &[&str], rows: &[&[i64]]) -> Frame {
    let fields = names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect();
    let column = |i: usize| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row[i])))
    };
    frame(fields, (0..names.len()).map(column).collect())
}

fn refused(db: &Db, table: &str, frame: &Frame, json: &str) -> Code {
    let error = db.append(table, frame, &options(json)).expect_err(json);
    assert!(error.table.is_some() || error.code == Code::LossyValue, "{error}");
    error.code
}

fn rows(db: &Db, sql: &str) -> Vec<Vec<Option<i64>>> {
    let mut statement = db.0.prepare(sql).expect(sql);
    let count = statement.column_count();
    let rows = statement.query_map([], |row| (0..count).map(|i| row.get(i)).collect());
    rows.expect(sql).map(|row| row.expect(sql)).collect()
}

#[test]
fn create_append_and_replace_agree_with_what_is_there() {
    let db = Db::new();
    let one = ints(&["a"], &[&[1]]);
    let text = frame(
        vec![Field::new("b", DataType::Utf8, true)],
        vec![Arc::new(StringArray::from(vec!["x"]))],
    );
    assert_eq!(refused(&db, "t", &one, r#"{"mode":"append"}"#), Code::SchemaMismatch);
    db.append("t", &one, &options(r#"{"mode":"create"}"#)).unwrap();
    assert_eq!(refused(&db, "T", &one, r#"{"mode":"create"}"#), Code::SchemaMismatch);
    db.append("t", &one, &options(r#"{"mode":"append"}"#)).unwrap();
    assert_eq!(rows(&db, "SELECT count(*) FROM t"), [[Some(2)]]);
    assert_eq!(refused(&db, "t", &text, "{}"), Code::SchemaMismatch);
    db.append("t", &text, &options(r#"{"mode":"replace"}"#)).unwrap();
    let batch = db.read("t").unwrap();
    assert_eq!(batch.schema().field(0).name(), "b");
    assert_eq!(batch.num_rows(), 1);
    let catalogue = "SELECT count(*) FROM _framelock_columns";
    assert_eq!(rows(&db, catalogue), [[Some(1)]]);
}

#[test]
fn delete_rows_keeps_the_table() {
    let db = Db::new();
    db.append("t", &ints(&["a"], &[&[1], &[2]]), &options(r#"{"mode":"deleteRows"}"#)).unwrap();
    db.exec("CREATE INDEX i ON t(a)");
    db.append("t", &ints(&["a"], &[&[3]]), &options(r#"{"mode":"deleteRows"}"#)).unwrap();
    assert_eq!(rows(&db, "SELECT a FROM t"), [[Some(3)]]);
    assert_eq!(rows(&db, "SELECT count(*) FROM pragma_index_list('t')"), [[Some(1)]]);
}

#[test]
fn upsert_and_ignore_go_by_the_key() {
    let db = Db::new();
    let first = ints(&["id", "v"], &[&[1, 10], &[2, 20], &[2, 21]]);
    db.append("t", &first, &options(r#"{"mode":"upsert","key":["ID"]}"#)).unwrap();
    assert_eq!(
        rows(&db, "SELECT id, v FROM t ORDER BY id"),
        [[Some(1), Some(10)], [Some(2), Some(21)]]
    );
    // The key is the table's now.
    let second = ints(&["v", "id"], &[&[30, 1], &[40, 3]]);
    db.append("t", &second, &options(r#"{"mode":"upsert"}"#)).unwrap();
    db.append("t", &ints(&["id", "v"], &[&[1, 0], &[4, 50]]), &options(r#"{"mode":"ignore"}"#))
        .unwrap();
    let all = rows(&db, "SELECT v FROM t ORDER BY id");
    assert_eq!(all, [[Some(30)], [Some(21)], [Some(40)], [Some(50)]]);
    // A key alone: nothing to set.
    db.append("t", &ints(&["id"], &[&[1], &[5]]), &options(r#"{"mode":"upsert"}"#)).unwrap();
    assert_eq!(rows(&db, "SELECT count(*) FROM t"), [[Some(5)]]);

    let frame = ints(&["id", "v"], &[&[1, 1]]);
    assert_eq!(refused(&db, "u", &frame, r#"{"mode":"upsert"}"#), Code::InvalidArgument);
    assert_eq!(refused(&db, "u", &frame, r#"{"key":["id"]}"#), Code::InvalidArgument);
    assert_eq!(refused(&db, "u", &frame, r#"{"mode":"ignore","key":["x"]}"#), Code::SchemaMismatch);
    assert_eq!(
        refused(&db, "u", &frame, r#"{"mode":"ignore","key":["id","ID"]}"#),
        Code::InvalidArgument
    );
    // Somebody else's table is not given an index.
    db.exec("CREATE TABLE u(id INTEGER, v INTEGER)");
    db.exec("INSERT INTO u VALUES(1, 1)");
    assert_eq!(
        refused(&db, "u", &frame, r#"{"mode":"upsert","key":["id"]}"#),
        Code::SchemaMismatch
    );
    assert_eq!(refused(&db, "u", &frame, r#"{"mode":"upsert"}"#), Code::InvalidArgument);
    db.exec("CREATE UNIQUE INDEX u_id ON u(id)");
    let newer = ints(&["id", "v"], &[&[1, 2]]);
    db.append("u", &newer, &options(r#"{"mode":"upsert","key":["id"]}"#)).unwrap();
    assert_eq!(rows(&db, "SELECT v FROM u"), [[Some(2)]]);
}

#[test]
fn a_null_row_id_is_not_numbered_without_a_word() {
    let db = Db::new();
    db.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, v INT)");
    let id: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None]));
    let frame = frame(vec![Field::new("id", DataType::Int64, true)], vec![id]);
    assert_eq!(refused(&db, "t", &frame, "{}"), Code::LossyValue);
    let coerced = db.append("t", &frame, &options(r#"{"lossy":"allow"}"#)).unwrap();
    assert_eq!(coerced["id"], 1);
    // Left out, it is SQLite's to number.
    db.append("t", &ints(&["v"], &[&[1]]), &options("{}")).unwrap();
    assert_eq!(rows(&db, "SELECT count(*) FROM t"), [[Some(3)]]);
}

#[test]
fn columns_match_by_name_or_position() {
    let db = Db::new();
    db.append("t", &ints(&["a", "b"], &[&[1, 2]]), &options("{}")).unwrap();
    db.append("t", &ints(&["B", "A"], &[&[4, 3]]), &options("{}")).unwrap();
    db.append("t", &ints(&["x", "y"], &[&[5, 6]]), &options(r#"{"match":"position"}"#)).unwrap();
    let all = rows(&db, "SELECT a, b FROM t");
    assert_eq!(all, [[Some(1), Some(2)], [Some(3), Some(4)], [Some(5), Some(6)]]);
}

#[test]
fn columns_too_many_and_too_few() {
    let db = Db::new();
    db.append("t", &ints(&["a"], &[&[1]]), &options("{}")).unwrap();
    let wide = ints(&["a", "b \""], &[&[2, 3]]);
    assert_eq!(refused(&db, "t", &wide, "{}"), Code::SchemaMismatch);
    db.append("t", &wide, &options(r#"{"extraColumns":"drop"}"#)).unwrap();
    db.append("t", &wide, &options(r#"{"extraColumns":"add"}"#)).unwrap();
    let batch = db.read("t").unwrap();
    assert_eq!(batch.schema().field(1).data_type(), &DataType::Int64);
    assert_eq!(batch.column(1).null_count(), 2);
    let narrow = ints(&["a"], &[&[9]]);
    assert_eq!(refused(&db, "t", &narrow, r#"{"missingColumns":"error"}"#), Code::SchemaMismatch);
    db.append("t", &narrow, &options("{}")).unwrap();

    db.exec("CREATE TABLE d(a INT, b INT NOT NULL DEFAULT 5, c INT NOT NULL)");
    assert_eq!(refused(&db, "d", &narrow, "{}"), Code::SchemaMismatch);
    db.append("d", &ints(&["a", "c"], &[&[1, 2]]), &options("{}")).unwrap();
    assert_eq!(rows(&db, "SELECT b FROM d"), [[Some(5)]]);
}

#[test]
fn views_virtual_tables_and_computed_columns() {
    let db = Db::new();
    db.exec("CREATE TABLE g(a INT, b INT AS (a + 1) STORED, c INT AS (a + 2)); CREATE VIEW v AS SELECT 1 a");
    let frame = ints(&["a"], &[&[1]]);
    for mode in ["append", "replace", "deleteRows", "createAppend"] {
        let json = format!(r#"{{"mode":"{mode}"}}"#);
        assert_eq!(refused(&db, "v", &frame, &json), Code::SchemaMismatch);
    }
    db.append("g", &frame, &options(r#"{"missingColumns":"error"}"#)).unwrap();
    assert_eq!(rows(&db, "SELECT b, c FROM g"), [[Some(2), Some(3)]]);
    assert_eq!(refused(&db, "g", &ints(&["a", "b"], &[&[1, 1]]), "{}"), Code::SchemaMismatch);
    let position = ints(&["x", "y"], &[&[1, 1]]);
    assert_eq!(refused(&db, "g", &position, r#"{"match":"position"}"#), Code::SchemaMismatch);
}

/// What a column of other people's takes: `true` if a value of each type goes in unchanged.
#[test]
fn other_peoples_columns_take_what_they_keep() {
    let samples: Vec<(&str, ArrayRef)> = vec![
        ("int64", Arc::new(Int64Array::from(vec![5]))),
        ("float64", Arc::new(Float64Array::from(vec![0.5]))),
        ("utf8", Arc::new(StringArray::from(vec!["x"]))),
        ("binary", Arc::new(BinaryArray::from(vec![&b"x"[..]]))),
        ("timestamp", Arc::new(TimestampSecondArray::from(vec![5]))),
        (
            "decimal",
            Arc::new(Decimal128Array::from(vec![5]).with_precision_and_scale(10, 2).unwrap()),
        ),
        (
            "digits",
            Arc::new(Decimal128Array::from(vec![5]).with_precision_and_scale(38, 2).unwrap()),
        ),
    ];
    for (declared, taken) in [
        ("INTEGER", vec!["int64", "timestamp", "decimal"]),
        ("BIGINT", vec!["int64", "timestamp", "decimal"]),
        ("REAL", vec!["int64", "float64"]),
        ("VARCHAR(20)", vec!["utf8", "digits"]),
        ("TEXT", vec!["utf8", "digits"]),
        ("DATETIME", vec!["int64", "float64", "utf8", "binary", "timestamp"]),
        ("DECIMAL(10,2)", vec!["int64", "float64", "utf8", "binary", "timestamp"]),
        ("", vec!["int64", "float64", "utf8", "binary", "timestamp", "decimal", "digits"]),
        ("BLOB", vec!["int64", "float64", "utf8", "binary", "timestamp", "decimal", "digits"]),
    ] {
        for (name, array) in &samples {
            let db = Db::new();
            db.exec(&format!("CREATE TABLE t(c {declared})"));
            let result = db.append("t", &one(Arc::clone(array)), &options("{}"));
            assert_eq!(result.is_ok(), taken.contains(name), "{name} into {declared}: {result:?}");
            if result.is_ok() && *name != "int64" {
                // The table was empty, so it has the frame's types now.
                assert_eq!(db.read("t").unwrap().column(0), array, "{name} into {declared}");
            }
        }
    }
}

#[test]
fn strict_tables_take_their_own_types() {
    let db = Db::new();
    db.exec(
        "CREATE TABLE t(i INT, r REAL, x TEXT, b BLOB, a ANY) STRICT, WITHOUT ROWID"
            .replace(", WITHOUT ROWID", "")
            .as_str(),
    );
    let int: ArrayRef = Arc::new(Int64Array::from(vec![5]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["05"]));
    let put = |column: &str, array: &ArrayRef| {
        let field = Field::new(column, array.data_type().clone(), true);
        db.append("t", &frame(vec![field], vec![array.clone()]), &options("{}")).map(drop)
    };
    put("i", &int).unwrap();
    put("x", &text).unwrap();
    put("a", &text).unwrap();
    put("a", &int).unwrap();
    put("r", &int).unwrap();
    for (column, array) in [("b", &int), ("b", &text), ("x", &int), ("i", &text)] {
        assert_eq!(put(column, array).unwrap_err().code, Code::SchemaMismatch, "{column}");
    }
}

#[test]
fn a_table_with_rows_stays_untyped() {
    let db = Db::new();
    db.exec("CREATE TABLE t(c INTEGER); INSERT INTO t VALUES(1)");
    let array: ArrayRef = Arc::new(TimestampSecondArray::from(vec![5]));
    db.append("t", &one(array), &options("{}")).unwrap();
    assert_eq!(db.read("t").unwrap().schema().field(0).data_type(), &DataType::Int64);
    let array = Decimal128Array::from(vec![5]).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(refused(&db, "t", &one(Arc::new(array)), "{}"), Code::SchemaMismatch);
}

#[test]
fn text_that_a_column_would_make_a_number_is_a_loss() {
    let db = Db::new();
    db.exec("CREATE TABLE t(c DATETIME)");
    for text in ["2024-01-01", "12:00", "x", "", "1e", "0x10", "1 2", "inf", "1_0"] {
        let frame = one(Arc::new(StringArray::from(vec![text])));
        db.append("t", &frame, &options("{}")).unwrap();
        let sql = "SELECT typeof(c) = 'text' FROM t ORDER BY rowid DESC LIMIT 1";
        assert_eq!(rows(&db, sql), [[Some(1)]], "{text:?}");
    }
    for text in ["0123", " 1 ", "+1.5e3", ".5", "5.", "12345678901234567890123456789"] {
        let frame = one(Arc::new(StringArray::from(vec![text])));
        assert_eq!(refused(&db, "t", &frame, "{}"), Code::LossyValue, "{text:?}");
    }
}

#[test]
fn narrower_types_widen_and_others_are_refused() {
    let cases: Vec<(&str, ArrayRef, &str, bool)> = vec![
        ("int64", Arc::new(Int8Array::from(vec![1])), "{}", true),
        ("int64", Arc::new(UInt32Array::from(vec![1])), "{}", true),
        ("int32", Arc::new(Int64Array::from(vec![1])), "{}", false),
        ("int32", Arc::new(Int64Array::from(vec![1])), r#"{"types":{"c":"int32"}}"#, true),
        ("uint8", Arc::new(Int8Array::from(vec![1])), "{}", false),
        ("float64", Arc::new(Int64Array::from(vec![1])), "{}", true),
        ("float64", Arc::new(Float32Array::from(vec![0.5])), "{}", true),
        ("float32", Arc::new(Float64Array::from(vec![0.5])), "{}", false),
        ("int64", Arc::new(Float64Array::from(vec![1.0])), "{}", false),
        ("large_utf8", Arc::new(StringArray::from(vec!["x"])), "{}", true),
        ("utf8", Arc::new(StringViewArray::from(vec!["x"])), "{}", true),
        ("dictionary<int8, utf8>", Arc::new(StringArray::from(vec!["x"])), "{}", true),
        ("binary", Arc::new(StringArray::from(vec!["x"])), "{}", false),
        ("utf8", Arc::new(Int64Array::from(vec![1])), "{}", false),
        ("bool", Arc::new(Int8Array::from(vec![1])), "{}", false),
        ("timestamp[ns]", Arc::new(TimestampSecondArray::from(vec![1])), "{}", true),
        ("timestamp[s]", Arc::new(TimestampNanosecondArray::from(vec![1])), "{}", false),
        ("timestamp[s, UTC]", Arc::new(TimestampSecondArray::from(vec![1])), "{}", false),
        ("date64", Arc::new(Date32Array::from(vec![1])), "{}", true),
        ("decimal128(20, 2)", Arc::new(Int64Array::from(vec![1])), "{}", true),
        ("decimal64(5, 0)", Arc::new(Int8Array::from(vec![1])), "{}", true),
        ("int64", Arc::new(NullArray::new(1)), "{}", true),
        ("null", Arc::new(Int64Array::from(vec![1])), "{}", true),
        ("null", Arc::new(StringArray::from(vec!["01"])), "{}", true),
        ("list<int64>", Arc::new(NullArray::new(1)), "{}", true),
    ];
    for (known, array, json, fits) in cases {
        let db = Db::new();
        let empty = one(Arc::new(NullArray::new(0)));
        db.append("t", &empty, &options(&format!(r#"{{"types":{{"c":"{known}"}}}}"#))).unwrap();
        let result = db.append("t", &one(array.clone()), &options(json));
        let what = format!("{} into {known}", array.data_type());
        assert_eq!(
            result.map_err(|e| e.code).map(drop),
            if fits { Ok(()) } else { Err(Code::SchemaMismatch) },
            "{what}"
        );
        if fits {
            let batch = db.read("t").unwrap();
            let schema = batch.schema();
            let wanted = if known == "null" {
                array.data_type().clone()
            } else {
                framelock::frame::types::parse(known)
                    .map(|t| match t {
                        framelock::frame::types::ColumnType::Arrow(t) => t,
                        other => panic!("{other:?}"),
                    })
                    .unwrap()
            };
            assert_eq!(schema.field(0).data_type(), &wanted, "{what}");
        }
    }
}

#[test]
fn values_that_do_not_fit_the_wider_type_are_losses() {
    for (known, array, json) in [
        ("float64", Arc::new(Int64Array::from(vec![1, (1 << 53) + 1])) as ArrayRef, ""),
        ("timestamp[ns]", Arc::new(TimestampSecondArray::from(vec![1, i64::MAX])), ""),
        ("decimal64(3, 1)", Arc::new(Int8Array::from(vec![99, 100])), ""),
        ("int8", Arc::new(Int64Array::from(vec![127, 128])), r#""c":"int8""#),
        ("float32", Arc::new(Float64Array::from(vec![0.5, 0.1])), r#""c":"float32""#),
    ] {
        let db = Db::new();
        let empty = one(Arc::new(NullArray::new(0)));
        db.append("t", &empty, &options(&format!(r#"{{"types":{{"c":"{known}"}}}}"#))).unwrap();
        let error = db
            .append("t", &one(array.clone()), &options(&format!(r#"{{"types":{{{json}}}}}"#)))
            .unwrap_err();
        assert_eq!((error.code, error.row), (Code::LossyValue, Some(1)), "{known}");
        let allow = options(&format!(r#"{{"lossy":"warn","types":{{{json}}}}}"#));
        assert_eq!(db.append("t", &one(array), &allow).unwrap()["c"], 1, "{known}");
        assert_eq!(db.read("t").unwrap().num_rows(), 2);
    }
}

#[test]
fn a_table_made_anew_by_plain_sql_does_not_keep_old_types() {
    let db = Db::new();
    let date: ArrayRef = Arc::new(Date32Array::from(vec![1]));
    db.append("t", &one(date), &options("{}")).unwrap();
    db.exec("DROP TABLE t; CREATE TABLE t(c TEXT)");
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    db.append("t", &one(text.clone()), &options("{}")).unwrap();
    assert_eq!(db.read("t").unwrap().column(0), &text);
}

#[test]
fn types_may_name_only_what_is_there() {
    let db = Db::new();
    let frame = ints(&["a"], &[&[1]]);
    assert_eq!(refused(&db, "t", &frame, r#"{"types":{"b":"int8"}}"#), Code::InvalidArgument);
    assert_eq!(refused(&db, "t", &frame, r#"{"types":{"a":"utf8"}}"#), Code::SchemaMismatch);
    assert_eq!(refused(&db, "t", &frame, r#"{"types":{"a":"iso8601"}}"#), Code::InvalidArgument);
}

#[test]
fn sqlite_numbers_no_row_id_that_counts_something_else() {
    let row = |key: Option<ArrayRef>| {
        let mut fields = vec![Field::new("n", DataType::Int64, true)];
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1]))];
        if let Some(key) = key {
            fields.push(Field::new("k", key.data_type().clone(), true));
            arrays.push(key);
        }
        frame(fields, arrays)
    };
    let decimal = Decimal64Array::from(vec![7]).with_precision_and_scale(9, 0).unwrap();
    let others: [ArrayRef; 6] = [
        Arc::new(TimestampSecondArray::from(vec![7])),
        Arc::new(Date32Array::from(vec![7])),
        Arc::new(decimal),
        Arc::new(BooleanArray::from(vec![true])),
        Arc::new(UInt8Array::from(vec![7])),
        Arc::new(DurationSecondArray::from(vec![7])),
    ];
    let integers: [ArrayRef; 2] =
        [Arc::new(Int64Array::from(vec![7])), Arc::new(UInt64Array::from(vec![7]))];
    for (keys, numbered) in [(&others[..], false), (&integers[..], true)] {
        for key in keys {
            let db = Db::new();
            db.exec("CREATE TABLE t(k INTEGER PRIMARY KEY, n INTEGER)");
            db.append("t", &row(Some(key.clone())), &options("{}")).unwrap();
            let outcome = db.append("t", &row(None), &options("{}"));
            match numbered {
                true => assert!(outcome.is_ok()),
                false => {
                    let error = outcome.expect_err(&key.data_type().to_string());
                    let said = (error.code, error.column.as_deref(), error.table.as_deref());
                    assert_eq!(said, (Code::SchemaMismatch, Some("k"), Some("t")));
                }
            }
            let keys = "SELECT group_concat(k) = '7,8' FROM t";
            assert_eq!(rows(&db, keys), [[Some(i64::from(numbered))]]);
            // Nor where a NULL stands for it, whatever may be lost.
            let outcome = db.append(
                "t",
                &row(Some(new_null_array(key.data_type(), 1))),
                &options(r#"{"lossy":"allow"}"#),
            );
            match numbered {
                true => assert_eq!(outcome.unwrap()["k"], 1),
                false => assert_eq!(outcome.unwrap_err().code, Code::LossyValue),
            }
        }
    }
    let db = Db::new();
    db.exec("CREATE TABLE t(k INTEGER PRIMARY KEY, n INTEGER)");
    db.append("t", &row(None), &options("{}")).unwrap();
    assert_eq!(rows(&db, "SELECT k, n FROM t"), [[Some(1), Some(1)]]);
}

#[test]
fn a_frame_with_neither_columns_nor_rows_goes_into_any_table() {
    let nothing = Frame::empty(Schema::empty());
    let ddl =
        "CREATE TABLE t(id TEXT PRIMARY KEY, n INTEGER NOT NULL); INSERT INTO t VALUES('a', 7)";
    let count = "SELECT count(*) FROM t";
    for (say, left) in [
        (r#"{}"#, 1),
        (r#"{"mode":"append","missingColumns":"error"}"#, 1),
        (r#"{"mode":"upsert"}"#, 1),
        (r#"{"mode":"upsert","key":["id"],"types":{"id":"utf8","n":"int64"}}"#, 1),
        (r#"{"mode":"ignore","key":["n"]}"#, 1),
        (r#"{"mode":"deleteRows","types":{"n":"int64"}}"#, 0),
    ] {
        let db = Db::new();
        db.exec(ddl);
        early::check_frame("t", &nothing, &options(say)).expect(say);
        db.append("t", &nothing, &options(say)).expect(say);
        assert_eq!(rows(&db, count), [[Some(left)]], "{say}");
        // Rows need their columns.
        let two = RecordBatchOptions::new().with_row_count(Some(2));
        let schema = Arc::new(Schema::empty());
        let two = RecordBatch::try_new_with_options(schema.clone(), Vec::new(), &two).unwrap();
        let two = Frame::new(schema, vec![two]);
        assert!(db.append("t", &two, &options(say)).is_err(), "{say}");
    }
    let db = Db::new();
    for say in [r#"{}"#, r#"{"mode":"upsert","key":["id"]}"#, r#"{"mode":"replace"}"#] {
        assert_eq!(refused(&db, "t", &nothing, say), Code::SchemaMismatch, "{say}");
    }
    db.exec("CREATE VIEW v AS SELECT 1 AS a");
    assert_eq!(refused(&db, "v", &nothing, "{}"), Code::SchemaMismatch);
}

#[test]
fn what_is_refused_early_is_what_no_table_takes() {
    let columns: [ArrayRef; 5] = [
        Arc::new(Int64Array::from(vec![7])),
        Arc::new(Float64Array::from(vec![7.5])),
        Arc::new(StringArray::from(vec!["7"])),
        Arc::new(BooleanArray::from(vec![true])),
        Arc::new(TimestampSecondArray::from(vec![7])),
    ];
    let wanted = ["int64", "float64", "utf8", "bool", "timestamp[s]", "iso8601", "binary"];
    let tables = ["", "CREATE TABLE t(c)", "CREATE TABLE t(c TEXT)", "CREATE TABLE t(d INTEGER)"];
    let mut refused = 0;
    for column in &columns {
        for wanted in wanted {
            for rest in ["", r#", "extraColumns": "add""#, r#", "extraColumns": "drop""#] {
                let options = options(&format!(r#"{{"types": {{"c": "{wanted}"}}{rest}}}"#));
                let frame = one(column.clone());
                let is_early = early::check_frame("t", &frame, &options).is_err();
                refused += usize::from(is_early);
                let outcomes = tables.map(|ddl| {
                    let db = Db::new();
                    db.exec(ddl);
                    db.append("t", &frame, &options).is_ok()
                });
                let what = format!("{} as {wanted}{rest}", column.data_type());
                assert!(!is_early || outcomes == [false; 4], "{what}");
                // A column that is dropped may have any type.
                assert!(is_early || outcomes.contains(&true) || rest.contains("drop"), "{what}");
            }
        }
    }
    assert!(refused > 0);
}
