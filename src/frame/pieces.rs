//! A frame as it goes to the outbox: the columns that are stored, under their names in the table,
//! as Arrow IPC streams of at most so many bytes each.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};

use super::Frame;
use super::ipc::bytes_of;
use super::join::part;
use super::plan::PlannedColumn;
use crate::error::{Code, Error, Result};

/// Some of a frame's rows.
pub struct Piece {
    pub rows: u64,
    /// An Arrow IPC stream.
    pub ipc: Vec<u8>,
}

/// The rows of a frame in order, in pieces; a single row may be larger than a piece should be.
///
/// # Errors
/// `INVALID_FRAME` when Arrow cannot write it.
pub fn pieces(frame: &Frame, columns: &[PlannedColumn], most_bytes: usize) -> Result<Vec<Piece>> {
    let field = |column: &PlannedColumn| {
        let field: Field = frame.schema.field(column.frame_index).clone();
        field.with_name(&column.name)
    };
    let schema: SchemaRef = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let mut batches = Vec::with_capacity(frame.batches.len());
    for batch in frame.batches.iter().filter(|batch| batch.num_rows() > 0) {
        let arrays = columns.iter().map(|column| Arc::clone(batch.column(column.frame_index)));
        batches.push(RecordBatch::try_new(schema.clone(), arrays.collect()).map_err(invalid)?);
    }
    let whole = Frame::new(schema, batches);
    if whole.rows == 0 {
        return Ok(Vec::new());
    }
    // Encoding is for nothing when it is clear that the bytes are too many.
    let bytes: usize = whole.batches.iter().map(bytes_of).sum();
    if bytes <= most_bytes {
        let ipc = whole.encode()?;
        if ipc.len() <= most_bytes {
            return Ok(vec![Piece { rows: whole.rows, ipc }]);
        }
    }
    let mut pieces = Vec::new();
    for batch in &whole.batches {
        let parts = bytes_of(batch).div_ceil(most_bytes).max(1);
        let step = batch.num_rows().div_ceil(parts).max(1);
        for start in (0..batch.num_rows()).step_by(step) {
            let rows = step.min(batch.num_rows() - start);
            cut(batch, start, rows, most_bytes, &mut pieces)?;
        }
    }
    Ok(pieces)
}

/// These rows, in as many pieces as it takes.
fn cut(
    batch: &RecordBatch,
    start: usize,
    rows: usize,
    most_bytes: usize,
    pieces: &mut Vec<Piece>,
) -> Result<()> {
    // Copied: the writer may write more of a slice than its rows.
    let columns = batch.columns().iter().map(|column| part(column, start, rows));
    let columns: Vec<ArrayRef> = columns.collect::<std::result::Result<_, _>>().map_err(invalid)?;
    let copy = RecordBatch::try_new(batch.schema(), columns).map_err(invalid)?;
    let ipc = Frame::new(batch.schema(), vec![copy]).encode()?;
    if ipc.len() > most_bytes && rows > 1 {
        let half = rows / 2;
        cut(batch, start, half, most_bytes, pieces)?;
        return cut(batch, start + half, rows - half, most_bytes, pieces);
    }
    pieces.push(Piece { rows: rows as u64, ipc });
    Ok(())
}

fn invalid(error: arrow::error::ArrowError) -> Error {
    Error::new(Code::InvalidFrame, error.to_string())
}
