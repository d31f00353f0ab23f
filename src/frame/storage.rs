//! The type rules: how each Arrow type is stored. `docs/types.md` is the same table in words.
//!
//! A column of our own is declared `INTEGER`, `REAL`, `TEXT` or `BLOB` and nothing else: under
//! `DATE`, `BOOLEAN` or `DECIMAL` SQLite would rewrite text that looks like a number.

use std::sync::Arc;

use arrow::datatypes::DataType;

use super::nested::with_children;
use super::types;
use crate::error::{Code, Error, Result};

/// The most decimal digits that always fit a 64-bit integer.
pub const MAX_INTEGER_DIGITS: u8 = 18;

/// A column type that we declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// Integers, and whatever is counted in a unit.
    Integer,
    /// Doubles.
    Real,
    /// Text, and whatever is spelled out.
    Text,
    /// Bytes, and the null type, which has no values.
    Blob,
}

impl Declared {
    /// The type as it stands in `CREATE TABLE`.
    pub const fn as_sql(self) -> &'static str {
        match self {
            Declared::Integer => "INTEGER",
            Declared::Real => "REAL",
            Declared::Text => "TEXT",
            Declared::Blob => "BLOB",
        }
    }
}

/// How the values of a type are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// The null type: no value at all.
    Nothing,
    /// The integer itself: integers, bool as 0/1, dates, times, timestamps, durations in their unit.
    Integer,
    /// The number as a double.
    Real,
    /// The text itself.
    Text,
    /// The bytes themselves.
    Blob,
    /// A decimal of at most 18 digits: its digits as one integer, without the point.
    Scaled,
    /// A longer decimal: its digits as text, always with `scale` digits after the point.
    Digits,
    /// An interval: an ISO 8601 duration that names every field.
    Interval,
    /// A nested value: canonical JSON.
    Json,
    /// A date, time or timestamp as ISO 8601 text, where `types` says `'iso8601'`.
    Iso8601,
}

impl Encoding {
    /// How values of `data_type` are written; `iso8601` asks for text where the type has a choice.
    ///
    /// # Errors
    /// `UNSUPPORTED_TYPE` for unions; `INVALID_ARGUMENT` for `iso8601` on a type that is neither
    /// date nor time.
    pub fn of(data_type: &DataType, iso8601: bool) -> Result<Self> {
        use DataType::*;
        let encoding = match value_type(data_type) {
            Date32 | Date64 | Time32(_) | Time64(_) | Timestamp(..) if iso8601 => {
                return Ok(Encoding::Iso8601);
            }
            Null => Encoding::Nothing,
            Boolean | Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 => {
                Encoding::Integer
            }
            Date32 | Date64 | Time32(_) | Time64(_) | Timestamp(..) | Duration(_) => {
                Encoding::Integer
            }
            Float16 | Float32 | Float64 => Encoding::Real,
            Utf8 | LargeUtf8 | Utf8View => Encoding::Text,
            Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => Encoding::Blob,
            Decimal32(p, _) | Decimal64(p, _) | Decimal128(p, _) | Decimal256(p, _) => {
                if *p <= MAX_INTEGER_DIGITS { Encoding::Scaled } else { Encoding::Digits }
            }
            Interval(_) => Encoding::Interval,
            List(item)
            | LargeList(item)
            | ListView(item)
            | LargeListView(item)
            | FixedSizeList(item, _)
            | Map(item, _) => {
                Encoding::of(item.data_type(), false)?;
                Encoding::Json
            }
            Struct(fields) => {
                for field in fields {
                    Encoding::of(field.data_type(), false)?;
                }
                Encoding::Json
            }
            Union(..) | Dictionary(..) | RunEndEncoded(..) => return Err(unsupported(data_type)),
        };
        if iso8601 {
            return Err(Error::new(
                Code::InvalidArgument,
                format!(
                    "iso8601 is for dates, times and timestamps, not {}",
                    types::name(data_type)
                ),
            ));
        }
        Ok(encoding)
    }

    /// What a column of our own is declared for these values.
    pub const fn declared(self) -> Declared {
        match self {
            Encoding::Integer | Encoding::Scaled => Declared::Integer,
            Encoding::Real => Declared::Real,
            Encoding::Text
            | Encoding::Digits
            | Encoding::Interval
            | Encoding::Json
            | Encoding::Iso8601 => Declared::Text,
            Encoding::Blob | Encoding::Nothing => Declared::Blob,
        }
    }
}

/// What SQLite does to values stored in a column, by the column's declared type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    /// Numbers become integers where that is exact, text that looks like a number a number.
    Integer,
    /// Integers become doubles.
    Real,
    /// Numbers become text.
    Text,
    /// Nothing is changed.
    Blob,
    /// As Integer; the affinity of `DATE`, `BOOLEAN`, `DECIMAL` and of every unknown word.
    Numeric,
}

impl Affinity {
    /// SQLite's own rules (datatype3.html, 3.1), in their order; `ANY` is special in strict tables.
    pub fn of(declared: &str, strict: bool) -> Self {
        let upper = declared.to_ascii_uppercase();
        let has = |part: &str| upper.contains(part);
        if has("INT") {
            Affinity::Integer
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Affinity::Text
        } else if has("BLOB") || upper.is_empty() || (strict && upper == "ANY") {
            Affinity::Blob
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Affinity::Real
        } else {
            Affinity::Numeric
        }
    }
}

/// How one column of a frame is stored in one column of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Storage {
    /// The type that is read back: the catalogue's. A frame's narrower type is converted to it.
    pub data_type: DataType,
    /// How its values are written.
    pub encoding: Encoding,
    /// What SQLite will do to them.
    pub affinity: Affinity,
}

impl Storage {
    /// How a column of our own stores `data_type`.
    ///
    /// # Errors
    /// As [`Encoding::of`].
    pub fn new(data_type: &DataType, iso8601: bool) -> Result<Self> {
        let encoding = Encoding::of(data_type, iso8601)?;
        Ok(Storage {
            data_type: data_type.clone(),
            encoding,
            affinity: Affinity::of(encoding.declared().as_sql(), false),
        })
    }
}

/// The type of the values: dictionaries and run-ends are ways of writing them.
pub fn value_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => value_type(values),
        DataType::RunEndEncoded(_, values) => value_type(values.data_type()),
        other => other,
    }
}

/// The type as it is read back: run-ends are not restored, their values are, at any depth.
pub fn read_back_type(data_type: &DataType) -> DataType {
    use DataType::*;
    match data_type {
        RunEndEncoded(_, values) => read_back_type(values.data_type()),
        Dictionary(keys, values) => Dictionary(keys.clone(), Box::new(read_back_type(values))),
        other => with_children(other, &mut |_, field| {
            let data_type = read_back_type(field.data_type());
            Arc::new(field.as_ref().clone().with_data_type(data_type))
        }),
    }
}

fn unsupported(data_type: &DataType) -> Error {
    Error::new(Code::UnsupportedType, format!("{} is not stored", types::name(data_type)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affinities_are_sqlites() {
        for (declared, affinity) in [
            ("INTEGER", Affinity::Integer),
            ("BIGINT", Affinity::Integer),
            ("CHARINT", Affinity::Integer),
            ("FLOATING POINT", Affinity::Integer),
            ("VARCHAR(20)", Affinity::Text),
            ("", Affinity::Blob),
            ("double precision", Affinity::Real),
            ("DATETIME", Affinity::Numeric),
            ("DECIMAL(10,5)", Affinity::Numeric),
            ("STRING", Affinity::Numeric),
            ("ANY", Affinity::Numeric),
        ] {
            assert_eq!(Affinity::of(declared, false), affinity, "{declared:?}");
        }
        assert_eq!(Affinity::of("ANY", true), Affinity::Blob);
    }

    #[test]
    fn unions_are_refused_at_any_depth() {
        let union = DataType::Union(
            arrow::datatypes::UnionFields::empty(),
            arrow::datatypes::UnionMode::Sparse,
        );
        for data_type in [
            union.clone(),
            DataType::Dictionary(Box::new(DataType::Int8), Box::new(union.clone())),
            DataType::new_list(union, true),
        ] {
            let error = Storage::new(&data_type, false).unwrap_err();
            assert_eq!(error.code, Code::UnsupportedType);
        }
    }
}
