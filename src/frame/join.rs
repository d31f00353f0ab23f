//! Arrays of one type one after the other in one array, for dictionaries that came in parts; and some
//! rows of an array by themselves.
//!
//! `arrow::compute::concat` does this too, with a way of its own for every type: 50 KB more of the
//! compressed wasm.

use arrow::array::{Array, ArrayRef, MutableArrayData, make_array};
use arrow::error::ArrowError;

/// The parts, of one type and at least one, in order.
///
/// # Errors
/// When together they are more than the type's offsets or keys can count.
pub fn join(parts: &[&dyn Array]) -> Result<ArrayRef, ArrowError> {
    let data: Vec<_> = parts.iter().map(|part| part.to_data()).collect();
    let rows = data.iter().map(|part| part.len()).sum();
    let mut all = MutableArrayData::new(data.iter().collect(), false, rows);
    for (i, part) in data.iter().enumerate() {
        all.try_extend(i, 0, part.len())?;
    }
    Ok(make_array(all.freeze()))
}

/// Some rows of an array, and no others behind them.
///
/// # Errors
/// As [`join`].
pub fn part(array: &dyn Array, start: usize, rows: usize) -> Result<ArrayRef, ArrowError> {
    let data = array.to_data();
    let mut some = MutableArrayData::new(vec![&data], false, rows);
    some.try_extend(0, start, start + rows)?;
    Ok(make_array(some.freeze()))
}

/// An array of one row, so many times.
///
/// # Errors
/// When together they are more than the type's offsets can count.
#[cfg(feature = "server")]
pub fn repeat(one: &dyn Array, times: usize) -> Result<ArrayRef, ArrowError> {
    let data = one.to_data();
    let mut all = MutableArrayData::new(vec![&data], false, times);
    for _ in 0..times {
        all.try_extend(0, 0, 1)?;
    }
    Ok(make_array(all.freeze()))
}
