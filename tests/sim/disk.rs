//! The disk of one origin: what every tab sees (the page cache), what a power cut leaves (the
//! durable image), and the operations in between.
//!
//! What is assumed of the real thing, and what is not:
//! - a write or truncate is seen by all tabs at once, and survives the death of its tab;
//! - it is durable once its file was flushed; before, a power cut keeps any part of it, in any
//!   order, torn at 512 bytes or even at single bytes; lost parts of a file that grew read as zeros
//!   or as junk;
//! - a new name is durable once its file was flushed; a rename may be undone by a power cut until
//!   some later change of names is known to be durable, and so may a removal.

use crate::rng::{Rng, Tally};
use std::collections::BTreeMap;

const SECTOR: usize = 512;

/// A change of a file that a power cut may undo.
#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

#[derive(Debug, Clone, Default)]
struct Inode {
    cache: Vec<u8>,
    durable: Vec<u8>,
    unflushed: Vec<Change>,
    /// Whether its name would survive.
    named: bool,
}

/// One step of a recorded run; see [`Disk::record`].
#[derive(Debug, Clone)]
pub enum Step {
    Create(String),
    Write(String, u64, Vec<u8>),
    Truncate(String, u64),
    Flush(String),
    Rename(String, String),
    Remove(String),
    /// A promise was given to a client; its number.
    Promise(usize),
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    files: BTreeMap<String, Inode>,
    /// Removed, but not yet for good.
    removed: BTreeMap<String, Inode>,
    /// Renamed, but not yet for good: the new name and the old one.
    renamed: BTreeMap<String, String>,
    recording: Option<Vec<Step>>,
    /// What was done to the journal's file, and whose it was: SQLite's, or a redo log.
    pub seen: Tally,
}

/// How much of what was not flushed survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Survival {
    Nothing,
    Everything,
    /// All up to some operation; that one is torn.
    Prefix,
    /// Each operation or none of it.
    Operations,
    /// Each sector of each operation, by itself.
    Sectors,
    /// The end of each operation, from some sector on.
    Ends,
}

impl Disk {
    /// Keeps every step from now on, for [`Disk::recorded`].
    pub fn record(&mut self) {
        self.recording = Some(Vec::new());
    }

    /// The steps since [`Disk::record`].
    pub fn recorded(&mut self) -> Vec<Step> {
        self.recording.take().unwrap_or_default()
    }

    fn note(&mut self, step: impl FnOnce() -> Step) {
        if let Some(steps) = &mut self.recording {
            steps.push(step());
        }
    }

    /// Marks a promise in the recording.
    pub fn promise(&mut self, number: usize) {
        self.note(|| Step::Promise(number));
    }

    /// Does a recorded step again.
    pub fn replay(&mut self, step: &Step) {
        match step {
            Step::Create(name) => self.create(name),
            Step::Write(name, offset, bytes) => self.write(name, *offset, bytes),
            Step::Truncate(name, size) => self.truncate(name, *size),
            Step::Flush(name) => self.flush(name),
            Step::Rename(from, to) => self.rename(from, to),
            Step::Remove(name) => self.remove(name),
            Step::Promise(_) => {}
        }
    }

    /// What the journal's file holds, if anything.
    pub fn journal_kind(&self, name: &str) -> Option<&'static str> {
        match self.bytes(name) {
            _ if !name.ends_with("-journal") => None,
            [b'f', b'l', b'k', b'r', b'e', b'd', b'o', ..] => Some("log"),
            [0xd9, 0xd5, ..] => Some("journal"),
            _ => None,
        }
    }

    fn see(&mut self, name: &str, what: &str) {
        if let Some(kind) = self.journal_kind(name) {
            *self.seen.entry(format!("{kind} {what}")).or_default() += 1;
        }
    }

    pub fn exists(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// The names that start so, sorted.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let names = self.files.keys().filter(|name| name.starts_with(prefix));
        names.cloned().collect()
    }

    pub fn bytes(&self, name: &str) -> &[u8] {
        self.files.get(name).map_or(&[], |inode| &inode.cache)
    }

    /// Makes an empty file unless it is there.
    pub fn create(&mut self, name: &str) {
        if !self.exists(name) {
            self.note(|| Step::Create(name.to_owned()));
            self.files.insert(name.to_owned(), Inode::default());
        }
    }

    pub fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) {
        self.note(|| Step::Write(name.to_owned(), offset, bytes.to_vec()));
        if let Some(inode) = self.files.get_mut(name) {
            let offset = offset as usize;
            inode.unflushed.push(Change::Write { offset, bytes: bytes.to_vec() });
            put(&mut inode.cache, offset, bytes);
            self.see(name, if offset == 0 { "begun" } else { "written" });
        }
    }

    pub fn truncate(&mut self, name: &str, size: u64) {
        self.note(|| Step::Truncate(name.to_owned(), size));
        self.see(name, if size == 0 { "emptied" } else { "cut back" });
        if let Some(inode) = self.files.get_mut(name) {
            inode.unflushed.push(Change::Truncate(size as usize));
            inode.cache.resize(size as usize, 0);
        }
    }

    pub fn flush(&mut self, name: &str) {
        self.note(|| Step::Flush(name.to_owned()));
        self.see(name, "flushed");
        if let Some(inode) = self.files.get_mut(name) {
            inode.named = true;
            inode.unflushed.clear();
            inode.durable.clone_from(&inode.cache);
        }
    }

    pub fn rename(&mut self, from: &str, to: &str) {
        self.note(|| Step::Rename(from.to_owned(), to.to_owned()));
        if let Some(mut inode) = self.files.remove(from) {
            // What the moved name was before is what it may become again.
            let first = self.renamed.remove(from).unwrap_or_else(|| from.to_owned());
            self.renamed.insert(to.to_owned(), first);
            inode.named = true;
            self.files.insert(to.to_owned(), inode);
        }
    }

    pub fn remove(&mut self, name: &str) {
        self.note(|| Step::Remove(name.to_owned()));
        if let Some(inode) = self.files.remove(name)
            && inode.named
        {
            self.removed.insert(name.to_owned(), inode);
        }
    }

    /// The power fails: what is left is what the next boot sees.
    pub fn power_cut(&mut self, rng: &mut Rng) {
        for (name, inode) in std::mem::take(&mut self.removed) {
            if rng.chance(0.5) && !self.exists(&name) {
                self.files.insert(name, inode);
            }
        }
        for (now, before) in std::mem::take(&mut self.renamed) {
            if rng.chance(0.5)
                && !self.exists(&before)
                && let Some(inode) = self.files.remove(&now)
            {
                self.files.insert(before, inode);
            }
        }
        let kept = rng.chance(0.5);
        self.files.retain(|_, inode| inode.named || kept);
        for inode in self.files.values_mut() {
            let left = inode.survivors(rng);
            *inode =
                Inode { cache: left.clone(), durable: left, unflushed: Vec::new(), named: true };
        }
    }
}

impl Inode {
    fn survivors(&self, rng: &mut Rng) -> Vec<u8> {
        let survival = *rng.pick(&[
            Survival::Nothing,
            Survival::Everything,
            Survival::Prefix,
            Survival::Operations,
            Survival::Sectors,
            Survival::Ends,
        ]);
        let mut left = self.durable.clone();
        let count = self.unflushed.len() as u64;
        let stop = rng.below(count + 1) as usize;
        let bytewise = rng.chance(0.25);
        let junk = rng.chance(0.2);
        for (at, change) in self.unflushed.iter().enumerate() {
            let torn = match survival {
                Survival::Nothing => break,
                Survival::Everything => false,
                Survival::Prefix if at > stop => break,
                Survival::Prefix => at == stop,
                Survival::Operations if rng.chance(0.5) => continue,
                Survival::Operations => false,
                Survival::Sectors | Survival::Ends => true,
            };
            match change {
                Change::Truncate(size) if !torn || rng.chance(0.5) => left.resize(*size, 0),
                Change::Truncate(_) => {}
                Change::Write { offset, bytes } if !torn => put(&mut left, *offset, bytes),
                Change::Write { offset, bytes } if survival == Survival::Ends => {
                    let lost = rng.below((bytes.len() / SECTOR) as u64 + 1) as usize * SECTOR;
                    put(&mut left, offset + lost, &bytes[lost..]);
                }
                Change::Write { offset, bytes } => {
                    tear(&mut left, *offset, bytes, bytewise, junk, rng);
                }
            }
        }
        left
    }
}

/// Puts some of the sectors of a write. The file has grown all the same.
fn tear(
    left: &mut Vec<u8>,
    offset: usize,
    bytes: &[u8],
    bytewise: bool,
    junk: bool,
    rng: &mut Rng,
) {
    let mut at = 0;
    while at < bytes.len() {
        let end = (at + SECTOR - (offset + at) % SECTOR).min(bytes.len());
        let end_kept = match bytewise && rng.chance(0.2) {
            true => at + rng.below((end - at) as u64) as usize,
            false => end,
        };
        if rng.chance(0.5) {
            put(left, offset + at, &bytes[at..end_kept]);
        } else if junk && offset + end > left.len() {
            let mut noise = vec![0; end - at];
            rng.fill(&mut noise);
            let place = offset + at;
            let known = left.len().saturating_sub(place).min(noise.len());
            put(left, place + known, &noise[known..]);
        }
        at = end;
    }
}

fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}
