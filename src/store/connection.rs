//! The connection: leases in and out, transactions, plain SQL.

use super::authorizer::{Touched, authorize};
use super::error::{from_file, from_sqlite};
use super::insert::Inserts;
use super::known::Known;
use super::redo::LogLimits;
use super::slots::{Mode, Os};
use super::transfer::TRANSFER_ROWS;
use super::vfs::{DATABASE_PATH, Vfs};
use crate::error::{Code, Error, Result};
use crate::platform::Handles;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::hooks::AuthContext;
use rusqlite::types::Value;
use rusqlite::{Batch, Connection, OpenFlags, Statement};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// Measured best of 4, 8 and 16 KiB for bulk appends on OPFS.
const PAGE_BYTES: u32 = 8192;
pub(super) const CACHE_KIB: u32 = 16 * 1024;
/// What is written before its commit has a journal. A large frame that is forwarded has its pages and the
/// outbox's, and none.
pub(super) const SPILL_KIB: u32 = 32 * 1024;

/// Statement parameters.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Params {
    /// None given.
    #[default]
    None,
    /// For `?`, in order.
    Positional(Vec<Value>),
    /// For `:name`, `@name` and `$name`; the prefix may be left out.
    Named(Vec<(String, Value)>),
}

/// What `exec` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecResult {
    /// Rows inserted, updated or deleted by the statements themselves.
    pub changes: u64,
    /// SQLite's last inserted rowid on this connection.
    pub last_insert_rowid: i64,
}

/// Whether a lease can be worked under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attached {
    /// It can.
    Ready,
    /// A transaction died and left its journal; undoing it takes an exclusive lease.
    NeedsRecovery,
}

/// One database, seen from one tab.
pub struct Store {
    // Declared in the order in which they must be dropped.
    pub(super) inserts: Inserts,
    pub(super) conn: Option<Connection>,
    /// Tables written since the transaction began.
    pub(super) touched: Touched,
    /// Tables that frames were committed to, until somebody asks.
    pub(super) committed: BTreeSet<String>,
    pub(super) known: RefCell<Known>,
    pub(super) vfs: Vfs,
    /// From so many rows on frames are transferred, and how many rows were.
    pub(super) transfer_rows: u64,
    pub(super) transferred: u64,
    /// Whether the last transaction to begin was framelock's own.
    pub(super) transfers: bool,
    /// The schema that SQLite has in memory is the one in the file.
    pub(super) schema_is_fresh: Cell<bool>,
}

impl Store {
    /// A store without a lease; nothing is opened yet.
    pub fn new(os: Box<dyn Os>) -> Store {
        Store {
            inserts: Inserts::default(),
            conn: None,
            touched: Touched::default(),
            committed: BTreeSet::new(),
            known: RefCell::default(),
            vfs: Vfs::register(os),
            transfer_rows: TRANSFER_ROWS,
            transfers: false,
            transferred: 0,
            schema_is_fresh: Cell::new(false),
        }
    }

    /// Other limits for the redo log than the usual ones.
    pub fn limit_log(&self, limits: LogLimits) {
        self.vfs.slots().limit_log(limits);
    }

    /// Takes over the handles of a lease, and opens the connection the first time.
    ///
    /// # Errors
    /// `NOT_A_DATABASE` and `CORRUPT` when the file is not what it should be; the file is left as
    /// it was, and the caller detaches.
    pub fn attach(&mut self, handles: Handles, mode: Mode, durable: bool) -> Result<Attached> {
        let slots = self.vfs.slots().clone();
        self.schema_is_fresh.set(false);
        slots.attach(handles, mode, durable)?;
        if mode == Mode::Shared && slots.has_hot_journal() {
            return Ok(Attached::NeedsRecovery);
        }
        self.open_connection()?;
        if slots.has_hot_journal() {
            // SQLite plays it back at its next read; who copies the file past SQLite must not come before.
            self.refresh_schema()?;
        }
        Ok(Attached::Ready)
    }

    fn open_connection(&mut self) -> Result<()> {
        if self.conn.is_some() {
            return Ok(());
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let slots = self.vfs.slots().clone();
        let sql_error = |e| from_sqlite(&slots, e);
        let mut conn = Connection::open_with_flags_and_vfs(DATABASE_PATH, flags, self.vfs.name())
            .map_err(sql_error)?;
        // Foreign keys hold by default: a frame may be written by any tab, and is refused by all or by none.
        let settings = format!(
            "PRAGMA page_size={PAGE_BYTES}; PRAGMA cache_size=-{CACHE_KIB};
             PRAGMA temp_store=MEMORY; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
        );
        conn.execute_batch(&settings).map_err(sql_error)?;
        // Reads the first page: what is no database is noticed here.
        conn.query_row("PRAGMA journal_mode=TRUNCATE", [], |_| Ok(())).map_err(sql_error)?;
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(sql_error)?;
        spill_beyond(&conn, SPILL_KIB).map_err(sql_error)?;
        conn.busy_timeout(std::time::Duration::ZERO).map_err(sql_error)?;
        conn.set_prepared_statement_cache_capacity(32);
        let touched = self.touched.clone();
        conn.authorizer(Some(move |context: AuthContext<'_>| authorize(&touched, &context)))
            .map_err(sql_error)?;
        self.conn = Some(conn);
        Ok(())
    }

    /// Closes the handles. Nothing may be open on the connection: no transaction, no cursor.
    ///
    /// # Errors
    /// When a merged write that was still pending fails; the handles are closed all the same.
    pub fn detach(&mut self) -> Result<()> {
        if self.in_transaction() {
            self.rollback();
        }
        if self.has_hot_journal() || self.vfs.slots().is_in_doubt() {
            // SQLite failed to roll back by itself. Its pager would play the journal back at its next
            // read, even if somebody else has done so by then, and under a shared lease it must not.
            self.close();
        }
        self.vfs.slots().detach().map_err(from_file)
    }

    /// SQLite lets go of everything that it has of the file; the next lease opens another connection.
    fn close(&mut self) {
        self.inserts.clear();
        self.conn = None;
        self.vfs.slots().images.borrow_mut().clear();
    }

    /// Whether there is a connection to work with. A rollback that failed leaves none, or, after a statement
    /// outside of a transaction, one that tries it again with each read; and a commit of which nobody knows
    /// whether it is durable leaves one without a use. The next lease opens another and does what the journal
    /// says.
    pub fn is_open(&self) -> bool {
        let rolled_back = self.in_transaction() || !self.has_hot_journal();
        self.conn.is_some() && rolled_back && !self.vfs.slots().is_in_doubt()
    }

    /// What the store was given of the platform.
    pub fn os(&self) -> &dyn Os {
        self.vfs.slots().os()
    }

    /// The kind of lease that is attached.
    pub fn mode(&self) -> Option<Mode> {
        self.vfs.slots().mode()
    }

    /// What was committed gets from the redo log into the database's file, too.
    pub fn write_through(&self) {
        let _written_when_the_log_is_emptied = self.vfs.slots().write_through();
    }

    /// Whether a transaction died here; only an exclusive lease can undo it.
    pub fn has_hot_journal(&self) -> bool {
        self.vfs.slots().has_hot_journal()
    }

    /// The size of the database file in bytes, as of this lease.
    pub fn bytes(&self) -> u64 {
        self.vfs.slots().database_bytes()
    }

    pub(super) fn conn(&self) -> Result<&Connection> {
        self.conn.as_ref().ok_or_else(|| Error::new(Code::Busy, "no lease is held"))
    }

    pub(super) fn sql_error(&self, error: rusqlite::Error) -> Error {
        from_sqlite(self.vfs.slots(), error)
    }

    /// Whether a transaction is open.
    pub fn in_transaction(&self) -> bool {
        self.conn.as_ref().is_some_and(|conn| !conn.is_autocommit())
    }

    /// Opens a write transaction at once (`BEGIN IMMEDIATE`).
    pub fn begin(&mut self) -> Result<()> {
        self.touched.clear();
        self.transfers = false;
        self.known.get_mut().begin();
        self.run("BEGIN IMMEDIATE")
    }

    /// As [`Store::begin`], for what is framelock's own: no SQL of the caller's runs before it ends.
    pub(super) fn begin_own(&mut self) -> Result<()> {
        self.begin()?;
        self.transfers = true;
        Ok(())
    }

    /// Commits; on an error the transaction is rolled back. The error may be in doubt: the
    /// caller looks frame ids up ([`Store::find_frame`]) before it writes them again.
    pub fn commit(&mut self) -> Result<()> {
        let committed = self.run("COMMIT");
        match committed {
            Ok(()) => {
                self.known.get_mut().settle();
                self.detach_images();
            }
            Err(_) => self.rollback(),
        }
        committed
    }

    /// Rolls back whatever is open. SQLite may already have done so by itself.
    pub fn rollback(&mut self) {
        if self.in_transaction() && self.run("ROLLBACK").is_err() {
            // The journal stays behind, hot; whoever takes the next lease plays it back. Closing
            // the connection drops the cache that no longer says what the file does.
            self.close();
        }
        self.detach_images();
        self.touched.clear();
        self.schema_moved();
    }

    /// Opens a nested transaction; outside of one it is a transaction of its own.
    pub(super) fn savepoint(&self) -> Result<()> {
        self.run("SAVEPOINT framelock")
    }

    /// Keeps what was done since [`Store::savepoint`] if it went well, and undoes it otherwise.
    pub(super) fn end_savepoint<T>(&self, outcome: Result<T>) -> Result<T> {
        if outcome.is_ok() {
            self.run("RELEASE framelock")?;
            return outcome;
        }
        self.schema_moved();
        if self.in_transaction() {
            self.run("ROLLBACK TO framelock")?;
            self.run("RELEASE framelock")?;
        }
        outcome
    }

    pub(super) fn run(&self, sql: &str) -> Result<()> {
        let conn = self.conn()?;
        let done = conn.prepare_cached(sql).and_then(|mut statement| statement.raw_execute());
        done.map(|_| ()).map_err(|e| self.sql_error(e))
    }

    /// The tables written since the transaction began (or the last call).
    pub fn take_touched(&self) -> BTreeSet<String> {
        self.touched.take()
    }

    /// Runs one or several statements. Parameters belong to a single statement.
    ///
    /// # Errors
    /// `SQL`, `CONSTRAINT`, and `INVALID_ARGUMENT` for parameters that do not fit.
    pub fn exec(&mut self, sql: &str, params: &Params) -> Result<ExecResult> {
        // It may change anything, and take it back: `ROLLBACK TO` a savepoint of the caller's.
        self.schema_moved();
        if !self.in_transaction() {
            self.touched.clear();
        }
        self.callers(|store| store.exec_all(sql, params))
    }

    /// Runs a caller's SQL, which may not end the transaction that it is in. One that it began and did not
    /// end is rolled back: whatever came next would join it, and be told that it is committed.
    pub(super) fn callers<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let nested = self.in_transaction();
        self.touched.nest(nested);
        let outcome = run(self);
        self.touched.nest(false);
        let message = match (nested, self.in_transaction()) {
            (true, false) => "the statement ended the surrounding transaction",
            (false, true) => {
                self.rollback();
                "the SQL left a transaction open, which was rolled back: use db.transaction()"
            }
            _ => return outcome,
        };
        outcome.and(Err(Error::new(Code::Sql, message)))
    }

    fn exec_all(&mut self, sql: &str, params: &Params) -> Result<ExecResult> {
        let mut schema = self.schema_version()?;
        let conn = self.conn()?;
        let mut batch = Batch::new(conn, sql);
        let mut changes = 0;
        loop {
            // What a statement writes counts once it is done: the one that fails writes nothing.
            let (prepared, written) = self.touched.preparing(|| batch.next());
            let Some(mut statement) = prepared.map_err(|e| self.sql_error(e))? else {
                break;
            };
            // What follows may want a table that this one makes, but it follows.
            if *params != Params::None
                && !matches!(self.touched.preparing(|| batch.next()).0, Ok(None))
            {
                return Err(Error::new(
                    Code::InvalidArgument,
                    "parameters need a single statement",
                ));
            }
            bind(&mut statement, params)?;
            let before = conn.total_changes();
            let readonly = statement.readonly();
            let done = self.altering(written.altered, || {
                let mut rows = statement.raw_query();
                while rows.next().map_err(|e| self.sql_error(e))?.is_some() {}
                drop(rows);
                drop(statement);
                Ok(())
            });
            // What fails writes nothing, unless it says OR FAIL.
            if done.is_ok() || conn.total_changes() != before {
                self.touched.add(&written.tables);
            }
            done?;
            if conn.total_changes() != before {
                changes += conn.changes();
            }
            if !readonly {
                // After each: a table may be dropped here and made anew by the next statement.
                schema = self.schema_changed(schema)?;
            }
        }
        let last_insert_rowid = conn.last_insert_rowid();
        Ok(ExecResult { changes, last_insert_rowid })
    }

    /// Brings the catalogue up to date when the schema is not of version `before` any more. Gives
    /// the version that it is.
    pub(super) fn schema_changed(&self, before: i64) -> Result<i64> {
        let now = self.schema_version()?;
        if now != before {
            self.prune_catalogue()?;
        }
        Ok(now)
    }

    /// The schema may be another one: what was learnt of it is forgotten. After DDL that failed, SQLite does not take
    /// back what it has in memory when the transaction is rolled back, and notices only when a statement runs.
    pub(super) fn schema_moved(&self) {
        self.known.borrow_mut().clear();
        self.schema_is_fresh.set(false);
    }

    pub(super) fn schema_version(&self) -> Result<i64> {
        let conn = self.conn()?;
        conn.prepare_cached("PRAGMA schema_version")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(|e| self.sql_error(e))
    }
}

/// A transaction that has changed more is written before its commit. SQLite counts in pages, of the size that the
/// database has now.
pub(super) fn spill_beyond(conn: &Connection, kib: u32) -> rusqlite::Result<()> {
    conn.execute_batch(&format!("PRAGMA main.cache_spill=-{kib}"))
}

/// Binds parameters, and refuses too few, too many and unknown ones.
pub(super) fn bind(statement: &mut Statement<'_>, params: &Params) -> Result<()> {
    let refuse = |message: String| Err(Error::new(Code::InvalidArgument, message));
    let wanted = statement.parameter_count();
    let miscounted = |given: usize| {
        let plural = if wanted == 1 { "" } else { "s" };
        refuse(format!("the statement has {wanted} parameter{plural}, and {given} were given"))
    };
    match params {
        Params::None if wanted > 0 => miscounted(0),
        Params::None => Ok(()),
        Params::Positional(values) if values.len() != wanted => miscounted(values.len()),
        Params::Positional(values) => {
            for (index, value) in values.iter().enumerate() {
                set(statement, index + 1, value)?;
            }
            Ok(())
        }
        Params::Named(values) => {
            let mut bound = vec![false; wanted + 1];
            for (name, value) in values {
                let Some(index) = find(statement, name)? else {
                    return refuse(format!("the statement has no parameter {name:?}"));
                };
                set(statement, index, value)?;
                bound[index] = true;
            }
            if let Some(missing) = (1..=wanted).find(|index| !bound[*index]) {
                let name = statement.parameter_name(missing).unwrap_or("?").to_owned();
                return refuse(format!("parameter {name} was not given"));
            }
            Ok(())
        }
    }
}

fn set(statement: &mut Statement<'_>, index: usize, value: &Value) -> Result<()> {
    let bound = statement.raw_bind_parameter(index, value);
    bound.map_err(|e| Error::new(Code::InvalidArgument, e.to_string()))
}

fn find(statement: &Statement<'_>, name: &str) -> Result<Option<usize>> {
    let exact = name.starts_with([':', '@', '$']).then(|| name.to_owned());
    let spellings = [":", "@", "$"].iter().map(|prefix| format!("{prefix}{name}"));
    for spelling in exact.into_iter().chain(spellings) {
        match statement.parameter_index(&spelling) {
            Ok(Some(index)) => return Ok(Some(index)),
            Ok(None) => {}
            Err(e) => return Err(Error::new(Code::InvalidArgument, e.to_string())),
        }
    }
    Ok(None)
}
