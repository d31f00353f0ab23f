//! The names of types: `int64`, `timestamp[us, UTC]`, `decimal128(38, 9)`, `list<struct<a: utf8>>`.
//!
//! The spelling is pyarrow's, with parentheses for numbers. What [`name`] writes [`parse`] reads;
//! pyarrow's and Arrow C++'s other words (`string`, `double`, `bool_`) are read too.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::type_parser;
use crate::error::{Code, Error, Result};

/// What `options.types` says about a column.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnType {
    /// The column has this type.
    Arrow(DataType),
    /// The column keeps its date or time type and is stored as ISO 8601 text.
    Iso8601,
}

/// The name of a type, for people and for [`parse`].
pub fn name(data_type: &DataType) -> String {
    use DataType::*;
    match data_type {
        Null => "null".into(),
        Boolean => "bool".into(),
        Int8 => "int8".into(),
        Int16 => "int16".into(),
        Int32 => "int32".into(),
        Int64 => "int64".into(),
        UInt8 => "uint8".into(),
        UInt16 => "uint16".into(),
        UInt32 => "uint32".into(),
        UInt64 => "uint64".into(),
        Float16 => "float16".into(),
        Float32 => "float32".into(),
        Float64 => "float64".into(),
        Utf8 => "utf8".into(),
        LargeUtf8 => "large_utf8".into(),
        Utf8View => "utf8_view".into(),
        Binary => "binary".into(),
        LargeBinary => "large_binary".into(),
        BinaryView => "binary_view".into(),
        FixedSizeBinary(size) => format!("fixed_size_binary({size})"),
        Date32 => "date32".into(),
        Date64 => "date64".into(),
        Time32(unit) => format!("time32[{}]", unit_name(unit)),
        Time64(unit) => format!("time64[{}]", unit_name(unit)),
        Timestamp(unit, None) => format!("timestamp[{}]", unit_name(unit)),
        Timestamp(unit, Some(zone)) => format!("timestamp[{}, {zone}]", unit_name(unit)),
        Duration(unit) => format!("duration[{}]", unit_name(unit)),
        Interval(IntervalUnit::YearMonth) => "interval[year_month]".into(),
        Interval(IntervalUnit::DayTime) => "interval[day_time]".into(),
        Interval(IntervalUnit::MonthDayNano) => "interval[month_day_nano]".into(),
        Decimal32(p, s) => format!("decimal32({p}, {s})"),
        Decimal64(p, s) => format!("decimal64({p}, {s})"),
        Decimal128(p, s) => format!("decimal128({p}, {s})"),
        Decimal256(p, s) => format!("decimal256({p}, {s})"),
        Dictionary(keys, values) => format!("dictionary<{}, {}>", name(keys), name(values)),
        RunEndEncoded(ends, values) => {
            format!("run_end_encoded<{}, {}>", name(ends.data_type()), name(values.data_type()))
        }
        List(item) => format!("list<{}>", name(item.data_type())),
        LargeList(item) => format!("large_list<{}>", name(item.data_type())),
        ListView(item) => format!("list_view<{}>", name(item.data_type())),
        LargeListView(item) => format!("large_list_view<{}>", name(item.data_type())),
        FixedSizeList(item, size) => {
            format!("fixed_size_list<{}, {size}>", name(item.data_type()))
        }
        Struct(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|field| format!("{}: {}", word(field.name()), name(field.data_type())))
                .collect();
            format!("struct<{}>", fields.join(", "))
        }
        Map(entries, _) => match entries.data_type() {
            Struct(fields) if fields.len() == 2 => {
                format!("map<{}, {}>", name(fields[0].data_type()), name(fields[1].data_type()))
            }
            other => format!("map<{}>", name(other)),
        },
        Union(..) => "union".into(),
    }
}

/// Reads a type's name, or `iso8601`.
///
/// # Errors
/// `INVALID_ARGUMENT` for a name that is not a type's.
pub fn parse(text: &str) -> Result<ColumnType> {
    if text.trim() == "iso8601" {
        return Ok(ColumnType::Iso8601);
    }
    type_parser::parse(text).map(ColumnType::Arrow).ok_or_else(|| {
        Error::new(
            Code::InvalidArgument,
            format!(
                "{text:?} is not a type name, such as 'int64', 'float64' or 'timestamp[us, UTC]'"
            ),
        )
    })
}

fn unit_name(unit: &TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

/// A struct field's name, in JSON's quotes unless it is a plain word.
fn word(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || c == '_';
    if !name.is_empty() && name.chars().all(plain) {
        name.to_owned()
    } else {
        serde_json::Value::from(name).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_the_types_they_name() {
        for text in [
            "null",
            "bool",
            "uint64",
            "float16",
            "large_utf8",
            "fixed_size_binary(16)",
            "date32",
            "time64[ns]",
            "timestamp[us, UTC]",
            "timestamp[ns, America/New_York]",
            "timestamp[s]",
            "duration[ms]",
            "interval[month_day_nano]",
            "decimal128(38, 9)",
            "decimal256(76, 0)",
            "decimal32(5, -2)",
            "dictionary<int8, utf8>",
            "list<struct<a: map<utf8, int64>, \"b c\": float64>>",
            "fixed_size_list<uint8, 3>",
            "run_end_encoded<int32, date64>",
            "struct<>",
        ] {
            let ColumnType::Arrow(data_type) = parse(text).unwrap() else {
                panic!("{text} is a type");
            };
            assert_eq!(name(&data_type), text);
        }
        assert_eq!(parse("iso8601").unwrap(), ColumnType::Iso8601);
        assert_eq!(parse("string").unwrap(), parse("utf8").unwrap());
    }

    #[test]
    fn what_is_no_type_is_refused() {
        let deep = "list<".repeat(100_000);
        for text in [
            "",
            "int",
            "int65",
            "list",
            "list<",
            "list<int8",
            "list<int8>>",
            "decimal128(39, 0)",
            "decimal128(0, 0)",
            "timestamp[d]",
            "time32[ns]",
            "dictionary<utf8, utf8>",
            "(",
            "\"",
            "struct<\"a: int8>",
            "fixed_size_binary(-1)",
            &deep,
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.code, Code::InvalidArgument, "{text:?}");
        }
    }
}
