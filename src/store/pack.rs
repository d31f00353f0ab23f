//! Rows as columns of tags and pools: what crosses to the page for `query`.
//!
//! Turning each value into a JavaScript value inside wasm costs a call per cell, and cloning row
//! objects between threads costs as much again. So the worker sends, for each column, one tag per
//! row (or one for all) and a pool per kind; the page makes objects of them in one pass.

use super::query::RowSink;
use crate::error::{Code, Error, Result};
use crate::frame::catalogue;
use crate::frame::cell::Cell;
use crate::frame::iso;
use crate::frame::json::MAX_SAFE;
use crate::frame::read::ReadColumn;
use arrow::datatypes::{DataType, TimeUnit};

/// What a value is; the same numbers stand in the page's decoder.
pub mod tag {
    pub const NULL: u8 = 0;
    pub const NUMBER: u8 = 1;
    pub const BIGINT: u8 = 2;
    pub const TEXT: u8 = 3;
    pub const BLOB: u8 = 4;
    pub const FALSE: u8 = 5;
    pub const TRUE: u8 = 6;
    pub const DATE: u8 = 7;
}

/// The farthest that a JavaScript `Date` is from 1970, either way.
const FARTHEST_MS: i128 = 8_640_000_000_000_000;

/// How integers and times are handed over.
#[derive(Debug, Clone, Copy, Default)]
pub struct PackOptions {
    /// int64 and uint64 columns as numbers; a value that is not exact is refused.
    pub int64_as_number: bool,
    /// Timestamps and dates as `Date`.
    pub dates: bool,
}

/// One result column. Every pool is consumed in row order.
#[derive(Debug, Default)]
pub struct PackedColumn {
    pub name: String,
    /// The JavaScript array that the column's type has, as the constructor's name.
    pub array: Option<&'static str>,
    pub tags: Vec<u8>,
    pub numbers: Vec<f64>,
    pub bigints: Vec<i64>,
    /// UTF-8 of all texts, end to end.
    pub text: Vec<u8>,
    /// Where each text ends, in UTF-16 code units from the start of the pool.
    pub text_ends: Vec<u32>,
    pub blobs: Vec<u8>,
    pub blob_ends: Vec<u32>,
}

impl PackedColumn {
    /// The tag that every row has, when there is one.
    pub fn uniform_tag(&self) -> Option<u8> {
        let first = *self.tags.first()?;
        self.tags.iter().all(|tag| *tag == first).then_some(first)
    }

    /// Adds a `Date`, cut off to milliseconds.
    fn date(&mut self, value: i64, factor: i64, divisor: i64) -> Result<()> {
        let ms = (i128::from(value) * i128::from(factor)).div_euclid(divisor.into());
        if ms.abs() > FARTHEST_MS {
            return Err(Error::new(
                Code::LossyValue,
                format!(
                    "{ms} milliseconds since 1970 are beyond the range of a Date (dates: true)"
                ),
            ));
        }
        self.tags.push(tag::DATE);
        self.numbers.push(ms as f64);
        Ok(())
    }
}

/// A sink for [`crate::store::Store::query`].
pub struct PackedRows {
    options: PackOptions,
    pub columns: Vec<PackedColumn>,
    reading: Vec<Reading>,
}

/// How a column's integers are read.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reading {
    ByValue,
    Int64,
    Bool,
    /// Milliseconds are `value * factor / divisor`; `text` is how values are spelled, where the
    /// column has ISO 8601 text.
    Date {
        factor: i64,
        divisor: i64,
        text: Option<iso::Kind>,
    },
}

impl PackedRows {
    /// An empty result.
    pub fn new(options: PackOptions) -> Self {
        PackedRows { options, columns: Vec::new(), reading: Vec::new() }
    }

    fn reading(&self, data_type: Option<&DataType>, iso8601: bool) -> Reading {
        let Some(data_type) = data_type else {
            // An expression's integers are numbers by themselves; those that are asked for must be exact.
            return if self.options.int64_as_number { Reading::Int64 } else { Reading::ByValue };
        };
        let text = iso::Kind::of(data_type).filter(|_| iso8601);
        reading_of(data_type, |factor, divisor| match self.options.dates {
            true => Reading::Date { factor, divisor, text },
            false => Reading::ByValue,
        })
    }

    /// The typed array whose elements are what [`PackedRows::cell`] makes of the type's values.
    fn array(&self, data_type: &DataType) -> Option<&'static str> {
        Some(match data_type {
            DataType::Int8 => "Int8Array",
            DataType::Int16 => "Int16Array",
            DataType::Int32 | DataType::Time32(_) => "Int32Array",
            DataType::UInt8 => "Uint8Array",
            DataType::UInt16 => "Uint16Array",
            DataType::UInt32 => "Uint32Array",
            DataType::Float16 | DataType::Float32 => "Float32Array",
            DataType::Date32 if !self.options.dates => "Int32Array",
            DataType::Int64 if !self.options.int64_as_number => "BigInt64Array",
            DataType::UInt64 if !self.options.int64_as_number => "BigUint64Array",
            DataType::Float64 | DataType::Int64 | DataType::UInt64 => "Float64Array",
            DataType::Timestamp(TimeUnit::Nanosecond, _) if !self.options.dates => "BigInt64Array",
            DataType::Time64(_) | DataType::Duration(_) => "Float64Array",
            DataType::Date64 | DataType::Timestamp(..) if !self.options.dates => "Float64Array",
            _ => return None,
        })
    }
}

impl RowSink for PackedRows {
    fn columns(&mut self, columns: &[ReadColumn]) -> Result<()> {
        for column in columns {
            let data_type = column.field.as_ref().map(|field| match field.data_type() {
                DataType::Dictionary(_, values) => values,
                data_type => data_type,
            });
            let iso8601 = column.field.as_ref().is_some_and(catalogue::is_iso8601);
            self.reading.push(self.reading(data_type, iso8601));
            let counted = data_type.filter(|_| !iso8601);
            let array = counted.and_then(|data_type| self.array(data_type));
            let name = column.name.clone();
            self.columns.push(PackedColumn { name, array, ..Default::default() });
        }
        Ok(())
    }

    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<()> {
        let reading = self.reading[column];
        let out = &mut self.columns[column];
        match cell {
            Cell::Null => out.tags.push(tag::NULL),
            Cell::Real(value) => {
                out.tags.push(tag::NUMBER);
                out.numbers.push(value);
            }
            Cell::Integer(value) => {
                let safe = value.unsigned_abs() <= MAX_SAFE;
                match reading {
                    Reading::Bool if value == 0 || value == 1 => {
                        out.tags.push(if value == 1 { tag::TRUE } else { tag::FALSE });
                    }
                    Reading::Date { factor, divisor, .. } => out.date(value, factor, divisor)?,
                    Reading::Int64 if self.options.int64_as_number => {
                        if !safe {
                            return Err(Error::new(
                                Code::LossyValue,
                                format!(
                                    "{value} is not exact as a JavaScript number (int64: 'number')"
                                ),
                            ));
                        }
                        out.tags.push(tag::NUMBER);
                        out.numbers.push(value as f64);
                    }
                    Reading::ByValue | Reading::Bool if safe => {
                        out.tags.push(tag::NUMBER);
                        out.numbers.push(value as f64);
                    }
                    _ => {
                        out.tags.push(tag::BIGINT);
                        out.bigints.push(value);
                    }
                }
            }
            Cell::Text(text) => {
                if let Reading::Date { factor, divisor, text: Some(kind) } = reading
                    && let Some(value) = iso::parse(kind, &text)
                {
                    return out.date(value, factor, divisor);
                }
                out.tags.push(tag::TEXT);
                let units: usize =
                    if text.is_ascii() { text.len() } else { text.encode_utf16().count() };
                let end = out.text_ends.last().copied().unwrap_or(0) as usize + units;
                out.text.extend_from_slice(text.as_bytes());
                out.text_ends.push(pool_end(end)?);
            }
            Cell::Blob(bytes) => {
                out.tags.push(tag::BLOB);
                out.blobs.extend_from_slice(&bytes);
                out.blob_ends.push(pool_end(out.blobs.len())?);
            }
        }
        Ok(())
    }
}

fn pool_end(end: usize) -> Result<u32> {
    u32::try_from(end).map_err(|_| Error::new(Code::Sql, "the result is larger than 4 GiB"))
}

fn reading_of(data_type: &DataType, date: impl Fn(i64, i64) -> Reading) -> Reading {
    match data_type {
        DataType::Int64 | DataType::UInt64 => Reading::Int64,
        DataType::Boolean => Reading::Bool,
        DataType::Timestamp(TimeUnit::Second, _) => date(1_000, 1),
        DataType::Timestamp(TimeUnit::Millisecond, _) | DataType::Date64 => date(1, 1),
        DataType::Timestamp(TimeUnit::Microsecond, _) => date(1, 1_000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => date(1, 1_000_000),
        DataType::Date32 => date(86_400_000, 1),
        _ => Reading::ByValue,
    }
}
