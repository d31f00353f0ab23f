//! What SQLite asks before it prepares a statement: which tables it writes is noted, and what would act on
//! other tabs is denied.

use rusqlite::hooks::{AuthAction, AuthContext, Authorization, TransactionOperation};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What an error says whose statement was denied.
pub(super) const NOT_AUTHORIZED: &str = "framelock keeps journal_mode, locking_mode, synchronous, temp_store, count_changes, query_only, \
     case_sensitive_like and ignore_check_constraints as they are; a TEMP trigger would act on other tabs' frames; tables whose names start with _framelock_ are framelock's; \
     a transaction of db.transaction() is committed when its function resolves";

/// What the statements that were prepared write. Shared with SQLite's authorizer callback, which must be
/// `Send`; never contended.
#[derive(Clone, Default)]
pub(super) struct Touched(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    tables: BTreeSet<String>,
    altered: Option<Altered>,
    /// A caller's SQL is being prepared, and none of our own.
    is_callers: bool,
    /// It runs inside of a transaction that it did not begin.
    is_nested: bool,
}

/// What one statement of a caller's writes.
pub(super) struct Written {
    pub tables: BTreeSet<String>,
    pub altered: Option<Altered>,
}

/// A table of the file that a statement alters.
pub(super) struct Altered {
    pub table: String,
    pub is_dropped: bool,
}

impl Touched {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(&self, table: &str) {
        self.noted().tables.insert(table.to_owned());
    }

    /// Adds what was taken away, or is known of a statement that was prepared before.
    pub(super) fn add(&self, tables: &BTreeSet<String>) {
        let own = &mut self.noted().tables;
        for table in tables {
            if !own.contains(table) {
                own.insert(table.clone());
            }
        }
    }

    /// Whether it has the table, in any spelling.
    pub(super) fn has(&self, table: &str) -> bool {
        self.noted().tables.iter().any(|name| name.eq_ignore_ascii_case(table))
    }

    /// Runs `work`; gives what it touched beside its outcome, and leaves what was touched before.
    pub(super) fn during<T>(&self, work: impl FnOnce() -> T) -> (T, BTreeSet<String>) {
        let before = self.take();
        let outcome = work();
        let tables = self.take();
        self.add(&before);
        (outcome, tables)
    }

    /// Prepares a caller's statement; gives what it will write beside it.
    pub(super) fn preparing<T>(&self, prepare: impl FnOnce() -> T) -> (T, Written) {
        self.noted().altered = None;
        self.noted().is_callers = true;
        let (outcome, tables) = self.during(prepare);
        let mut noted = self.noted();
        noted.is_callers = false;
        (outcome, Written { tables, altered: noted.altered.take() })
    }

    /// Whether the caller's SQL that comes now runs inside of a transaction.
    pub(super) fn nest(&self, is_nested: bool) {
        self.noted().is_nested = is_nested;
    }

    pub(super) fn clear(&self) {
        self.take();
    }

    pub(super) fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.noted().tables)
    }
}

/// Notes which tables statements write, and keeps SQL from what would break the lease, another
/// journal or locking mode, and from framelock's own tables.
pub(super) fn authorize(touched: &Touched, context: &AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Insert { table_name }
        | AuthAction::Delete { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::DropTable { table_name }
        | AuthAction::CreateTable { table_name }
        | AuthAction::CreateIndex { table_name, .. }
        | AuthAction::DropIndex { table_name, .. }
        | AuthAction::CreateTrigger { table_name, .. }
        | AuthAction::DropTrigger { table_name, .. }
        | AuthAction::CreateView { view_name: table_name }
        | AuthAction::DropView { view_name: table_name }
        | AuthAction::AlterTable { table_name, .. } => {
            let mut noted = touched.noted();
            if is_own(table_name) {
                // A trigger is the caller's, whoever fires it.
                let is_callers = noted.is_callers || context.accessor.is_some();
                return if is_callers { Authorization::Deny } else { Authorization::Allow };
            }
            let (is_altered, is_dropped) = match context.action {
                AuthAction::AlterTable { database_name, .. } => (database_name == "main", false),
                AuthAction::DropTable { .. } => (context.database_name == Some("main"), true),
                _ => (false, false),
            };
            if is_altered {
                noted.altered = Some(Altered { table: table_name.to_owned(), is_dropped });
            }
            if !table_name.starts_with("sqlite_") {
                noted.tables.insert(table_name.to_owned());
            }
            Authorization::Allow
        }
        // COMMIT, for which there is no name here: nobody would announce what is in, and the caller, who gets an error,
        // would take it for rolled back.
        AuthAction::Transaction { operation: TransactionOperation::Unknown } => {
            let noted = touched.noted();
            let is_early = noted.is_callers && noted.is_nested;
            if is_early { Authorization::Deny } else { Authorization::Allow }
        }
        // It would act on the frames of other tabs, and only while this one has the lease.
        AuthAction::CreateTempTrigger { .. } => Authorization::Deny,
        // None of ours is of these kinds.
        AuthAction::CreateVtable { table_name: name, .. }
        | AuthAction::DropVtable { table_name: name, .. }
        | AuthAction::CreateTempTable { table_name: name }
        | AuthAction::CreateTempView { view_name: name }
            if is_own(name) =>
        {
            Authorization::Deny
        }
        AuthAction::Pragma { pragma_name, pragma_value: Some(_) } => {
            let lower = pragma_name.to_ascii_lowercase();
            let protected = [
                "journal_mode",
                "locking_mode",
                "synchronous",
                "temp_store",
                // It makes an INSERT a query, for framelock's own too.
                "count_changes",
                // Frames of other tabs are to be written, too, and have checks to meet; LIKE may be in one, or in an
                // index (https://www.sqlite.org/pragma.html#pragma_case_sensitive_like).
                "query_only",
                "ignore_check_constraints",
                "case_sensitive_like",
            ];
            if protected.contains(&lower.as_str()) {
                Authorization::Deny
            } else {
                Authorization::Allow
            }
        }
        _ => Authorization::Allow,
    }
}

/// Whether a table is one of framelock's.
pub(super) fn is_own(table: &str) -> bool {
    table.to_ascii_lowercase().starts_with("_framelock_")
}
