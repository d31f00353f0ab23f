//! Rows into the leaves of a table, in the record format
//! (<https://www.sqlite.org/fileformat2.html#record_format>), byte for byte as SQLite writes it itself.
//!
//! A row is written backwards, from its last value to its length: what comes first in a record, the
//! lengths and types of what follows, is known by then, and nothing is looked at twice. Whatever is
//! written may spoil up to seven bytes before it, which are still free.

use crate::column::{Column, Value, Values};
use crate::page::{INNER, LEAF, PAGE_BYTES, Page, put_last_child, put_varint_before};
use std::ops::Range;

/// How many bytes of rows [`Rows::encode`] takes, a page more or less.
pub const MOST_BYTES: usize = 1 << 20;
/// What may be spoilt before a value.
const SPOILT: usize = 7;
/// The lengths of the header and of the record, and the row id.
const LENGTHS: usize = 3 + 9 + 9;

/// What the header says of a value; numbers after text and blobs are lengths.
const NULL: u8 = 0;
const REAL: u8 = 7;
const ZERO: u8 = 8;
const FIRST_BLOB: u64 = 12;
const FIRST_TEXT: u64 = 13;

/// Why rows cannot be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A NULL where none may be, the row id included.
    Null,
    /// A row id that is not greater than the one before.
    Order,
    /// A row that would need overflow pages.
    TooLong,
}

/// Row ids that are a column of the rows, where they are stored as such alone.
#[derive(Debug, Clone, Copy)]
pub struct RowIds {
    /// Which of the columns.
    pub column: usize,
    /// The first is greater than this one, and each than the one before.
    pub after: Option<i64>,
}

/// Rows as the pages of a table.
pub struct Rows {
    /// The leaves, behind room for the root.
    pages: Vec<u8>,
    /// The last row id of each leaf but the last one.
    last_ids: Vec<i64>,
}

impl Rows {
    /// Encodes the first of these rows, [`MOST_BYTES`] of them, and gives how many those are. Without row
    /// ids of their own they are counted from 1.
    ///
    /// # Errors
    /// [`Refused`], when one of them is.
    ///
    /// # Panics
    /// When a column has not so many rows.
    #[inline(never)]
    pub fn encode(
        columns: &[Column<'_>],
        ids: Option<RowIds>,
        rows: Range<usize>,
    ) -> Result<(Rows, usize), Refused> {
        let mut pages = Vec::with_capacity(2 * PAGE_BYTES);
        let mut last_ids = Vec::new();
        let mut types = Types::new(columns.len());
        let mut next = rows.start;
        let row_id = ids.map(|ids| ids.column);
        let mut last_id = ids.and_then(|ids| ids.after);
        pages.resize(PAGE_BYTES, 0);
        loop {
            let start = pages.len();
            pages.resize(start + PAGE_BYTES, 0);
            let mut leaf = Leaf { bytes: &mut pages[start..], page: Page::new(0) };
            while next < rows.end {
                let id = match row_id {
                    None => (next - rows.start + 1) as i64,
                    Some(nth) => columns[nth].integer(next).ok_or(Refused::Null)?,
                };
                if last_id.is_some_and(|last_id| id <= last_id) {
                    return Err(Refused::Order);
                }
                match leaf.row(columns, row_id, next, id, &mut types) {
                    Ok(()) => {}
                    Err(Stop::Full) if leaf.page.is_empty() => return Err(Refused::TooLong),
                    Err(Stop::Full) => break,
                    Err(Stop::Null) => return Err(Refused::Null),
                }
                last_id = Some(id);
                next += 1;
            }
            let Leaf { bytes, page } = leaf;
            page.finish(bytes, LEAF);
            if next == rows.end || pages.len() > MOST_BYTES {
                return Ok((Rows { pages, last_ids }, next - rows.start));
            }
            last_ids.extend(last_id);
        }
    }

    /// The pages of the table, when its root has this number.
    pub(crate) fn finish(mut self, root: u32) -> Vec<u8> {
        if self.last_ids.is_empty() {
            // The only leaf is the root.
            return self.pages.split_off(PAGE_BYTES);
        }
        let mut inner = Page::inner();
        let mut child = root + 1;
        for id in self.last_ids {
            // Some hundred pages at most have room.
            inner.push_child(&mut self.pages, child, id);
            child += 1;
        }
        inner.finish(&mut self.pages, INNER);
        put_last_child(&mut self.pages, child);
        self.pages
    }
}

/// Why a row is not in a leaf.
enum Stop {
    /// There is no room left.
    Full,
    /// It has a NULL where none may be.
    Null,
}

/// The types of a row's values, from the last one on.
struct Types {
    bytes: Vec<u8>,
    start: usize,
}

impl Types {
    /// Of at most so many values, and what is spoilt before them.
    fn new(columns: usize) -> Types {
        // Of a text's length five bytes tell up to 16 GiB.
        Types { bytes: vec![0; SPOILT + 1 + columns * 5], start: 0 }
    }

    fn clear(&mut self) {
        self.start = self.bytes.len();
    }

    fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    #[inline(always)]
    fn number(&mut self, serial_type: u8) {
        self.start -= 1;
        self.bytes[self.start] = serial_type;
    }

    #[inline(always)]
    fn bytes(&mut self, first: u64, length: usize) {
        self.start = put_varint_before(&mut self.bytes, self.start, first + 2 * length as u64);
    }
}

struct Leaf<'a> {
    bytes: &'a mut [u8],
    page: Page,
}

impl Leaf<'_> {
    #[inline(always)]
    fn row(
        &mut self,
        columns: &[Column<'_>],
        row_id: Option<usize>,
        row: usize,
        id: i64,
        types: &mut Types,
    ) -> Result<(), Stop> {
        types.clear();
        let floor = self.page.pointer + 2 + SPOILT;
        let mut out = Backwards { bytes: self.bytes, at: self.page.content, floor };
        for (nth, column) in columns.iter().enumerate().rev() {
            if Some(nth) == row_id {
                types.number(NULL);
            } else if column.is_null(row) {
                out.null(column, types)?;
            } else {
                out.value(column, row, types)?;
            }
        }
        // Of the length of the header itself two bytes tell up to 16,383: 2,000 columns of five bytes.
        let header = types.len() + if types.len() < 0x7f { 1 } else { 2 };
        let payload = self.page.content - out.at + header;
        // What fits is less than the 65,501 bytes from which on SQLite wants overflow pages.
        if out.at < floor + LENGTHS + types.len() {
            return Err(Stop::Full);
        }
        out.copy(&types.bytes, types.start, types.bytes.len())?;
        let Backwards { bytes, mut at, .. } = out;
        at = put_varint_before(bytes, at, header as u64);
        at = put_varint_before(bytes, at, id as u64);
        at = put_varint_before(bytes, at, payload as u64);
        self.page.take(bytes, at);
        Ok(())
    }
}

/// Where the values of a row go: each before the last.
struct Backwards<'a> {
    bytes: &'a mut [u8],
    at: usize,
    /// Nothing may begin before it.
    floor: usize,
}

impl Backwards<'_> {
    #[inline(always)]
    fn value(&mut self, column: &Column<'_>, row: usize, types: &mut Types) -> Result<(), Stop> {
        match &column.values {
            Values::Bools(bits) => {
                types.number(ZERO + u8::from(bits.get(row)));
                Ok(())
            }
            Values::I32(values) => self.integer(values[row].into(), types),
            Values::I64(values) => self.integer(values[row], types),
            Values::F64(values) => self.real(values[row], column, types),
            Values::Texts { offsets, bytes } => {
                let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
                types.bytes(FIRST_TEXT, end - start);
                self.copy(bytes, start, end)
            }
            Values::Blobs { length, bytes } => {
                types.bytes(FIRST_BLOB, *length);
                self.copy(bytes, row * length, (row + 1) * length)
            }
            Values::Other(source) => {
                let mut outcome = Ok(());
                source.give(row, &mut |value| outcome = self.other(value, column, types));
                outcome
            }
        }
    }

    #[inline(never)]
    fn other(
        &mut self,
        value: Value<'_>,
        column: &Column<'_>,
        types: &mut Types,
    ) -> Result<(), Stop> {
        match value {
            Value::Null => self.null(column, types),
            Value::Integer(value) => self.integer(value, types),
            Value::Real(value) => self.real(value, column, types),
            Value::Text(text) => {
                types.bytes(FIRST_TEXT, text.len());
                self.copy(text.as_bytes(), 0, text.len())
            }
            Value::Blob(bytes) => {
                types.bytes(FIRST_BLOB, bytes.len());
                self.copy(bytes, 0, bytes.len())
            }
        }
    }

    fn null(&mut self, column: &Column<'_>, types: &mut Types) -> Result<(), Stop> {
        types.number(NULL);
        match column.not_null {
            true => Err(Stop::Null),
            false => Ok(()),
        }
    }

    #[inline(always)]
    fn integer(&mut self, value: i64, types: &mut Types) -> Result<(), Stop> {
        if value as u64 <= 1 {
            types.number(ZERO + value as u8);
            return Ok(());
        }
        let bits = u64::BITS - beside_sign(value).leading_zeros();
        let (serial_type, length) = INTEGERS[bits as usize];
        types.number(serial_type);
        self.number(value.to_be_bytes(), length.into())
    }

    #[inline(always)]
    fn real(&mut self, value: f64, column: &Column<'_>, types: &mut Types) -> Result<(), Stop> {
        if column.whole_as_integers {
            let whole = value as i64;
            // More than six bytes would be no shorter than the double.
            if whole as f64 == value && beside_sign(whole) >> 47 == 0 {
                return self.integer(whole, types);
            }
        }
        if value.is_nan() {
            return self.null(column, types);
        }
        types.number(REAL);
        self.number(value.to_be_bytes(), 8)
    }

    /// The last bytes of a number.
    #[inline(always)]
    fn number(&mut self, bytes: [u8; 8], length: usize) -> Result<(), Stop> {
        if self.at < self.floor + 8 {
            return Err(Stop::Full);
        }
        self.bytes[self.at - 8..self.at].copy_from_slice(&bytes);
        self.at -= length;
        Ok(())
    }

    /// Some of these bytes.
    #[inline(always)]
    fn copy(&mut self, from: &[u8], start: usize, end: usize) -> Result<(), Stop> {
        let length = end - start;
        if self.at < self.floor + length {
            return Err(Stop::Full);
        }
        // A call to copy a few bytes takes longer than to copy them.
        if length <= 64 && end >= length.next_multiple_of(8) {
            let mut done = 0;
            while done < length {
                let (to, from_end) = (self.at - done, end - done);
                self.bytes[to - 8..to].copy_from_slice(&from[from_end - 8..from_end]);
                done += 8;
            }
        } else {
            self.bytes[self.at - length..self.at].copy_from_slice(&from[start..end]);
        }
        self.at -= length;
        Ok(())
    }
}

/// The bits that tell a number from 0, or from -1.
#[inline(always)]
const fn beside_sign(value: i64) -> i64 {
    value ^ (value >> 63)
}

/// The type of an integer, and its bytes, by how many bits it has beside the sign.
const INTEGERS: [(u8, u8); 65] = {
    let mut all = [(6, 8); 65];
    let mut bits = 0;
    while bits < 48 {
        all[bits] = match bits {
            ..=7 => (1, 1),
            8..=15 => (2, 2),
            16..=23 => (3, 3),
            24..=31 => (4, 4),
            _ => (5, 6),
        };
        bits += 1;
    }
    all
};
