//! The frames of the workload: small, and every row says which frame it is of, so that the oracle
//! can tell from the database alone what was applied, how often, in which order and how much of it.

use crate::rng::mix;
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::Buffer;
use framelock::frame::Frame;
use framelock::frame::options::AppendOptions;
use framelock::frame::packed::Packed;
use framelock::store::{AppendRequest, Content};
use serde_json::json;
use std::sync::Arc;

/// Tables that frames go to. The last refuses some values.
pub const TABLES: [&str; 4] = ["ticks", "Quoted \"name\"", "plain", "checked"];
/// The columns that tell a frame's rows apart, and those whose values only have to come through.
pub const KEYS: [&str; 5] = ["g", "h", "s", "k", "n"];
pub const VALUES: [&str; 6] = ["i", "d", "u", "b", "t", "m"];

/// The handle of frames that several tabs send.
pub const SHARED: u64 = 1_000_000;

/// What the database thinks of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Good,
    /// One row breaks a CHECK of the table `checked`.
    BreaksCheck,
    /// It has a column that the table does not have.
    ExtraColumn,
}

/// All that decides a frame's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    pub id: String,
    /// Frames of one id and different content.
    pub content: u64,
    pub table: usize,
    /// Which handle made it, as its how many-th frame.
    pub handle: u64,
    pub sequence: u64,
    pub rows: u64,
    pub kind: Kind,
    /// As plain JavaScript values, or typed.
    pub packed: bool,
    /// Whether it is forwarded to the server, too.
    pub forward: bool,
}

impl Spec {
    fn seed(&self) -> u64 {
        let name = self.id.bytes().fold(7, |seed, byte| mix(seed ^ u64::from(byte)));
        mix(name ^ self.content)
    }

    fn key_columns(&self) -> Vec<(&'static str, Vec<i64>)> {
        let same = |value: u64| vec![value as i64; self.rows as usize];
        let numbers = (0..self.rows as i64).collect();
        let values =
            [same(self.content), same(self.handle), same(self.sequence), numbers, same(self.rows)];
        KEYS.into_iter().zip(values).collect()
    }

    /// The column `i` of this row; 13 is what `checked` refuses.
    fn integer(&self, row: u64) -> i64 {
        if self.kind == Kind::BreaksCheck && row == self.rows / 2 {
            return 13;
        }
        match mix(self.seed() ^ row) as i64 >> (row % 5 * 12) {
            13 => 14,
            other => other,
        }
    }

    /// The request, as the client would make it.
    pub fn request(&self) -> AppendRequest {
        let mut digest = [0; 16];
        digest[..8].copy_from_slice(&self.seed().to_le_bytes());
        digest[8..].copy_from_slice(&mix(self.seed() ^ self.table as u64).to_le_bytes());
        AppendRequest {
            frame_id: self.id.clone(),
            // One that others send too has an id of the caller's, as has every other one.
            own_id: self.handle != SHARED && !self.sequence.is_multiple_of(2),
            table: TABLES[self.table].to_owned(),
            options: AppendOptions::default(),
            content: if self.packed { self.plain() } else { self.typed() },
            digest,
            forward: self.forward,
        }
    }

    fn typed(&self) -> Content {
        let rows = self.rows as usize;
        let mut columns: Vec<(&str, ArrayRef)> = Vec::new();
        columns.push(("f", Arc::new(StringArray::from(vec![self.id.as_str(); rows]))));
        for (name, values) in self.key_columns() {
            columns.push((name, Arc::new(Int64Array::from(values))));
        }
        let random = |row: u64| mix(self.seed() ^ (row << 8));
        let some = |row: u64| random(row) % 4 != 0;
        let each = || 0..self.rows;
        let value: [ArrayRef; 6] = [
            Arc::new(Int64Array::from_iter_values(each().map(|row| self.integer(row)))),
            Arc::new(Float64Array::from_iter(
                each().map(|row| some(row).then(|| random(row) as f64 / 1024.0 - 1e15)),
            )),
            Arc::new(StringArray::from_iter(
                each().map(|row| some(row + 1).then(|| format!("né'\u{1f600}{}", random(row)))),
            )),
            Arc::new(BinaryArray::from_iter(
                each().map(|row| some(row + 2).then(|| random(row).to_le_bytes())),
            )),
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(
                    each().map(|row| (random(row) >> 12) as i64),
                )
                .with_timezone("UTC"),
            ),
            Arc::new(
                Decimal128Array::from_iter_values(each().map(|row| i128::from(random(row) as u32)))
                    .with_precision_and_scale(18, 4)
                    .expect("a decimal"),
            ),
        ];
        columns.extend(VALUES.into_iter().zip(value));
        if self.kind == Kind::ExtraColumn {
            columns.push(("extra", Arc::new(BooleanArray::from(vec![true; rows]))));
        }
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, array)| (name, array, true)),
        )
        .expect("columns of one length");
        // Two batches, so two statements at least: what the first one wrote is undone with the frame,
        // and not by SQLite with the statement.
        let half = rows / 2;
        let halves = vec![batch.slice(0, half), batch.slice(half, rows - half)];
        Content::Frame(Frame::new(batch.schema(), halves))
    }

    /// As the page packs rows of plain values: cells with a tag each. The types are the table's.
    fn plain(&self) -> Content {
        const NUMBER: u8 = 1;
        const BIGINT: u8 = 2;
        const TEXT: u8 = 3;
        let rows = self.rows as usize;
        let mut buffers = Vec::new();
        let mut region = |bytes: Vec<u8>| {
            let length = bytes.len();
            buffers.push(Buffer::from_vec(bytes));
            json!([buffers.len() - 1, 0, length])
        };
        let ids = self.id.repeat(rows).into_bytes();
        let lengths = vec![self.id.len() as u32; rows];
        let lengths = lengths.iter().flat_map(|length| length.to_le_bytes()).collect();
        let mut columns = vec![json!({
            "name": "f", "kind": "cells", "tags": region(vec![TEXT; rows]),
            "texts": region(ids), "textLengths": region(lengths),
        })];
        for (name, values) in self.key_columns() {
            let numbers = values.iter().flat_map(|value| (*value as f64).to_le_bytes()).collect();
            columns.push(json!({
                "name": name, "kind": "cells", "tags": region(vec![NUMBER; rows]), "numbers": region(numbers),
            }));
        }
        let integers = (0..self.rows).flat_map(|row| self.integer(row).to_le_bytes()).collect();
        columns.push(json!({
            "name": "i", "kind": "cells", "tags": region(vec![BIGINT; rows]), "ints": region(integers),
        }));
        if self.kind == Kind::ExtraColumn {
            columns.push(json!({
                "name": "extra", "kind": "cells", "tags": region(vec![6; rows]),
            }));
        }
        let descriptor = json!({ "rows": rows, "columns": columns }).to_string();
        Content::Packed(Packed::parse(&descriptor, buffers).expect("a well-formed frame"))
    }
}

/// What is there before anybody comes: a table with a CHECK, and one for plain SQL.
pub const SETUP_SQL: &str = "
    CREATE TABLE checked(f TEXT, g INTEGER, h INTEGER, s INTEGER, k INTEGER, n INTEGER,
      i INTEGER CHECK(i <> 13), d REAL, u TEXT, b BLOB, t INTEGER, m INTEGER);
    CREATE TABLE marks(mark INTEGER, note TEXT);";
