//! A page of a b-tree (<https://www.sqlite.org/fileformat2.html#b_tree_pages>) and its numbers.

/// The largest that there is: the fewer pages, the less there is to do for each.
pub const PAGE_BYTES: usize = 65_536;
/// The header of the file, before that of page 1.
pub const FILE_HEADER: usize = 100;
/// The kinds of pages.
pub const LEAF: u8 = 13;
pub const INNER: u8 = 5;
const LEAF_HEADER: usize = 8;
const INNER_HEADER: usize = 12;

/// A page that is filled from both ends: pointers to the cells behind the header, the cells from the end.
pub struct Page {
    /// Where the header begins, where the next pointer goes, and where the last cell begins.
    header: usize,
    pub pointer: usize,
    pub content: usize,
    cells: u16,
}

impl Page {
    /// A leaf whose header begins there.
    pub fn new(header: usize) -> Page {
        Page { header, pointer: header + LEAF_HEADER, content: PAGE_BYTES, cells: 0 }
    }

    /// A page of pointers to other pages.
    pub fn inner() -> Page {
        Page { header: 0, pointer: INNER_HEADER, content: PAGE_BYTES, cells: 0 }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.cells == 0
    }

    /// Takes up the cell that begins at `content`.
    #[inline(always)]
    pub fn take(&mut self, page: &mut [u8], content: usize) {
        page[self.pointer..self.pointer + 2].copy_from_slice(&(content as u16).to_be_bytes());
        self.pointer += 2;
        self.cells += 1;
        self.content = content;
    }

    /// A row, if there is room for it.
    pub fn push(&mut self, page: &mut [u8], row_id: i64, record: &[u8]) -> bool {
        let mut cell = Vec::with_capacity(18 + record.len());
        push_varint(&mut cell, record.len() as u64);
        push_varint(&mut cell, row_id as u64);
        cell.extend_from_slice(record);
        self.push_cell(page, &cell)
    }

    /// A child page and the last row id in it.
    pub fn push_child(&mut self, page: &mut [u8], child: u32, last_id: i64) -> bool {
        let mut cell = child.to_be_bytes().to_vec();
        push_varint(&mut cell, last_id as u64);
        self.push_cell(page, &cell)
    }

    fn push_cell(&mut self, page: &mut [u8], cell: &[u8]) -> bool {
        if self.content < self.pointer + 2 + cell.len() {
            return false;
        }
        let content = self.content - cell.len();
        page[content..self.content].copy_from_slice(cell);
        self.take(page, content);
        true
    }

    /// Writes the header.
    pub fn finish(&self, page: &mut [u8], kind: u8) {
        let header = &mut page[self.header..];
        header[0] = kind;
        header[3..5].copy_from_slice(&self.cells.to_be_bytes());
        // 65,536 is written as 0.
        header[5..7].copy_from_slice(&(self.content as u16).to_be_bytes());
    }
}

/// Writes the page that comes after all others under an inner one.
pub fn put_last_child(page: &mut [u8], child: u32) {
    page[LEAF_HEADER..INNER_HEADER].copy_from_slice(&child.to_be_bytes());
}

/// Writes a varint (<https://www.sqlite.org/fileformat2.html#varint>).
pub fn push_varint(to: &mut Vec<u8>, value: u64) {
    let mut bytes = [0; 9];
    let start = put_varint_before(&mut bytes, 9, value);
    to.extend_from_slice(&bytes[start..]);
}

/// Writes a varint that ends before `end`. Gives where it begins.
#[inline(always)]
pub fn put_varint_before(out: &mut [u8], end: usize, value: u64) -> usize {
    match value {
        0..=0x7f => {
            out[end - 1] = value as u8;
            end - 1
        }
        0x80..=0x3fff => {
            out[end - 2..end].copy_from_slice(&[(value >> 7) as u8 | 0x80, value as u8 & 0x7f]);
            end - 2
        }
        _ => put_long_varint_before(out, end, value),
    }
}

#[inline(never)]
fn put_long_varint_before(out: &mut [u8], end: usize, value: u64) -> usize {
    // The ninth byte, if there is one, has eight bits, and those before it always follow one another.
    let (mut at, mut rest, nine) = match value >> 56 {
        0 => (end, value, false),
        _ => (end - 1, value >> 8, true),
    };
    if nine {
        out[at] = value as u8;
    }
    let mut more = if nine { 0x80 } else { 0 };
    let least = at.saturating_sub(8);
    while rest > 0 || (nine && at > least) {
        at -= 1;
        out[at] = (rest & 0x7f) as u8 | more;
        rest >>= 7;
        more = 0x80;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the file format has it: seven bits of each byte, and all eight of a ninth.
    fn read_varint(bytes: &[u8]) -> (u64, usize) {
        let mut value = 0;
        for (nth, byte) in bytes.iter().enumerate() {
            if nth == 8 {
                return (value << 8 | u64::from(*byte), 9);
            }
            value = value << 7 | u64::from(byte & 0x7f);
            if *byte < 0x80 {
                return (value, nth + 1);
            }
        }
        panic!("it does not end: {bytes:?}");
    }

    #[test]
    fn varints_are_read_back_and_no_longer_than_they_must_be() {
        let near = |bits: u32| [-1, 0, 1].map(|d| (1_u64 << bits).wrapping_add_signed(d));
        for value in (0..64).flat_map(near).chain([u64::MAX]) {
            let mut bytes = Vec::new();
            push_varint(&mut bytes, value);
            let least = (1..9).find(|length| value >> (7 * length) == 0).unwrap_or(9);
            assert_eq!(read_varint(&bytes), (value, least), "{value:#x}: {bytes:x?}");
            assert_eq!(bytes.len(), least, "{value:#x}");
        }
    }
}
