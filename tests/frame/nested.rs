//! Types inside lists, structs and maps: what changes inside them as frames come together.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::*;
use arrow::util::display::array_value_to_string;
use framelock::frame::Frame;
use framelock::frame::options::{AppendOptions, Lossy};

use super::harness::*;

/// What comes back of frames that are appended to one new table.
fn together(frames: &[Frame]) -> RecordBatch {
    let db = Db::new();
    for frame in frames {
        db.append("t", frame, &AppendOptions::default()).unwrap();
    }
    db.read("t").unwrap()
}

/// The type over children of which it has one or, if it is a struct or a map, two.
type Nest = fn(FieldRef) -> DataType;

fn struct_of(field: FieldRef) -> DataType {
    DataType::Struct(vec![Arc::new(Field::new("n", DataType::Int64, true)), field].into())
}

fn map_of(field: FieldRef) -> DataType {
    let key = Arc::new(Field::new("k", DataType::Utf8, false));
    let entries = DataType::Struct(vec![key, field].into());
    DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

fn fixed_of(field: FieldRef) -> DataType {
    DataType::FixedSizeList(field, 1)
}

const NESTS: [Nest; 7] = [
    DataType::List,
    DataType::LargeList,
    DataType::ListView,
    DataType::LargeListView,
    fixed_of,
    struct_of,
    map_of,
];

/// An array of a type of [`NESTS`], each row with one of the values.
fn nest(data_type: &DataType, values: ArrayRef) -> ArrayRef {
    use DataType::*;
    let rows = values.len();
    let starts = || ScalarBuffer::from_iter(0..rows as i32);
    let long_starts = || ScalarBuffer::from_iter(0..rows as i64);
    let ends = || OffsetBuffer::from_lengths(vec![1; rows]);
    match data_type.clone() {
        List(item) => Arc::new(ListArray::new(item, ends(), values, None)),
        LargeList(item) => {
            let ends = OffsetBuffer::from_lengths(vec![1; rows]);
            Arc::new(LargeListArray::new(item, ends, values, None))
        }
        ListView(item) => {
            let sizes = ScalarBuffer::from(vec![1; rows]);
            Arc::new(ListViewArray::new(item, starts(), sizes, values, None))
        }
        LargeListView(item) => {
            let sizes = ScalarBuffer::from(vec![1; rows]);
            Arc::new(LargeListViewArray::new(item, long_starts(), sizes, values, None))
        }
        FixedSizeList(item, size) => Arc::new(FixedSizeListArray::new(item, size, values, None)),
        Struct(fields) => {
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
            Arc::new(StructArray::new(fields, vec![numbers, values], None))
        }
        Map(entries, sorted) => {
            let Struct(fields) = entries.data_type().clone() else { unreachable!() };
            let keys = StringArray::from_iter_values((0..rows).map(|row| format!("k{row}")));
            let pairs = StructArray::new(fields, vec![Arc::new(keys), values], None);
            Arc::new(MapArray::new(entries, ends(), pairs, None, sorted))
        }
        other => unreachable!("{other}"),
    }
}

#[test]
fn a_dictionary_inside_grows_its_keys_and_its_parents_follow() {
    let words = |from: i8| -> ArrayRef {
        let words = (0..100).map(|word| format!("w{}", i32::from(from) + word));
        let keys = Int8Array::from_iter_values(0..100);
        Arc::new(DictionaryArray::new(keys, Arc::new(StringArray::from_iter_values(words))))
    };
    let of = |keys: DataType| DataType::Dictionary(Box::new(keys), Box::new(DataType::Utf8));
    for inner in NESTS {
        for outer in NESTS {
            let whole = |words: DataType| -> (DataType, DataType) {
                let inner = inner(Arc::new(Field::new("v", words, true)));
                (outer(Arc::new(Field::new("i", inner.clone(), true))), inner)
            };
            let (narrow, inside) = whole(of(DataType::Int8));
            let frame = |from| one(nest(&narrow, nest(&inside, words(from))));
            let (few, many) = (together(&[frame(0)]), together(&[frame(0), frame(100)]));
            assert_eq!(few.column(0).data_type(), &narrow);
            let (wide, _) = whole(of(DataType::Int16));
            assert_eq!(many.schema().field(0).data_type(), &wide);
            assert_eq!(many.column(0).data_type(), &wide);
            assert_eq!(&many.column(0).slice(0, 100).len(), &few.num_rows());
            let text = |batch: &RecordBatch, row| {
                arrow::util::display::array_value_to_string(batch.column(0), row).unwrap()
            };
            assert_eq!(text(&few, 7), text(&many, 7));
            assert!(text(&many, 199).contains("w199"), "{}", text(&many, 199));
        }
    }
}

#[test]
fn nulls_inside_that_come_later_make_the_inside_nullable() {
    let values = |value: Option<i64>| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
    for inner in NESTS {
        for outer in NESTS {
            let whole = |nullable| {
                let inner = inner(Arc::new(Field::new("v", DataType::Int64, nullable)));
                (outer(Arc::new(Field::new("i", inner.clone(), nullable))), inner)
            };
            let frame = |nullable, value| {
                let (outer, inner) = whole(nullable);
                one(nest(&outer, nest(&inner, values(value))))
            };
            let strict = frame(false, Some(1));
            let alone = together(std::slice::from_ref(&strict));
            assert_eq!(alone.schema().field(0).data_type(), &whole(false).0);
            for later in [frame(true, None), frame(true, Some(1))] {
                let read = together(&[strict.clone(), later.clone(), strict.clone()]);
                assert_eq!(read.schema().field(0).data_type(), &whole(true).0);
                assert_eq!(
                    read.column(0).slice(1, 1).as_ref(),
                    later.batches[0].column(0).as_ref()
                );
            }
        }
    }
}

#[test]
fn a_null_inside_that_plain_sql_wrote_is_read() {
    let item = |nullable| DataType::List(Arc::new(Field::new("v", DataType::Int64, nullable)));
    let db = Db::new();
    let values: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    db.append("t", &one(nest(&item(false), values)), &AppendOptions::default()).unwrap();
    db.exec("INSERT INTO t VALUES('[2,null]')");
    let read = db.read("t").unwrap();
    assert_eq!(read.column(0).data_type(), &item(true));
    assert_eq!(read.column(0).as_list::<i32>().values().null_count(), 1);
}

#[test]
fn what_dictionaries_and_runs_inside_hold_is_kept_as_it_is() {
    let floats = || -> ArrayRef { Arc::new(Float64Array::from(vec![f64::NAN, -0.0, 1.5])) };
    let halves = || -> ArrayRef { Arc::new(Float32Array::from(vec![f32::NAN, -0.0, 0.1])) };
    let large = || -> ArrayRef { Arc::new(UInt64Array::from(vec![u64::MAX, 1 << 63, 7])) };
    for values in [floats(), halves(), large()] {
        let keys = Int8Array::from(vec![0, 1, 2]);
        let words: ArrayRef = Arc::new(DictionaryArray::new(keys, Arc::clone(&values)));
        let ends = Int16Array::from(vec![1, 2, 3]);
        let runs: ArrayRef = Arc::new(RunArray::try_new(&ends, &values).unwrap());
        for inside in [words, runs] {
            for outer in NESTS {
                let item = |array: &ArrayRef| {
                    outer(Arc::new(Field::new("v", array.data_type().clone(), true)))
                };
                let (frame, plain) = (
                    one(nest(&item(&inside), Arc::clone(&inside))),
                    one(nest(&item(&values), Arc::clone(&values))),
                );
                let text = |frame: Frame| {
                    let (read, coerced) = round_trip(&frame, Lossy::Error).unwrap();
                    assert!(coerced.is_empty());
                    (0..3)
                        .map(|row| array_value_to_string(read.column(0), row).unwrap())
                        .collect::<Vec<_>>()
                };
                assert_eq!(text(frame), text(plain), "{}", inside.data_type());
            }
        }
    }
}
