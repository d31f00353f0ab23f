//! A column of plain values, and the walk over them.

use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, TimeUnit};

use super::exact;
use crate::error::{Code, Error, Result};
use crate::frame::convert::F16;
use crate::frame::json::MAX_SAFE;

/// Tags; `www/client/frames/cells.ts` writes them. 0 is null.
pub mod tag {
    /// The next of the numbers.
    pub const NUMBER: u8 = 1;
    /// The next of the ints: a bigint within int64.
    pub const BIGINT: u8 = 2;
    /// The next of the texts.
    pub const TEXT: u8 = 3;
    /// The next of the blobs.
    pub const BLOB: u8 = 4;
    pub const FALSE: u8 = 5;
    pub const TRUE: u8 = 6;
    /// The next of the numbers: milliseconds since the epoch.
    pub const DATE: u8 = 7;
    /// The next of the uints: a bigint above int64.
    pub const UINT: u8 = 8;
    /// The next of the texts: a bigint beyond 64 bits, in decimal.
    pub const DIGITS: u8 = 9;
}

/// One value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Null,
    Number(f64),
    Integer(i128),
    Digits(&'a str),
    Text(&'a str),
    Blob(&'a [u8]),
    Bool(bool),
    /// Milliseconds since the epoch.
    Date(f64),
}

/// A named column.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub data: Data,
    /// Texts that were changed on the page.
    pub replaced: u64,
}

/// A column's values.
#[derive(Debug, Clone)]
pub enum Data {
    /// A typed array.
    Typed { kind: &'static str, data_type: DataType, width: usize, values: Buffer },
    /// A plain array, or a key of rows.
    Cells(Cells),
}

/// A tag per row, and the values of each kind in the order of their rows.
#[derive(Debug, Clone)]
pub struct Cells {
    pub tags: Buffer,
    pub numbers: Buffer,
    pub ints: Buffer,
    pub uints: Buffer,
    pub texts: Buffer,
    pub text_lengths: Buffer,
    pub blobs: Buffer,
    pub blob_lengths: Buffer,
}

/// The type of a typed array and its bytes per value.
pub fn typed_array(kind: &str) -> Option<(&'static str, DataType, usize)> {
    Some(match kind {
        "int8" => ("int8", DataType::Int8, 1),
        "int16" => ("int16", DataType::Int16, 2),
        "int32" => ("int32", DataType::Int32, 4),
        "int64" => ("int64", DataType::Int64, 8),
        "uint8" => ("uint8", DataType::UInt8, 1),
        "uint16" => ("uint16", DataType::UInt16, 2),
        "uint32" => ("uint32", DataType::UInt32, 4),
        "uint64" => ("uint64", DataType::UInt64, 8),
        "float16" => ("float16", DataType::Float16, 2),
        "float32" => ("float32", DataType::Float32, 4),
        "float64" => ("float64", DataType::Float64, 8),
        _ => return None,
    })
}

impl Data {
    /// The bytes of all values.
    pub fn bytes(&self) -> u64 {
        match self {
            Data::Typed { values, .. } => values.len() as u64,
            Data::Cells(cells) => {
                let Cells { tags, numbers, ints, uints, texts, text_lengths, blobs, blob_lengths } =
                    cells;
                let pools = [tags, numbers, ints, uints, texts, text_lengths, blobs, blob_lengths];
                pools.iter().map(|pool| pool.len() as u64).sum()
            }
        }
    }
}

impl Cells {
    /// How many rows have a tag.
    pub fn count(&self, tag: u8) -> usize {
        self.tags.iter().filter(|t| **t == tag).count()
    }

    /// Whether every tag has its value, every pool is used up, and the texts are UTF-8.
    pub fn are_sound(&self) -> bool {
        let mut counts = [0usize; 256];
        for tag in self.tags.iter() {
            counts[usize::from(*tag)] += 1;
        }
        let of = |tag: u8| counts[usize::from(tag)];
        counts[usize::from(tag::DIGITS) + 1..].iter().all(|n| *n == 0)
            && self.numbers.len() / 8 == of(tag::NUMBER) + of(tag::DATE)
            && self.ints.len() / 8 == of(tag::BIGINT)
            && self.uints.len() / 8 == of(tag::UINT)
            && self.text_lengths.len() / 4 == of(tag::TEXT) + of(tag::DIGITS)
            && self.blob_lengths.len() / 4 == of(tag::BLOB)
            && end(&self.blob_lengths) == self.blobs.len() as u64
            && self.texts_are_sound()
    }

    fn texts_are_sound(&self) -> bool {
        let Ok(texts) = std::str::from_utf8(&self.texts) else {
            return false;
        };
        let mut at = 0usize;
        lengths(&self.text_lengths).all(|length| {
            at = at.saturating_add(length);
            texts.is_char_boundary(at)
        }) && at == texts.len()
    }
}

/// The lengths in a pool of them.
pub fn lengths(pool: &Buffer) -> impl Iterator<Item = usize> {
    let (lengths, _) = pool.as_chunks::<4>();
    lengths.iter().map(|length| u32::from_le_bytes(*length) as usize)
}

fn end(pool: &Buffer) -> u64 {
    lengths(pool).map(|length| length as u64).sum()
}

impl Column {
    /// The values in order.
    pub fn values(&self) -> Values<'_> {
        match &self.data {
            Data::Typed { data_type, width, values, .. } => {
                Values::Typed(data_type, values.chunks_exact(*width))
            }
            Data::Cells(cells) => Values::Cells(CellsIter::new(cells)),
        }
    }

    /// The type that the values suggest; see [`super::Packed::into_frame`].
    pub fn inferred(&self) -> Result<DataType> {
        let cells = match &self.data {
            Data::Typed { data_type, .. } => return Ok(data_type.clone()),
            Data::Cells(cells) => cells,
        };
        let mut first = None;
        for (row, tag) in cells.tags.iter().enumerate() {
            let Some(kind) = kind_of(*tag) else { continue };
            let first = *first.get_or_insert(kind);
            if kind != first {
                let what =
                    format!("a {kind} in a column of {first}s: a column's values are of one kind");
                let error = Error::new(Code::InvalidArgument, what);
                return Err(error.in_column(&self.name).at_row(row as u64));
            }
        }
        Ok(match first {
            None => DataType::Null,
            Some("number") if self.values().all(is_safe_integer) => DataType::Int64,
            Some("number") => DataType::Float64,
            Some("bigint") => DataType::Int64,
            Some("string") => DataType::Utf8,
            Some("boolean") => DataType::Boolean,
            Some("Date") => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Some(_) => DataType::Binary,
        })
    }
}

/// What JavaScript calls a value; `None` for null.
fn kind_of(tag: u8) -> Option<&'static str> {
    match tag {
        tag::NUMBER => Some("number"),
        tag::BIGINT | tag::UINT | tag::DIGITS => Some("bigint"),
        tag::TEXT => Some("string"),
        tag::BLOB => Some("Uint8Array"),
        tag::FALSE | tag::TRUE => Some("boolean"),
        tag::DATE => Some("Date"),
        _ => None,
    }
}

impl Value<'_> {
    /// What JavaScript calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Number(_) => "number",
            Value::Integer(_) | Value::Digits(_) => "bigint",
            Value::Text(_) => "string",
            Value::Blob(_) => "Uint8Array",
            Value::Bool(_) => "boolean",
            Value::Date(_) => "Date",
        }
    }
}

fn is_safe_integer(value: Value<'_>) -> bool {
    match value {
        Value::Number(n) => exact::whole(n).is_some_and(|n| n.unsigned_abs() <= MAX_SAFE.into()),
        _ => true,
    }
}

/// One element of a typed array; `bytes` has its width.
fn typed_value(data_type: &DataType, bytes: &[u8]) -> Value<'static> {
    let mut le = [0; 8];
    le[..bytes.len()].copy_from_slice(bytes);
    let unsigned = u64::from_le_bytes(le);
    // Moves the sign bit up and back down.
    let shift = 64 - 8 * bytes.len() as u32;
    let signed = (unsigned << shift) as i64 >> shift;
    match data_type {
        DataType::Float64 => Value::Number(f64::from_bits(unsigned)),
        DataType::Float32 => Value::Number(f32::from_bits(unsigned as u32).into()),
        DataType::Float16 => Value::Number(F16::from_bits(unsigned as u16).to_f64()),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            Value::Integer(unsigned.into())
        }
        _ => Value::Integer(signed.into()),
    }
}

/// The walk over a column.
pub enum Values<'a> {
    Typed(&'a DataType, std::slice::ChunksExact<'a, u8>),
    Cells(CellsIter<'a>),
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        match self {
            Values::Typed(data_type, chunks) => Some(typed_value(data_type, chunks.next()?)),
            Values::Cells(cells) => cells.next(),
        }
    }
}

/// The walk over cells. The pools were checked by [`Cells::are_sound`]; should one run dry all the
/// same, its values read as zero or empty.
pub struct CellsIter<'a> {
    tags: std::slice::Iter<'a, u8>,
    numbers: std::slice::Iter<'a, [u8; 8]>,
    ints: std::slice::Iter<'a, [u8; 8]>,
    uints: std::slice::Iter<'a, [u8; 8]>,
    texts: &'a str,
    text_lengths: std::slice::Iter<'a, [u8; 4]>,
    blobs: &'a [u8],
    blob_lengths: std::slice::Iter<'a, [u8; 4]>,
}

impl<'a> CellsIter<'a> {
    fn new(cells: &'a Cells) -> Self {
        CellsIter {
            tags: cells.tags.iter(),
            numbers: cells.numbers.as_chunks().0.iter(),
            ints: cells.ints.as_chunks().0.iter(),
            uints: cells.uints.as_chunks().0.iter(),
            texts: std::str::from_utf8(&cells.texts).unwrap_or(""),
            text_lengths: cells.text_lengths.as_chunks().0.iter(),
            blobs: &cells.blobs,
            blob_lengths: cells.blob_lengths.as_chunks().0.iter(),
        }
    }

    fn number(&mut self) -> f64 {
        self.numbers.next().map_or(0.0, |bytes| f64::from_le_bytes(*bytes))
    }

    fn text(&mut self) -> &'a str {
        let length = self.text_lengths.next().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let (text, rest) = self.texts.split_at_checked(length as usize).unwrap_or(("", ""));
        self.texts = rest;
        text
    }

    fn blob(&mut self) -> &'a [u8] {
        let length = self.blob_lengths.next().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let (blob, rest) = self.blobs.split_at_checked(length as usize).unwrap_or((&[], &[]));
        self.blobs = rest;
        blob
    }
}

impl<'a> Iterator for CellsIter<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        Some(match *self.tags.next()? {
            tag::NUMBER => Value::Number(self.number()),
            tag::BIGINT => {
                Value::Integer(self.ints.next().map_or(0, |b| i64::from_le_bytes(*b)).into())
            }
            tag::UINT => {
                Value::Integer(self.uints.next().map_or(0, |b| u64::from_le_bytes(*b)).into())
            }
            tag::TEXT => Value::Text(self.text()),
            tag::DIGITS => Value::Digits(self.text()),
            tag::BLOB => Value::Blob(self.blob()),
            tag::FALSE => Value::Bool(false),
            tag::TRUE => Value::Bool(true),
            tag::DATE => Value::Date(self.number()),
            _ => Value::Null,
        })
    }
}
