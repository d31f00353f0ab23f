//! Plain JavaScript values, as the page packed them (`www/client/frames/`): columns of typed arrays
//! and of cells. The values are kept as they came until their types are known, which for a table
//! that exists is when the catalogue has been read.
//!
//! The descriptor is JSON:
//!
//! ```text
//! { rows, columns: [column…] }
//! column = { name, kind: 'int8' … 'float64', values: region }    a typed array, little-endian
//!        | { name, kind: 'cells', tags: region,                  a tag per row, see cells.rs
//!            numbers?, ints?, uints?, texts?, textLengths?, blobs?, blobLengths?: region }
//! region = [buffer, byte offset, byte length]
//! ```
//!
//! Every value is converted exactly or refused, naming row and column: `INVALID_ARGUMENT` for a
//! value of the wrong kind (text for a number), `LOSSY_VALUE` for one that cannot be kept exactly
//! (1.5 in an int32), unless the caller takes the nearest. What goes into which type is told in
//! convert.rs, what is nearest in exact.rs.

mod cells;
mod convert;
mod exact;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema};
use serde::{Deserialize, Serialize};

use super::Frame;
use super::options::Lossy;
use super::raw::regions::{Region, Regions};
use crate::error::{Code, Error, Result};
use crate::json;
use cells::{Cells, Column, Data, typed_array};

/// The first bytes of [`Packed::encode`]: a name and the version of the layout.
const MAGIC: &[u8; 8] = b"flkpack\x01";
/// Columns without values (rows without keys) cost no bytes; this bounds what they may claim.
const MAX_ROWS: usize = i32::MAX as usize;

#[derive(Serialize, Deserialize)]
struct Descriptor {
    rows: usize,
    columns: Vec<ColumnDescriptor>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ColumnDescriptor {
    name: String,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Region>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Region>,
    #[serde(skip_serializing_if = "Option::is_none")]
    numbers: Option<Region>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ints: Option<Region>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uints: Option<Region>,
    #[serde(skip_serializing_if = "Option::is_none")]
    texts: Option<Region>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_lengths: Option<Region>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blobs: Option<Region>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob_lengths: Option<Region>,
    /// How many texts were changed on the page, since they had lone surrogates.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<u64>,
}

/// A frame of plain values. Cloning shares the bytes.
#[derive(Debug, Clone)]
pub struct Packed {
    rows: usize,
    columns: Vec<Column>,
}

impl Packed {
    /// Takes in what the page sent, checking all that the descriptor claims.
    ///
    /// # Errors
    /// `INVALID_FRAME` when the descriptor and the buffers do not agree.
    pub fn parse(descriptor: &str, buffers: Vec<Buffer>) -> Result<Packed> {
        let descriptor: Descriptor = json::read(descriptor.as_bytes()).map_err(malformed)?;
        let regions = Regions::new(buffers);
        if descriptor.rows > MAX_ROWS {
            return Err(malformed(format!("it claims {} rows", descriptor.rows)));
        }
        let mut columns = Vec::with_capacity(descriptor.columns.len());
        for column in descriptor.columns {
            let data = data(&column, &regions, descriptor.rows)
                .ok_or_else(|| malformed("a column's buffers").in_column(&column.name))?;
            let replaced = column.replaced.unwrap_or_default();
            columns.push(Column { name: column.name, data, replaced });
        }
        Ok(Packed { rows: descriptor.rows, columns })
    }

    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.rows as u64
    }

    /// About how many bytes [`Packed::encode`] makes.
    pub fn bytes_estimate(&self) -> u64 {
        let columns = self.columns.iter();
        // A column's part of the descriptor takes some 200 bytes.
        let bytes = columns.map(|column| column.data.bytes() + column.name.len() as u64 + 200);
        bytes.fold(64, u64::saturating_add)
    }

    /// The columns' names, in order.
    pub fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| &*column.name)
    }

    /// Looks at the columns whose type `types` knows, and at those that can only be floats, as arrays.
    ///
    /// # Errors
    /// As [`Packed::into_frame`] for the former; and what `look` says.
    pub fn each_known(
        &self,
        types: &dyn Fn(&str) -> Option<DataType>,
        look: &dyn Fn(&str, &dyn Array) -> Result<()>,
    ) -> Result<()> {
        for column in &self.columns {
            let known = types(&column.name)
                .or_else(|| column.inferred().ok().filter(DataType::is_floating));
            if let Some(data_type) = known {
                let (array, _) = convert::array(column, self.rows, &data_type, false)?;
                look(&column.name, &array)?;
            }
        }
        Ok(())
    }

    /// The values as columns of the types that `types` knows by place and name, else of those they
    /// suggest:
    /// a typed array its own; numbers int64 when all are safe integers (−0 is none), else float64;
    /// bigints int64; booleans bool; text utf8; dates timestamp[ms, UTC]; bytes binary; nothing
    /// but nulls null. All fields are nullable: a later frame may have nulls. Beside them the number
    /// of values that were changed to fit, by column; under [`Lossy::Error`] there are none.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a value of the wrong kind and for mixed kinds where no type is
    /// known, `LOSSY_VALUE` for a value without an exact form; both with row and column.
    pub fn into_frame(
        &self,
        types: &dyn Fn(usize, &str) -> Option<DataType>,
        lossy: Lossy,
    ) -> Result<(Frame, BTreeMap<String, u64>)> {
        let mut coerced = BTreeMap::new();
        let mut fields = Vec::with_capacity(self.columns.len());
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (index, column) in self.columns.iter().enumerate() {
            let data_type = match types(index, &column.name) {
                Some(data_type) => data_type,
                None => column.inferred()?,
            };
            let may_change = lossy != Lossy::Error;
            let (array, changed) = convert::array(column, self.rows, &data_type, may_change)?;
            let changed = changed + column.replaced;
            if changed > 0 {
                coerced.insert(column.name.clone(), changed);
            }
            fields.push(Field::new(&column.name, array.data_type().clone(), true));
            arrays.push(array);
        }
        let schema = Arc::new(Schema::new(fields));
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)
            .map_err(malformed)?;
        Ok((Frame::new(schema, vec![batch]), coerced))
    }

    /// Self-contained bytes, for the durable queue and for the way to another tab:
    ///
    /// ```text
    /// 8 bytes   MAGIC
    /// u64 LE    length of the descriptor
    /// JSON      the descriptor, whose regions are [0, offset after it, length]
    /// bytes     each region, padded to a multiple of 8
    /// ```
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let mut put = |buffer: &Buffer| {
            let region = Region(0, body.len(), buffer.len());
            body.extend_from_slice(buffer);
            body.resize(body.len().next_multiple_of(8), 0);
            Some(region)
        };
        let columns = self.columns.iter().map(|column| {
            let mut descriptor = ColumnDescriptor {
                name: column.name.clone(),
                kind: "cells".into(),
                replaced: (column.replaced > 0).then_some(column.replaced),
                ..ColumnDescriptor::default()
            };
            match &column.data {
                Data::Typed { kind, values, .. } => {
                    descriptor.kind = (*kind).into();
                    descriptor.values = put(values);
                }
                Data::Cells(cells) => {
                    descriptor.tags = put(&cells.tags);
                    descriptor.numbers = put(&cells.numbers);
                    descriptor.ints = put(&cells.ints);
                    descriptor.uints = put(&cells.uints);
                    descriptor.texts = put(&cells.texts);
                    descriptor.text_lengths = put(&cells.text_lengths);
                    descriptor.blobs = put(&cells.blobs);
                    descriptor.blob_lengths = put(&cells.blob_lengths);
                }
            }
            descriptor
        });
        let descriptor = Descriptor { rows: self.rows, columns: columns.collect() };
        // Strings and numbers always have a JSON form.
        let descriptor = serde_json::to_vec(&descriptor).unwrap_or_default();
        let mut bytes = Vec::with_capacity(24 + descriptor.len() + body.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(descriptor.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&descriptor);
        bytes.resize(bytes.len().next_multiple_of(8), b' ');
        bytes.extend_from_slice(&body);
        bytes
    }

    /// Reads what [`Packed::encode`] wrote, sharing the bytes.
    ///
    /// # Errors
    /// `INVALID_FRAME` for anything else.
    pub fn decode(bytes: Buffer) -> Result<Packed> {
        let parts = || {
            let (length, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
            let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
            let descriptor = std::str::from_utf8(rest.get(..length)?).ok()?;
            let body = (16 + length).checked_next_multiple_of(8)?;
            (body <= bytes.len()).then(|| (descriptor, bytes.slice(body)))
        };
        let (descriptor, body) = parts().ok_or_else(|| malformed("these bytes are none"))?;
        Packed::parse(descriptor, vec![body])
    }
}

/// A column's bytes, checked; `None` when they are not what the descriptor says.
fn data(column: &ColumnDescriptor, regions: &Regions, rows: usize) -> Option<Data> {
    if column.kind != "cells" {
        let (kind, data_type, width) = typed_array(&column.kind)?;
        let values = regions.get(column.values?)?;
        let whole = rows.checked_mul(width) == Some(values.len());
        return whole.then_some(Data::Typed { kind, data_type, width, values });
    }
    let pool = |region: Option<Region>| match region {
        Some(region) => regions.get(region),
        None => Some(Buffer::from_vec(Vec::<u8>::new())),
    };
    let cells = Cells {
        tags: pool(column.tags)?,
        numbers: pool(column.numbers)?,
        ints: pool(column.ints)?,
        uints: pool(column.uints)?,
        texts: pool(column.texts)?,
        text_lengths: pool(column.text_lengths)?,
        blobs: pool(column.blobs)?,
        blob_lengths: pool(column.blob_lengths)?,
    };
    (cells.tags.len() == rows && cells.are_sound()).then_some(Data::Cells(cells))
}

fn malformed(what: impl std::fmt::Display) -> Error {
    let what = format!("not a well-formed frame of plain values: {what}");
    Error::new(Code::InvalidFrame, what)
}

#[cfg(test)]
mod tests;
