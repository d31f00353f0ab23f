//! The rows of a frame as a table that SQLite reads: the source of `INSERT … SELECT`.
//!
//! An eponymous virtual table (<https://www.sqlite.org/vtab.html#epovtab>), one module for each number
//! of columns. It has rows for a statement whose argument is a pointer of our type and for no other:
//! SQL has no way to make one (<https://www.sqlite.org/bindptr.html>), so to everybody else's
//! `SELECT` it is empty, and triggers and views may not name it at all.

use crate::frame::cell::Cell;
use crate::frame::column::{Column, Sink};
use rusqlite::{Connection, ffi};
use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ops::Range;
use std::ptr;

/// The modules' names, before the number of columns.
const NAME: &str = "_framelock_rows";
/// What tells our pointers from everybody else's.
const POINTER_TYPE: &CStr = c"framelock rows";

/// Some rows of a batch, and how far SQLite has read them.
pub(super) struct Rows<'a> {
    columns: &'a [Column<'a>],
    first: usize,
    count: usize,
    read: std::cell::Cell<usize>,
}

impl<'a> Rows<'a> {
    pub fn new(columns: &'a [Column<'a>], rows: Range<usize>) -> Rows<'a> {
        let read = std::cell::Cell::new(0);
        Rows { columns, first: rows.start, count: rows.len(), read }
    }

    /// The row that SQLite has before it, from 0; `None` when it is past the last one.
    pub fn current(&self) -> Option<usize> {
        Some(self.read.get()).filter(|read| *read < self.count)
    }

    /// How many columns they have.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// Each by itself.
    pub fn each(&self) -> impl Iterator<Item = Rows<'a>> {
        let rows = self.first..self.first + self.count;
        rows.map(|row| Rows::new(self.columns, row..row + 1))
    }

    /// Hands the rows to a statement that [`source`] is in, as its only parameter.
    ///
    /// # Safety
    /// The statement is live. The rows, and what they borrow, must outlive the binding and whatever
    /// the statement reads before it is reset.
    pub unsafe fn bind(&self, statement: *mut ffi::sqlite3_stmt) -> c_int {
        let rows = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: as above; the type's name is static, and nothing is destroyed by SQLite.
        unsafe { ffi::sqlite3_bind_pointer(statement, 1, rows, POINTER_TYPE.as_ptr(), None) }
    }
}

/// What comes before `ON CONFLICT` in an insert of rows of so many columns. `WHERE true` because
/// what follows might otherwise be a join's `ON` (<https://www.sqlite.org/lang_upsert.html>, 2.2).
pub(super) fn source(columns: usize) -> String {
    format!("SELECT {} FROM {NAME}{columns}(?) WHERE true", names(columns, ""))
}

/// Makes rows of so many columns known to a connection. Gives SQLite's answer.
pub(super) fn register(conn: &Connection, columns: usize) -> c_int {
    let Ok(name) = CString::new(format!("{NAME}{columns}")) else {
        return ffi::SQLITE_ERROR;
    };
    let columns = ptr::without_provenance_mut(columns);
    // SAFETY: the handle is open for as long as `conn` is borrowed; SQLite copies the name, the module
    // is static, and the last pointer is a number that `connect` takes for one.
    unsafe { ffi::sqlite3_create_module_v2(conn.handle(), name.as_ptr(), &MODULE, columns, None) }
}

/// The names of the columns, with commas. SQLite has room for 2,000 columns, and a frame may need
/// them all: the first one is the argument, too, so it is `HIDDEN` where they are declared.
fn names(columns: usize, first: &str) -> String {
    let mut names = format!("c0{first}");
    for column in 1..columns {
        names += &format!(",c{column}");
    }
    names
}

static MODULE: ffi::sqlite3_module = ffi::sqlite3_module {
    xConnect: Some(connect),
    xBestIndex: Some(best_index),
    xDisconnect: Some(disconnect),
    xOpen: Some(open),
    xClose: Some(close),
    xFilter: Some(filter),
    xNext: Some(next),
    xEof: Some(eof),
    xColumn: Some(column),
    xRowid: Some(rowid),
    // SAFETY: numbers and optional functions, for all of which zero is a value. Without `xCreate`
    // nobody makes tables of the module.
    ..unsafe { std::mem::zeroed() }
};

/// A cursor: SQLite's part first, as SQLite wants it.
#[repr(C)]
struct Cursor {
    base: ffi::sqlite3_vtab_cursor,
    /// Null for everybody who has no pointer.
    rows: *const Rows<'static>,
}

impl Cursor {
    /// # Safety
    /// The cursor was made by [`open`]; what was bound is still there (see [`Rows::bind`]).
    unsafe fn rows<'c>(cursor: *mut ffi::sqlite3_vtab_cursor) -> Option<&'c Rows<'c>> {
        // SAFETY: as above.
        unsafe { (*cursor.cast::<Cursor>()).rows.as_ref() }
    }
}

unsafe extern "C" fn connect(
    handle: *mut ffi::sqlite3,
    columns: *mut c_void,
    _: c_int,
    _: *const *const c_char,
    table: *mut *mut ffi::sqlite3_vtab,
    _: *mut *mut c_char,
) -> c_int {
    let declared = names(columns.addr(), " HIDDEN");
    let Ok(sql) = CString::new(format!("CREATE TABLE rows({declared})")) else {
        return ffi::SQLITE_ERROR;
    };
    // SAFETY: SQLite calls with its open handle, and reads the text before it returns.
    unsafe {
        let declared = ffi::sqlite3_declare_vtab(handle, sql.as_ptr());
        if declared != ffi::SQLITE_OK {
            return declared;
        }
        let guarded = ffi::sqlite3_vtab_config(handle, ffi::SQLITE_VTAB_DIRECTONLY);
        if guarded != ffi::SQLITE_OK {
            return guarded;
        }
    }
    let base = ffi::sqlite3_vtab { pModule: &MODULE, nRef: 0, zErrMsg: ptr::null_mut() };
    // SAFETY: a place for the result; `disconnect` takes the box back.
    unsafe { *table = Box::into_raw(Box::new(base)) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn disconnect(table: *mut ffi::sqlite3_vtab) -> c_int {
    // SAFETY: made by `connect`, and given back once.
    drop(unsafe { Box::from_raw(table) });
    ffi::SQLITE_OK
}

/// Takes `c0 = ?` as the argument, and leaves it out of what SQLite checks: `c0` is a value of the
/// frame.
unsafe extern "C" fn best_index(
    _: *mut ffi::sqlite3_vtab,
    info: *mut ffi::sqlite3_index_info,
) -> c_int {
    // SAFETY: SQLite's description of the query, its to read and ours to answer in, with
    // `nConstraint` entries in both arrays.
    unsafe {
        for nth in 0..usize::try_from((*info).nConstraint).unwrap_or(0) {
            let constraint = *(*info).aConstraint.add(nth);
            if constraint.iColumn == 0 && c_int::from(constraint.op) == EQUALS {
                if constraint.usable == 0 {
                    return ffi::SQLITE_CONSTRAINT;
                }
                let usage = (*info).aConstraintUsage.add(nth);
                (*usage).argvIndex = 1;
                (*usage).omit = 1;
                break;
            }
        }
    }
    ffi::SQLITE_OK
}

const EQUALS: c_int = ffi::SQLITE_INDEX_CONSTRAINT_EQ as c_int;

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vtab,
    cursor: *mut *mut ffi::sqlite3_vtab_cursor,
) -> c_int {
    let base = ffi::sqlite3_vtab_cursor { pVtab: ptr::null_mut() };
    let made = Box::new(Cursor { base, rows: ptr::null() });
    // SAFETY: a place for the result; `close` takes the box back.
    unsafe { *cursor = Box::into_raw(made).cast() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: made by `open`, and given back once.
    drop(unsafe { Box::from_raw(cursor.cast::<Cursor>()) });
    ffi::SQLITE_OK
}

unsafe extern "C" fn filter(
    cursor: *mut ffi::sqlite3_vtab_cursor,
    _: c_int,
    _: *const c_char,
    count: c_int,
    values: *mut *mut ffi::sqlite3_value,
) -> c_int {
    // SAFETY: a cursor of ours and `count` values. Only `Rows::bind` makes pointers of the type; any
    // other value gives null.
    unsafe {
        let given = match count {
            0 => ptr::null_mut(),
            _ => ffi::sqlite3_value_pointer(*values, POINTER_TYPE.as_ptr()),
        };
        (*cursor.cast::<Cursor>()).rows = given.cast_const().cast();
        if let Some(rows) = Cursor::rows(cursor) {
            rows.read.set(0);
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn next(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: a cursor of ours, whose statement runs.
    if let Some(rows) = unsafe { Cursor::rows(cursor) } {
        rows.read.set(rows.read.get() + 1);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn eof(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: as in `next`.
    let rows = unsafe { Cursor::rows(cursor) };
    rows.is_none_or(|rows| rows.read.get() >= rows.count).into()
}

unsafe extern "C" fn rowid(
    cursor: *mut ffi::sqlite3_vtab_cursor,
    rowid: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: as in `next`, and a place for the result.
    unsafe { *rowid = Cursor::rows(cursor).map_or(0, |rows| rows.read.get() as i64) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn column(
    cursor: *mut ffi::sqlite3_vtab_cursor,
    context: *mut ffi::sqlite3_context,
    column: c_int,
) -> c_int {
    // SAFETY: as in `next`.
    let Some(rows) = (unsafe { Cursor::rows(cursor) }) else {
        return ffi::SQLITE_OK;
    };
    if let Some(column) = rows.columns.get(column as usize) {
        column.give(rows.first + rows.read.get(), Context(context));
    }
    ffi::SQLITE_OK
}

/// Where SQLite wants a value put: its own context, in [`column`] alone.
struct Context(*mut ffi::sqlite3_context);

impl Sink for Context {
    #[inline(always)]
    fn put(self, cell: Cell<'_>) {
        let Context(context) = self;
        // SAFETY: SQLite's context for this value. Borrowed bytes live in the frame for as long as
        // the statement runs (see `Rows::bind`); owned ones are copied before the call returns.
        unsafe {
            match cell {
                // What nothing is said of is NULL.
                Cell::Null => {}
                Cell::Integer(value) => ffi::sqlite3_result_int64(context, value),
                Cell::Real(value) => ffi::sqlite3_result_double(context, value),
                Cell::Text(Cow::Borrowed(text)) => give_text(context, text, ffi::SQLITE_STATIC()),
                Cell::Text(Cow::Owned(text)) => {
                    give_text(context, &text, ffi::SQLITE_TRANSIENT());
                }
                Cell::Blob(Cow::Borrowed(bytes)) => {
                    give_blob(context, bytes, ffi::SQLITE_STATIC());
                }
                Cell::Blob(Cow::Owned(bytes)) => {
                    give_blob(context, &bytes, ffi::SQLITE_TRANSIENT());
                }
            }
        }
    }
}

/// # Safety
/// SQLite's context, and text that lives for as long as `lifetime` says.
unsafe fn give_text(
    context: *mut ffi::sqlite3_context,
    text: &str,
    lifetime: ffi::sqlite3_destructor_type,
) {
    let (start, length) = (non_null(text.as_bytes()).cast(), text.len() as u64);
    // SAFETY: as above.
    unsafe {
        ffi::sqlite3_result_text64(context, start, length, lifetime, ffi::SQLITE_UTF8 as u8);
    }
}

/// # Safety
/// As [`give_text`].
unsafe fn give_blob(
    context: *mut ffi::sqlite3_context,
    bytes: &[u8],
    lifetime: ffi::sqlite3_destructor_type,
) {
    // SAFETY: as above.
    unsafe {
        ffi::sqlite3_result_blob64(context, non_null(bytes).cast(), bytes.len() as u64, lifetime);
    }
}

/// SQLite takes a null pointer for NULL, and an empty slice may well have one.
fn non_null(bytes: &[u8]) -> *const u8 {
    if bytes.is_empty() { c"".as_ptr().cast() } else { bytes.as_ptr() }
}
