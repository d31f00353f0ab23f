//! The bytes of a binary COPY, in pieces.
//!
//! ```text
//! "PGCOPY\n" FF "\r\n" 00    signature
//! i32   flags: 0             i32   length of what extends the header: 0
//! i16   number of columns, then a value for each; so for each row
//! i16   −1
//! ```

use arrow::array::RecordBatch;

use super::column::Column;
use super::kind::ColumnType;
use super::refusal::{Reason, Refusal, Result};
use super::value::Fault;

const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// Writes rows; holds where it is.
#[derive(Debug)]
pub struct CopyWriter {
    batches: Vec<RecordBatch>,
    /// One row, which is a part of every row.
    constants: RecordBatch,
    /// The types of the batches' columns, then the constants'.
    types: Vec<ColumnType>,
    batch: usize,
    row: usize,
    /// The row of the frame at which `batch` begins.
    before: u64,
    written: u64,
    /// More bytes than this are refused.
    most_bytes: u64,
    done: bool,
}

impl CopyWriter {
    /// For batches and types that a plan has found to fit.
    pub fn new(
        batches: Vec<RecordBatch>,
        constants: RecordBatch,
        types: Vec<ColumnType>,
        most_bytes: u64,
    ) -> Self {
        CopyWriter {
            batches,
            constants,
            types,
            batch: 0,
            row: 0,
            before: 0,
            written: 0,
            most_bytes,
            done: false,
        }
    }

    /// The next piece: at least so many bytes, and at most one row more; `None` after the last.
    ///
    /// # Errors
    /// A value that does not fit, with its column and row; `TOO_LARGE`.
    pub fn next(&mut self, bytes: usize) -> Result<Option<Vec<u8>>> {
        if self.done {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(bytes.min(1 << 24) + 1024);
        if self.written == 0 {
            out.extend(HEADER);
        }
        while out.len() < bytes && self.batch < self.batches.len() {
            self.write_batch(bytes, &mut out)?;
        }
        if self.batch == self.batches.len() {
            out.extend(TRAILER);
            self.done = true;
        }
        self.written += out.len() as u64;
        self.check_size(0)?;
        Ok(Some(out))
    }

    /// Goes on in the current batch until it ends or there is enough.
    fn write_batch(&mut self, bytes: usize, out: &mut Vec<u8>) -> Result<()> {
        let batch = &self.batches[self.batch];
        let own = batch.num_columns();
        let mut columns = Vec::with_capacity(self.types.len());
        for (i, to) in self.types.iter().enumerate() {
            let (array, constant) = match i < own {
                true => (batch.column(i), false),
                false => (self.constants.column(i - own), true),
            };
            let column = Column::new(array.as_ref(), to).ok_or_else(|| {
                Refusal::new(Reason::SchemaMismatch, "a batch that is not of the frame's types")
            })?;
            columns.push((column, constant));
        }
        let count = (columns.len() as i16).to_be_bytes();
        while self.row < batch.num_rows() && out.len() < bytes {
            out.extend(count);
            for (i, (column, constant)) in columns.iter().enumerate() {
                let row = if *constant { 0 } else { self.row };
                if let Err(fault) = column.write(row, out) {
                    let name = match i < own {
                        true => batch.schema().field(i).name().clone(),
                        false => self.constants.schema().field(i - own).name().clone(),
                    };
                    let row = self.before + self.row as u64;
                    return Err(refusal(fault, &self.types[i]).in_column(&name).at_row(row));
                }
            }
            self.row += 1;
        }
        if self.row == batch.num_rows() {
            self.before += self.row as u64;
            self.batch += 1;
            self.row = 0;
        }
        self.check_size(out.len() as u64)
    }

    fn check_size(&self, more: u64) -> Result<()> {
        match self.written + more > self.most_bytes {
            true => {
                Err(Refusal::new(Reason::TooLarge, "more bytes once written out than are taken"))
            }
            false => Ok(()),
        }
    }
}

fn refusal(fault: Fault, to: &ColumnType) -> Refusal {
    let name = &to.name;
    match fault {
        Fault::OutOfRange => Refusal::new(
            Reason::ValueOutOfRange,
            format!("a value that a column of type {name} cannot hold exactly"),
        ),
        Fault::Nul => Refusal::new(Reason::NulInText, "text with U+0000, which is not stored"),
        Fault::TooLong => Refusal::new(Reason::TooLarge, "a nested value that is too long"),
    }
}
