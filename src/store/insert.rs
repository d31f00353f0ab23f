//! The inner loop: the rows of a frame into one prepared `INSERT … SELECT`, which stays prepared from
//! one append to the next.
//!
//! This and [`super::rows`] speak to SQLite past rusqlite, which copies every text
//! (`SQLITE_TRANSIENT`); there SQLite reads text and blobs where they lie in the frame. Nor can rusqlite say what the
//! last inserted row was.

use super::authorizer::Touched;
use super::error::from_code;
use super::rows::{Rows, register};
use super::slots::Slots;
use crate::error::{Code, Error, Result};
use rusqlite::{Connection, ffi};
use std::collections::BTreeSet;
use std::ffi::{CStr, c_int};
use std::ptr;

/// Statements kept prepared. An append uses one.
const KEPT_STATEMENTS: usize = 16;

/// Prepared statements of one connection. Finalized when dropped, before the connection closes.
#[derive(Default)]
pub struct Inserts {
    version: i64,
    kept: Vec<(String, Statement)>,
    /// The numbers of columns of which the connection knows rows. To say so twice would have SQLite
    /// prepare every statement anew.
    widths: Vec<usize>,
}

/// One raw prepared statement.
pub struct Statement {
    raw: *mut ffi::sqlite3_stmt,
    /// What it writes, by its triggers too: SQLite says so once, when a statement is prepared.
    tables: BTreeSet<String>,
}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: `raw` came from `sqlite3_prepare_v3` and is finalized only here; the owner of
        // `Inserts` drops it before the connection.
        unsafe { ffi::sqlite3_finalize(self.raw) };
    }
}

impl Inserts {
    /// Forgets what is not of this version of the schema: a trigger may have come, or gone.
    pub fn at(&mut self, version: i64) {
        if self.version != version {
            self.version = version;
            self.kept.clear();
        }
    }

    /// Runs `sql`, which reads these rows: its prepared form, from the kept ones or freshly prepared. What it
    /// writes is noted in `touched`.
    ///
    /// # Errors
    /// What SQLite says of the text, and those of [`Statement::run`].
    pub(super) fn run(
        &mut self,
        conn: &Connection,
        slots: &Slots,
        sql: &str,
        rows: &Rows<'_>,
        touched: &Touched,
    ) -> Result<()> {
        let statement = self.get(conn, slots, sql, rows.columns(), touched)?;
        // After a roll-back, another schema may come to a version that was known: SQLite notices, and prepares anew.
        let (outcome, anew) = touched.during(|| statement.run(conn, slots, rows));
        statement.tables.extend(anew);
        touched.add(&statement.tables);
        outcome
    }

    fn get(
        &mut self,
        conn: &Connection,
        slots: &Slots,
        sql: &str,
        columns: usize,
        touched: &Touched,
    ) -> Result<&mut Statement> {
        if let Some(found) = self.kept.iter().position(|(kept, _)| kept == sql) {
            let entry = self.kept.remove(found);
            self.kept.push(entry);
        } else {
            self.register(conn, slots, columns)?;
            let (prepared, tables) = touched.during(|| Statement::prepare(conn, slots, sql));
            let mut statement = prepared?;
            statement.tables = tables;
            if self.kept.len() == KEPT_STATEMENTS {
                self.kept.remove(0);
            }
            self.kept.push((sql.to_owned(), statement));
        }
        let (_, statement) =
            self.kept.last_mut().ok_or_else(|| Error::new(Code::Sql, "no statement"))?;
        Ok(statement)
    }

    fn register(&mut self, conn: &Connection, slots: &Slots, columns: usize) -> Result<()> {
        if self.widths.contains(&columns) {
            return Ok(());
        }
        match register(conn, columns) {
            ffi::SQLITE_OK => {
                self.widths.push(columns);
                Ok(())
            }
            code => Err(failure(conn, slots, code)),
        }
    }

    /// Forgets everything; the connection is about to close, or to have another database.
    pub fn clear(&mut self) {
        self.kept.clear();
        self.widths.clear();
    }
}

impl Statement {
    fn prepare(conn: &Connection, slots: &Slots, sql: &str) -> Result<Statement> {
        let length = c_int::try_from(sql.len())
            .map_err(|_| Error::new(Code::Sql, "the statement is too long"))?;
        let mut raw = ptr::null_mut();
        // SAFETY: the handle is open for as long as `conn` is borrowed; `sql` is readable for
        // `length` bytes; `raw` is a valid place for the result.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(
                conn.handle(),
                sql.as_ptr().cast(),
                length,
                ffi::SQLITE_PREPARE_PERSISTENT as _,
                &mut raw,
                ptr::null_mut(),
            )
        };
        match code {
            ffi::SQLITE_OK => Ok(Statement { raw, tables: BTreeSet::new() }),
            code => Err(failure(conn, slots, code)),
        }
    }

    /// Inserts the rows.
    ///
    /// # Errors
    /// `CONSTRAINT` and whatever else SQLite says; the statement is reset in any case.
    pub fn run(&self, conn: &Connection, slots: &Slots, rows: &Rows<'_>) -> Result<()> {
        // SAFETY: a live statement; the rows and what they borrow outlive this call, which resets the
        // statement and clears the binding before it returns.
        let code = unsafe {
            match rows.bind(self.raw) {
                ffi::SQLITE_OK => ffi::sqlite3_step(self.raw),
                code => code,
            }
        };
        let outcome = match code {
            ffi::SQLITE_DONE if rows.current().is_none() => Ok(()),
            // Something else stands under the name of our table.
            ffi::SQLITE_DONE => Err(Error::new(Code::Sql, "the insert has not read the frame")),
            code => Err(failure(conn, slots, code)),
        };
        // SAFETY: a live statement; both calls are allowed in any state of it.
        unsafe {
            ffi::sqlite3_reset(self.raw);
            ffi::sqlite3_clear_bindings(self.raw);
        }
        outcome
    }
}

/// Puts `last_insert_rowid()` back to what it was: the caller asks it for rows of their own.
pub(super) fn put_last_rowid_back(conn: &Connection, rowid: i64) {
    // SAFETY: the handle is open for as long as `conn` is borrowed; nothing but this number changes.
    unsafe { ffi::sqlite3_set_last_insert_rowid(conn.handle(), rowid) };
}

fn failure(conn: &Connection, slots: &Slots, code: c_int) -> Error {
    // SAFETY: the handle is open; the message is valid until the next call, and is copied here.
    let (extended, message) = unsafe {
        let handle = conn.handle();
        let message = CStr::from_ptr(ffi::sqlite3_errmsg(handle)).to_string_lossy().into_owned();
        (ffi::sqlite3_extended_errcode(handle), message)
    };
    let extended = if extended & 0xff == code & 0xff { extended } else { code };
    from_code(extended, message, slots.take_failure())
}
