//! An Arrow table object's own buffers, as the page copied them (`www/client/arrow/`): back to
//! record batches, with everything about them checked. Nothing is trusted: not the lengths, not
//! the offsets, not the text; the libraries that made the buffers have bugs, and pages have others.
//!
//! The descriptor is JSON:
//!
//! ```text
//! { fields:  [{ name, nullable, metadata?: [[k, v]…], type: { kind, … } }…],   see types.rs
//!   metadata?: [[k, v]…],
//!   batches?: [rows…],                  absent: the columns' chunks need not line up
//!   columns: [[node…]…],                a node per chunk
//!   dictionaries: [{ type, chunks: [node…] }…] }   a dictionary refers to earlier ones only
//!
//! node = { n: rows,
//!          v?: region,                  validity bitmap; absent: no nulls
//!          o?: bits to skip in v and in the values of bool; rows to skip of run-end encoding
//!          b?: [region…],               the other buffers, in the order of the Arrow format
//!          c?: [node…],                 children
//!          d?: dictionary index }
//! region = [buffer, byte offset, byte length]
//! ```
//!
//! Element 0 of every buffer but the bitmaps is row 0 of the node. The values of a node with
//! offsets start at its first offset, whatever number that is.

mod arrays;
pub(super) mod regions;
mod types;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_empty_array};
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use serde::Deserialize;

use super::Frame;
use super::join::join;
use crate::error::{Code, Error, Result};
use crate::json;
use arrays::{Arrays, Node};
use regions::Regions;
use types::{FieldDescriptor, Pairs, TypeDescriptor, metadata};

/// The most rows a chunk may claim: what the Arrow format recommends, and what apache-arrow keeps
/// to. It also bounds what columns without bytes (null) can make us do.
const MAX_CHUNK_ROWS: usize = i32::MAX as usize;

#[derive(Deserialize)]
struct Descriptor {
    fields: Vec<FieldDescriptor>,
    #[serde(default)]
    metadata: Pairs,
    batches: Option<Vec<usize>>,
    columns: Vec<Vec<Node>>,
    #[serde(default)]
    dictionaries: Vec<Dictionary>,
}

#[derive(Deserialize)]
struct Dictionary {
    r#type: TypeDescriptor,
    chunks: Vec<Node>,
}

/// Rebuilds a frame from a table object's buffers.
///
/// # Errors
/// `INVALID_FRAME`, naming the column where there is one, when the buffers are not sound;
/// `UNSUPPORTED_TYPE` for a type that is not stored.
pub fn from_raw(descriptor: &str, buffers: Vec<Buffer>) -> Result<Frame> {
    let descriptor: Descriptor =
        json::read(descriptor.as_bytes()).map_err(|e| invalid(format!("its descriptor: {e}")))?;
    if descriptor.columns.len() != descriptor.fields.len() {
        return Err(invalid("it has more columns than fields, or fewer"));
    }
    let mut fields = Vec::with_capacity(descriptor.fields.len());
    for field in &descriptor.fields {
        fields.push(field.read().map_err(|e| e.in_column(&field.name))?);
    }
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata(&descriptor.metadata)));

    let mut arrays = Arrays::new(Regions::new(buffers));
    for dictionary in &descriptor.dictionaries {
        let values = dictionary_values(&arrays, dictionary)?;
        arrays.dictionaries.push(values);
    }
    let mut columns = Vec::with_capacity(descriptor.columns.len());
    for (field, chunks) in schema.fields().iter().zip(&descriptor.columns) {
        let mut arrays_of_column = Vec::with_capacity(chunks.len());
        for node in chunks {
            let array =
                arrays.read(field.data_type(), node).map_err(|e| e.in_column(field.name()))?;
            if !field.is_nullable() && array.null_count() > 0 {
                let error = invalid("it has nulls, and its field says that it has none");
                return Err(error.in_column(field.name()));
            }
            arrays_of_column.push(array);
        }
        columns.push(arrays_of_column);
    }
    let batches = match &descriptor.batches {
        Some(rows) => aligned_batches(&schema, rows, &columns)?,
        None => regrouped_batches(&schema, &columns)?,
    };
    Ok(Frame::new(schema, batches))
}

/// All chunks of a dictionary as one array.
fn dictionary_values(arrays: &Arrays, dictionary: &Dictionary) -> Result<ArrayRef> {
    let data_type = dictionary.r#type.read()?;
    let mut chunks = Vec::with_capacity(dictionary.chunks.len());
    for node in &dictionary.chunks {
        chunks.push(arrays.read(&data_type, node)?);
    }
    match chunks.as_slice() {
        [] => Ok(new_empty_array(&data_type)),
        [values] => Ok(Arc::clone(values)),
        chunks => {
            let chunks: Vec<&dyn Array> = chunks.iter().map(AsRef::as_ref).collect();
            join(&chunks).map_err(|e| invalid(format!("a dictionary: {e}")))
        }
    }
}

/// The record batches that the library had.
fn aligned_batches(
    schema: &SchemaRef,
    rows: &[usize],
    columns: &[Vec<ArrayRef>],
) -> Result<Vec<RecordBatch>> {
    for (field, chunks) in schema.fields().iter().zip(columns) {
        let mut lengths = chunks.iter().map(|chunk| chunk.len());
        if !rows.iter().all(|rows| lengths.next() == Some(*rows)) || lengths.next().is_some() {
            return Err(invalid("it has other lengths than its batches").in_column(field.name()));
        }
    }
    rows.iter()
        .enumerate()
        .map(|(i, rows)| {
            let columns = columns.iter().map(|chunks| Arc::clone(&chunks[i]));
            batch(schema, columns.collect(), *rows)
        })
        .collect()
}

/// Record batches cut wherever any column has a boundary.
fn regrouped_batches(schema: &SchemaRef, columns: &[Vec<ArrayRef>]) -> Result<Vec<RecordBatch>> {
    let mut cuts = Vec::new();
    let mut total = None;
    for (field, chunks) in schema.fields().iter().zip(columns) {
        let mut rows = 0u64;
        for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
            rows += chunk.len() as u64;
            cuts.push(rows);
        }
        if *total.get_or_insert(rows) != rows {
            let error = invalid("it has another number of rows than those before it");
            return Err(error.in_column(field.name()));
        }
    }
    cuts.sort_unstable();
    cuts.dedup();
    let mut cursors = vec![(0usize, 0usize); columns.len()];
    let mut batches = Vec::with_capacity(cuts.len());
    let mut from = 0;
    for to in cuts {
        // One chunk at least ends here, so the piece is no longer than a chunk.
        let rows = (to - from) as usize;
        from = to;
        let mut pieces = Vec::with_capacity(columns.len());
        for (chunks, (chunk, row)) in columns.iter().zip(&mut cursors) {
            while *row == chunks[*chunk].len() {
                (*chunk, *row) = (*chunk + 1, 0);
            }
            let array = &chunks[*chunk];
            pieces.push(if rows == array.len() {
                Arc::clone(array)
            } else {
                array.slice(*row, rows)
            });
            *row += rows;
        }
        batches.push(batch(schema, pieces, rows)?);
    }
    Ok(batches)
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|e| invalid(e.to_string()))
}

fn invalid(what: impl std::fmt::Display) -> Error {
    Error::new(Code::InvalidFrame, format!("the Arrow table cannot be read: {what}"))
}

#[cfg(test)]
pub(super) mod tests;
