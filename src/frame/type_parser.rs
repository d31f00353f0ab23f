//! Reading the names of types; [`super::types`] has their spelling.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};

/// The deepest nesting of a type's name.
const MAX_DEPTH: usize = 32;

/// The type of that name; `None` when there is none.
pub fn parse(text: &str) -> Option<DataType> {
    let mut parser = Parser { rest: text, depth: 0 };
    parser.data_type().filter(|_| parser.rest.trim().is_empty())
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
        let mut values =
            serde_json::Deserializer::from_slice(self.rest.as_bytes()).into_iter::<String>();
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
