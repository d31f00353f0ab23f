//! The one error type and the one table of codes (docs: "Error codes").
//!
//! Every failure that reaches a caller is an [`Error`] with a stable [`Code`]; conversions from
//! other error types live beside the layer that meets them, never here.

use std::fmt;

/// A stable error code. The string form ([`Code::as_str`]) is public API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The lock stayed taken through every attempt; nothing was written.
    Busy,
    /// The deadline passed before any rung had taken the frame; nothing was written.
    Timeout,
    /// The caller's signal fired before any rung had taken the frame; nothing was written.
    Aborted,
    /// A name, option or value of the wrong kind.
    InvalidArgument,
    /// Malformed, truncated or hostile Arrow IPC; unequal columns; duplicate column names.
    InvalidFrame,
    /// An Arrow type that is not stored.
    UnsupportedType,
    /// A value that cannot be kept exactly.
    LossyValue,
    /// The table or its types do not agree with the frame.
    SchemaMismatch,
    /// SQLite refused a row; the frame was rolled back.
    Constraint,
    /// A known frame id with other content.
    FrameIdConflict,
    /// Any other SQL error.
    Sql,
    /// The origin's storage is full; rolled back.
    QuotaExceeded,
    /// No OPFS here.
    StorageUnavailable,
    /// The file vanished under an open handle.
    StorageLost,
    /// The file is damaged; left as it is.
    Corrupt,
    /// The file is not SQLite; left as it is.
    NotADatabase,
    /// A tab with an incompatible framelock version holds the database.
    ProtocolVersion,
    /// Worker or wasm failed.
    WorkerFailed,
    /// The handle was closed.
    Closed,
}

/// Every code with its public spelling, as in `FramelockError.code`.
const SPELLINGS: [(Code, &str); 19] = [
    (Code::Busy, "BUSY"),
    (Code::Timeout, "TIMEOUT"),
    (Code::Aborted, "ABORTED"),
    (Code::InvalidArgument, "INVALID_ARGUMENT"),
    (Code::InvalidFrame, "INVALID_FRAME"),
    (Code::UnsupportedType, "UNSUPPORTED_TYPE"),
    (Code::LossyValue, "LOSSY_VALUE"),
    (Code::SchemaMismatch, "SCHEMA_MISMATCH"),
    (Code::Constraint, "CONSTRAINT"),
    (Code::FrameIdConflict, "FRAME_ID_CONFLICT"),
    (Code::Sql, "SQL"),
    (Code::QuotaExceeded, "QUOTA_EXCEEDED"),
    (Code::StorageUnavailable, "STORAGE_UNAVAILABLE"),
    (Code::StorageLost, "STORAGE_LOST"),
    (Code::Corrupt, "CORRUPT"),
    (Code::NotADatabase, "NOT_A_DATABASE"),
    (Code::ProtocolVersion, "PROTOCOL_VERSION"),
    (Code::WorkerFailed, "WORKER_FAILED"),
    (Code::Closed, "CLOSED"),
];

impl Code {
    /// The public spelling.
    pub fn as_str(self) -> &'static str {
        let found = SPELLINGS.iter().find(|(code, _)| *code == self);
        found.map_or("WORKER_FAILED", |(_, text)| text)
    }

    /// The code of a spelling; what is none of ours is `WORKER_FAILED`.
    pub fn from_text(text: &str) -> Code {
        let found = SPELLINGS.iter().find(|(_, spelling)| *spelling == text);
        found.map_or(Code::WorkerFailed, |(code, _)| *code)
    }
}

/// What went wrong, where, and what may be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The stable cause.
    pub code: Code,
    /// A sentence for people; not a stable format.
    pub message: String,
    /// The table concerned, when one is.
    pub table: Option<String>,
    /// The column concerned, when one is.
    pub column: Option<String>,
    /// The row of the frame concerned, counted from 0.
    pub row: Option<u64>,
    /// SQLite's extended result code, when SQLite spoke.
    pub sqlite_code: Option<i32>,
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with a code and a sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error {
            code,
            message: message.into(),
            table: None,
            column: None,
            row: None,
            sqlite_code: None,
        }
    }

    /// Names the table.
    pub fn in_table(mut self, table: &str) -> Self {
        self.table = Some(table.to_owned());
        self
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

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)?;
        for (name, value) in [("table", &self.table), ("column", &self.column)] {
            if let Some(value) = value {
                write!(f, " ({name} {value:?})")?;
            }
        }
        if let Some(row) = self.row {
            write!(f, " (row {row})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
