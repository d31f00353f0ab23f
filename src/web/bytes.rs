//! Bytes that the page sent, read as a file where they are: in JavaScript's memory.

use crate::platform::{File, FileError, FileResult};
use js_sys::Uint8Array;

/// Read-only, of at most 4 GiB.
pub struct PageBytes(pub Uint8Array);

fn read_only() -> FileError {
    FileError::Io("the page's bytes are only read".into())
}

impl File for PageBytes {
    fn read(&mut self, buffer: &mut [u8], offset: u64) -> FileResult<usize> {
        let length = u64::from(self.0.length());
        let (start, end) = (offset.min(length), (offset + buffer.len() as u64).min(length));
        let count = (end - start) as usize;
        self.0.subarray(start as u32, end as u32).copy_to(&mut buffer[..count]);
        Ok(count)
    }
    fn write(&mut self, _: &[u8], _: u64) -> FileResult<()> {
        Err(read_only())
    }
    fn truncate(&mut self, _: u64) -> FileResult<()> {
        Err(read_only())
    }
    fn flush(&mut self) -> FileResult<()> {
        Ok(())
    }
    fn size(&mut self) -> FileResult<u64> {
        Ok(u64::from(self.0.length()))
    }
}
