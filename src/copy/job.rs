//! One frame on its way into a table: decoded, planned, written out.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, NullArray, RecordBatch, RecordBatchOptions,
    StringArray,
};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::clickhouse;
use super::plan::{Plan, Target, plan};
use super::refusal::{Reason, Refusal, Result};
use super::writer::CopyWriter;
use crate::frame::Frame;

/// What a frame may cost.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// The most rows.
    pub max_rows: u64,
    /// The most bytes that are decompressed, and the most that are written.
    pub max_bytes: u64,
}

/// A decoded frame.
#[derive(Debug)]
pub struct Job {
    frame: Frame,
    constants: RecordBatch,
    limits: Limits,
    writer: Option<CopyWriter>,
    /// The columns of the planned INSERT.
    inserted: Vec<usize>,
}

impl Job {
    /// Decodes a frame; `constants` are columns with one value for all rows.
    ///
    /// # Errors
    /// `INVALID_FRAME`, `UNSUPPORTED_TYPE`, `TOO_LARGE`; `SCHEMA_MISMATCH` for a frame that has a
    /// column of a constant's name: that value is not the sender's to say.
    pub fn open(bytes: Vec<u8>, constants: &Map<String, Value>, limits: Limits) -> Result<Self> {
        let frame = Frame::decode_within(Buffer::from(bytes), limits.max_bytes)?;
        if frame.rows > limits.max_rows {
            let message = format!("more than {} rows", limits.max_rows);
            return Err(Refusal::new(Reason::TooLarge, message));
        }
        for name in constants.keys() {
            if frame.schema.fields().iter().any(|field| field.name() == name) {
                let message = "the server itself gives this column its value";
                return Err(Refusal::new(Reason::SchemaMismatch, message).in_column(name));
            }
        }
        if frame.rows > 0 && frame.schema.fields().is_empty() && constants.is_empty() {
            return Err(Refusal::new(Reason::InvalidFrame, "rows without columns"));
        }
        let constants = batch_of(constants)?;
        Ok(Job { frame, constants, limits, writer: None, inserted: Vec::new() })
    }

    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.frame.rows
    }

    /// Plans for a table as it is now. A plan without schema statements starts the writing anew.
    ///
    /// # Errors
    /// As [`plan`].
    pub fn plan(&mut self, target: &Target) -> Result<Plan> {
        let plan = plan(&self.schema(), target)?;
        if plan.schema.is_empty() {
            let (frame, constants) = self.written(&plan.fields)?;
            self.writer = Some(CopyWriter::new(
                frame.batches,
                constants,
                plan.types.clone(),
                self.limits.max_bytes,
            ));
        }
        Ok(plan)
    }

    /// As [`Job::plan`], for ClickHouse.
    ///
    /// # Errors
    /// As [`clickhouse::plan`].
    pub fn plan_insert(&mut self, target: &clickhouse::Target) -> Result<clickhouse::Plan> {
        let plan = clickhouse::plan(&self.schema(), target)?;
        self.inserted.clone_from(&plan.fields);
        Ok(plan)
    }

    /// The rows as an Arrow IPC stream, of the columns of the last plan and one of one tag.
    ///
    /// # Errors
    /// As [`clickhouse::stream`].
    pub fn stream(&self, tag: &str, value: &str) -> Result<Vec<u8>> {
        let (frame, constants) = self.written(&self.inserted)?;
        clickhouse::stream(&frame, &constants, (tag, value), self.limits.max_bytes)
    }

    /// The frame and the constants, of [`Job::schema`] only those fields.
    fn written(&self, fields: &[usize]) -> Result<(Frame, RecordBatch)> {
        let own = self.frame.schema.fields().len();
        let (before, after): (Vec<usize>, Vec<usize>) = fields.iter().partition(|i| **i < own);
        let after: Vec<usize> = after.iter().map(|i| i - own).collect();
        let project = || -> std::result::Result<_, ArrowError> {
            let batches = self.frame.batches.iter().map(|batch| batch.project(&before));
            let schema = Arc::new(self.frame.schema.project(&before)?);
            let frame = Frame::new(schema, batches.collect::<std::result::Result<_, _>>()?);
            Ok((frame, self.constants.project(&after)?))
        };
        project().map_err(|error| Refusal::new(Reason::InvalidFrame, error.to_string()))
    }

    /// The frame's columns, then the constants.
    fn schema(&self) -> Schema {
        let own = self.frame.schema.fields().iter();
        let all: Vec<_> = own.chain(self.constants.schema_ref().fields()).cloned().collect();
        Schema::new(all)
    }

    /// The next piece of the planned COPY, of at least so many bytes but for the last.
    ///
    /// # Errors
    /// As [`CopyWriter::next`].
    pub fn next(&mut self, bytes: usize) -> Result<Option<Vec<u8>>> {
        self.writer.as_mut().map_or(Ok(None), |writer| writer.next(bytes))
    }
}

/// One row of constants, typed by their values.
fn batch_of(constants: &Map<String, Value>) -> Result<RecordBatch> {
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (name, value) in constants {
        let array: ArrayRef = match value {
            Value::Null => Arc::new(NullArray::new(1)),
            Value::Bool(value) => Arc::new(BooleanArray::from(vec![*value])),
            Value::String(text) => Arc::new(StringArray::from(vec![text.as_str()])),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(value), _) => Arc::new(Int64Array::from(vec![value])),
                (None, Some(value)) => Arc::new(Float64Array::from(vec![value])),
                (None, None) => return Err(not_constant(name)),
            },
            Value::Array(_) | Value::Object(_) => return Err(not_constant(name)),
        };
        fields.push(Field::new(
            name,
            array.data_type().clone(),
            *array.data_type() == DataType::Null,
        ));
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
        .map_err(|error| Refusal::new(Reason::InvalidFrame, error.to_string()))
}

fn not_constant(name: &str) -> Refusal {
    let message = "a constant is text, a number, a boolean or null";
    Refusal::new(Reason::UnsupportedType, message).in_column(name)
}
