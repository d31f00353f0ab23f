//! The frame: Arrow in, SQLite values out, and back.
//!
//! Everything that knows an Arrow type lives here: decoding hostile bytes, the type rules of
//! `docs/types.md`, the DDL and the catalogue they lead to, and the way back from SQLite's values
//! to Arrow. The layer is pure: no browser, no SQLite, no clock, no randomness; the store calls it
//! with bytes and table descriptions and executes what it answers. Nothing here may panic,
//! whatever the bytes say: in the browser a panic is the end of the worker.

mod build;
mod build_finish;
pub mod catalogue;
pub mod cell;
pub mod column;
pub mod convert;
pub mod decimal;
pub mod early;
pub mod ident;
mod inflate;
mod interval;
mod ipc;
pub mod iso;
pub(crate) mod join;
pub mod json;
mod json_read;
mod keys;
mod nested;
pub mod options;
pub mod packed;
pub mod pieces;
pub mod plan;
pub mod raw;
pub mod read;
pub mod storage;
mod table;
mod target;
mod type_parser;
pub mod types;
pub mod values;
mod verify;
mod verify_schema;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};

use crate::error::Result;

/// A table's worth of typed rows, in the batches in which they came.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// The columns' names and types, shared by every batch.
    pub schema: SchemaRef,
    /// The rows; a batch may be empty, and there may be none.
    pub batches: Vec<RecordBatch>,
    /// The number of rows of all batches together.
    pub rows: u64,
}

impl Frame {
    /// A frame of batches that share `schema`.
    pub fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        Frame { schema, batches, rows }
    }

    /// A frame without rows.
    pub fn empty(schema: Schema) -> Self {
        Frame::new(Arc::new(schema), Vec::new())
    }

    /// Whether it has neither rows nor columns, as an empty array of row objects: then no option can say anything
    /// about its columns, and nothing is missing.
    pub fn is_nothing(&self) -> bool {
        self.rows == 0 && self.schema.fields().is_empty()
    }

    /// Reads Arrow IPC bytes, stream or file format, with dictionaries (delta and replacement) and
    /// LZ4 or ZSTD bodies. Uncompressed, aligned bodies are borrowed from `bytes`, not copied.
    ///
    /// # Errors
    /// `INVALID_FRAME` for bytes that are not well-formed Arrow IPC, `UNSUPPORTED_TYPE` for
    /// well-formed bytes with something that is not stored (a union, big-endian data).
    pub fn decode(bytes: Buffer) -> Result<Frame> {
        let ledger = verify::Ledger::new(bytes.len());
        ipc::decode(bytes, ledger)
    }

    /// As [`Frame::decode`], with so many bytes at most for what is decompressed or copied.
    ///
    /// # Errors
    /// As [`Frame::decode`].
    pub fn decode_within(bytes: Buffer, limit_bytes: u64) -> Result<Frame> {
        let ledger = verify::Ledger::within(bytes.len(), limit_bytes);
        ipc::decode(bytes, ledger)
    }

    /// About how many bytes [`Frame::encode`] makes.
    pub fn bytes_estimate(&self) -> u64 {
        ipc::bytes_of(&self.batches)
    }

    /// Writes the frame as an Arrow IPC stream, uncompressed.
    ///
    /// # Errors
    /// `INVALID_FRAME` when a batch does not fit the schema or a dictionary cannot be written.
    pub fn encode(&self) -> Result<Vec<u8>> {
        ipc::encode(self)
    }
}
