use super::*;
use crate::frame::raw::tests::fixtures_in;
use arrow::array::*;
use arrow::datatypes::{Fields, IntervalUnit, TimeUnit, UnionFields, UnionMode, i256};
use cells::{Value, tag};
use proptest::prelude::*;
use serde_json::json;

/// Packs cells the way the page does.
fn cells(values: &[Value<'_>]) -> Cells {
    let mut pools: [Vec<u8>; 8] = Default::default();
    for value in values {
        let [tags, numbers, ints, uints, texts, text_lengths, blobs, blob_lengths] = &mut pools;
        tags.push(match value {
            Value::Null => 0,
            Value::Number(number) | Value::Date(number) => {
                numbers.extend(number.to_le_bytes());
                match value {
                    Value::Date(_) => tag::DATE,
                    _ => tag::NUMBER,
                }
            }
            Value::Integer(integer) => match i64::try_from(*integer) {
                Ok(integer) => {
                    ints.extend(integer.to_le_bytes());
                    tag::BIGINT
                }
                Err(_) => {
                    uints.extend(u64::try_from(*integer).unwrap().to_le_bytes());
                    tag::UINT
                }
            },
            Value::Text(text) | Value::Digits(text) => {
                texts.extend(text.bytes());
                text_lengths.extend((text.len() as u32).to_le_bytes());
                match value {
                    Value::Digits(_) => tag::DIGITS,
                    _ => tag::TEXT,
                }
            }
            Value::Blob(blob) => {
                blobs.extend(*blob);
                blob_lengths.extend((blob.len() as u32).to_le_bytes());
                tag::BLOB
            }
            Value::Bool(true) => tag::TRUE,
            Value::Bool(false) => tag::FALSE,
        });
    }
    let [tags, numbers, ints, uints, texts, text_lengths, blobs, blob_lengths] =
        pools.map(Buffer::from_vec);
    Cells { tags, numbers, ints, uints, texts, text_lengths, blobs, blob_lengths }
}

fn packed(values: &[Value<'_>]) -> Packed {
    let data = Data::Cells(cells(values));
    let columns = vec![Column { name: "c".into(), data, replaced: 0 }];
    Packed { rows: values.len(), columns }
}

fn typed(kind: &str, bytes: Vec<u8>, rows: usize) -> Packed {
    let length = bytes.len();
    let columns = json!([{ "name": "c", "kind": kind, "values": [0, 0, length] }]);
    let descriptor = json!({ "rows": rows, "columns": columns });
    Packed::parse(&descriptor.to_string(), vec![bytes.into()]).unwrap()
}

fn into(packed: &Packed, data_type: Option<DataType>) -> Result<ArrayRef> {
    let (frame, coerced) = packed.into_frame(&|_, _| data_type.clone(), Lossy::Error)?;
    assert!(coerced.is_empty());
    assert_eq!(frame.rows, packed.rows());
    Ok(Arc::clone(frame.batches[0].column(0)))
}

fn of(values: &[Value<'_>], data_type: DataType) -> Result<ArrayRef> {
    into(&packed(values), Some(data_type))
}

#[test]
fn what_the_page_packs_is_what_it_means() {
    let fixtures = include_bytes!("../../../tests/frame/fixtures/packed.bin");
    let fixtures = fixtures_in(fixtures);
    assert_eq!(fixtures.len(), 4);
    for fixture in fixtures {
        let packed = Packed::parse(&fixture.descriptor, fixture.buffers).unwrap();
        let expected = Frame::decode(fixture.ipc.into()).unwrap();
        for packed in [Packed::decode(packed.encode().into()).unwrap(), packed] {
            let frame = packed.into_frame(&|_, _| None, Lossy::Error).unwrap().0;
            assert_eq!(frame, expected, "{}", fixture.name);
        }
    }
}

const SAFE: f64 = 9_007_199_254_740_991.0;

#[test]
fn types_are_inferred_from_values() {
    use Value::*;
    let utc = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    for (values, data_type) in [
        (vec![], DataType::Null),
        (vec![Null, Null], DataType::Null),
        (vec![Number(1.0), Null, Number(-SAFE)], DataType::Int64),
        (vec![Number(1.0), Number(0.5)], DataType::Float64),
        (vec![Number(1.0), Number(-0.0)], DataType::Float64),
        (vec![Number(SAFE + 1.0)], DataType::Float64),
        (vec![Number(f64::NAN)], DataType::Float64),
        (vec![Number(f64::INFINITY)], DataType::Float64),
        (vec![Integer(i64::MIN.into()), Null], DataType::Int64),
        (vec![Bool(true), Null, Bool(false)], DataType::Boolean),
        (vec![Text(""), Null], DataType::Utf8),
        (vec![Null, Date(-1.0)], utc),
        (vec![Blob(b""), Null], DataType::Binary),
    ] {
        let array = into(&packed(&values), None).unwrap();
        assert_eq!(array.data_type(), &data_type, "{values:?}");
        assert_eq!(array.len(), values.len());
        for (row, value) in values.iter().enumerate() {
            let is_null = *value == Null;
            assert_eq!(
                array.logical_nulls().is_some_and(|n| n.is_null(row)),
                is_null,
                "{values:?}"
            );
        }
    }
}

#[test]
fn mixed_kinds_are_refused_where_no_type_is_known() {
    use Value::*;
    for values in [
        [Null, Number(1.0), Text("1")],
        [Number(1.0), Null, Integer(1)],
        [Bool(true), Null, Number(1.0)],
        [Date(0.0), Null, Text("1970-01-01")],
        [Text("a"), Null, Blob(b"a")],
    ] {
        let error = into(&packed(&values), None).unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument);
        assert_eq!((error.column.as_deref(), error.row), (Some("c"), Some(2)));
    }
    // With a type they are what they are.
    let mixed = of(&[Number(1.0), Integer(2), Null], DataType::Int64).unwrap();
    let expected: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None]));
    assert_eq!(&mixed, &expected);
}

#[test]
fn values_are_converted_exactly_or_refused() {
    use Value::*;
    use arrow::datatypes::DataType as T;
    let decimal = T::Decimal128(5, 2);
    let kind = Some(Code::InvalidArgument);
    let lossy = Some(Code::LossyValue);
    let long = "123456789012345678901234567890";
    for (value, data_type, refused) in [
        (Number(127.0), T::Int8, None),
        (Number(300.0), T::Int8, lossy),
        (Number(1.5), T::Int32, lossy),
        (Number(-0.0), T::Int32, lossy),
        (Number(f64::NAN), T::Int64, lossy),
        (Number(1e18), T::Int64, None),
        (Number(1e19), T::Int64, lossy),
        (Number(1e300), T::Int64, lossy),
        (Number(-1.0), T::UInt8, lossy),
        (Integer(1 << 63), T::UInt64, None),
        (Integer(1 << 63), T::Int64, lossy),
        (Digits(long), T::UInt64, lossy),
        (Text("1"), T::Int64, kind),
        (Bool(true), T::Int64, kind),
        (Date(0.0), T::Int64, kind),
        (Number(0.1), T::Float64, None),
        (Number(0.1), T::Float32, lossy),
        (Number(0.5), T::Float32, None),
        (Number(f64::NAN), T::Float32, None),
        (Number(65504.0), T::Float16, None),
        (Number(65520.0), T::Float16, lossy),
        (Integer(1 << 53), T::Float64, None),
        (Integer((1 << 53) + 1), T::Float64, lossy),
        (Integer(i64::MAX.into()), T::Float64, lossy),
        (Text("1"), T::Float64, kind),
        (Bool(true), T::Boolean, None),
        (Number(1.0), T::Boolean, kind),
        (Text("a"), T::LargeUtf8, None),
        (Text("a text beyond twelve bytes"), T::Utf8View, None),
        (Number(1.0), T::Utf8, kind),
        (Blob(b"a"), T::Utf8, kind),
        (Blob(b"abc"), T::FixedSizeBinary(3), None),
        (Blob(b"ab"), T::FixedSizeBinary(3), lossy),
        (Blob(b""), T::FixedSizeBinary(0), None),
        (Blob(b"ab"), T::BinaryView, None),
        (Blob(b"ab"), T::LargeBinary, None),
        (Text("ab"), T::Binary, kind),
        (Date(86_400_000.0), T::Date32, None),
        (Date(86_400_001.0), T::Date32, lossy),
        (Date(-1.0), T::Date64, None),
        (Number(20_000.0), T::Date32, None),
        (Number(0.5), T::Date32, lossy),
        (Text("2024-01-01"), T::Date32, kind),
        (Date(1000.0), T::Timestamp(TimeUnit::Second, None), None),
        (Date(1001.0), T::Timestamp(TimeUnit::Second, None), lossy),
        (Date(8.64e15), T::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), None),
        (Date(8.64e15), T::Timestamp(TimeUnit::Nanosecond, None), lossy),
        (Date(f64::NAN), T::Timestamp(TimeUnit::Millisecond, None), lossy),
        (Integer(-1), T::Timestamp(TimeUnit::Nanosecond, Some("+05:30".into())), None),
        (Text("now"), T::Timestamp(TimeUnit::Nanosecond, None), kind),
        (Number(5.0), T::Time32(TimeUnit::Second), None),
        (Integer(5), T::Time64(TimeUnit::Nanosecond), None),
        (Date(5.0), T::Time64(TimeUnit::Nanosecond), kind),
        (Integer(-5), T::Duration(TimeUnit::Microsecond), None),
        (Text("-1.50"), decimal.clone(), None),
        (Text("1.005"), decimal.clone(), lossy),
        (Text("1.500"), decimal.clone(), None),
        (Text("1000"), decimal.clone(), lossy),
        (Text("1e2"), decimal.clone(), kind),
        (Text(""), decimal.clone(), kind),
        (Text("+"), decimal.clone(), kind),
        (Number(0.25), decimal.clone(), None),
        (Number(0.1), decimal.clone(), lossy),
        (Number(0.125), decimal.clone(), lossy),
        (Number(-0.0), decimal.clone(), lossy),
        (Number(5e-324), T::Decimal256(76, 76), lossy),
        (Number(1e300), T::Decimal256(76, 0), lossy),
        (Number(f64::INFINITY), decimal.clone(), lossy),
        (Integer(999), decimal.clone(), None),
        (Integer(1000), decimal.clone(), lossy),
        (Digits(long), T::Decimal128(30, 0), None),
        (Digits(long), T::Decimal128(29, 0), lossy),
        (Number(100.0), T::Decimal32(3, -2), None),
        (Number(101.0), T::Decimal64(3, -2), lossy),
        (Bool(true), decimal.clone(), kind),
        (Number(1.0), T::Null, kind),
        (Text("{}"), T::List(Arc::new(Field::new("item", T::Int8, true))), kind),
        (Number(1.0), T::Interval(IntervalUnit::YearMonth), kind),
        (Text("a"), T::Dictionary(Box::new(T::Int8), Box::new(T::Utf8)), None),
        (Number(1.0), T::Dictionary(Box::new(T::Int8), Box::new(T::Utf8)), kind),
    ] {
        let what = format!("{value:?} into {data_type}");
        match (of(&[Null, value], data_type.clone()), refused) {
            (Ok(array), None) => {
                let own = crate::frame::storage::value_type(&data_type);
                assert_eq!(array.data_type(), own, "{what}");
                assert!(array.is_null(0) && array.is_valid(1), "{what}");
            }
            (Err(error), Some(code)) => {
                assert_eq!(error.code, code, "{what}: {error}");
                assert_eq!((error.column.as_deref(), error.row), (Some("c"), Some(1)), "{what}");
            }
            (result, _) => panic!("{what}: {result:?}"),
        }
    }
}

#[test]
fn decimals_have_the_values_they_should() {
    use Value::*;
    let values = [Text("-0.01"), Integer(7), Number(2.5), Digits("00000000000000000000001"), Null];
    let array = of(&values, DataType::Decimal256(76, 2)).unwrap();
    let expected = [-1, 700, 250, 100].map(|v| Some(i256::from_i128(v)));
    let expected = Decimal256Array::from_iter(expected.into_iter().chain([None]));
    let expected: ArrayRef = Arc::new(expected.with_precision_and_scale(76, 2).unwrap());
    assert_eq!(&array, &expected);
}

#[test]
fn typed_arrays_keep_their_type_or_take_another() {
    let halves: Vec<u8> = [0.5f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let packed = typed("float32", halves, 2);
    let own: ArrayRef = Arc::new(Float32Array::from(vec![0.5, -2.0]));
    assert_eq!(&into(&packed, None).unwrap(), &own);
    let wide: ArrayRef = Arc::new(Float64Array::from(vec![0.5, -2.0]));
    assert_eq!(&into(&packed, Some(DataType::Float64)).unwrap(), &wide);
    let error = into(&packed, Some(DataType::Int32)).unwrap_err();
    assert_eq!((error.code, error.row), (Code::LossyValue, Some(0)));

    let bytes: Vec<u8> = [-1i64, 1 << 40].iter().flat_map(|v| v.to_le_bytes()).collect();
    let ticks = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let expected: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![-1, 1 << 40]));
    assert_eq!(&into(&typed("int64", bytes.clone(), 2), Some(ticks)).unwrap(), &expected);
    let error = into(&typed("int64", bytes, 2), Some(DataType::UInt64)).unwrap_err();
    assert_eq!((error.code, error.row), (Code::LossyValue, Some(0)));

    let half = typed("float16", 0x3c00u16.to_le_bytes().into(), 1);
    assert_eq!(into(&half, None).unwrap().data_type(), &DataType::Float16);
    let one: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    assert_eq!(&into(&half, Some(DataType::Float64)).unwrap(), &one);
}

#[test]
fn dictionaries_give_their_values_however_many() {
    use Value::*;
    let small = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Int64));
    let numbers: Vec<_> = (0..200).map(|n| Number(n.into())).collect();
    let array = of(&numbers, small).unwrap();
    assert_eq!(&array, &(Arc::new(Int64Array::from_iter_values(0..200)) as ArrayRef));
}

/// What is stored, as text, under `lossy: 'allow'`; the number says how many values were changed.
fn nearest(value: Value<'_>, data_type: DataType) -> (String, u64) {
    let packed = packed(&[value]);
    let (frame, coerced) =
        packed.into_frame(&|_, _| Some(data_type.clone()), Lossy::Allow).expect("a nearest");
    let cells = crate::frame::column::Column::raw(frame.batches[0].column(0)).expect("a column");
    (format!("{:?}", cells.cell(0)), coerced.get("c").copied().unwrap_or(0))
}

#[test]
fn values_that_are_changed_become_the_nearest() {
    use Value::*;
    use arrow::datatypes::DataType as T;
    let decimal = T::Decimal128(5, 2);
    let long = "-123456789012345678901234567890";
    let second = T::Timestamp(TimeUnit::Second, None);
    for (value, data_type, stored) in [
        (Number(300.0), T::Int8, "Integer(127)"),
        (Number(-1.0), T::UInt8, "Integer(0)"),
        (Number(1.9), T::Int32, "Integer(1)"),
        (Number(-1.9), T::Int32, "Integer(-1)"),
        (Number(-0.0), T::Int32, "Integer(0)"),
        (Number(f64::NAN), T::Int64, "Null"),
        (Number(f64::INFINITY), T::Int64, "Integer(9223372036854775807)"),
        (Number(1e300), T::UInt64, "Integer(9223372036854775807)"),
        (Digits(long), T::UInt64, "Integer(0)"),
        (Digits(long), T::Int16, "Integer(-32768)"),
        (Digits(long), T::Float64, "Real(-1.2345678901234568e29)"),
        (Integer((1 << 53) + 1), T::Float64, "Real(9007199254740992.0)"),
        (Number(0.1), T::Float32, "Real(0.10000000149011612)"),
        (Number(-1e-60), T::Float32, "Real(0.0)"),
        (Number(0.1), T::Float16, "Real(0.0999755859375)"),
        (Blob(b"ab"), T::FixedSizeBinary(3), "Null"),
        (Date(86_399_999.0), T::Date32, "Integer(0)"),
        (Date(-1.0), T::Date32, "Integer(-1)"),
        (Date(-1.0), second.clone(), "Integer(-1)"),
        (Date(f64::NAN), second, "Null"),
        (Date(8.64e15), T::Timestamp(TimeUnit::Nanosecond, None), "Integer(9223372036854775807)"),
        (Text("1.009"), decimal.clone(), "Integer(100)"),
        (Text("-1000"), decimal.clone(), "Integer(-99999)"),
        (Number(0.29), decimal.clone(), "Integer(29)"),
        (Number(1e300), decimal.clone(), "Integer(99999)"),
        (Number(f64::NEG_INFINITY), decimal.clone(), "Integer(-99999)"),
        (Number(f64::NAN), decimal.clone(), "Null"),
        (Digits(long), decimal.clone(), "Integer(-99999)"),
        (Number(199.0), T::Decimal64(3, -2), "Integer(1)"),
        (Number(1e300), T::Decimal256(76, 76), "Text(\"0."),
    ] {
        let what = format!("{value:?} into {data_type}");
        let (found, changed) = nearest(value, data_type);
        assert!(found.starts_with(stored), "{what}: {found}");
        assert_eq!(changed, 1, "{what}");
    }
    assert_eq!(nearest(Number(5.0), T::Int8), ("Integer(5)".into(), 0));
    let kind = packed(&[Text("1")]).into_frame(&|_, _| Some(T::Int8), Lossy::Allow);
    assert_eq!(kind.unwrap_err().code, Code::InvalidArgument);
}

fn types() -> Vec<DataType> {
    use DataType as T;
    let item = Arc::new(Field::new("item", T::Int8, true));
    let entries = T::Struct(Fields::from(vec![
        Field::new("key", T::Utf8, false),
        Field::new("value", T::Int8, true),
    ]));
    let ends = Arc::new(Field::new("run_ends", T::Int32, false));
    vec![
        T::Null,
        T::Boolean,
        T::Int8,
        T::UInt64,
        T::Float16,
        T::Float64,
        T::Utf8,
        T::Utf8View,
        T::LargeBinary,
        T::BinaryView,
        T::FixedSizeBinary(2),
        T::Decimal32(9, 2),
        T::Decimal256(76, -3),
        T::Date32,
        T::Time32(TimeUnit::Second),
        T::Time32(TimeUnit::Nanosecond),
        T::Time64(TimeUnit::Second),
        T::Timestamp(TimeUnit::Microsecond, Some("America/New_York".into())),
        T::Duration(TimeUnit::Second),
        T::Interval(IntervalUnit::MonthDayNano),
        T::Interval(IntervalUnit::DayTime),
        T::List(Arc::clone(&item)),
        T::LargeList(Arc::clone(&item)),
        T::ListView(Arc::clone(&item)),
        T::LargeListView(Arc::clone(&item)),
        T::FixedSizeList(Arc::clone(&item), 3),
        T::FixedSizeList(Arc::clone(&item), i32::MAX),
        T::FixedSizeList(Arc::clone(&item), -1),
        T::FixedSizeBinary(i32::MAX),
        T::FixedSizeBinary(-1),
        T::Struct(vec![Field::new("a", T::Utf8, true)].into()),
        T::Map(Arc::new(Field::new("entries", entries, false)), false),
        T::RunEndEncoded(ends, item),
        T::Dictionary(Box::new(T::Int16), Box::new(T::Utf8)),
        T::Dictionary(Box::new(T::Utf8), Box::new(T::Utf8)),
        T::Union(UnionFields::empty(), UnionMode::Dense),
    ]
}

#[test]
fn nulls_go_into_every_type() {
    for data_type in types() {
        match of(&[Value::Null; 3], data_type.clone()) {
            Ok(array) => assert_eq!(array.len(), 3, "{data_type}"),
            Err(error) => {
                assert!(matches!(error.code, Code::InvalidArgument | Code::UnsupportedType))
            }
        }
    }
}

#[test]
fn frames_without_columns_keep_their_rows() {
    let packed = Packed::parse(r#"{"rows":3,"columns":[]}"#, Vec::new()).unwrap();
    let (frame, _) = packed.into_frame(&|_, _| None, Lossy::Error).unwrap();
    assert_eq!(frame.batches[0].num_rows(), 3);
    assert!(Packed::parse(r#"{"rows":99999999999,"columns":[]}"#, Vec::new()).is_err());
}

#[test]
fn what_does_not_add_up_is_refused() {
    use Value::*;
    let good = cells(&[Text("é"), Number(1.0), Blob(b"ab"), Null]);
    let buffer = |bytes: &[u8]| Buffer::from(bytes);
    assert!(good.are_sound());
    for (what, cells) in [
        ("an unknown tag", Cells { tags: buffer(&[10, 1, 4, 3]), ..good.clone() }),
        ("a number too few", Cells { numbers: buffer(&[]), ..good.clone() }),
        (
            "a length too many",
            Cells { text_lengths: buffer(&[1, 0, 0, 0, 1, 0, 0, 0]), ..good.clone() },
        ),
        ("half a character", Cells { text_lengths: buffer(&[1, 0, 0, 0]), ..good.clone() }),
        ("bytes beyond the lengths", Cells { blobs: buffer(b"abc"), ..good.clone() }),
        ("bad UTF-8", Cells { texts: buffer(&[0xff, 0xff]), ..good.clone() }),
    ] {
        assert!(!cells.are_sound(), "{what}");
    }
    for descriptor in [
        r#"{"rows":1,"columns":[{"name":"c","kind":"int8"}]}"#,
        r#"{"rows":1,"columns":[{"name":"c","kind":"int9","values":[0,0,1]}]}"#,
        r#"{"rows":2,"columns":[{"name":"c","kind":"int8","values":[0,0,1]}]}"#,
        r#"{"rows":1,"columns":[{"name":"c","kind":"int8","values":[0,1,1]}]}"#,
        r#"{"rows":1,"columns":[{"name":"c","kind":"int8","values":[1,0,1]}]}"#,
        r#"{"rows":1,"columns":[{"name":"c","kind":"cells"}]}"#,
        r#"{"rows":1,"columns":[{"name":"c","kind":"cells","tags":[0,0,1],"numbers":[0,0,1]}]}"#,
        r#"{"rows":1}"#,
        "",
    ] {
        let error = Packed::parse(descriptor, vec![Buffer::from(&[1u8])]).expect_err(descriptor);
        assert_eq!(error.code, Code::InvalidFrame);
    }
}

const TEXTS: &[&str] = &["", "a", "Zoë", "a\0b", "12.5", "🦀🦀🦀🦀🦀"];
const BLOBS: &[&[u8]] = &[b"", b"ab", b"\0\xff"];

fn value() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        Just(Value::Null),
        any::<f64>().prop_map(Value::Number),
        (-300i16..300).prop_map(|n| Value::Number(n.into())),
        any::<i64>().prop_map(|n| Value::Integer(n.into())),
        any::<u64>().prop_map(|n| Value::Integer(n.into())),
        prop::sample::select(TEXTS).prop_map(Value::Text),
        prop::sample::select(BLOBS).prop_map(Value::Blob),
        any::<bool>().prop_map(Value::Bool),
        (-(1i64 << 52)..1 << 52).prop_map(|ms| Value::Date(ms as f64)),
        Just(Value::Digits("-99999999999999999999")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn encoded_frames_decode_to_the_same_values(values in prop::collection::vec(value(), 0..20)) {
        let packed = packed(&values);
        let bytes = packed.encode();
        let decoded = Packed::decode(bytes.clone().into()).unwrap();
        prop_assert_eq!(decoded.column_names().collect::<Vec<_>>(), ["c"]);
        prop_assert_eq!(decoded.columns[0].values().collect::<Vec<_>>(), values);
        prop_assert!(packed.bytes_estimate().abs_diff(bytes.len() as u64) < 1000);
        prop_assert_eq!(decoded.encode(), bytes);
    }

    #[test]
    fn conversion_never_panics(values in prop::collection::vec(value(), 0..6), which in 0usize..100) {
        let types = types();
        let data_type = types[which % types.len()].clone();
        let _ = of(&values, data_type.clone());
        let _ = packed(&values).into_frame(&|_, _| Some(data_type.clone()), Lossy::Allow);
        let _ = into(&packed(&values), None);
    }

    #[test]
    fn damaged_bytes_never_panic(
        values in prop::collection::vec(value(), 0..6),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = packed(&values).encode();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(packed) = Packed::decode(bytes.into()) {
            let _ = packed.into_frame(&|_, _| None, Lossy::Allow);
        }
    }
}
