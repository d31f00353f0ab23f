//! What is wrong with a frame whatever its table says. It is found before the call waits for the lock,
//! so that such a frame never gets into the queue, where it could only be refused later.
//!
//! What depends on the table is not looked at: its catalogue may have a type in which a value fits that
//! fits no type of its own, and a column that it does not have may be dropped. A frame that makes its
//! table depends on none.

use arrow::array::Array;

use super::Frame;
use super::column::Column;
use super::convert::Loss;
use super::ident::{check_columns, names};
use super::keys;
use super::options::{AppendOptions, ExtraColumns, Lossy, Match, Mode};
use super::packed::Packed;
use super::plan::{Plan, TableState, argument, wanted};
use super::storage::Storage;
use super::types::ColumnType;
use super::values::check_values;
use crate::error::{Code, Error, Result};

/// Whether the options make sense for a frame of these columns. One with neither columns nor rows has what it needs.
///
/// # Errors
/// `INVALID_ARGUMENT`; `SCHEMA_MISMATCH` for a key that the frame does not have.
pub fn check_options(columns: &[&str], rows: u64, options: &AppendOptions) -> Result<()> {
    let nothing = columns.is_empty() && rows == 0;
    for name in options.types.keys() {
        if !nothing && !columns.contains(&&**name) {
            let why = "types names a column that the frame does not have";
            return Err(argument(why).in_column(name));
        }
    }
    match options.key.as_deref() {
        Some(_) if !options.mode.is_keyed() => {
            Err(argument("key is for the modes upsert and ignore"))
        }
        Some([]) => Err(argument("key names no column")),
        Some(key) => {
            for (at, name) in key.iter().enumerate() {
                let is_it = |other: &&str| other.eq_ignore_ascii_case(name);
                if key[..at].iter().any(|earlier| is_it(&&**earlier)) {
                    return Err(argument("key names the column twice").in_column(name));
                }
                // By position, the names are those of the table.
                let by_name = options.matching == Match::Name && !nothing;
                if by_name && !columns.iter().any(is_it) {
                    return Err(keys::not_in_frame(name));
                }
            }
            Ok(())
        }
        None => Ok(()),
    }
}

/// A frame with types: what fits no table at all.
///
/// # Errors
/// `INVALID_ARGUMENT` for options that do not fit it, `SCHEMA_MISMATCH` for a column that cannot have the type that
/// they say, `LOSSY_VALUE` with column and row.
pub fn check_frame(table: &str, frame: &Frame, options: &AppendOptions) -> Result<()> {
    check_options(&names(&frame.schema), frame.rows, options)?;
    if makes_its_table(options) {
        return check_anew(table, frame, options);
    }
    if options.extra_columns != ExtraColumns::Drop {
        for field in frame.schema.fields() {
            wanted(field, options)?;
        }
    }
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
/// As [`check_frame`]; `INVALID_ARGUMENT` also for a value of the wrong kind, `INVALID_FRAME` for columns that no table
/// can have.
pub fn check_packed(table: &str, packed: &Packed, options: &AppendOptions) -> Result<()> {
    let names: Vec<&str> = packed.column_names().collect();
    check_columns(&names)?;
    check_options(&names, packed.rows(), options)?;
    let given = |name: &str| match options.types.get(name) {
        Some(ColumnType::Arrow(data_type)) => Some(data_type.clone()),
        Some(ColumnType::Iso8601) | None => None,
    };
    if makes_its_table(options) {
        let (frame, _) = packed.into_frame(&|_, name| given(name), options.lossy)?;
        return check_anew(table, &frame, options);
    }
    if !every_column_counts(options) {
        return Ok(());
    }
    packed.each_known(&given, &|name, array| check_floats(array, name, 0))
}

/// Whether the frame's own types are the table's, whatever there is.
fn makes_its_table(options: &AppendOptions) -> bool {
    matches!(options.mode, Mode::Create | Mode::Replace)
}

/// A frame that makes its table: everything about it can be seen.
fn check_anew(table: &str, frame: &Frame, options: &AppendOptions) -> Result<()> {
    let plan = Plan::new(table, frame, &TableState::default(), options)?;
    check_values(frame, &plan, options.lossy).map(|_| ())
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
