//! Rows of a query back to a record batch, with the catalogue's types.
//!
//! A column that is a plain reference to a table's column comes with its catalogue field and has
//! that type again. An expression takes its type from all its values: integers are int64, real
//! numbers float64, integers among real numbers float64 if each is exact, text utf8, blobs binary,
//! and no value at all null.
//!
//! Where plain SQL has put a value into a column that its type cannot have (text into an int64
//! column, 300 into a uint8 one), and where an expression mixes text with numbers, reading says so
//! with the row, and never changes the value: a `CAST` in the query decides.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema};

use super::build::{Builder, Misfit};
use super::catalogue;
use super::cell::Cell;
use super::storage::read_back_type;
use super::types;
use crate::error::{Code, Error, Result};

/// A column of a query's result.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadColumn {
    /// Its name in the result.
    pub name: String,
    /// Its catalogue field, for a plain reference to a table's column.
    pub field: Option<Field>,
}

/// Collects a query's rows.
#[derive(Debug)]
pub struct BatchReader {
    columns: Vec<Slot>,
    /// The rows of the batches that were taken.
    taken: usize,
}

#[derive(Debug)]
struct Slot {
    field: Field,
    typed: bool,
    builder: Builder,
}

impl BatchReader {
    /// A reader of rows with these columns.
    ///
    /// # Errors
    /// `UNSUPPORTED_TYPE` for a catalogue field that is never read back (a union).
    pub fn new(columns: Vec<ReadColumn>) -> Result<Self> {
        let slots = columns.into_iter().map(|column| {
            let typed = column.field.is_some();
            let field = match column.field {
                Some(field) => {
                    let data_type = read_back_type(field.data_type());
                    let field = field.with_name(column.name).with_data_type(data_type);
                    catalogue::unmarked(field)
                }
                None => Field::new(column.name, DataType::Null, true),
            };
            Ok(Slot { builder: Builder::new(field.data_type())?, field, typed })
        });
        Ok(BatchReader { columns: slots.collect::<Result<_>>()?, taken: 0 })
    }

    /// Begins with the types that an earlier run of the query ended with.
    ///
    /// # Errors
    /// As [`BatchReader::new`].
    pub fn expect(&mut self, schema: &Schema) -> Result<()> {
        for (slot, field) in self.columns.iter_mut().zip(schema.fields()) {
            slot.builder = Builder::new(field.data_type())?;
            slot.field = Field::clone(field);
        }
        Ok(())
    }

    /// The number of whole rows since the last batch.
    pub fn rows(&self) -> usize {
        self.columns.last().map_or(0, |slot| slot.builder.rows())
    }

    /// Adds a value to a column; each column gets one for each row.
    ///
    /// # Errors
    /// `SCHEMA_MISMATCH` for a value that the column's type cannot have, or that does not go with
    /// an expression's other values; the reader is of no further use then.
    pub fn push(&mut self, column: usize, cell: Cell<'_>) -> Result<()> {
        let Some(slot) = self.columns.get_mut(column) else {
            return Err(Error::new(Code::InvalidArgument, "no such column"));
        };
        if !slot.typed {
            slot.take_type_of(&cell, self.taken)?;
        }
        let (class, row) = (cell.class(), self.taken + slot.builder.rows());
        slot.builder.push(cell).map_err(|misfit| slot.misfit(misfit, class, row))
    }

    /// The rows since the last batch as a batch. A column that holds NULLs is nullable whatever the
    /// catalogue says: an outer join makes them. What a column's type has become it stays: a later
    /// batch's schema is that of an earlier one, or wider.
    ///
    /// # Errors
    /// `INVALID_FRAME` when columns got different numbers of values, which would be a bug.
    pub fn take(&mut self) -> Result<RecordBatch> {
        let mut fields = Vec::with_capacity(self.columns.len());
        let mut arrays = Vec::with_capacity(self.columns.len());
        for slot in &mut self.columns {
            let builder = std::mem::replace(&mut slot.builder, Builder::new(&DataType::Null)?);
            slot.field.set_nullable(slot.field.is_nullable() || builder.has_nulls());
            let array = builder.finish()?;
            // Keys may have become wider.
            if slot.field.data_type() != array.data_type() {
                slot.field.set_data_type(array.data_type().clone());
            }
            slot.builder = Builder::new(slot.field.data_type())?;
            fields.push(slot.field.clone());
            arrays.push(array);
        }
        // A statement without a result has no columns, and no rows.
        let rows = arrays.first().map_or(0, |array| array.len());
        self.taken += rows;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
            .map_err(|error| Error::new(Code::InvalidFrame, error.to_string()))
    }
}

impl Slot {
    /// Gives an expression's column the type of its first value, and float64 when real numbers
    /// come after integers.
    fn take_type_of(&mut self, cell: &Cell<'_>, taken: usize) -> Result<()> {
        let wanted = match (self.field.data_type(), cell) {
            (DataType::Null, Cell::Integer(_)) => DataType::Int64,
            (DataType::Null | DataType::Int64, Cell::Real(_)) => DataType::Float64,
            (DataType::Null, Cell::Text(_)) => DataType::Utf8,
            (DataType::Null, Cell::Blob(_)) => DataType::Binary,
            _ => return Ok(()),
        };
        let old = std::mem::replace(&mut self.builder, Builder::new(&wanted)?);
        self.field.set_data_type(wanted);
        let rows = old.rows();
        let integers = old.finish()?;
        let storage = super::storage::Storage::new(integers.data_type(), false)?;
        let integers = super::column::Column::new(integers.as_ref(), &storage)?;
        for row in 0..rows {
            let cell = integers.cell(row);
            let class = cell.class();
            let pushed = self.builder.push(cell);
            pushed.map_err(|misfit| self.misfit(misfit, class, taken + row))?;
        }
        Ok(())
    }

    fn misfit(&self, misfit: Misfit, class: &str, row: usize) -> Error {
        let name = types::name(self.field.data_type());
        let message = match (misfit, self.typed) {
            (Misfit::TooMuch, _) => {
                format!("more than {name} holds in one batch; stream the result in smaller ones")
            }
            (Misfit::Value, true) => format!(
                "it holds {class} that is no {name}, the column's type: it was written by \
                 plain SQL or changed on its way in; CAST in the query says how to read it"
            ),
            (Misfit::Value, false) => format!(
                "it holds {class} where the rows before are {name}: an expression with \
                 mixed values needs a CAST"
            ),
        };
        Error::new(Code::SchemaMismatch, message).in_column(self.field.name()).at_row(row as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::*;

    fn read(field: Option<Field>, cells: Vec<Cell<'_>>) -> Result<(Field, ArrayRef)> {
        let name = "c".to_owned();
        let mut reader = BatchReader::new(vec![ReadColumn { name, field }])?;
        for cell in cells {
            reader.push(0, cell)?;
        }
        let batch = reader.take()?;
        Ok((batch.schema().field(0).clone(), Arc::clone(batch.column(0))))
    }

    #[test]
    fn expressions_take_their_type_from_all_their_values() {
        let int = || Cell::Integer(1);
        let real = || Cell::Real(0.5);
        let text = || Cell::Text("x".into());
        for (cells, data_type) in [
            (vec![], DataType::Null),
            (vec![Cell::Null, Cell::Null], DataType::Null),
            (vec![Cell::Null, int()], DataType::Int64),
            (vec![int(), Cell::Null, real()], DataType::Float64),
            (vec![real(), int()], DataType::Float64),
            (vec![text(), Cell::Null], DataType::Utf8),
            (vec![Cell::Blob(vec![].into())], DataType::Binary),
        ] {
            let rows = cells.len();
            let (field, array) = read(None, cells).unwrap();
            assert_eq!(field.data_type(), &data_type);
            assert_eq!(array.len(), rows);
        }
        let inexact = Cell::Integer((1 << 53) + 1);
        for cells in [vec![int(), text()], vec![real(), inexact.clone()], vec![inexact, real()]] {
            let error = read(None, cells).unwrap_err();
            assert_eq!(error.code, Code::SchemaMismatch);
            assert!(error.message.contains("CAST"), "{}", error.message);
        }
    }

    #[test]
    fn what_the_type_cannot_have_is_an_error_with_the_row() {
        for (data_type, cell) in [
            (DataType::UInt8, Cell::Integer(300)),
            (DataType::Int64, Cell::Text("5".into())),
            (DataType::Boolean, Cell::Integer(2)),
            (DataType::Float32, Cell::Real(0.1)),
            (DataType::FixedSizeBinary(2), Cell::Blob(vec![1].into())),
            (DataType::Null, Cell::Integer(1)),
            (DataType::Date32, Cell::Text("yesterday".into())),
        ] {
            let field = Field::new("c", data_type, true);
            let error = read(Some(field), vec![Cell::Null, cell]).unwrap_err();
            assert_eq!((error.code, error.row), (Code::SchemaMismatch, Some(1)));
        }
    }

    #[test]
    fn a_dictionary_comes_back_and_grows_its_keys_when_it_must() {
        let data_type = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        let field = Field::new("c", data_type.clone(), false);
        let cells = |n: usize| (0..2 * n).map(move |i| Cell::Text(format!("{}", i % n).into()));
        let (_, array) = read(Some(field.clone()), cells(128).collect()).unwrap();
        assert_eq!(array.data_type(), &data_type);
        assert_eq!(array.as_any_dictionary().values().len(), 128);
        let (field, array) = read(Some(field), cells(129).collect()).unwrap();
        let wider = DataType::Dictionary(Box::new(DataType::Int16), Box::new(DataType::Utf8));
        assert_eq!((array.data_type(), field.data_type()), (&wider, &wider));
        assert!(!field.is_nullable());
    }
}
