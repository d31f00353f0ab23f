//! A slot: a file as SQLite sees it, whose handle under it comes and goes with the lease.
//!
//! OPFS calls cost more than SQLite itself, so a slot merges adjacent writes and reads ahead when
//! it is read in sequence. Everything pending is written before anything could notice: before a
//! read that overlaps it, truncate, sync, unlock and detach. Errors of a merged write surface
//! there, as SQLite expects of a write-back cache (they fail the transaction before its commit).

use crate::platform::{File, FileError, FileResult};

/// Adjacent writes are merged up to this many bytes. Measured: 100k rows x 8 columns into OPFS
/// take 80 ms without merging, 53 ms with 1 MiB; more gains nothing.
const WRITE_BUFFER_BYTES: usize = 1 << 20;
/// Read in one call once reads are sequential. Measured: a cold scan of 200k rows 30 -> 17 ms.
const READ_AHEAD_BYTES: usize = 256 << 10;

/// One file of the database; see the module.
#[derive(Default)]
pub struct Slot {
    handle: Option<Box<dyn File>>,
    size: u64,
    /// The file is longer than that; see [`Slot::disregard`].
    has_room: bool,
    pending: Run,
    ahead: Run,
    next_read: u64,
}

/// Bytes at a place in the file.
#[derive(Default)]
struct Run {
    offset: u64,
    bytes: Vec<u8>,
}

impl Run {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    fn overlaps(&self, offset: u64, length: usize) -> bool {
        !self.bytes.is_empty() && offset < self.end() && self.offset < offset + length as u64
    }

    fn covers(&self, offset: u64, length: usize) -> bool {
        !self.bytes.is_empty() && self.offset <= offset && offset + length as u64 <= self.end()
    }

    fn part(&self, offset: u64, length: usize) -> &[u8] {
        let start = (offset - self.offset) as usize;
        &self.bytes[start..start + length]
    }
}

impl Slot {
    /// Puts an open handle under the slot. What was read before is forgotten.
    ///
    /// # Errors
    /// When the size of the file cannot be read; the slot then stays empty.
    pub fn attach(&mut self, mut handle: Box<dyn File>) -> FileResult<()> {
        self.size = handle.size()?;
        self.has_room = false;
        self.forget();
        self.handle = Some(handle);
        Ok(())
    }

    /// What is in the file counts no more, nor what is pending: the slot is empty. The file stays as long as it is:
    /// writing over what is there is flushed in half the time, since its length does not change. Who reads beyond
    /// what is written from now on reads what was there; truncating makes an end of it.
    pub fn disregard(&mut self) {
        self.has_room |= self.size > 0;
        self.size = 0;
        self.forget();
    }

    /// What the file begins with, of which nothing is pending; nothing is read ahead.
    pub fn read_head(&mut self, buffer: &mut [u8]) -> FileResult<usize> {
        handle(&mut self.handle)?.read(buffer, 0)
    }

    /// Writes over what the file begins with, of which nothing is pending.
    pub fn overwrite_head(&mut self, bytes: &[u8]) -> FileResult<()> {
        handle(&mut self.handle)?.write(bytes, 0)
    }

    /// Writes what is pending and closes the handle, which it does even when writing fails.
    pub fn detach(&mut self) -> FileResult<()> {
        let written = self.write_pending();
        self.discard();
        written
    }

    /// Closes the handle; what is pending is lost.
    pub fn discard(&mut self) {
        self.forget();
        self.handle = None;
    }

    fn forget(&mut self) {
        self.pending = Run::default();
        self.ahead = Run::default();
        self.next_read = 0;
    }

    /// Whether a handle is attached.
    pub fn is_attached(&self) -> bool {
        self.handle.is_some()
    }

    /// The length of the file in bytes, pending writes included.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// As [`File::read`].
    pub fn read(&mut self, buffer: &mut [u8], offset: u64) -> FileResult<usize> {
        let count = self.read_stored(buffer, offset)?;
        // A write that is pending beyond the end leaves a hole before it, which reads as zeros.
        let there = self.size.saturating_sub(offset).min(buffer.len() as u64) as usize;
        if count < there {
            buffer[count..there].fill(0);
        }
        Ok(count.max(there))
    }

    fn read_stored(&mut self, buffer: &mut [u8], offset: u64) -> FileResult<usize> {
        if self.pending.overlaps(offset, buffer.len()) {
            if self.pending.covers(offset, buffer.len()) {
                buffer.copy_from_slice(self.pending.part(offset, buffer.len()));
                return Ok(buffer.len());
            }
            if self.write_pending().is_err() {
                return self.read_around_pending(buffer, offset);
            }
        }
        let count = if self.ahead.covers(offset, buffer.len()) {
            buffer.copy_from_slice(self.ahead.part(offset, buffer.len()));
            buffer.len()
        } else if offset == self.next_read
            && buffer.len() < READ_AHEAD_BYTES
            && !self.pending.overlaps(offset, READ_AHEAD_BYTES)
        {
            self.read_ahead(offset)?;
            let count = buffer.len().min(self.ahead.bytes.len());
            buffer[..count].copy_from_slice(&self.ahead.bytes[..count]);
            count
        } else {
            handle(&mut self.handle)?.read(buffer, offset)?
        };
        self.next_read = offset + count as u64;
        Ok(count)
    }

    /// What could not be written is read all the same: SQLite is about to undo a transaction with it.
    fn read_around_pending(&mut self, buffer: &mut [u8], offset: u64) -> FileResult<usize> {
        let read = handle(&mut self.handle)?.read(buffer, offset)?;
        buffer[read..].fill(0);
        let end = offset + buffer.len() as u64;
        let (from, to) = (self.pending.offset.max(offset), self.pending.end().min(end));
        let part = self.pending.part(from, (to - from) as usize);
        buffer[(from - offset) as usize..(to - offset) as usize].copy_from_slice(part);
        Ok(read.max((to - offset) as usize))
    }

    fn read_ahead(&mut self, offset: u64) -> FileResult<()> {
        self.ahead.offset = offset;
        // No more than there is: SQLite looks into its own short journal at every commit.
        let there = self.size.saturating_sub(offset).min(READ_AHEAD_BYTES as u64) as usize;
        self.ahead.bytes.resize(there, 0);
        let read = handle(&mut self.handle).and_then(|h| h.read(&mut self.ahead.bytes, offset));
        self.ahead.bytes.truncate(*read.as_ref().unwrap_or(&0));
        read.map(|_| ())
    }

    /// As [`File::write`], merged with the writes before it where they are adjacent.
    pub fn write(&mut self, bytes: &[u8], offset: u64) -> FileResult<()> {
        handle(&mut self.handle)?;
        if self.ahead.overlaps(offset, bytes.len()) {
            self.ahead = Run::default();
        }
        let end = offset + bytes.len() as u64;
        if self.pending.covers(offset, bytes.len()) {
            let start = (offset - self.pending.offset) as usize;
            self.pending.bytes[start..start + bytes.len()].copy_from_slice(bytes);
            return Ok(());
        }
        let adjacent = !self.pending.bytes.is_empty() && offset == self.pending.end();
        if !adjacent || self.pending.bytes.len() + bytes.len() > WRITE_BUFFER_BYTES {
            self.write_pending()?;
            self.pending.offset = offset;
        }
        self.pending.bytes.extend_from_slice(bytes);
        self.size = self.size.max(end);
        Ok(())
    }

    /// The whole file, when all of it is waiting to be written.
    pub fn all_pending(&mut self) -> Option<&mut [u8]> {
        let all = self.pending.offset == 0 && self.pending.end() == self.size && self.size > 0;
        all.then_some(&mut self.pending.bytes[..])
    }

    /// Hands merged writes to the file. What cannot be written stays pending: SQLite was told that it
    /// is in the journal, and needs it to undo the transaction that fails now.
    pub fn write_pending(&mut self) -> FileResult<()> {
        if self.pending.bytes.is_empty() {
            return Ok(());
        }
        handle(&mut self.handle)?.write(&self.pending.bytes, self.pending.offset)?;
        self.pending.bytes.clear();
        Ok(())
    }

    /// As [`File::truncate`].
    pub fn truncate(&mut self, size: u64) -> FileResult<()> {
        self.ahead = Run::default();
        if size != self.size || size != 0 || self.has_room {
            handle(&mut self.handle)?.truncate(size)?;
        }
        self.has_room = false;
        let kept = size.saturating_sub(self.pending.offset);
        self.pending.bytes.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        self.size = size;
        Ok(())
    }

    /// Writes what is pending and returns once it is durable.
    pub fn sync(&mut self) -> FileResult<()> {
        self.write_pending()?;
        handle(&mut self.handle)?.flush()
    }
}

fn handle(handle: &mut Option<Box<dyn File>>) -> FileResult<&mut Box<dyn File>> {
    handle.as_mut().ok_or_else(|| FileError::Io("no lease: the file has no handle".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::MemoryFile;
    use std::cell::RefCell;
    use std::rc::Rc;

    /// A memory file that keeps a list of the calls it got.
    #[derive(Clone, Default)]
    struct Traced(Rc<RefCell<(MemoryFile, Vec<String>)>>);

    impl File for Traced {
        fn read(&mut self, buffer: &mut [u8], offset: u64) -> FileResult<usize> {
            let mut inner = self.0.borrow_mut();
            inner.1.push(format!("read {}+{}", offset, buffer.len()));
            inner.0.read(buffer, offset)
        }
        fn write(&mut self, bytes: &[u8], offset: u64) -> FileResult<()> {
            let mut inner = self.0.borrow_mut();
            inner.1.push(format!("write {}+{}", offset, bytes.len()));
            inner.0.write(bytes, offset)
        }
        fn truncate(&mut self, size: u64) -> FileResult<()> {
            self.0.borrow_mut().0.truncate(size)
        }
        fn flush(&mut self) -> FileResult<()> {
            self.0.borrow_mut().1.push("flush".into());
            Ok(())
        }
        fn size(&mut self) -> FileResult<u64> {
            self.0.borrow_mut().0.size()
        }
    }

    fn slot() -> (Slot, Traced) {
        let file = Traced::default();
        let mut slot = Slot::default();
        slot.attach(Box::new(file.clone())).unwrap();
        (slot, file)
    }

    #[test]
    fn adjacent_writes_reach_the_file_as_one_before_the_flush() {
        let (mut slot, file) = slot();
        for i in 0..4 {
            slot.write(&[i; 10], u64::from(i) * 10).unwrap();
        }
        assert_eq!(slot.size(), 40);
        slot.sync().unwrap();
        assert_eq!(file.0.borrow().1, ["write 0+40", "flush"]);
    }

    #[test]
    fn a_read_sees_what_is_pending() {
        let (mut slot, _) = slot();
        slot.write(b"hello world", 0).unwrap();
        let mut inside = [0; 5];
        assert_eq!(slot.read(&mut inside, 6).unwrap(), 5);
        assert_eq!(&inside, b"world");
        let mut across = [0; 20];
        assert_eq!(slot.read(&mut across, 0).unwrap(), 11);
        assert_eq!(&across[..11], b"hello world");
    }

    #[test]
    fn a_write_is_seen_by_a_later_read_that_was_read_ahead() {
        let (mut slot, _) = slot();
        slot.write(&[1; 64], 0).unwrap();
        slot.sync().unwrap();
        let mut buffer = [0; 16];
        slot.read(&mut buffer, 0).unwrap();
        slot.write(&[2; 16], 16).unwrap();
        slot.read(&mut buffer, 16).unwrap();
        assert_eq!(buffer, [2; 16]);
        slot.read(&mut buffer, 32).unwrap();
        assert_eq!(buffer, [1; 16]);
    }

    #[test]
    fn what_could_not_be_written_is_still_read() {
        struct Full;
        impl File for Full {
            fn read(&mut self, buffer: &mut [u8], _: u64) -> FileResult<usize> {
                buffer[..2].fill(7);
                Ok(2)
            }
            fn write(&mut self, _: &[u8], _: u64) -> FileResult<()> {
                Err(FileError::Quota("full".into()))
            }
            fn truncate(&mut self, _: u64) -> FileResult<()> {
                Ok(())
            }
            fn flush(&mut self) -> FileResult<()> {
                Ok(())
            }
            fn size(&mut self) -> FileResult<u64> {
                Ok(2)
            }
        }
        let mut slot = Slot::default();
        slot.attach(Box::new(Full)).unwrap();
        slot.write(&[1; 4], 4).unwrap();
        assert!(slot.sync().is_err());
        assert!(slot.write(&[2; 4], 100).is_err());
        let mut all = [9; 10];
        assert_eq!(slot.read(&mut all, 0).unwrap(), 8);
        assert_eq!(all[..8], [7, 7, 0, 0, 1, 1, 1, 1]);
        slot.truncate(0).unwrap();
        assert_eq!((slot.size(), slot.pending.bytes.len()), (0, 0));
    }

    #[test]
    fn random_operations_equal_a_plain_file() {
        let (mut slot, _) = slot();
        let mut plain = MemoryFile::default();
        let mut state = 7u64;
        let mut next = |n: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % n
        };
        for step in 0..20_000u64 {
            let offset = next(5000);
            let length = next(300) as usize;
            match next(8) {
                0..=3 => {
                    let bytes = vec![step as u8; length];
                    slot.write(&bytes, offset).unwrap();
                    plain.write(&bytes, offset).unwrap();
                }
                4..=5 => {
                    let (mut a, mut b) = (vec![0; length], vec![0; length]);
                    let counts = (slot.read(&mut a, offset), plain.read(&mut b, offset));
                    assert_eq!(counts.0.unwrap(), counts.1.unwrap(), "step {step}");
                    assert_eq!(a, b, "step {step}");
                }
                6 => slot.sync().unwrap(),
                _ => {
                    let size = next(5000);
                    slot.truncate(size).unwrap();
                    plain.truncate(size).unwrap();
                }
            }
            assert_eq!(slot.size(), plain.size().unwrap(), "step {step}");
        }
    }
}
