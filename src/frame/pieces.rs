//! A frame as it goes to the outbox: the columns that are stored, under their names in the table,
//! as Arrow IPC streams of at most so many bytes each.

use std::slice;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;

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

/// What a piece should have no more of.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    pub bytes: usize,
    pub rows: usize,
}

/// The rows of a frame in order, in pieces; a single row may be larger than a piece should be. The `stamp` is in the schema
/// of each, as a pair of metadata.
///
/// # Errors
/// `INVALID_FRAME` when Arrow cannot write it.
pub fn pieces(
    frame: &Frame,
    columns: &[PlannedColumn],
    stamp: &(String, String),
    most: Most,
) -> Result<Vec<Piece>> {
    let field = |column: &PlannedColumn| {
        let field: Field = frame.schema.field(column.frame_index).clone();
        field.with_name(&column.name)
    };
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    let schema: SchemaRef = Arc::new(schema.with_metadata([stamp.clone()]));
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
    if bytes_of(&whole.batches) <= most.bytes as u64 && whole.rows <= most.rows as u64 {
        let ipc = whole.encode()?;
        if ipc.len() <= most.bytes {
            return Ok(vec![Piece { rows: whole.rows, ipc }]);
        }
    }
    let mut pieces = Vec::new();
    for batch in &whole.batches {
        let parts = bytes_of(slice::from_ref(batch)).div_ceil(most.bytes as u64).max(1) as usize;
        let step = batch.num_rows().div_ceil(parts).clamp(1, most.rows);
        for start in (0..batch.num_rows()).step_by(step) {
            let rows = step.min(batch.num_rows() - start);
            cut(batch, start, rows, most.bytes, &mut pieces)?;
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
    let columns = batch.columns().iter().map(|column| rows_of(column, start, rows));
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

/// Some rows of a column: as they lie there, or copied where the writer would write more of a slice than its
/// rows. (Of views that are nested it still does.)
fn rows_of(
    column: &ArrayRef,
    start: usize,
    rows: usize,
) -> std::result::Result<ArrayRef, ArrowError> {
    let slice = || column.slice(start, rows);
    match column.data_type() {
        kind if kind.is_primitive() => Ok(slice()),
        DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 => Ok(slice()),
        DataType::Binary | DataType::LargeBinary => Ok(slice()),
        DataType::Utf8View => Ok(Arc::new(slice().as_string_view().gc())),
        DataType::BinaryView => Ok(Arc::new(slice().as_binary_view().gc())),
        _ => part(column, start, rows),
    }
}

fn invalid(error: ArrowError) -> Error {
    Error::new(Code::InvalidFrame, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::*;
    use arrow::datatypes::{Int8Type, Int32Type};

    #[test]
    fn pieces_have_their_rows_and_no_others_whatever_the_type() {
        const ROWS: usize = 5003;
        let some = |i: usize| (i % 5 != 3).then_some(i);
        let every = || (0..ROWS).map(some);
        let text = |i: usize| format!("né {i}");
        let lists = every().map(|i| i.map(|i| vec![Some(i as i32), None]));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("bool", Arc::new(BooleanArray::from_iter(every().map(|i| i.map(|i| i % 3 == 0))))),
            ("int", Arc::new(Int64Array::from_iter(every().map(|i| i.map(|i| i as i64))))),
            ("float", Arc::new(Float32Array::from_iter_values((0..ROWS).map(|i| i as f32)))),
            ("digits", Arc::new(Decimal128Array::from_iter(every().map(|i| i.map(|i| i as i128))))),
            (
                "moment",
                Arc::new(TimestampMicrosecondArray::from_iter(
                    every().map(|i| i.map(|i| i as i64)),
                )),
            ),
            ("text", Arc::new(StringArray::from_iter(every().map(|i| i.map(text))))),
            ("large", Arc::new(LargeStringArray::from_iter(every().map(|i| i.map(text))))),
            ("bytes", Arc::new(BinaryArray::from_iter(every().map(|i| i.map(text))))),
            (
                "view",
                Arc::new(StringViewArray::from_iter(
                    every().map(|i| i.map(|i| format!("a longer text {i}"))),
                )),
            ),
            (
                "word",
                Arc::new(
                    (0..ROWS).map(|i| ["a", "b"][i % 2]).collect::<DictionaryArray<Int8Type>>(),
                ),
            ),
            ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists))),
            ("nothing", Arc::new(NullArray::new(ROWS))),
        ];
        let whole = RecordBatch::try_from_iter(columns).unwrap();
        let least = Frame::new(whole.schema(), vec![whole.clone()]).encode().unwrap().len();
        let mut pieces = Vec::new();
        // Not where a byte of a bitmap begins.
        for (start, rows) in [(0, 1001), (1001, 7), (1008, 2000), (3008, ROWS - 3008)] {
            cut(&whole, start, rows, usize::MAX, &mut pieces).unwrap();
        }
        let mut row = 0;
        for piece in &pieces {
            let frame = Frame::decode(piece.ipc.clone().into()).unwrap();
            let batch = &frame.batches[0];
            assert_eq!(*batch, whole.slice(row, batch.num_rows()));
            row += batch.num_rows();
        }
        assert_eq!(row, ROWS);
        let bytes: usize = pieces.iter().map(|piece| piece.ipc.len()).sum();
        assert!(bytes < least + pieces.len() * 4096, "{bytes} bytes of {least}");
    }
}
