//! The names of types: `int64`, `timestamp[us, UTC]`, `decimal128(38, 9)`, `list<struct<a: utf8>>`.
//!
//! The spelling is pyarrow's, with parentheses for numbers. What [`name`] writes [`parse`] reads;
//! pyarrow's and Arrow C++'s other words (`string`, `double`, `bool_`) are read too.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};

use crate::error::{Code, Error, Result};

/// The deepest nesting of a type's name.
const MAX_DEPTH: usize = 32;

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
    let mut parser = Parser { rest: text, depth: 0 };
    parser.data_type().filter(|_| parser.rest.trim().is_empty()).map(ColumnType::Arrow).ok_or_else(
        || Error::new(Code::InvalidArgument, format!("{text:?} is not the name of a type")),
    )
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

/// Recursive descent; every step answers `None` for "not a type".
struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl Parser<'_> {
    fn data_type(&mut self) -> Option<DataType> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let head = self.plain_word()?;
        let data_type = self.simple(&head).or_else(|| self.with_arguments(&head));
        self.depth -= 1;
        data_type
    }

    fn simple(&mut self, head: &str) -> Option<DataType> {
        use DataType::*;
        Some(match head {
            "null" => Null,
            "bool" | "boolean" | "bool_" => Boolean,
            "int8" => Int8,
            "int16" => Int16,
            "int32" => Int32,
            "int64" => Int64,
            "uint8" => UInt8,
            "uint16" => UInt16,
            "uint32" => UInt32,
            "uint64" => UInt64,
            "float16" | "halffloat" => Float16,
            "float32" | "float" => Float32,
            "float64" | "double" => Float64,
            "utf8" | "string" => Utf8,
            "large_utf8" | "large_string" => LargeUtf8,
            "utf8_view" | "string_view" => Utf8View,
            "binary" if !self.rest.trim_start().starts_with(['(', '[']) => Binary,
            "large_binary" => LargeBinary,
            "binary_view" => BinaryView,
            "date32" => {
                self.optional("[day]");
                Date32
            }
            "date64" => {
                self.optional("[ms]");
                Date64
            }
            "month_day_nano_interval" => Interval(IntervalUnit::MonthDayNano),
            _ => return None,
        })
    }

    fn with_arguments(&mut self, head: &str) -> Option<DataType> {
        use DataType::*;
        Some(match head {
            "binary" | "fixed_size_binary" => {
                let close =
                    if self.optional("(") { ")" } else { self.expect("[").map(|()| "]")? };
                let size = self.number()?;
                self.expect(close)?;
                FixedSizeBinary(i32::try_from(size).ok().filter(|size| *size >= 0)?)
            }
            "time32" => Time32(
                self.unit()
                    .filter(|unit| matches!(unit, TimeUnit::Second | TimeUnit::Millisecond))?,
            ),
            "time64" => Time64(
                self.unit()
                    .filter(|unit| matches!(unit, TimeUnit::Microsecond | TimeUnit::Nanosecond))?,
            ),
            "duration" => Duration(self.unit()?),
            "timestamp" => self.timestamp()?,
            "interval" => {
                self.expect("[")?;
                let unit = match self.plain_word()?.as_str() {
                    "year_month" => IntervalUnit::YearMonth,
                    "day_time" => IntervalUnit::DayTime,
                    "month_day_nano" => IntervalUnit::MonthDayNano,
                    _ => return None,
                };
                self.expect("]")?;
                Interval(unit)
            }
            "decimal32" | "decimal64" | "decimal128" | "decimal256" | "decimal" => {
                self.decimal(head)?
            }
            _ => return self.nested(head),
        })
    }

    fn nested(&mut self, head: &str) -> Option<DataType> {
        use DataType::*;
        self.expect("<")?;
        let item = |data_type| Arc::new(Field::new("item", data_type, true));
        let data_type = match head {
            "list" => List(item(self.data_type()?)),
            "large_list" => LargeList(item(self.data_type()?)),
            "list_view" => ListView(item(self.data_type()?)),
            "large_list_view" => LargeListView(item(self.data_type()?)),
            "fixed_size_list" => {
                let values = self.data_type()?;
                self.expect(",")?;
                let size = i32::try_from(self.number()?).ok().filter(|size| *size >= 0)?;
                FixedSizeList(item(values), size)
            }
            "dictionary" => {
                let (keys, values) = self.pair()?;
                if !keys.is_dictionary_key_type() {
                    return None;
                }
                Dictionary(Box::new(keys), Box::new(values))
            }
            "run_end_encoded" => {
                let (ends, values) = self.pair()?;
                if !ends.is_run_ends_type() {
                    return None;
                }
                RunEndEncoded(
                    Arc::new(Field::new("run_ends", ends, false)),
                    Arc::new(Field::new("values", values, true)),
                )
            }
            "map" => {
                let (keys, values) = self.pair()?;
                let entries = Fields::from(vec![
                    Field::new("key", keys, false),
                    Field::new("value", values, true),
                ]);
                Map(Arc::new(Field::new("entries", Struct(entries), false)), false)
            }
            "struct" => {
                let mut fields = Vec::new();
                while !self.rest.trim_start().starts_with('>') {
                    if !fields.is_empty() {
                        self.expect(",")?;
                    }
                    let name = self.word()?;
                    self.expect(":")?;
                    fields.push(Field::new(name, self.data_type()?, true));
                }
                Struct(fields.into())
            }
            _ => return None,
        };
        self.expect(">")?;
        Some(data_type)
    }

    fn pair(&mut self) -> Option<(DataType, DataType)> {
        let first = self.data_type()?;
        self.expect(",")?;
        Some((first, self.data_type()?))
    }

    fn decimal(&mut self, head: &str) -> Option<DataType> {
        self.expect("(")?;
        let precision = u8::try_from(self.number()?).ok()?;
        let scale = match self.optional(",") {
            true => i8::try_from(self.number()?).ok()?,
            false => 0,
        };
        self.expect(")")?;
        let (data_type, digits) = match head {
            "decimal32" => (DataType::Decimal32(precision, scale), 9),
            "decimal64" => (DataType::Decimal64(precision, scale), 18),
            "decimal256" => (DataType::Decimal256(precision, scale), 76),
            _ => (DataType::Decimal128(precision, scale), 38),
        };
        let fits = (1..=digits).contains(&precision) && i16::from(scale) <= i16::from(precision);
        fits.then_some(data_type)
    }

    fn timestamp(&mut self) -> Option<DataType> {
        self.expect("[")?;
        let unit = self.unit_word()?;
        let zone = if self.optional(",") {
            let end = self.rest.find(']')?;
            let zone = self.rest[..end].trim();
            self.rest = &self.rest[end..];
            Some(zone.strip_prefix("tz=").unwrap_or(zone))
        } else {
            None
        };
        self.expect("]")?;
        Some(DataType::Timestamp(unit, zone.map(Arc::from)))
    }

    fn unit(&mut self) -> Option<TimeUnit> {
        self.expect("[")?;
        let unit = self.unit_word()?;
        self.expect("]")?;
        Some(unit)
    }

    fn unit_word(&mut self) -> Option<TimeUnit> {
        Some(match self.plain_word()?.as_str() {
            "s" => TimeUnit::Second,
            "ms" => TimeUnit::Millisecond,
            "us" | "µs" => TimeUnit::Microsecond,
            "ns" => TimeUnit::Nanosecond,
            _ => return None,
        })
    }

    fn number(&mut self) -> Option<i64> {
        self.rest = self.rest.trim_start();
        let digits = |c: char| c.is_ascii_digit() || c == '-';
        let end = self.rest.find(|c| !digits(c)).unwrap_or(self.rest.len());
        let number = self.rest[..end].parse().ok()?;
        self.rest = &self.rest[end..];
        Some(number)
    }

    /// A plain word or one in JSON's quotes.
    fn word(&mut self) -> Option<String> {
        self.rest = self.rest.trim_start();
        if !self.rest.starts_with('"') {
            return self.plain_word();
        }
        let mut values = serde_json::Deserializer::from_str(self.rest).into_iter::<String>();
        let word = values.next()?.ok()?;
        self.rest = self.rest.get(values.byte_offset()..)?;
        Some(word)
    }

    fn plain_word(&mut self) -> Option<String> {
        self.rest = self.rest.trim_start();
        let plain = |c: char| c.is_alphanumeric() || c == '_';
        let end = self.rest.find(|c| !plain(c)).unwrap_or(self.rest.len());
        let word = &self.rest[..end];
        self.rest = &self.rest[end..];
        (!word.is_empty()).then(|| word.to_owned())
    }

    fn optional(&mut self, token: &str) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Option<()> {
        self.optional(token).then_some(())
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
