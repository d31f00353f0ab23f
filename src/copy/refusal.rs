//! Why a frame is not taken. What it says reaches the sender: names and types, never values or SQL.

use std::fmt;

use serde::Serialize;

use crate::error::{Code, Error};

/// A stable reason; the spelling is part of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// Bytes that are not a well-formed Arrow IPC frame.
    InvalidFrame,
    /// An Arrow type that has no counterpart.
    UnsupportedType,
    /// A name that is empty, has U+0000, or is longer than 63 bytes, which would be cut silently.
    InvalidName,
    /// The table is not there, lacks a column, or has it in a type that the values do not fit.
    SchemaMismatch,
    /// A value that the column cannot hold exactly.
    ValueOutOfRange,
    /// Text with U+0000, which PostgreSQL does not store.
    NulInText,
    /// More rows, or more bytes once written out, than the server takes at once.
    TooLarge,
}

/// A refused frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The stable cause.
    pub reason: Reason,
    /// A sentence for people; not a stable format.
    pub message: String,
    /// The column concerned, when one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The row of the frame concerned, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
}

/// The layer's result.
pub type Result<T> = std::result::Result<T, Refusal>;

impl Refusal {
    /// A refusal with a reason and a sentence.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Refusal { reason, message: message.into(), column: None, row: None }
    }

    /// Names the column.
    pub fn in_column(mut self, column: &str) -> Self {
        self.column = Some(column.to_owned());
        self
    }

    /// Names the row, counted from 0.
    pub fn at_row(mut self, row: u64) -> Self {
        self.row = Some(row);
        self
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let reason = match error.code {
            Code::UnsupportedType => Reason::UnsupportedType,
            Code::InvalidArgument => Reason::InvalidName,
            _ => Reason::InvalidFrame,
        };
        Refusal { reason, message: error.message, column: error.column, row: error.row }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.reason, self.message)
    }
}

impl std::error::Error for Refusal {}
