//! SQLite's result codes as ours. The storage failure under an I/O error decides, when there is one.

use super::authorizer::NOT_AUTHORIZED;
use super::slots::Slots;
use crate::error::{Code, Error};
use crate::platform::FileError;
use rusqlite::ffi;

/// Turns what SQLite said into an [`Error`], with its extended code and message.
pub fn from_sqlite(slots: &Slots, error: rusqlite::Error) -> Error {
    let failure = slots.take_failure();
    let (extended, message) = match &error {
        rusqlite::Error::SqliteFailure(e, message) => {
            (e.extended_code, message.clone().unwrap_or_else(|| e.to_string()))
        }
        rusqlite::Error::SqlInputError { error: e, msg, sql, offset } => {
            (e.extended_code, format!("{msg}{}", place(sql, *offset)))
        }
        rusqlite::Error::MultipleStatement => {
            return Error::new(
                Code::InvalidArgument,
                "a query is one statement; exec takes several",
            );
        }
        other => return Error::new(Code::Sql, other.to_string()),
    };
    from_code(extended, message, failure)
}

/// As [`from_sqlite`], for calls past rusqlite.
pub fn from_code(extended: i32, message: String, failure: Option<FileError>) -> Error {
    let primary = extended & 0xff;
    // What SQLite keeps to itself, such as a rollback that fails, leaves a failure that is not behind the next error.
    let failure = failure.filter(|_| matches!(primary, ffi::SQLITE_IOERR | ffi::SQLITE_FULL));
    let code = match (&failure, primary) {
        (Some(FileError::Quota(_)), _) | (_, ffi::SQLITE_FULL) => Code::QuotaExceeded,
        (Some(FileError::Lost(_)), _) => Code::StorageLost,
        (_, ffi::SQLITE_CONSTRAINT) => Code::Constraint,
        (_, ffi::SQLITE_CORRUPT) => Code::Corrupt,
        (_, ffi::SQLITE_NOTADB) => Code::NotADatabase,
        (_, ffi::SQLITE_NOMEM) => Code::WorkerFailed,
        (_, ffi::SQLITE_BUSY) => Code::Busy,
        (_, ffi::SQLITE_INTERRUPT) => Code::Aborted,
        _ => Code::Sql,
    };
    let message = match primary {
        ffi::SQLITE_AUTH => format!("{message}: {NOT_AUTHORIZED}"),
        _ => message,
    };
    let mut error = match failure {
        Some(failure) => Error::new(code, format!("{message}: {failure}")),
        None => Error::new(code, message),
    };
    error.sqlite_code = Some(extended);
    error
}

/// Whether one of our own tables is not there yet. A fresh statement says so when it is prepared; a
/// cached one, whose table a rollback or an import took away, only when it runs.
pub fn is_missing_table(error: &rusqlite::Error) -> bool {
    let message = match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg,
        rusqlite::Error::SqliteFailure(_, Some(message)) => message,
        _ => return false,
    };
    message.contains("no such table: ") && message.contains("_framelock_")
}

/// Whether an error says something of the frame itself, which no later try would change. A full
/// disk, an I/O error or a lost lease says nothing of it.
pub fn is_verdict(error: &Error) -> bool {
    match error.code {
        Code::InvalidArgument
        | Code::InvalidFrame
        | Code::UnsupportedType
        | Code::LossyValue
        | Code::SchemaMismatch
        | Code::Constraint
        | Code::FrameIdConflict => true,
        Code::Sql => error.sqlite_code.is_some_and(|code| VERDICTS.contains(&(code & 0xff))),
        _ => false,
    }
}

const VERDICTS: [i32; 5] = [
    ffi::SQLITE_ERROR,
    ffi::SQLITE_TOOBIG,
    ffi::SQLITE_MISMATCH,
    ffi::SQLITE_RANGE,
    // A trigger that an imported file has, or one that writes our own tables.
    ffi::SQLITE_AUTH,
];

/// A storage failure under the database, beside SQLite.
pub fn from_file(error: FileError) -> Error {
    match error {
        FileError::Io(_) => Error::new(Code::Sql, error.to_string()),
        other => other.into(),
    }
}

fn place(sql: &str, offset: i32) -> String {
    let rest = usize::try_from(offset).ok().and_then(|start| sql.get(start..));
    match rest {
        Some(rest) if !rest.is_empty() => {
            format!(" (at {:?})", rest.chars().take(40).collect::<String>())
        }
        _ => String::new(),
    }
}
