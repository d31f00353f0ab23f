//! The cases that `docs/types.md` lists, one by one.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::*;
use arrow::ipc::writer::{DictionaryHandling, IpcWriteOptions, StreamWriter};
use framelock::error::Code;
use framelock::frame::options::Lossy;

use super::harness::*;

/// The array comes back equal, with its type, whole and as a slice with an offset.
fn same(array: impl Array + 'static) {
    let array = make_array(array.to_data());
    let middle = array.slice(array.len().min(1), array.len().saturating_sub(2));
    for array in [array.slice(0, 0), middle, array] {
        let frame = one(Arc::clone(&array));
        let (batch, coerced) = round_trip(&frame, Lossy::Error).unwrap();
        assert_eq!(batch.schema().field(0).data_type(), array.data_type());
        assert_eq!(batch.column(0), &array);
        assert!(coerced.is_empty());
    }
}

/// Under `error` the array is refused at the row; under `allow` it comes back as the other.
fn changed(array: impl Array + 'static, row: u64, other: impl Array + 'static) {
    let frame = one(make_array(array.to_data()));
    let error = round_trip(&frame, Lossy::Error).unwrap_err();
    assert_eq!((error.code, error.row), (Code::LossyValue, Some(row)));
    assert_eq!(error.column.as_deref(), Some("c"));
    let (batch, coerced) = round_trip(&frame, Lossy::Allow).unwrap();
    assert_eq!(batch.column(0), &make_array(other.to_data()));
    assert_eq!(coerced["c"], 1);
}

#[test]
fn integers_to_their_limits() {
    same(Int8Array::from(vec![Some(i8::MIN), None, Some(i8::MAX)]));
    same(Int16Array::from(vec![Some(i16::MIN), None, Some(i16::MAX)]));
    same(Int32Array::from(vec![Some(i32::MIN), None, Some(i32::MAX)]));
    same(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX), Some((1 << 53) + 1)]));
    same(UInt8Array::from(vec![Some(0), None, Some(u8::MAX)]));
    same(UInt16Array::from(vec![Some(0), None, Some(u16::MAX)]));
    same(UInt32Array::from(vec![Some(0), None, Some(u32::MAX)]));
    same(UInt64Array::from(vec![Some(0), None, Some(i64::MAX as u64)]));
    same(BooleanArray::from(vec![Some(true), None, Some(false)]));
    same(NullArray::new(3));
}

#[test]
fn uint64_beyond_int64_is_a_loss_or_a_decimal() {
    let array = UInt64Array::from(vec![1, 1 << 63]);
    changed(array.clone(), 1, UInt64Array::from(vec![1, i64::MAX as u64]));
    let db = Db::new();
    let options = options(r#"{"types":{"c":"decimal128(20, 0)"}}"#);
    db.append("t", &one(Arc::new(array)), &options).unwrap();
    let batch = db.read("t").unwrap();
    let decimals = Decimal128Array::from(vec![1, 1 << 63]);
    let decimals = decimals.with_precision_and_scale(20, 0).unwrap();
    assert_eq!(batch.column(0).as_ref(), &decimals as &dyn Array);
}

#[test]
fn floats_of_every_width() {
    same(Float64Array::from(vec![
        Some(5.0),
        None,
        Some(1e21),
        Some(f64::INFINITY),
        Some(f64::NEG_INFINITY),
        Some(5e-324),
        Some(f64::MIN_POSITIVE / 2.0),
        Some(f64::MAX),
        Some(9_007_199_254_740_993.0),
    ]));
    same(Float32Array::from(vec![Some(0.1), None, Some(f32::MAX), Some(f32::from_bits(1))]));
    let f16 = <Float16Type as ArrowPrimitiveType>::Native::MAX;
    same(Float16Array::from(vec![Some(f16), None, Some(-f16)]));
}

#[test]
fn nan_and_negative_zero_are_never_changed_without_a_word() {
    let f64s = |values: &[Option<f64>]| Float64Array::from(values.to_vec());
    changed(f64s(&[Some(1.0), Some(f64::NAN)]), 1, f64s(&[Some(1.0), None]));
    changed(f64s(&[Some(-0.0)]), 0, f64s(&[Some(0.0)]));
    let f32s = |values: &[Option<f32>]| Float32Array::from(values.to_vec());
    changed(f32s(&[Some(f32::NAN)]), 0, f32s(&[None]));
    changed(f32s(&[None, Some(-0.0)]), 1, f32s(&[None, Some(0.0)]));
    type F16 = <Float16Type as ArrowPrimitiveType>::Native;
    let f16s = |values: &[Option<F16>]| Float16Array::from(values.to_vec());
    changed(f16s(&[Some(F16::NAN)]), 0, f16s(&[None]));
    changed(f16s(&[Some(F16::NEG_ZERO)]), 0, f16s(&[Some(F16::ZERO)]));
    // In a dictionary each row that has it counts.
    let keys = Int8Array::from(vec![Some(0), None, Some(1), Some(1)]);
    let values = Arc::new(Float64Array::from(vec![0.5, f64::NAN]));
    let frame = one(Arc::new(DictionaryArray::new(keys, values)));
    let error = round_trip(&frame, Lossy::Error).unwrap_err();
    assert_eq!((error.code, error.row), (Code::LossyValue, Some(2)));
    assert_eq!(round_trip(&frame, Lossy::Warn).unwrap().1["c"], 2);
}

/// What SQLite does, which the rules rest on.
#[test]
fn sqlite_itself_keeps_reals_but_for_nan_and_negative_zero() {
    let db = Db::new();
    db.exec("CREATE TABLE t(r REAL, b BLOB)");
    for value in [f64::INFINITY, f64::NEG_INFINITY, 5e-324, 1e21, 5.0, -0.0, f64::NAN] {
        db.exec("DELETE FROM t");
        db.0.execute("INSERT INTO t VALUES(?1, ?1)", [value]).unwrap();
        let row = db.0.query_row("SELECT r, b FROM t", [], |row| {
            Ok((row.get::<_, Option<f64>>(0)?, row.get::<_, Option<f64>>(1)?))
        });
        let (real, blob) = row.unwrap();
        let bits = |value: Option<f64>| value.map(f64::to_bits);
        if value.is_nan() {
            assert_eq!((real, blob), (None, None));
        } else if value == 0.0 {
            assert_eq!(bits(real), bits(Some(0.0)), "a REAL column drops the sign");
            assert_eq!(bits(blob), bits(Some(-0.0)), "a BLOB column keeps it");
        } else {
            assert_eq!((real, blob), (Some(value), Some(value)));
        }
    }
}

#[test]
fn text_and_binary() {
    let long = "x".repeat(16 << 20);
    let texts = vec![
        Some(""),
        None,
        Some("a\0b"),
        Some("😀𝄞"),
        Some("0123"),
        Some("12345678901234567890123456789"),
        Some(long.as_str()),
    ];
    same(StringArray::from(texts.clone()));
    same(LargeStringArray::from(texts.clone()));
    same(StringViewArray::from(texts));
    let blobs: Vec<Option<&[u8]>> = vec![Some(b""), None, Some(b"\0\xff"), Some(b"0123")];
    same(BinaryArray::from(blobs.clone()));
    same(LargeBinaryArray::from(blobs.clone()));
    same(BinaryViewArray::from(blobs));
    let fixed = [Some([1_u8, 2]), None, Some([0, 0])];
    same(FixedSizeBinaryArray::try_from_sparse_iter_with_size(fixed.iter().cloned(), 2).unwrap());
}

#[test]
fn dates_times_and_durations() {
    let years = [-719_893, -719_528, -1, 0, 2_932_896, 2_932_897, i32::MIN, i32::MAX];
    same(Date32Array::from(years.to_vec()));
    same(Date64Array::from(vec![Some(-86_400_000), None, Some(i64::MAX), Some(i64::MIN)]));
    same(Time32SecondArray::from(vec![0, 86_399]));
    same(Time32MillisecondArray::from(vec![Some(86_399_999), None]));
    same(Time64MicrosecondArray::from(vec![Some(1), None]));
    same(Time64NanosecondArray::from(vec![45_296_000_000_001]));
    for zone in [None, Some("UTC"), Some("America/New_York"), Some("+05:30")] {
        let ns = vec![Some(-1), None, Some(i64::MAX), Some(i64::MIN)];
        same(TimestampNanosecondArray::from(ns.clone()).with_timezone_opt(zone));
        same(TimestampMicrosecondArray::from(ns.clone()).with_timezone_opt(zone));
        same(TimestampMillisecondArray::from(ns.clone()).with_timezone_opt(zone));
        same(TimestampSecondArray::from(ns).with_timezone_opt(zone));
    }
    same(DurationSecondArray::from(vec![Some(i64::MIN), None]));
    same(DurationNanosecondArray::from(vec![Some(i64::MAX), None]));
    same(IntervalYearMonthArray::from(vec![Some(-14), None, Some(i32::MAX)]));
    let day_time = vec![Some(IntervalDayTime::new(-3, 500)), None];
    same(IntervalDayTimeArray::from(day_time));
    let nano = vec![Some(IntervalMonthDayNano::new(1, -2, i64::MIN)), None];
    same(IntervalMonthDayNanoArray::from(nano));
}

#[test]
fn a_time_that_its_column_has_no_room_for_is_a_loss() {
    let db = Db::new();
    let append = |array: ArrayRef, lossy: &str| db.append("t", &one(array), &options(lossy));
    append(Arc::new(Time32MillisecondArray::from(vec![1])), "{}").unwrap();
    let seconds: ArrayRef = Arc::new(Time32SecondArray::from(vec![2, i32::MAX, i32::MIN]));
    let error = append(Arc::clone(&seconds), "{}").unwrap_err();
    assert_eq!((error.code, error.row), (Code::LossyValue, Some(1)));
    assert_eq!(append(seconds, r#"{"lossy":"allow"}"#).unwrap()["c"], 2);
    let nearest = Time32MillisecondArray::from(vec![1, 2000, i32::MAX, i32::MIN]);
    assert_eq!(db.read("t").unwrap().column(0).as_ref(), &nearest as &dyn Array);
}

#[test]
fn decimals_to_their_extremes() {
    let max = 10_i128.pow(38) - 1;
    let d128 = |values: Vec<Option<i128>>, p, s| {
        Decimal128Array::from(values).with_precision_and_scale(p, s).unwrap()
    };
    same(d128(vec![Some(max), None, Some(-max), Some(0), Some(5)], 38, 9));
    same(d128(vec![Some(5), None, Some(-999)], 3, -4));
    same(d128(vec![Some(999_999_999_999_999_999), Some(-1)], 18, 18));
    same(d128(vec![Some(5), None, Some(-1)], 19, -4));
    let d256: i256 = format!("{:9<76}", 9).parse().unwrap();
    let d256 = Decimal256Array::from(vec![Some(d256), None, Some(d256.wrapping_neg())]);
    same(d256.with_precision_and_scale(76, 0).unwrap());
    let d32 = Decimal32Array::from(vec![Some(999_999_999), None, Some(-1)]);
    same(d32.with_precision_and_scale(9, 2).unwrap());
    let d64 = Decimal64Array::from(vec![Some(999_999_999_999_999_999), None, Some(-1)]);
    same(d64.with_precision_and_scale(18, 2).unwrap());
    // Arrow does not hold a decimal to its precision, and so nor do we.
    same(d128(vec![Some(i128::MAX), None, Some(i128::MIN), Some(i64::MAX.into())], 3, 2));
    same(d128(vec![Some(i128::MAX), None, Some(i128::MIN)], 20, -5));
    let wide = Decimal256Array::from(vec![Some(i256::MAX), None, Some(i256::MIN)]);
    same(wide.clone().with_precision_and_scale(5, 5).unwrap());
    same(wide.with_precision_and_scale(40, 5).unwrap());
    let db = Db::new();
    db.append("t", &one(Arc::new(d128(vec![Some(-12_345)], 10, 2))), &options("{}")).unwrap();
    assert_eq!(db.stored("t", "c"), "integer -12345");
    db.append("u", &one(Arc::new(d128(vec![Some(-12_345)], 20, 2))), &options("{}")).unwrap();
    assert_eq!(db.stored("u", "c"), "text '-123.45'");
}

#[test]
fn dictionaries() {
    let texts: DictionaryArray<Int8Type> =
        [Some("a"), None, Some("b"), Some("a")].into_iter().collect();
    let (batch, _) = round_trip(&one(Arc::new(texts.clone())), Lossy::Error).unwrap();
    assert_eq!(batch.column(0).data_type(), texts.data_type());
    let read = batch.column(0).as_dictionary::<Int8Type>();
    let read: Vec<_> = read.downcast_dict::<StringArray>().unwrap().into_iter().collect();
    assert_eq!(read, [Some("a"), None, Some("b"), Some("a")]);
    let numbers = Int64Array::from(vec![Some(7), None]);
    let keys = UInt16Array::from(vec![Some(1), Some(0), None]);
    let numbers = DictionaryArray::new(keys, Arc::new(numbers));
    let (batch, _) = round_trip(&one(Arc::new(numbers.clone())), Lossy::Error).unwrap();
    assert_eq!(batch.column(0).data_type(), numbers.data_type());
    let column = batch.column(0);
    assert_eq!(column.logical_null_count(), 2);
    let blobs = BinaryArray::from(vec![&b""[..], b"\0"]);
    let blobs = DictionaryArray::new(Int64Array::from(vec![0, 1, 0]), Arc::new(blobs));
    same(blobs);
}

/// Two batches whose dictionaries differ: the second one's is longer by a value (a delta), or
/// another one altogether (a replacement).
#[test]
fn dictionaries_that_grow_or_are_replaced_between_batches() {
    let batch = |values: &[&str], keys: &[i8]| {
        let values: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
        let array = DictionaryArray::new(Int8Array::from(keys.to_vec()), values);
        RecordBatch::try_from_iter([("c", Arc::new(array) as ArrayRef)]).unwrap()
    };
    let first = batch(&["a", "b"], &[1, 0]);
    for (second, handling) in [
        (batch(&["a", "b", "c"], &[2, 0]), DictionaryHandling::Delta),
        (batch(&["c", "a"], &[0, 1]), DictionaryHandling::Resend),
    ] {
        let options = IpcWriteOptions::default().with_dictionary_handling(handling);
        let schema = first.schema();
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), &schema, options).unwrap();
        writer.write(&first).unwrap();
        writer.write(&second).unwrap();
        let bytes = writer.into_inner().unwrap();
        let frame = framelock::frame::Frame::decode(Buffer::from(bytes)).unwrap();
        let (batch, _) = round_trip(&frame, Lossy::Error).unwrap();
        let read = batch.column(0).as_dictionary::<Int8Type>();
        let read: Vec<_> = read.downcast_dict::<StringArray>().unwrap().into_iter().collect();
        assert_eq!(read, [Some("b"), Some("a"), Some("c"), Some("a")]);
    }
}

#[test]
fn runs_read_back_as_their_values() {
    let values = StringArray::from(vec![Some("a"), None]);
    let runs = RunArray::try_new(&Int32Array::from(vec![2, 3]), &values).unwrap();
    let (batch, _) = round_trip(&one(Arc::new(runs)), Lossy::Error).unwrap();
    let plain = StringArray::from(vec![Some("a"), Some("a"), None]);
    assert_eq!(batch.column(0).as_ref(), &plain as &dyn Array);
}

#[test]
fn nested_values_of_every_kind() {
    let int = Int64Array::from(vec![Some(1), None, Some((1 << 53) + 1), Some(i64::MIN), Some(5)]);
    let item = Arc::new(Field::new_list_field(DataType::Int64, true));
    let nulls = NullBuffer::from(vec![true, false, true, true]);
    let offsets = OffsetBuffer::new(vec![0, 2, 2, 2, 5].into());
    same(ListArray::new(item.clone(), offsets, Arc::new(int.clone()), Some(nulls.clone())));
    let offsets = OffsetBuffer::new(vec![0_i64, 2, 2, 2, 5].into());
    same(LargeListArray::new(item.clone(), offsets, Arc::new(int.clone()), Some(nulls)));
    let pairs = int.slice(0, 4);
    let valid = NullBuffer::from(vec![true, false]);
    same(FixedSizeListArray::new(item.clone(), 2, Arc::new(pairs), None));
    let sparse = Int64Array::from(vec![Some(1), None, None, None]);
    same(FixedSizeListArray::new(item.clone(), 2, Arc::new(sparse), Some(valid)));
    let views = ListViewArray::new(
        item.clone(),
        vec![0, 1, 2].into(),
        vec![1, 1, 3].into(),
        Arc::new(int.clone()),
        None,
    );
    same(views);
    let views = LargeListViewArray::new(
        item,
        vec![0_i64, 1].into(),
        vec![1_i64, 4].into(),
        Arc::new(int),
        None,
    );
    same(views);
}

#[test]
fn a_list_of_structs_of_maps_with_twin_keys() {
    let mut map = MapBuilder::new(
        None,
        StringBuilder::new(),
        Decimal128Builder::new().with_precision_and_scale(10, 2).unwrap(),
    );
    for (key, value) in [("k\0\"\\", Some(150)), ("k\0\"\\", None), ("", Some(-1))] {
        map.keys().append_value(key);
        map.values().append_option(value);
    }
    map.append(true).unwrap();
    map.append(false).unwrap();
    map.append(true).unwrap();
    let map = map.finish();
    let floats = Float32Array::from(vec![Some(0.1), Some(f32::NEG_INFINITY), None]);
    let dates =
        TimestampNanosecondArray::from(vec![Some(i64::MIN), None, Some(1)]).with_timezone("UTC");
    let blobs = BinaryArray::from(vec![Some(&b"\0\xff"[..]), Some(b""), None]);
    let fields = Fields::from(vec![
        Field::new("m", map.data_type().clone(), true),
        Field::new("f \"q\"", DataType::Float32, true),
        Field::new("", dates.data_type().clone(), true),
        Field::new("b", DataType::Binary, true),
    ]);
    let arrays: Vec<ArrayRef> =
        vec![Arc::new(map), Arc::new(floats), Arc::new(dates), Arc::new(blobs)];
    let valid = NullBuffer::from(vec![true, true, true]);
    let structs = StructArray::new(fields, arrays, Some(valid));
    let item = Arc::new(Field::new("element", structs.data_type().clone(), true));
    let offsets = OffsetBuffer::new(vec![0, 2, 3].into());
    let list = ListArray::new(item, offsets, Arc::new(structs.clone()), None);
    same(structs);
    same(list.clone());
    let db = Db::new();
    db.append("t", &one(Arc::new(list)), &options("{}")).unwrap();
    let sql = "SELECT json_valid(c), c ->> '$[0].b' FROM t";
    let row = db.0.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
    assert_eq!(row.unwrap(), (true, "AP8=".to_owned()));
}

/// What a column cannot keep, a nested value can: its text says all of it.
#[test]
fn uint64_beyond_int64_inside_nested_values_stays() {
    let large = UInt64Array::from(vec![Some(1 << 63), Some(u64::MAX), None]);
    let item = Arc::new(Field::new_list_field(DataType::UInt64, true));
    let offsets = OffsetBuffer::new(vec![0, 3, 3].into());
    same(ListArray::new(item, offsets, Arc::new(large), None));
}

#[test]
fn nan_inside_nested_values_stays() {
    let floats = Float64Array::from(vec![f64::NAN, -0.0, f64::INFINITY]);
    let item = Arc::new(Field::new_list_field(DataType::Float64, true));
    let list = FixedSizeListArray::new(item, 3, Arc::new(floats), None);
    let (batch, _) = round_trip(&one(Arc::new(list)), Lossy::Error).unwrap();
    let values = batch.column(0).as_fixed_size_list().values().clone();
    let values = values.as_primitive::<Float64Type>();
    assert!(values.value(0).is_nan());
    assert_eq!(values.value(1).to_bits(), (-0.0_f64).to_bits());
    assert_eq!(values.value(2), f64::INFINITY);
}

#[test]
fn extension_types_and_metadata_come_back() {
    let metadata = [
        ("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned()),
        ("ARROW:extension:metadata".to_owned(), String::new()),
    ];
    let field = Field::new("c", DataType::FixedSizeBinary(16), false).with_metadata(metadata);
    let array = FixedSizeBinaryArray::try_from_iter([[7_u8; 16]].iter()).unwrap();
    let frame = frame(vec![field.clone()], vec![Arc::new(array)]);
    let (batch, _) = round_trip(&frame, Lossy::Error).unwrap();
    assert_eq!(batch.schema().field(0), &field);
}

#[test]
fn frames_without_rows_or_columns() {
    let db = Db::new();
    let none = frame_without_columns(0);
    let code = |result: framelock::error::Result<_>| result.map_err(|error| error.code).map(drop);
    assert_eq!(code(db.append("t", &none, &options("{}"))), Err(Code::SchemaMismatch));
    db.append("t", &one(Arc::new(Int8Array::from(Vec::<i8>::new()))), &options("{}")).unwrap();
    assert_eq!(db.read("t").unwrap().num_rows(), 0);
    assert_eq!(db.read("t").unwrap().schema().field(0).data_type(), &DataType::Int8);
    assert_eq!(code(db.append("t", &none, &options("{}"))), Ok(()));
    let rows = frame_without_columns(2);
    assert_eq!(code(db.append("t", &rows, &options("{}"))), Ok(()));
    assert_eq!(db.read("t").unwrap().num_rows(), 2);
    assert_eq!(db.read("t").unwrap().column(0).null_count(), 2);
    let others = one(Arc::new(Int8Array::from(vec![1])));
    db.exec("CREATE TABLE u(x)");
    let dropped = db.append("u", &others, &options(r#"{"extraColumns": "drop"}"#));
    assert_eq!(code(dropped), Err(Code::SchemaMismatch));
}

fn frame_without_columns(rows: usize) -> framelock::frame::Frame {
    let schema = Arc::new(Schema::empty());
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), vec![], &options).unwrap();
    framelock::frame::Frame::new(schema, vec![batch])
}

#[test]
fn two_thousand_columns_with_any_names() {
    let mut names = vec![
        "",
        " ",
        "select",
        "rowid",
        "a\"b",
        "'",
        "😀",
        "ä",
        "Ä",
        "__proto__",
        "a;--",
        "\u{202e}x",
        "[x]",
        "`",
        "?",
        ":a",
    ];
    let numbered: Vec<_> = (names.len()..2_000).map(|i| format!("column {i}")).collect();
    names.extend(numbered.iter().map(String::as_str));
    let fields: Vec<_> =
        names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect();
    let arrays: Vec<ArrayRef> =
        (0..2_000).map(|i| Arc::new(Int64Array::from(vec![i, i + 1])) as _).collect();
    let frame = frame(fields.clone(), arrays);
    let (batch, _) = round_trip(&frame, Lossy::Error).unwrap();
    assert_eq!(batch, frame.batches[0]);
    let mut twins = fields;
    twins.truncate(1_998);
    twins.push(Field::new("SELECT", DataType::Int64, true));
    let schema = Schema::new(twins);
    let error = round_trip(&framelock::frame::Frame::empty(schema), Lossy::Error).unwrap_err();
    assert_eq!(error.code, Code::InvalidFrame);
}

#[test]
fn iso8601_is_stored_as_text_and_reads_back_typed() {
    let db = Db::new();
    let array =
        TimestampMicrosecondArray::from(vec![Some(-1), None]).with_timezone("America/New_York");
    let frame = one(Arc::new(array.clone()));
    db.append("t", &frame, &options(r#"{"types":{"c":"iso8601"}}"#)).unwrap();
    assert_eq!(db.stored("t", "c"), "text '1969-12-31T23:59:59.999999Z'");
    let sql = "SELECT unixepoch(c) FROM t";
    assert_eq!(db.0.query_row(sql, [], |row| row.get(0)), Ok(-1_i64));
    // The table knows: the next frame needs not say so again.
    db.append("t", &frame, &options("{}")).unwrap();
    let batch = db.read("t").unwrap();
    assert_eq!(batch.column(0).slice(2, 2).as_ref(), &array as &dyn Array);
    assert_eq!(batch.column(0).slice(0, 2).as_ref(), &array as &dyn Array);
}
