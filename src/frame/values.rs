//! The look at every value before the first one is written: what cannot be kept exactly.

use std::collections::BTreeMap;

use super::Frame;
use super::cell::Cell;
use super::column::Column;
use super::convert::Loss;
use super::options::Lossy;
use super::plan::{Plan, PlannedColumn, can_be_numbered};
use crate::error::{Code, Error, Result};

/// Counts the values that are changed on their way in, by the frame's column names; columns
/// without any are left out. Columns that cannot lose anything cost nothing.
///
/// # Errors
/// `LOSSY_VALUE` with row and column of the first such value of the first such column, under
/// [`Lossy::Error`], or of one for which there is no nearest value; `SCHEMA_MISMATCH` for rows that have columns, of
/// which none is written.
pub fn check_values(frame: &Frame, plan: &Plan, lossy: Lossy) -> Result<BTreeMap<String, u64>> {
    if plan.columns.is_empty() && !frame.schema.fields().is_empty() && frame.rows > 0 {
        let why = "the frame has rows, but no column of them is written";
        return Err(Error::new(Code::SchemaMismatch, why));
    }
    let mut coerced = BTreeMap::new();
    for planned in &plan.columns {
        let name = frame.schema.field(planned.frame_index).name();
        let mut count = 0;
        let mut first_row = 0;
        for batch in &frame.batches {
            let column = Column::new(batch.column(planned.frame_index), &planned.storage)?;
            for (row, loss) in losses(&column, planned) {
                let made_up =
                    loss == Loss::NullBecomesNumber && !can_be_numbered(&planned.storage.data_type);
                if lossy == Lossy::Error || made_up {
                    let row = first_row + row as u64;
                    let message = format!("the value {}", loss.why());
                    return Err(Error::new(Code::LossyValue, message).in_column(name).at_row(row));
                }
                count += 1;
            }
            first_row += batch.num_rows() as u64;
        }
        if count > 0 {
            coerced.insert(name.clone(), count);
        }
    }
    Ok(coerced)
}

fn losses<'a>(
    column: &'a Column<'a>,
    planned: &'a PlannedColumn,
) -> impl Iterator<Item = (usize, Loss)> + 'a {
    let rows = match planned.row_id || column.may_lose() {
        true => 0..column.rows(),
        false => 0..0,
    };
    rows.filter_map(|row| {
        let numbered = planned.row_id && column.cell(row) == Cell::Null;
        let numbered = numbered.then_some(Loss::NullBecomesNumber);
        Some((row, numbered.or_else(|| column.loss(row))?))
    })
}
