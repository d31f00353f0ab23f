//! The table of types: declared, stored, read back, lost.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use framelock::error::Code;
use framelock::frame::options::Lossy;
use framelock::frame::storage::{Encoding, read_back_type};
use framelock::frame::types;

use super::super::harness::*;
use super::{code, parse, refusal, row, section};

/// What the number or the text stands for, where the encoding alone does not say.
fn meaning(data_type: &DataType, encoding: Encoding) -> &'static str {
    match (encoding, data_type) {
        (Encoding::Integer, DataType::Boolean) => "0 or 1",
        (Encoding::Integer, DataType::Date32) => "days since 1970-01-01",
        (Encoding::Integer, DataType::Date64) => "milliseconds since 1970-01-01",
        (Encoding::Integer, DataType::Time32(_) | DataType::Time64(_)) => "units since midnight",
        (Encoding::Integer, DataType::Timestamp(..)) => "units since 1970-01-01T00:00:00, in UTC",
        (Encoding::Integer, DataType::Duration(_)) => "units",
        (Encoding::Integer, _) => "the integer",
        (Encoding::Nothing, _) => "no value: NULL",
        (Encoding::Real, _) => "the number as a double, which is exact",
        (Encoding::Text, _) => "the text, U+0000 included",
        (Encoding::Blob, _) => "the bytes; none of them is not NULL",
        (Encoding::Scaled, _) => "at most 18 digits: the digits without the point, as an integer",
        (Encoding::Digits, _) => {
            "more than 18 digits: canonical digits, `scale` of them after the point"
        }
        (Encoding::Interval, _) => "an ISO 8601 duration that names every field",
        (Encoding::Json, _) => {
            "canonical JSON: int64 beyond 2^53, decimals and non-finite floats as strings, binary as base64"
        }
        (Encoding::Iso8601, _) => "ISO 8601 text, in UTC with `Z` where there is a zone",
    }
}

/// One row: the types that are alike, and a value of the first of them.
struct Family {
    types: Vec<&'static str>,
    example: ArrayRef,
    iso8601: bool,
}

fn family(types: &[&'static str], example: impl Array + 'static) -> Family {
    let example = make_array(example.to_data());
    Family { types: types.to_vec(), example, iso8601: false }
}

fn iso(types: &[&'static str], example: impl Array + 'static) -> Family {
    Family { iso8601: true, ..family(types, example) }
}

fn families() -> Vec<Family> {
    let decimal = |value, p, s| {
        Decimal128Array::from(vec![value]).with_precision_and_scale(p, s).expect("a decimal")
    };
    let d32 = Decimal32Array::from(vec![-12_345]).with_precision_and_scale(9, 2);
    let instant = || TimestampMicrosecondArray::from(vec![-1]).with_timezone("+05:30");
    let list = || ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None])]);
    let fixed = FixedSizeBinaryArray::try_from_iter([[0_u8, 255]].iter()).expect("bytes");
    let words: DictionaryArray<Int8Type> = ["a"].into_iter().collect();
    let runs = RunArray::try_new(&Int32Array::from(vec![1]), &StringArray::from(vec!["a"]));
    let big: ArrayRef = Arc::new(Int64Array::from(vec![(1 << 53) + 1]));
    let fields = Fields::from(vec![Field::new("a", DataType::Int64, true)]);
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    map.keys().append_value("k");
    map.values().append_value(1);
    map.append(true).expect("a map");
    vec![
        family(
            &["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"],
            Int8Array::from(vec![-7]),
        ),
        family(&["uint64"], UInt64Array::from(vec![i64::MAX as u64])),
        family(&["float64"], Float64Array::from(vec![f64::INFINITY])),
        family(&["float32", "float16"], Float32Array::from(vec![0.1])),
        family(&["bool"], BooleanArray::from(vec![true])),
        family(&["utf8", "large_utf8", "utf8_view"], StringArray::from(vec!["0123"])),
        family(&["binary", "large_binary", "binary_view"], BinaryArray::from(vec![&b""[..]])),
        family(&["fixed_size_binary(2)"], fixed),
        family(
            &["decimal32(9, 2)", "decimal64(18, 2)", "decimal128(18, 2)"],
            d32.expect("a decimal"),
        ),
        family(&["decimal128(38, 2)", "decimal256(76, 2)"], decimal(5, 38, 2)),
        family(&["decimal128(38, -2)"], decimal(5, 38, -2)),
        family(&["date32"], Date32Array::from(vec![-1])),
        family(&["date64"], Date64Array::from(vec![86_400_000])),
        family(&["time32[s]", "time32[ms]"], Time32SecondArray::from(vec![45_296])),
        family(&["time64[us]", "time64[ns]"], Time64MicrosecondArray::from(vec![45_296_000_001])),
        family(
            &[
                "timestamp[us, +05:30]",
                "timestamp[s]",
                "timestamp[ms, UTC]",
                "timestamp[ns, America/New_York]",
            ],
            instant(),
        ),
        family(
            &["duration[s]", "duration[ms]", "duration[us]", "duration[ns]"],
            DurationSecondArray::from(vec![90]),
        ),
        family(&["interval[year_month]"], IntervalYearMonthArray::from(vec![-14])),
        family(
            &["interval[day_time]"],
            IntervalDayTimeArray::from(vec![IntervalDayTime::new(-3, 500)]),
        ),
        family(
            &["interval[month_day_nano]"],
            IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(1, -2, 3)]),
        ),
        family(&["dictionary<int8, utf8>"], words),
        family(&["run_end_encoded<int32, utf8>"], runs.expect("runs")),
        family(
            &["list<int64>", "large_list<int64>", "list_view<int64>", "large_list_view<int64>"],
            list(),
        ),
        family(
            &["fixed_size_list<int64, 2>"],
            FixedSizeListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1), None])], 2),
        ),
        family(&["struct<a: int64>"], StructArray::new(fields, vec![big], None)),
        family(&["map<utf8, int64>"], map.finish()),
        family(&["null"], NullArray::new(1)),
        iso(&["date32", "date64"], Date32Array::from(vec![-719_529])),
        iso(
            &["time64[us]", "time32[s]", "time32[ms]", "time64[ns]"],
            Time64MicrosecondArray::from(vec![45_296_000_001]),
        ),
        iso(
            &[
                "timestamp[us, +05:30]",
                "timestamp[s]",
                "timestamp[ms, UTC]",
                "timestamp[ns, America/New_York]",
            ],
            instant(),
        ),
    ]
}

/// Values that are hard to keep, for the types that have them.
fn hard_values(data_type: &DataType) -> Vec<(&'static str, ArrayRef)> {
    match data_type {
        DataType::Float64 => {
            let one = |value: f64| Arc::new(Float64Array::from(vec![value])) as ArrayRef;
            let values =
                [("NaN", f64::NAN), ("−0.0", -0.0), ("−∞", f64::NEG_INFINITY), ("5e-324", 5e-324)];
            values.into_iter().map(|(name, value)| (name, one(value))).collect()
        }
        DataType::Float32 => {
            let one = |value: f32| Arc::new(Float32Array::from(vec![value])) as ArrayRef;
            vec![("NaN", one(f32::NAN)), ("−0.0", one(-0.0)), ("0.1", one(0.1))]
        }
        DataType::UInt64 => {
            let one = |value: u64| Arc::new(UInt64Array::from(vec![value])) as ArrayRef;
            vec![("2^63 − 1", one(i64::MAX as u64)), ("2^63", one(1 << 63))]
        }
        _ => vec![],
    }
}

/// The hard values that are refused, and what `lossy: 'allow'` stores for them.
fn lost(data_type: &DataType) -> String {
    let mut losses = Vec::new();
    for (name, array) in hard_values(data_type) {
        let frame = one(array);
        if let Err(error) = round_trip(&frame, Lossy::Error) {
            assert_eq!(error.code, Code::LossyValue);
            let db = Db::new();
            db.append("t", &frame, &options(r#"{"lossy":"allow"}"#)).expect("it is allowed");
            losses.push(format!("{name} ({})", code(&db.stored("t", "c"))));
        }
    }
    if losses.is_empty() { "none".into() } else { losses.join(", ") }
}

pub fn every_type(page: &mut String) {
    section(
        page,
        "Every type",
        "*Lost* values are refused with `LOSSY_VALUE`, naming row and column. With `lossy: 'warn'` or `'allow'` the value in brackets is stored, and counted in \
         the receipt. *As ISO 8601* means with `types: { c: 'iso8601' }`, for reading the file with SQL's date functions. Dates beyond the years 0000–9999 have \
         a sign: `-0001-12-31`.",
        &[
            "Arrow type",
            "declared",
            "stored as",
            "for example",
            "is stored as",
            "read back as",
            "lost",
        ],
    );
    for Family { types, example, iso8601 } in families() {
        let first = parse(types[0]);
        assert_eq!(&first, example.data_type());
        let encoding = Encoding::of(&first, iso8601).expect("a stored type");
        for other in &types {
            assert_eq!(Encoding::of(&parse(other), iso8601).expect(other), encoding, "{other}");
        }
        let frame = one(Arc::clone(&example));
        let json = if iso8601 { r#"{"types":{"c":"iso8601"}}"# } else { "{}" };
        let db = Db::new();
        db.append("t", &frame, &options(json)).expect("an append");
        let read = db.read("t").expect("a read");
        let read_back = read.schema().field(0).data_type().clone();
        assert_eq!(read_back, read_back_type(&first));
        if read_back == first {
            assert_eq!(read.column(0).to_data(), example.to_data(), "{first}");
        }
        let declared =
            db.0.query_row("SELECT type FROM pragma_table_xinfo('t')", [], |row| row.get(0));
        let format = FormatOptions::default();
        let shown = ArrayFormatter::try_new(&example, &format).expect("a type that shows");
        let named = types.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ");
        row(
            page,
            &[
                if iso8601 { format!("{named} as ISO 8601") } else { named },
                code(&declared.unwrap_or_else(|e| e.to_string())),
                meaning(&first, encoding).into(),
                code(&match shown.value(0).to_string() {
                    shown if shown.is_empty() => "(empty)".into(),
                    shown => shown,
                }),
                code(&db.stored("t", "c")),
                if read_back == first {
                    "the same type".into()
                } else {
                    code(&types::name(&read_back))
                },
                lost(&first),
            ],
        );
    }
    let union = DataType::Union(UnionFields::empty(), UnionMode::Sparse);
    let error = Encoding::of(&union, false).expect_err("unions are refused");
    row(
        page,
        &[
            code("union"),
            "".into(),
            "not stored".into(),
            "".into(),
            refusal(&error),
            "".into(),
            "".into(),
        ],
    );
    page.push_str(
        "\n- Unsigned integers above 2^63 − 1 are kept by `types: { c: 'decimal128(20, 0)' }`.\n\
         - NaN and −0.0 inside lists, structs and maps are kept.\n\
         - An extension type is stored by its storage type; its name and metadata come back.\n\
         - Dictionaries come back as dictionaries of the values that occur, also inside lists, structs and maps. Their keys are wider if there are more values \
         than the keys can count.\n\
         - A column, and what is inside it, becomes nullable with the first frame whose field is nullable.\n\
         - Types nest at most 32 deep.\n\
         - Refused are big-endian data (`UNSUPPORTED_TYPE`) and bytes after the end of an Arrow IPC stream (`INVALID_FRAME`): one call takes one stream.\n\
         - Table objects are read from apache-arrow 7 or later and from @uwdata/flechette.\n",
    );
}
