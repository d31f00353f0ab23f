//! What is wrong with a frame whatever its table says. It is found before the call waits for the lock,
//! so that such a frame never gets into the queue, where it could only be refused later.
//!
//! What depends on the table is not looked at: its catalogue may have a type in which a value fits that
//! fits no type of its own, and a column that it does not have may be dropped.

use arrow::array::Array;

use super::Frame;
use super::column::Column;
use super::convert::Loss;
use super::options::{AppendOptions, ExtraColumns, Lossy, Mode};
use super::packed::Packed;
use super::storage::Storage;
use super::types::ColumnType;
use crate::error::{Code, Error, Result};

/// Whether the options make sense for a frame of these columns.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn check_options(has_column: &dyn Fn(&str) -> bool, options: &AppendOptions) -> Result<()> {
    let argument = |why: &str| Err(Error::new(Code::InvalidArgument, why));
    for name in options.types.keys() {
        if !has_column(name) {
            let why = "types names a column that the frame does not have";
            return argument(why).map_err(|error| error.in_column(name));
        }
    }
    let keyed = matches!(options.mode, Mode::Upsert | Mode::Ignore);
    match options.key.as_deref() {
        Some(_) if !keyed => argument("key is for the modes upsert and ignore"),
        Some([]) => argument("key names no column"),
        Some(key) => {
            for (at, name) in key.iter().enumerate() {
                if key[..at].iter().any(|earlier| earlier.eq_ignore_ascii_case(name)) {
                    let why = "key names the column twice";
                    return argument(why).map_err(|error| error.in_column(name));
                }
            }
            Ok(())
        }
        None => Ok(()),
    }
}

/// A frame with types: NaN, which no column keeps.
///
/// # Errors
/// `INVALID_ARGUMENT` for options that do not fit it, `LOSSY_VALUE` with column and row.
pub fn check_frame(frame: &Frame, options: &AppendOptions) -> Result<()> {
    check_options(&|name| frame.schema.index_of(name).is_ok(), options)?;
    if !every_column_counts(options) {
        return Ok(());
    }
    for (index, field) in frame.schema.fields().iter().enumerate() {
        let mut first_row = 0;
        for batch in &frame.batches {
            check_floats(batch.column(index), field.name(), first_row)?;
            first_row += batch.num_rows() as u64;
        }
    }
    Ok(())
}

/// Plain values: those of columns whose type the caller gave, and NaN anywhere.
///
/// # Errors
/// As [`check_frame`]; `INVALID_ARGUMENT` also for a value of the wrong kind.
pub fn check_packed(packed: &Packed, options: &AppendOptions) -> Result<()> {
    check_options(&|name| packed.column_names().any(|column| column == name), options)?;
    if !every_column_counts(options) {
        return Ok(());
    }
    let given = |name: &str| match options.types.get(name) {
        Some(ColumnType::Arrow(data_type)) => Some(data_type.clone()),
        Some(ColumnType::Iso8601) | None => None,
    };
    packed.each_known(&given, &|name, array| check_floats(array, name, 0))
}

/// Whether a value that cannot be kept is an error in any column.
fn every_column_counts(options: &AppendOptions) -> bool {
    options.lossy == Lossy::Error && options.extra_columns != ExtraColumns::Drop
}

/// NaN fits no column; −0.0 fits one that somebody else made without a type.
fn check_floats(array: &dyn Array, name: &str, first_row: u64) -> Result<()> {
    if !array.data_type().is_floating() {
        return Ok(());
    }
    let storage = Storage::new(array.data_type(), false).map_err(|error| error.in_column(name))?;
    let column = Column::new(array, &storage)?;
    let mut rows = if column.may_lose() { 0..column.rows() } else { 0..0 };
    match rows.find(|row| column.loss(*row) == Some(Loss::NotANumber)) {
        Some(row) => {
            let row = first_row + row as u64;
            let message = format!("the value {}", Loss::NotANumber.why());
            Err(Error::new(Code::LossyValue, message).in_column(name).at_row(row))
        }
        None => Ok(()),
    }
}
