//! Columns as their values alone, without dictionaries and runs, as ClickHouse takes them.
//!
//! Frames that a browser sent together have a dictionary each: one behind another they would say a value twice, which
//! ClickHouse refuses, and be more than their keys can count.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, MutableArrayData, RecordBatch, RecordBatchOptions, make_array,
};
use arrow::datatypes::{
    DataType, Fields, Int16Type, Int32Type, Int64Type, RunEndIndexType, Schema,
};
use arrow::error::ArrowError;

use super::arrays::{Blobs, Integers, Texts};
use super::refusal::{Reason, Refusal, Result};
use crate::frame::Frame;
use crate::frame::storage::value_type;

/// The frame with every column as its values.
///
/// # Errors
/// `TOO_LARGE` when the values are more than so many bytes: a small frame can say a large one again for each row.
pub fn plain(frame: &Frame, most_bytes: u64) -> Result<Frame> {
    let fields = frame.schema.fields().iter().map(|field| {
        let values = value_type(field.data_type());
        if values == field.data_type() {
            return Arc::clone(field);
        }
        // Its NULLs may be among the values.
        Arc::new(field.as_ref().clone().with_data_type(values.clone()).with_nullable(true))
    });
    let schema = Arc::new(Schema::new(fields.collect::<Fields>()));
    let mut bytes_left = most_bytes;
    let mut batches = Vec::new();
    for batch in &frame.batches {
        let columns = batch.columns().iter().map(|column| values(column, &mut bytes_left));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let made = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options);
        batches.push(made.map_err(broken)?);
    }
    Ok(Frame::new(schema, batches))
}

fn values(array: &ArrayRef, bytes_left: &mut u64) -> Result<ArrayRef> {
    let Some((packed, places)) = packed(array.as_ref()) else {
        return Ok(Arc::clone(array));
    };
    let packed = values(&packed, bytes_left)?;
    let (data, width) = (packed.to_data(), widths(packed.as_ref()));
    let mut all = MutableArrayData::new(vec![&data], true, array.len());
    for at in places {
        let is_there = at < packed.len();
        let bytes = if is_there { width(at) as u64 } else { 8 };
        *bytes_left = bytes_left.checked_sub(bytes).ok_or_else(|| {
            Refusal::new(Reason::TooLarge, "more bytes once written out than are taken")
        })?;
        match is_there {
            true => all.try_extend(0, at, at + 1).map_err(broken)?,
            false => all.try_extend_nulls(1).map_err(broken)?,
        }
    }
    Ok(make_array(all.freeze()))
}

/// The values of a dictionary or of runs, and the place among them of each row; NULL is beyond them.
fn packed(array: &dyn Array) -> Option<(ArrayRef, Vec<usize>)> {
    match array.data_type() {
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary_opt()?;
            let keys = Integers::of(dictionary.keys())?;
            // The key of a NULL may be anything.
            let place = |row| if array.is_valid(row) { keys.index(row) } else { usize::MAX };
            Some((Arc::clone(dictionary.values()), (0..array.len()).map(place).collect()))
        }
        DataType::RunEndEncoded(ends, _) => match ends.data_type() {
            DataType::Int16 => runs::<Int16Type>(array),
            DataType::Int32 => runs::<Int32Type>(array),
            _ => runs::<Int64Type>(array),
        },
        _ => None,
    }
}

fn runs<R: RunEndIndexType>(array: &dyn Array) -> Option<(ArrayRef, Vec<usize>)> {
    let runs = array.as_run_opt::<R>()?;
    let places = (0..array.len()).map(|row| runs.get_physical_index(row)).collect();
    Some((Arc::clone(runs.values()), places))
}

/// The bytes of each value, with its offset where it has one.
fn widths(values: &dyn Array) -> Box<dyn Fn(usize) -> usize + '_> {
    if let Some(texts) = Texts::of(values) {
        return Box::new(move |row| 8 + texts.get(row).len());
    }
    if let Some(blobs) = Blobs::of(values) {
        return Box::new(move |row| 8 + blobs.get(row).len());
    }
    let width = values.data_type().primitive_width().unwrap_or(8);
    Box::new(move |_| width)
}

fn broken(error: ArrowError) -> Refusal {
    Refusal::new(Reason::InvalidFrame, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BooleanArray, DictionaryArray, Int16Array, Int32Array, NullArray, RunArray, StringArray,
        TimestampSecondArray, UInt8Array, UInt64Array,
    };
    use arrow::datatypes::{Field, UInt8Type, UInt64Type};

    fn frame(batches: Vec<Vec<ArrayRef>>) -> Frame {
        let field = |array: &ArrayRef| Field::new("c", array.data_type().clone(), false);
        let schema = Arc::new(Schema::new(batches[0].iter().map(field).collect::<Vec<_>>()));
        // A dictionary has its NULLs among its values too, whatever its field says.
        let made = |columns| RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let batches = batches.into_iter().map(made).collect();
        Frame::new(schema, batches)
    }

    #[test]
    fn dictionaries_and_runs_are_their_values() {
        let words: ArrayRef = Arc::new(StringArray::from(vec![Some("one"), None, Some("one")]));
        let keys = UInt8Array::from(vec![0, 2, 1, 0]);
        let dictionary: ArrayRef = Arc::new(DictionaryArray::<UInt8Type>::new(keys, words));
        let ends = Int32Array::from(vec![1, 4]);
        let runs: ArrayRef =
            Arc::new(RunArray::try_new(&ends, &Int16Array::from(vec![7, 8])).unwrap());
        // Runs of dictionaries, of what is not text.
        let moments = Arc::new(TimestampSecondArray::from(vec![5, 6]).with_timezone("UTC"));
        let moments = DictionaryArray::<UInt64Type>::new(UInt64Array::from(vec![1, 0]), moments);
        let both: ArrayRef = Arc::new(RunArray::try_new(&ends, &moments).unwrap());
        let nothing = Arc::new(NullArray::new(1));
        let nothing: ArrayRef =
            Arc::new(DictionaryArray::<UInt8Type>::new(UInt8Array::from(vec![0; 4]), nothing));
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true, false, true, false]));
        let columns = vec![dictionary, runs, both, nothing, flags];
        let found = plain(&frame(vec![columns.clone(), columns]), 1 << 20).unwrap();
        let wanted: [ArrayRef; 5] = [
            Arc::new(StringArray::from(vec![Some("one"), Some("one"), None, Some("one")])),
            Arc::new(Int16Array::from(vec![7, 8, 8, 8])),
            Arc::new(TimestampSecondArray::from(vec![6, 5, 5, 5]).with_timezone("UTC")),
            Arc::new(NullArray::new(4)),
            Arc::new(BooleanArray::from(vec![true, false, true, false])),
        ];
        assert_eq!(found.batches.len(), 2);
        for batch in &found.batches {
            assert_eq!(batch.columns(), wanted);
        }
        assert_eq!(found.schema, found.batches[0].schema());
    }

    #[test]
    fn what_repeats_is_counted_before_it_is_written() {
        let text: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1000)]));
        let dictionary: ArrayRef =
            Arc::new(DictionaryArray::<UInt8Type>::new(UInt8Array::from(vec![0; 10]), text));
        let long = frame(vec![vec![dictionary]]);
        assert!(plain(&long, 10_080).is_ok());
        assert_eq!(plain(&long, 10_079).unwrap_err().reason, Reason::TooLarge);
    }
}
