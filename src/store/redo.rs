//! The redo log: one flush a commit for small transactions.
//!
//! SQLite gives a VFS that asks for it (`SQLITE_IOCAP_BATCH_ATOMIC`) all pages of a commit at once and
//! keeps its rollback journal in memory (<https://www.sqlite.org/c3ref/c_fcntl_begin_atomic_write.html>).
//! They become one record of a log, which lies where the journal would: that record is flushed, and the
//! database is written without a flush. What cannot be written yet is read from memory.
//!
//! A log belongs to one exclusive lease. At its end, and before SQLite writes a journal of its own, the
//! database is flushed and the log is emptied, by zeros over its head: the next one is written over it. So
//! a log that is met at the beginning of a lease is that of a tab that died, and its whole records are
//! written to the database first of all.
//!
//! Nothing here touches a file: `slots` does.
//!
//! ```text
//! head     8  "flkredo" and a version
//!         16  salt: no two logs have the same
//!          8  bytes of a page
//!         16  xxh3-128 of the 32 bytes before it
//! record  16  xxh3-128 of the checksum before it (the head's or the last record's) and what follows
//!          8  how many pages
//!             of each, 8 bytes where it belongs in the database, and the page
//! ```
//!
//! All numbers are little-endian. Since checksums are chained, a record counts only behind the very
//! records that it was written behind: what an older log left there does not, nor what a power cut tore.

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// How much goes into a log.
#[derive(Debug, Clone, Copy)]
pub struct LogLimits {
    /// The most that a record takes. A transaction that changes more goes by way of SQLite's journal.
    pub record_bytes: usize,
    /// More new pages than this are none of a record's matter: they are flushed in the database before it.
    pub new_bytes: u64,
    /// A log that would grow beyond this is emptied first.
    pub log_bytes: u64,
}

impl Default for LogLimits {
    /// About 30 small commits to a log. A record of new pages beside some changed ones takes less time than
    /// a second flush.
    fn default() -> LogLimits {
        LogLimits { record_bytes: 256 << 10, new_bytes: 192 << 10, log_bytes: 1 << 20 }
    }
}

/// No log is longer, whatever its limits.
pub const MOST_BYTES: u64 = 64 << 20;

const MAGIC: &[u8; 7] = b"flkredo";
const VERSION: u8 = 1;
const SALT_BYTES: usize = 16;
const SUM_BYTES: usize = 16;
/// What has to be read to know whether there is a log.
pub const HEAD_BYTES: usize = MAGIC.len() + 1 + SALT_BYTES + 8 + SUM_BYTES;
/// What a log begins with that was emptied. For SQLite, too, a journal that begins with a zero is none
/// (<https://www.sqlite.org/fileformat2.html#the_rollback_journal>).
pub const EMPTIED: [u8; HEAD_BYTES] = [0; HEAD_BYTES];
const RECORD_HEAD_BYTES: usize = SUM_BYTES + 8;
const PLACE_BYTES: usize = 8;
/// Where SQLite counts its commits, twice (<https://www.sqlite.org/fileformat2.html#file_change_counter>).
const COUNTERS: [std::ops::Range<usize>; 2] = [24..28, 92..96];

type Sum = [u8; SUM_BYTES];

/// Pages, each with where it belongs in the database; a later one counts more than an earlier one.
pub type Pages<'a> = Vec<(u64, &'a [u8])>;

/// What the first bytes of a journal say.
#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    /// It is no log, or was to become one, and nothing was committed by it.
    Absent,
    /// It is what is left of one that was emptied.
    Emptied,
    /// It is one.
    Whole,
    /// It is one of a framelock that came after this one.
    Newer,
}

/// Looks for a log.
pub fn find(journal: &[u8]) -> Head {
    let Some(head) = journal.get(..HEAD_BYTES) else {
        return Head::Absent;
    };
    if *head == EMPTIED {
        return Head::Emptied;
    }
    let (said, sum) = head.split_at(HEAD_BYTES - SUM_BYTES);
    match said.starts_with(MAGIC) && *sum == checksum(said) {
        false => Head::Absent,
        true if said[MAGIC.len()] == VERSION => Head::Whole,
        true => Head::Newer,
    }
}

/// What the whole records of a log say. What follows them was torn, and nobody was told that it is
/// committed.
pub fn pages(log: &[u8]) -> Pages<'_> {
    let mut pages = Pages::new();
    if find(log) != Head::Whole {
        return pages;
    }
    let (head, mut rest) = log.split_at(HEAD_BYTES);
    let (said, mut before) = head.split_at(HEAD_BYTES - SUM_BYTES);
    let page_bytes = number(&said[MAGIC.len() + 1 + SALT_BYTES..]);
    let entry_bytes = (page_bytes as usize).saturating_add(PLACE_BYTES);
    while rest.len() >= RECORD_HEAD_BYTES {
        let count = number(&rest[SUM_BYTES..]) as usize;
        let length = count.saturating_mul(entry_bytes).saturating_add(RECORD_HEAD_BYTES);
        let Some((record, behind)) = rest.split_at_checked(length) else {
            break;
        };
        let (sum, said) = record.split_at(SUM_BYTES);
        let mut hash = Xxh3::new();
        hash.update(before);
        hash.update(said);
        if *sum != hash.digest128().to_le_bytes() {
            break;
        }
        pages.extend(entries(record, page_bytes as usize));
        (before, rest) = (sum, behind);
    }
    pages
}

/// What a log is to the database that it lies beside.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// What that may lack.
    Due,
    /// What is left of a log that had been emptied, and the power was cut before that was durable: the database is of
    /// a later commit, and a log that is needed has the database's last or one that comes after it.
    Stale,
    /// Not its own: the database is of a commit that came before the last one before the log, and that was durable when
    /// the log began. One of the two files was put there by somebody else.
    Foreign,
}

/// How these pages stand to a database that begins so, by SQLite's counter of commits.
pub fn standing(pages: &[(u64, &[u8])], database: &[u8]) -> Standing {
    let counter = |page: &[u8], at: usize| {
        page.get(COUNTERS[at].clone()).and_then(|c| c.try_into().ok()).map(u32::from_be_bytes)
    };
    let mut counted = pages.iter().filter(|(offset, _)| *offset == 0);
    let counted_in = |page: Option<&(u64, &[u8])>| page.and_then(|(_, page)| counter(page, 0));
    let first = counted_in(counted.next());
    let last = counted_in(counted.next_back()).or(first);
    match (counter(database, 0), counter(database, 1), first, last) {
        // Two that differ are of a page that was torn.
        (Some(now), Some(again), Some(first), Some(last)) if now == again => {
            if (1..1 << 31).contains(&now.wrapping_sub(last)) {
                Standing::Stale
            } else if (2..1 << 31).contains(&first.wrapping_sub(now)) {
                Standing::Foreign
            } else {
                Standing::Due
            }
        }
        _ => Standing::Due,
    }
}

fn entries(record: &[u8], page_bytes: usize) -> impl Iterator<Item = (u64, &[u8])> {
    let entries = record[RECORD_HEAD_BYTES..].chunks_exact(PLACE_BYTES + page_bytes);
    entries.map(|entry| (number(entry), &entry[PLACE_BYTES..]))
}

fn number(bytes: &[u8]) -> u64 {
    bytes[..8].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn checksum(bytes: &[u8]) -> Sum {
    xxh3_128(bytes).to_le_bytes()
}

/// The pages of a commit, as SQLite hands them over.
pub struct Batch {
    /// The record, but for its checksum.
    record: Vec<u8>,
    page_bytes: usize,
    limits: LogLimits,
    /// So long the database is before the commit.
    old_size: u64,
    /// What lies beyond that is not in the record.
    passes_new_pages: bool,
    is_refused: bool,
}

impl Batch {
    fn new(limits: LogLimits, old_size: u64) -> Batch {
        Batch {
            record: vec![0; RECORD_HEAD_BYTES],
            page_bytes: 0,
            limits,
            old_size,
            passes_new_pages: false,
            is_refused: false,
        }
    }

    /// How long the database is before the commit.
    pub fn old_size(&self) -> u64 {
        self.old_size
    }

    /// The database will be so long. New pages that are too many for a record are to be in the database,
    /// and durable, before there is one: nobody reads them without it.
    pub fn expect(&mut self, new_size: u64) {
        let grows_much = new_size.saturating_sub(self.old_size) > self.limits.new_bytes;
        // The first page of an empty database is a new one, and every record needs it.
        self.passes_new_pages = grows_much && self.old_size > 0;
    }

    /// Whether new pages are not in the record.
    pub fn passes_new_pages(&self) -> bool {
        self.passes_new_pages
    }

    /// Whether a page is for the database alone.
    pub fn passes(&self, offset: u64) -> bool {
        self.passes_new_pages && offset >= self.old_size
    }

    /// Takes a page; gives whether it could.
    pub fn take(&mut self, page: &[u8], offset: u64) -> bool {
        if self.page_bytes == 0 {
            self.page_bytes = page.len();
        }
        let length = self.record.len() + PLACE_BYTES + page.len();
        self.is_refused |= page.len() != self.page_bytes || length > self.limits.record_bytes;
        if !self.is_refused {
            self.record.extend_from_slice(&offset.to_le_bytes());
            self.record.extend_from_slice(page);
        }
        !self.is_refused
    }

    /// The pages, in the order in which they came.
    pub fn pages(&self) -> impl Iterator<Item = (u64, &[u8])> {
        entries(&self.record, self.page_bytes)
    }
}

/// The log of a lease: what is in the file, and not durable in the database.
struct Log {
    page_bytes: usize,
    sum: Sum,
    end: u64,
    /// In the order of the database.
    pages: Vec<Page>,
}

struct Page {
    offset: u64,
    bytes: Box<[u8]>,
    /// The database's file has it, flushed or not.
    is_written: bool,
}

impl Log {
    fn find(&self, offset: u64) -> Result<usize, usize> {
        self.pages.binary_search_by_key(&offset, |page| page.offset)
    }
}

/// Bytes that are to be appended to the log, and flushed.
pub struct Entry {
    /// Where they go in the file.
    pub at: u64,
    /// What goes there.
    pub bytes: Vec<u8>,
    sum: Sum,
    /// What is committed by it.
    pub batch: Batch,
}

/// The log and the batch of a lease; at first there is neither.
#[derive(Default)]
pub struct Redo {
    /// How much goes in.
    pub limits: LogLimits,
    log: Option<Log>,
    batch: Option<Batch>,
}

impl Redo {
    /// Whether there is a log in the file.
    pub fn is_live(&self) -> bool {
        self.log.is_some()
    }

    /// A commit begins, of a database that is so long.
    pub fn begin(&mut self, old_size: u64) {
        self.batch = Some(Batch::new(self.limits, old_size));
    }

    /// The commit whose pages are coming.
    pub fn batch(&mut self) -> Option<&mut Batch> {
        self.batch.as_mut()
    }

    /// The commit whose pages have come.
    pub fn end_batch(&mut self) -> Option<Batch> {
        self.batch.take()
    }

    /// Whether a commit can be a record of this log. Every one has the first page, with the counter that
    /// [`standing`] needs.
    pub fn takes(&self, batch: &Batch) -> bool {
        let counts = batch.pages().any(|(offset, _)| offset == 0);
        let other_pages = self.log.as_ref().is_some_and(|log| log.page_bytes != batch.page_bytes);
        !batch.is_refused && counts && !other_pages
    }

    /// Whether the log has to be emptied before it takes this.
    pub fn is_full(&self, batch: &Batch) -> bool {
        let end = |log: &Log| log.end + batch.record.len() as u64;
        self.log.as_ref().is_some_and(|log| end(log) > self.limits.log_bytes)
    }

    /// A record of these pages, behind a head when it is the first one.
    pub fn entry(&self, mut batch: Batch, salt: impl FnOnce(&mut [u8])) -> Entry {
        let (at, before, mut bytes) = match &self.log {
            Some(log) => (log.end, log.sum, Vec::new()),
            None => {
                let head = head(batch.page_bytes, salt);
                (0, head[HEAD_BYTES - SUM_BYTES..].try_into().unwrap_or_default(), head)
            }
        };
        let count = batch.pages().count() as u64;
        batch.record[..SUM_BYTES].copy_from_slice(&before);
        batch.record[SUM_BYTES..RECORD_HEAD_BYTES].copy_from_slice(&count.to_le_bytes());
        let sum = checksum(&batch.record);
        batch.record[..SUM_BYTES].copy_from_slice(&sum);
        bytes.extend_from_slice(&batch.record);
        Entry { at, bytes, sum, batch }
    }

    /// The entry is in the file, and durable: its pages count from now on. Those that make the database longer
    /// are in its file already.
    pub fn appended(&mut self, entry: &Entry) {
        let Entry { at, bytes, sum, batch } = entry;
        let log = self.log.get_or_insert_with(|| Log {
            page_bytes: batch.page_bytes,
            sum: *sum,
            end: 0,
            pages: Vec::new(),
        });
        (log.sum, log.end) = (*sum, at + bytes.len() as u64);
        for (offset, bytes) in batch.pages() {
            let page = Page { offset, bytes: bytes.into(), is_written: offset >= batch.old_size };
            match log.find(offset) {
                Ok(known) => log.pages[known] = page,
                Err(place) => log.pages.insert(place, page),
            }
        }
    }

    /// The pages that the database's file does not have, in its order.
    pub fn unwritten(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let pages = self.log.iter().flat_map(|log| &log.pages);
        pages.filter(|page| !page.is_written).map(|page| (page.offset, &page.bytes[..]))
    }

    /// It has all of them.
    pub fn written(&mut self) {
        let pages = self.log.iter_mut().flat_map(|log| &mut log.pages);
        pages.for_each(|page| page.is_written = true);
    }

    /// Part of a page that the database may not have yet.
    pub fn part(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let log = self.log.as_ref()?;
        let before = log.pages.partition_point(|page| page.offset <= offset);
        let page = log.pages.get(before.checked_sub(1)?)?;
        let from = usize::try_from(offset - page.offset).ok()?;
        page.bytes.get(from..from.checked_add(length)?)
    }

    /// Puts over what was read from the database what it may not have yet.
    pub fn cover(&self, buffer: &mut [u8], offset: u64) {
        let Some(log) = &self.log else {
            return;
        };
        let end = offset + buffer.len() as u64;
        let first = (offset + 1).saturating_sub(log.page_bytes as u64);
        let first = log.find(first).unwrap_or_else(|place| place);
        for Page { offset: start, bytes, .. } in
            log.pages[first..].iter().take_while(|page| page.offset < end)
        {
            let (from, to) = (offset.max(*start), end.min(start + bytes.len() as u64));
            let part = &bytes[(from - start) as usize..(to - start) as usize];
            buffer[(from - offset) as usize..(to - offset) as usize].copy_from_slice(part);
        }
    }

    /// There is no log any more, nor a batch.
    pub fn emptied(&mut self) {
        self.log = None;
        self.batch = None;
    }
}

fn head(page_bytes: usize, salt: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut head = [&MAGIC[..], &[VERSION], &[0; SALT_BYTES]].concat();
    salt(&mut head[MAGIC.len() + 1..]);
    head.extend_from_slice(&(page_bytes as u64).to_le_bytes());
    let sum = checksum(&head);
    head.extend_from_slice(&sum);
    head
}

#[cfg(test)]
mod tests;
