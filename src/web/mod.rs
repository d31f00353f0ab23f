//! The browser: carries out what the node decides. Thin, and the only layer that names browser
//! types; tested in real browsers only.

pub mod both;
pub mod bytes;
pub mod convert;
pub mod driver;
mod export;
pub mod forward;
mod jobs;
pub mod locks;
pub mod memory;
pub mod opfs;
pub mod queue;
mod turn;

use crate::error::{Code, Error};
use crate::platform::FileError;

/// A storage failure outside of SQLite.
pub fn storage_error(error: FileError) -> Error {
    let code = match error {
        FileError::Quota(_) => Code::QuotaExceeded,
        FileError::Lost(_) => Code::StorageLost,
        FileError::InUse(_) => Code::Busy,
        FileError::Io(_) => Code::StorageUnavailable,
    };
    Error::new(code, error.to_string())
}
