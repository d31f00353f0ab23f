//! What the product needs from the world, as traits. Nothing above `web` names a browser type.
//!
//! The protocol itself is sans-I/O (see [`crate::node`]): it asks for locks, messages and timers by
//! effects. What SQLite calls synchronously is here: a file handle.

use crate::error::{Code, Error};
use std::fmt;

/// Why a file operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileError {
    /// The origin's quota is used up, or the disk is full.
    Quota(String),
    /// The file or its handle is gone: evicted, cleared, or closed under us.
    Lost(String),
    /// Another handle has the file; try again shortly.
    InUse(String),
    /// Anything else.
    Io(String),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::Quota(m) => write!(f, "storage is full: {m}"),
            FileError::Lost(m) => write!(f, "the file is gone: {m}"),
            FileError::InUse(m) => write!(f, "the file is in use: {m}"),
            FileError::Io(m) => write!(f, "i/o error: {m}"),
        }
    }
}

/// A failure outside of SQLite, as the caller hears of it.
impl From<FileError> for Error {
    fn from(error: FileError) -> Error {
        let code = match error {
            FileError::Quota(_) => Code::QuotaExceeded,
            FileError::Lost(_) => Code::StorageLost,
            FileError::InUse(_) => Code::Busy,
            FileError::Io(_) => Code::StorageUnavailable,
        };
        Error::new(code, error.to_string())
    }
}

/// The result of a file operation.
pub type FileResult<T> = Result<T, FileError>;

/// An open, synchronous file handle (WHATWG File System, `FileSystemSyncAccessHandle`).
///
/// Offsets and sizes are bytes. Closing is what `Drop` does.
pub trait File {
    /// Reads from `offset` until `buffer` is full or the file ends; gives the bytes read.
    fn read(&mut self, buffer: &mut [u8], offset: u64) -> FileResult<usize>;
    /// Writes all of `bytes` at `offset` or fails; a partial write is an error.
    fn write(&mut self, bytes: &[u8], offset: u64) -> FileResult<()>;
    /// Makes the file exactly `size` bytes long.
    fn truncate(&mut self, size: u64) -> FileResult<()>;
    /// Returns once everything written is durable.
    fn flush(&mut self) -> FileResult<()>;
    /// The length of the file.
    fn size(&mut self) -> FileResult<u64>;
}

/// The two handles that a lease opens.
pub struct Handles {
    /// The SQLite file.
    pub database: Box<dyn File>,
    /// Its rollback journal, or the redo log, or what is left of that.
    pub journal: Box<dyn File>,
}

/// A file in memory: `storage: 'memory'`, and tests.
#[derive(Debug, Default, Clone)]
pub struct MemoryFile {
    bytes: Vec<u8>,
}

impl From<Vec<u8>> for MemoryFile {
    fn from(bytes: Vec<u8>) -> MemoryFile {
        MemoryFile { bytes }
    }
}

impl File for MemoryFile {
    fn read(&mut self, buffer: &mut [u8], offset: u64) -> FileResult<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.bytes.len());
        let count = buffer.len().min(self.bytes.len() - start);
        buffer[..count].copy_from_slice(&self.bytes[start..start + count]);
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> FileResult<()> {
        let full = || FileError::Quota("the memory file does not fit in memory".into());
        let start = usize::try_from(offset).map_err(|_| full())?;
        let end = start.checked_add(bytes.len()).ok_or_else(full)?;
        if end > self.bytes.len() {
            self.bytes.try_reserve(end - self.bytes.len()).map_err(|_| full())?;
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, size: u64) -> FileResult<()> {
        self.bytes.resize(size as usize, 0);
        Ok(())
    }

    fn flush(&mut self) -> FileResult<()> {
        Ok(())
    }

    fn size(&mut self) -> FileResult<u64> {
        Ok(self.bytes.len() as u64)
    }
}
