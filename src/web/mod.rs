//! The browser: carries out what the node decides. Thin, and the only layer that names browser
//! types; tested in real browsers only.

pub mod both;
pub mod convert;
pub mod driver;
pub mod forward;
mod jobs;
pub mod locks;
pub mod memory;
pub mod opfs;
pub mod queue;

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
