//! The seal: one flush instead of two before a transaction may touch the database.
//!
//! SQLite flushes a rollback journal twice: its records, then the header that counts them, so that
//! a power cut in between leaves a journal that says "nothing to undo". Where the whole journal is
//! still in the write buffer, both go out together, in one write and one flush, with a checksum of
//! everything in the unused part of the header. A power cut may tear that write, and then the
//! checksum does not fit: the database was not touched yet, since SQLite waits for the flush, and
//! the journal is dropped. A journal that fits is a standard one, which any SQLite plays back.
//!
//! Layout of the header: <https://www.sqlite.org/fileformat2.html#the_rollback_journal>. Its fields
//! end at byte 28; the rest of the first sector is zero.

use xxhash_rust::xxh3::xxh3_128;

/// What SQLite's journals begin with; anything else it leaves alone.
const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
/// Where the count of records is, which the first of the two syncs finds at 0.
pub const COUNT: std::ops::Range<usize> = 8..12;
/// Right behind SQLite's fields: a header that is torn before it does not name its sector size either,
/// and SQLite leaves such a journal alone.
const MAGIC: std::ops::Range<usize> = 28..36;
const LENGTH: std::ops::Range<usize> = 36..44;
const CHECKSUM: std::ops::Range<usize> = 44..60;
/// What has to be read to know whether there is a seal.
pub const HEAD_BYTES: usize = CHECKSUM.end;
/// The last byte is the version.
const MAGIC_BYTES: &[u8; 8] = b"flkseal\x01";

/// Whether a file that begins so is a journal of SQLite's.
pub fn is_journal(head: &[u8]) -> bool {
    head.starts_with(&JOURNAL_MAGIC)
}

/// Whether these bytes are a journal whose records are not counted yet.
pub fn is_uncounted(journal: &[u8]) -> bool {
    journal.len() > HEAD_BYTES && journal[COUNT] == [0; 4]
}

/// Whether there is room for a seal.
pub fn fits(journal: &[u8]) -> bool {
    journal.len() > HEAD_BYTES && journal[MAGIC.start..HEAD_BYTES].iter().all(|b| *b == 0)
}

/// Seals a whole journal.
pub fn put(journal: &mut [u8]) {
    let checksum = checksum(journal);
    let length = journal.len() as u64;
    journal[MAGIC].copy_from_slice(MAGIC_BYTES);
    journal[LENGTH].copy_from_slice(&length.to_le_bytes());
    journal[CHECKSUM].copy_from_slice(&checksum);
}

/// What the first [`HEAD_BYTES`] of a journal say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// There is none.
    Absent,
    /// The sealed part is so many bytes long.
    Length(u64),
    /// It was torn itself.
    Torn,
}

/// Looks for a seal.
pub fn find(head: &[u8; HEAD_BYTES]) -> Seal {
    if head[MAGIC] == [0; 8] {
        return Seal::Absent;
    }
    match head[LENGTH].try_into().map(u64::from_le_bytes) {
        Ok(length) if head[MAGIC] == *MAGIC_BYTES => Seal::Length(length),
        _ => Seal::Torn,
    }
}

/// Whether a sealed part is as it was written.
pub fn holds(journal: &[u8]) -> bool {
    let mut unsealed = journal.to_vec();
    unsealed[MAGIC.start..HEAD_BYTES].fill(0);
    journal[CHECKSUM] == checksum(&unsealed)
}

fn checksum(journal: &[u8]) -> [u8; 16] {
    xxh3_128(journal).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_byte_that_is_torn_breaks_the_seal() {
        let mut journal: Vec<u8> = vec![0; 600];
        journal[..28].fill(7);
        journal[512..].fill(9);
        assert!(fits(&journal) && !is_uncounted(&journal));
        put(&mut journal);
        let head = |bytes: &[u8]| find(bytes[..HEAD_BYTES].try_into().unwrap());
        assert_eq!(head(&journal), Seal::Length(600));
        assert!(holds(&journal));
        for at in 0..journal.len() {
            let mut torn = journal.clone();
            torn[at] ^= 1;
            assert!(head(&torn) != Seal::Length(600) || !holds(&torn), "byte {at}");
        }
        for end in MAGIC.start + 1..HEAD_BYTES {
            let mut torn = journal.clone();
            torn[end..].fill(0);
            assert!(head(&torn) == Seal::Torn || !holds(&torn), "cut at {end}");
        }
    }

    #[test]
    fn a_plain_journal_has_no_seal() {
        assert_eq!(find(&[0; HEAD_BYTES]), Seal::Absent);
        assert!(!fits(&[1; 512]), "somebody uses these bytes");
    }
}
