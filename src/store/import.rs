//! The whole file out and in.

use super::connection::Store;
use super::error::{from_file, from_sqlite};
use super::vfs::Slots;
use crate::error::{Code, Error, Result};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, MAIN_DB, OpenFlags};
use std::rc::Rc;

/// Copied at a time.
const PIECE_BYTES: usize = 4 << 20;

/// The first bytes of every SQLite file (https://www.sqlite.org/fileformat2.html, 1.3).
pub const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Where the header names the journal mode: 1 is a rollback journal, 2 is WAL.
const FORMAT_VERSIONS: std::ops::Range<usize> = 18..20;

impl Store {
    /// The bytes of the database, a standard SQLite file. The caller holds a lease.
    ///
    /// # Errors
    /// Those of the storage; `WORKER_FAILED` when the file does not fit in memory.
    pub fn export_file(&mut self) -> Result<Vec<u8>> {
        if self.in_transaction() {
            return Err(Error::new(Code::Busy, "a transaction is open on this handle"));
        }
        let size = usize::try_from(self.bytes())
            .map_err(|_| Error::new(Code::WorkerFailed, "the file does not fit in memory"))?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| {
            Error::new(Code::WorkerFailed, format!("{size} bytes do not fit in memory"))
        })?;
        bytes.resize(size, 0);
        let mut done = 0;
        while done < size {
            let end = size.min(done + PIECE_BYTES);
            let read = self.vfs.slots().read_database(&mut bytes[done..end], done as u64);
            match read.map_err(from_file)? {
                0 => return Err(Error::new(Code::StorageLost, "the file became shorter")),
                count => done += count,
            }
        }
        Ok(bytes)
    }

    /// Replaces the database by a file's bytes, all or nothing: the new file is checked in memory
    /// first, then copied page by page in one transaction (SQLite's backup API).
    ///
    /// # Errors
    /// `NOT_A_DATABASE` and `CORRUPT` for bytes that are refused; the old database stays.
    pub fn import_file(&mut self, bytes: &[u8]) -> Result<()> {
        let slots = self.vfs.slots().clone();
        let source = open_bytes(bytes, self.vfs.name(), &slots)?;
        self.inserts.clear();
        self.plans.get_mut().clear();
        let tables = table_names(&source).map_err(|e| from_sqlite(&slots, e))?;
        let conn = self.conn.as_mut();
        let conn = conn.ok_or_else(|| Error::new(Code::Busy, "no lease is held"))?;
        conn.flush_prepared_statement_cache();
        let copied = Backup::new(&source, conn).and_then(|backup| backup.step(-1));
        match copied.map_err(|e| from_sqlite(&slots, e))? {
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

/// The bytes as a database in memory, checked through and through.
fn open_bytes(bytes: &[u8], vfs: &str, slots: &Rc<Slots>) -> Result<Connection> {
    if !bytes.starts_with(MAGIC) || bytes.len() < 512 {
        return Err(Error::new(Code::NotADatabase, "these bytes are no SQLite file"));
    }
    let mut header = bytes[..FORMAT_VERSIONS.end].to_vec();
    // A file in WAL mode is complete when its log was folded in, which is all that bytes can be.
    header[FORMAT_VERSIONS].copy_from_slice(&[1, 1]);
    let sql_error = |e| from_sqlite(slots, e);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut source =
        Connection::open_with_flags_and_vfs(":memory:", flags, vfs).map_err(sql_error)?;
    let whole = std::io::Read::chain(&header[..], &bytes[FORMAT_VERSIONS.end..]);
    source.deserialize_read_exact(MAIN_DB, whole, bytes.len(), false).map_err(sql_error)?;
    let verdict: String =
        source.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(sql_error)?;
    if verdict != "ok" {
        return Err(Error::new(Code::Corrupt, format!("the file is damaged: {verdict}")));
    }
    Ok(source)
}

fn table_names(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    conn.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table'
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_framelock\\_%' ESCAPE '\\'",
    )?
    .query_map([], |row| row.get(0))?
    .collect()
}
