//! The whole file out and in.

use super::connection::{CACHE_KIB, SPILL_KIB, Store, spill_beyond};
use super::error::{from_file, from_sqlite};
use super::slots::Slots;
use super::vfs::IMPORT_PATH;
use crate::error::{Code, Error, Result};
use crate::platform::{File, FileError, FileResult};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use std::rc::Rc;

/// Read at a time: large enough that reading is what takes the time, and a few milliseconds.
const PIECE_BYTES: u64 = 4 << 20;

/// The first bytes of every SQLite file (https://www.sqlite.org/fileformat2.html, 1.3).
pub const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Where the header names the journal mode; SQLite knows two.
const FORMAT_VERSIONS: std::ops::Range<u64> = 18..20;
const ROLLBACK: u8 = 1;
const WAL: u8 = 2;

impl Store {
    /// The bytes of the database from `offset` on, some megabytes of them; the caller holds a lease from
    /// the first piece to the last. Empty at the end. All together are a standard SQLite file.
    ///
    /// # Errors
    /// Those of the storage; `STORAGE_LOST` when the file became shorter.
    pub fn export_piece(&mut self, offset: u64) -> Result<Vec<u8>> {
        if self.in_transaction() {
            return Err(Error::new(Code::Busy, "a transaction is open on this handle"));
        }
        if self.bytes() == 0 {
            return if offset == 0 { empty_file() } else { Ok(Vec::new()) };
        }
        let size = self.bytes().saturating_sub(offset).min(PIECE_BYTES);
        let mut bytes = vec![0; size as usize];
        let read = self.vfs.slots().read_database(&mut bytes, offset).map_err(from_file)?;
        match read as u64 == size {
            true => Ok(bytes),
            false => Err(Error::new(Code::StorageLost, "the file became shorter")),
        }
    }

    /// All pieces in one, for whom it fits into memory.
    ///
    /// # Errors
    /// As [`Store::export_piece`].
    pub fn export_file(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            match self.export_piece(bytes.len() as u64)? {
                piece if piece.is_empty() => return Ok(bytes),
                piece => bytes.extend(piece),
            }
        }
    }

    /// Replaces the database by another file, all or nothing: the new one is checked where it is, then
    /// copied page by page in one transaction (SQLite's backup API). Of either, only what SQLite's
    /// caches hold is in memory.
    ///
    /// # Errors
    /// `NOT_A_DATABASE` and `CORRUPT` for a file that is refused; the old database stays.
    pub fn import_file(&mut self, file: Box<dyn File>) -> Result<()> {
        let slots = self.vfs.slots().clone();
        slots.import.borrow_mut().attach(Box::new(AsRollback(file))).map_err(from_file)?;
        let outcome = self.import_attached(&slots);
        slots.import.borrow_mut().discard();
        outcome
    }

    fn import_attached(&mut self, slots: &Rc<Slots>) -> Result<()> {
        let source = open_import(self.vfs.name(), slots)?;
        self.inserts.clear();
        self.known.get_mut().clear();
        let mut tables = table_names(&source).map_err(|e| from_sqlite(slots, e))?;
        let conn = self.conn.as_mut();
        let conn = conn.ok_or_else(|| Error::new(Code::Busy, "no lease is held"))?;
        // What is damaged may be replaced, whatever it is in.
        encoding(conn).map_or(Ok(()), |encoding| check_encoding("database", &encoding))?;
        // Those that are there no more were changed, too.
        tables.extend(table_names(conn).unwrap_or_default());
        conn.flush_prepared_statement_cache();
        // It has a journal in any case, and needs no more memory than usual. A damaged database does without.
        let _more_memory = spill_beyond(conn, CACHE_KIB);
        let copied = Backup::new(&source, conn).and_then(|backup| backup.step(-1));
        let _a_journal = spill_beyond(conn, SPILL_KIB);
        match copied.map_err(|e| from_sqlite(slots, e))? {
            StepResult::Done => {}
            other => {
                return Err(Error::new(Code::Sql, format!("the copy did not end: {other:?}")));
            }
        }
        for table in tables {
            self.touched.insert(&table);
        }
        Ok(())
    }
}

/// A database without tables, which to SQLite may be a file of no bytes; to every reader of a header it is not.
fn empty_file() -> Result<Vec<u8>> {
    let empty = || {
        let mut conn = Connection::open_in_memory()?;
        // Any write makes the first page.
        conn.pragma_update(None, "user_version", 0)?;
        Ok(conn.serialize("main")?.to_vec())
    };
    empty().map_err(|error: rusqlite::Error| Error::new(Code::Sql, error.to_string()))
}

/// The attached file as a database, checked through and through.
fn open_import(vfs: &str, slots: &Rc<Slots>) -> Result<Connection> {
    let mut head = [0; 512];
    let read = slots.import.borrow_mut().read(&mut head, 0).map_err(from_file)?;
    if !head.starts_with(MAGIC) || read < head.len() {
        return Err(Error::new(Code::NotADatabase, "these bytes are not an SQLite file"));
    }
    // By way of `AsRollback`.
    if FORMAT_VERSIONS.into_iter().any(|at| head[at as usize] > ROLLBACK) {
        return Err(Error::new(
            Code::NotADatabase,
            "the file has a format that SQLite does not know",
        ));
    }
    let whole = pages(&head) * page_bytes(&head);
    let size = slots.import.borrow().size();
    if size < whole {
        let what = format!("the file is damaged: it has {size} of its {whole} bytes");
        return Err(Error::new(Code::Corrupt, what));
    }
    let sql_error = |e| from_sqlite(slots, e);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags_and_vfs(IMPORT_PATH, flags, vfs).map_err(sql_error)?;
    let verdict: String =
        source.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(sql_error)?;
    if verdict != "ok" {
        return Err(Error::new(Code::Corrupt, format!("the file is damaged: {verdict}")));
    }
    check_encoding("file", &encoding(&source).map_err(sql_error)?)?;
    if !has_readable_names(&source).map_err(sql_error)? {
        let message = "the file's tables are described in text that is not UTF-8";
        return Err(Error::new(Code::InvalidArgument, message));
    }
    Ok(source)
}

fn encoding(conn: &Connection) -> rusqlite::Result<String> {
    conn.query_row("PRAGMA encoding", [], |row| row.get(0))
}

/// A connection that is open has one encoding for good, and every tab has one open.
fn check_encoding(whose: &str, encoding: &str) -> Result<()> {
    if encoding == "UTF-8" {
        return Ok(());
    }
    let message = format!("the {whose}'s text is {encoding}: only files in UTF-8 are imported");
    Err(Error::new(Code::InvalidArgument, message))
}

/// Whether all names in a file are UTF-8, which SQLite does not look at: rusqlite panics where it meets one that is not.
fn has_readable_names(conn: &Connection) -> rusqlite::Result<bool> {
    let mut ddl = conn.prepare("SELECT sql FROM sqlite_schema")?;
    let mut rows = ddl.query([])?;
    while let Some(row) = rows.next()? {
        if row.get_ref(0)?.as_str_or_null().is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The page size that a header names (1 stands for 65,536), and how many pages it says there are: a count that is
/// only to be believed when it was written with the last change.
fn page_bytes(head: &[u8; 512]) -> u64 {
    match u16::from_be_bytes([head[16], head[17]]) {
        1 => 65_536,
        bytes => bytes.into(),
    }
}

fn pages(head: &[u8; 512]) -> u64 {
    let number =
        |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (changed, counted_at) = (number(24), number(92));
    if changed == counted_at { number(28).into() } else { 0 }
}

/// A file that says of itself that it has a rollback journal. One in WAL mode is complete when its log
/// was folded in, which is all that a single file can be.
struct AsRollback(Box<dyn File>);

impl File for AsRollback {
    fn read(&mut self, buffer: &mut [u8], offset: u64) -> FileResult<usize> {
        let count = self.0.read(buffer, offset)?;
        for at in FORMAT_VERSIONS {
            if let Some(place) = at.checked_sub(offset)
                && let Some(version) = buffer[..count].get_mut(place as usize)
                && *version == WAL
            {
                *version = ROLLBACK;
            }
        }
        Ok(count)
    }
    fn write(&mut self, _: &[u8], _: u64) -> FileResult<()> {
        Err(FileError::Io("a file that is imported is only read".into()))
    }
    fn truncate(&mut self, _: u64) -> FileResult<()> {
        Err(FileError::Io("a file that is imported is only read".into()))
    }
    fn flush(&mut self) -> FileResult<()> {
        Ok(())
    }
    fn size(&mut self) -> FileResult<u64> {
        self.0.size()
    }
}

fn table_names(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    conn.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table'
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_framelock\\_%' ESCAPE '\\'",
    )?
    .query_map([], |row| row.get(0))?
    .collect()
}
