//! Every type into a column of every other, in every mode: what `docs/types.md` says is what
//! happens. A frame that is refused leaves no trace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use framelock::error::Code;
use framelock::frame::Frame;
use framelock::frame::storage::value_type;
use framelock::frame::types;

use super::harness::*;

/// A value and a null of every type that the page's table of widening has.
fn samples() -> Vec<ArrayRef> {
    let texts = vec![Some("1"), None];
    let blobs: Vec<Option<&[u8]>> = vec![Some(b"1"), None];
    let decimal = |p, s| -> ArrayRef {
        let array = Decimal128Array::from(vec![Some(1), None]).with_precision_and_scale(p, s);
        Arc::new(array.expect("a decimal"))
    };
    let decimal32 = Decimal32Array::from(vec![Some(1), None]).with_precision_and_scale(9, 2);
    let decimal256 = Decimal256Array::from(vec![Some(i256::ONE), None]);
    let decimal256 = decimal256.with_precision_and_scale(76, 0);
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)]), None]);
    let views: ListViewArray = list.clone().into();
    let fields = Fields::from(vec![Field::new("a", DataType::Int64, true)]);
    let children: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![Some(1), None]))];
    let fixed = [Some([1_u8; 16]), None];
    let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(fixed.into_iter(), 16);
    let month = vec![Some(IntervalMonthDayNano::ONE), None];
    let words: DictionaryArray<Int8Type> = texts.clone().into_iter().collect();
    vec![
        Arc::new(NullArray::new(2)),
        Arc::new(BooleanArray::from(vec![Some(true), None])),
        Arc::new(Int8Array::from(vec![Some(1), None])),
        Arc::new(Int32Array::from(vec![Some(1), None])),
        Arc::new(Int64Array::from(vec![Some(1), None])),
        Arc::new(UInt8Array::from(vec![Some(1), None])),
        Arc::new(UInt64Array::from(vec![Some(1), None])),
        Arc::new(Float32Array::from(vec![Some(1.0), None])),
        Arc::new(Float64Array::from(vec![Some(1.0), None])),
        Arc::new(StringArray::from(texts.clone())),
        Arc::new(LargeStringArray::from(texts.clone())),
        Arc::new(StringViewArray::from(texts)),
        Arc::new(BinaryArray::from(blobs.clone())),
        Arc::new(BinaryViewArray::from(blobs)),
        Arc::new(fixed.expect("bytes")),
        Arc::new(Date32Array::from(vec![Some(1), None])),
        Arc::new(Date64Array::from(vec![Some(86_400_000), None])),
        Arc::new(Time32SecondArray::from(vec![Some(1), None])),
        Arc::new(Time64NanosecondArray::from(vec![Some(1), None])),
        Arc::new(TimestampSecondArray::from(vec![Some(1), None])),
        Arc::new(TimestampNanosecondArray::from(vec![Some(1), None])),
        Arc::new(TimestampNanosecondArray::from(vec![Some(1), None]).with_timezone("UTC")),
        Arc::new(DurationSecondArray::from(vec![Some(1), None])),
        Arc::new(DurationNanosecondArray::from(vec![Some(1), None])),
        Arc::new(IntervalYearMonthArray::from(vec![Some(1), None])),
        Arc::new(IntervalMonthDayNanoArray::from(month)),
        Arc::new(decimal32.expect("a decimal")),
        decimal(38, 2),
        decimal(38, 9),
        Arc::new(decimal256.expect("a decimal")),
        Arc::new(words),
        Arc::new(list),
        Arc::new(views),
        Arc::new(StructArray::new(fields, children, Some(vec![true, false].into()))),
    ]
}

/// The table of widening in `docs/types.md`: which types go into a column without being asked.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = include_str!("../../docs/types.md");
    let section = page.split("\n## ").find(|section| section.starts_with("Into a column of"));
    let names = |cell: &str| -> Vec<String> {
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let mut table = BTreeMap::new();
    for line in section.expect("the section").lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.split('|').collect();
        for column in names(cells[1]) {
            let from = names(cells[2]).into_iter().chain([column.clone()]);
            table.insert(column, from.collect());
        }
    }
    table
}

/// The rows with their storage classes, the schema, the types.
fn everything(db: &Db) -> String {
    let all = |sql: &str| -> Vec<String> {
        let mut statement = db.0.prepare(sql).expect(sql);
        let rows = statement.query_map([], |row| row.get(0)).expect(sql);
        rows.map(|row| row.expect(sql)).collect()
    };
    format!(
        "{:?} {:?} {:?}",
        all("SELECT k || ' ' || typeof(c) || ' ' || quote(c) FROM t ORDER BY rowid"),
        all("SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY name"),
        all("SELECT column_name || hex(field) FROM _framelock_columns ORDER BY 1"),
    )
}

/// A frame of the keys `k` and a sample `c`.
fn keyed(keys: [i64; 2], sample: &ArrayRef) -> Frame {
    let fields = vec![
        Field::new("k", DataType::Int64, true),
        Field::new("c", sample.data_type().clone(), true),
    ];
    frame(fields, vec![Arc::new(Int64Array::from(keys.to_vec())), Arc::clone(sample)])
}

/// A mode, the keys its frame has, and those that the table has afterwards.
const MODES: [(&str, [i64; 2], &[i64]); 7] = [
    (r#"{"mode":"create"}"#, [3, 4], &[]),
    (r#"{"mode":"append"}"#, [3, 4], &[1, 2, 3, 4]),
    (r#"{"mode":"createAppend"}"#, [3, 4], &[1, 2, 3, 4]),
    (r#"{"mode":"replace"}"#, [3, 4], &[3, 4]),
    (r#"{"mode":"deleteRows"}"#, [3, 4], &[3, 4]),
    (r#"{"mode":"upsert","key":["k"]}"#, [1, 3], &[1, 2, 3]),
    (r#"{"mode":"ignore","key":["k"]}"#, [1, 3], &[1, 2, 3]),
];

#[test]
fn every_type_into_every_column_in_every_mode() {
    let documented = documented();
    let name = |array: &ArrayRef| types::name(value_type(array.data_type()));
    let mut outcomes = [0, 0];
    for known in samples() {
        let mut db = Db::new();
        db.append("t", &keyed([1, 2], &known), &options("{}")).expect("the first frame");
        db.exec("CREATE UNIQUE INDEX u ON t(k)");
        let before = everything(&db);
        let bytes = db.0.serialize("main").expect("bytes").to_vec();
        for array in samples() {
            let widens = *known.data_type() == DataType::Null
                || documented[&name(&known)].contains(&name(&array));
            for (json, keys, left) in MODES {
                let what = format!("{} into {}, {json}", array.data_type(), known.data_type());
                let goes = match json {
                    r#"{"mode":"create"}"# => false,
                    r#"{"mode":"replace"}"# => true,
                    _ => widens,
                };
                let copy = database(&bytes);
                let result = copy.append("t", &keyed(keys, &array), &options(json));
                outcomes[usize::from(goes)] += 1;
                if !goes {
                    let error = result.expect_err(&what);
                    assert_eq!(error.code, Code::SchemaMismatch, "{what}");
                    assert_eq!(everything(&copy), before, "{what}");
                    continue;
                }
                assert_eq!(result.expect(&what), BTreeMap::new(), "{what}");
                check(&copy, json, &known, &array, left, &what);
            }
        }
    }
    assert!(outcomes.iter().all(|count| *count > 1_000), "{outcomes:?}");
}

/// What a frame that was taken leaves behind.
fn check(db: &Db, json: &str, known: &ArrayRef, array: &ArrayRef, left: &[i64], what: &str) {
    let read = db
        .query("SELECT k, c FROM t ORDER BY k", |name| {
            let fields = db.state("t").columns.into_iter();
            fields.filter(|column| column.name == name).find_map(|column| column.field)
        })
        .expect(what);
    let keys = read.column(0).as_primitive::<Int64Type>();
    assert_eq!(keys.values(), left, "{what}");
    let replaced = json.contains("replace") || *known.data_type() == DataType::Null;
    let wanted = if replaced { array.data_type() } else { known.data_type() };
    let column = read.column(1);
    assert_eq!(column.data_type(), wanted, "{what}");
    // The frame's value is there, and its null: at the ends of what it wrote.
    let first = if json.contains("upsert") { 0 } else { keys.len() - 2 };
    let nulls = column.logical_nulls();
    let is_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
    let ignored = json.contains("ignore");
    if !ignored {
        assert_eq!(is_null(first), *array.data_type() == DataType::Null, "{what}");
        if array.data_type() == column.data_type() {
            assert_eq!(&column.slice(first, 1), &array.slice(0, 1), "{what}");
        }
    } else {
        assert_eq!(is_null(0), *known.data_type() == DataType::Null, "{what}");
    }
    assert!(is_null(keys.len() - 1), "{what}");
}

/// The database of these bytes.
fn database(bytes: &[u8]) -> Db {
    let mut copy = rusqlite::Connection::open_in_memory().expect("SQLite");
    copy.deserialize_read_exact("main", bytes, bytes.len(), false).expect("a copy");
    Db(copy)
}
