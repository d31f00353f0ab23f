//! What `storage: 'memory'` has instead of files: it outlives the lease, and ends with the handle.

use crate::node::{QueueCounts, QueuePage, Rejected};
use crate::platform::{File, FileResult, MemoryFile};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Everything of one handle.
#[derive(Default)]
pub struct Memory {
    pub database: SharedMemory,
    pub journal: SharedMemory,
    pub queue: RefCell<MemoryQueue>,
}

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

/// The queue, as durable as the database beside it: so that the ladder has all its rungs in memory too.
#[derive(Default)]
pub struct MemoryQueue {
    last: u64,
    queued: VecDeque<Queued>,
    rejected: Vec<(Queued, Rejected)>,
}

/// A frame's name, whose order is the queue's, and its envelope.
type Queued = (String, Vec<u8>);

impl MemoryQueue {
    pub fn counts(&self) -> QueueCounts {
        QueueCounts { queued: self.queued.len() as u64, rejected: self.rejected.len() as u64 }
    }

    pub fn add(&mut self, bytes: Vec<u8>) -> QueueCounts {
        self.last += 1;
        self.queued.push_back((format!("{:020}", self.last), bytes));
        self.counts()
    }

    /// The head of the queue: a frame.
    pub fn load(&self) -> QueuePage {
        QueuePage {
            frames: self.queued.front().cloned().into_iter().collect(),
            counts: self.counts(),
        }
    }

    pub fn remove(&mut self, names: &[String]) {
        self.queued.retain(|(name, _)| !names.contains(name));
    }

    pub fn reject(&mut self, name: &str, report: Rejected) {
        if let Some(at) = self.queued.iter().position(|(queued, _)| queued == name) {
            self.rejected.extend(self.queued.remove(at).map(|frame| (frame, report)));
        }
    }

    pub fn rejected(&self) -> Vec<Rejected> {
        self.rejected.iter().map(|(_, report)| report.clone()).collect()
    }

    /// Takes a frame off the rejected list: back to its place in the queue, or away for good.
    pub fn settle_rejected(&mut self, frame_id: &str, again: bool) {
        let rejected = std::mem::take(&mut self.rejected).into_iter();
        let (settled, rest): (Vec<_>, _) =
            rejected.partition(|(_, report)| report.frame_id == frame_id);
        self.rejected = rest;
        if again {
            for (frame, _) in settled {
                let at = self.queued.partition_point(|queued| *queued < frame);
                self.queued.insert(at, frame);
            }
        }
    }
}
