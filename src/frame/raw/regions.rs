//! Where bytes are: `[buffer, offset, length]` in a list of buffers, as the page numbers them.

use arrow::buffer::Buffer;
use serde::Deserialize;

/// A piece of one of the buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct Region(pub usize, pub usize, pub usize);

/// The buffers that regions point into.
#[derive(Debug, Clone)]
pub struct Regions {
    buffers: Vec<Buffer>,
}

impl Regions {
    pub fn new(buffers: Vec<Buffer>) -> Self {
        Regions { buffers }
    }

    /// The bytes of a region, shared with the buffer; `None` when the buffer does not have them.
    pub fn get(&self, Region(buffer, offset, length): Region) -> Option<Buffer> {
        let buffer = self.buffers.get(buffer)?;
        let end = offset.checked_add(length)?;
        (end <= buffer.len()).then(|| buffer.slice_with_length(offset, length))
    }
}
