//! The inner loop: rows of Arrow columns into one prepared, multi-row `INSERT`.
//!
//! This is the one place that speaks to SQLite past rusqlite. rusqlite copies every bound text
//! (`SQLITE_TRANSIENT`); here text and blobs are bound where they lie in the frame
//! (`SQLITE_STATIC`), and statements stay prepared from one append to the next.

use super::connection::Touched;
use super::error::from_code;
use super::slots::Slots;
use crate::error::{Code, Error, Result};
use crate::frame::cell::Cell;
use rusqlite::{Connection, ffi};
use std::collections::BTreeSet;
use std::ffi::{CStr, c_int};
use std::ptr;

/// Statements kept prepared. An append uses two: full chunks, and the rest.
const KEPT_STATEMENTS: usize = 16;

/// Prepared statements of one connection. Finalized when dropped, before the connection closes.
#[derive(Default)]
pub struct Inserts {
    version: i64,
    kept: Vec<(String, Statement)>,
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

    /// The prepared form of `sql`, from the kept ones or freshly prepared. What it writes is noted in
    /// `touched`.
    ///
    /// # Errors
    /// What SQLite says of the text.
    pub(super) fn get(
        &mut self,
        conn: &Connection,
        slots: &Slots,
        sql: &str,
        touched: &Touched,
    ) -> Result<&Statement> {
        if let Some(found) = self.kept.iter().position(|(kept, _)| kept == sql) {
            let entry = self.kept.remove(found);
            self.kept.push(entry);
        } else {
            let before = touched.take();
            let prepared = Statement::prepare(conn, slots, sql);
            let tables = touched.take();
            touched.add(&before);
            let mut statement = prepared?;
            statement.tables = tables;
            if self.kept.len() == KEPT_STATEMENTS {
                self.kept.remove(0);
            }
            self.kept.push((sql.to_owned(), statement));
        }
        let (_, statement) =
            self.kept.last().ok_or_else(|| Error::new(Code::Sql, "no statement"))?;
        touched.add(&statement.tables);
        Ok(statement)
    }

    /// Forgets every statement.
    pub fn clear(&mut self) {
        self.kept.clear();
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

    /// Binds one value. Parameters count from 1.
    ///
    /// # Safety
    /// Borrowed text and blobs must live and stay unchanged until [`Statement::run`] returns.
    unsafe fn bind(&self, parameter: c_int, cell: &Cell<'_>) -> c_int {
        // SAFETY: `raw` is a live statement; pointers are valid for the lengths given, and the
        // caller keeps borrowed bytes alive. Owned bytes are copied by SQLite before we return.
        unsafe {
            match cell {
                Cell::Null => ffi::sqlite3_bind_null(self.raw, parameter),
                Cell::Integer(value) => ffi::sqlite3_bind_int64(self.raw, parameter, *value),
                Cell::Real(value) => ffi::sqlite3_bind_double(self.raw, parameter, *value),
                Cell::Text(text) => ffi::sqlite3_bind_text64(
                    self.raw,
                    parameter,
                    non_null(text.as_bytes()).cast(),
                    text.len() as u64,
                    lifetime(matches!(text, std::borrow::Cow::Owned(_))),
                    ffi::SQLITE_UTF8 as u8,
                ),
                Cell::Blob(bytes) => ffi::sqlite3_bind_blob64(
                    self.raw,
                    parameter,
                    non_null(bytes).cast(),
                    bytes.len() as u64,
                    lifetime(matches!(bytes, std::borrow::Cow::Owned(_))),
                ),
            }
        }
    }

    /// Binds `rows` x `columns` values, row by row from `cell(row, column)`, and runs to the end.
    ///
    /// # Errors
    /// `CONSTRAINT` and whatever else SQLite says; the statement is reset in any case.
    pub fn run<'a>(
        &self,
        conn: &Connection,
        slots: &Slots,
        rows: usize,
        columns: usize,
        cell: impl Fn(usize, usize) -> Cell<'a>,
    ) -> Result<()> {
        let mut parameter: c_int = 0;
        for row in 0..rows {
            for column in 0..columns {
                parameter += 1;
                let value = cell(row, column);
                // SAFETY: borrowed values borrow from the frame (`'a`), which outlives this call;
                // the bindings are cleared below before it returns.
                let code = unsafe { self.bind(parameter, &value) };
                if code != ffi::SQLITE_OK {
                    self.finish();
                    return Err(failure(conn, slots, code));
                }
            }
        }
        // SAFETY: a live statement with all its parameters bound.
        let code = loop {
            match unsafe { ffi::sqlite3_step(self.raw) } {
                ffi::SQLITE_ROW => {}
                code => break code,
            }
        };
        let outcome = match code {
            ffi::SQLITE_DONE => Ok(()),
            code => Err(failure(conn, slots, code)),
        };
        self.finish();
        outcome
    }

    fn finish(&self) {
        // SAFETY: a live statement; both calls are allowed in any state of it.
        unsafe {
            ffi::sqlite3_reset(self.raw);
            ffi::sqlite3_clear_bindings(self.raw);
        }
    }
}

/// SQLite takes a null pointer for NULL, and an empty slice may well have one.
fn non_null(bytes: &[u8]) -> *const u8 {
    if bytes.is_empty() { c"".as_ptr().cast() } else { bytes.as_ptr() }
}

fn lifetime(owned: bool) -> ffi::sqlite3_destructor_type {
    if owned { ffi::SQLITE_TRANSIENT() } else { ffi::SQLITE_STATIC() }
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
