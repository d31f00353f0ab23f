//! Files in memory that outlive the lease, for `storage: 'memory'`.

use crate::platform::{File, FileResult, MemoryFile};
use std::cell::RefCell;
use std::rc::Rc;

/// A memory file that outlives the lease.
#[derive(Clone, Default)]
pub struct SharedMemory(Rc<RefCell<MemoryFile>>);

impl File for SharedMemory {
    fn read(&mut self, buffer: &mut [u8], offset: u64) -> FileResult<usize> {
        self.0.borrow_mut().read(buffer, offset)
    }
    fn write(&mut self, bytes: &[u8], offset: u64) -> FileResult<()> {
        self.0.borrow_mut().write(bytes, offset)
    }
    fn truncate(&mut self, size: u64) -> FileResult<()> {
        self.0.borrow_mut().truncate(size)
    }
    fn flush(&mut self) -> FileResult<()> {
        Ok(())
    }
    fn size(&mut self) -> FileResult<u64> {
        self.0.borrow_mut().size()
    }
}
