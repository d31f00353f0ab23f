//! What SQLite asks before it prepares a statement: which tables it writes is noted, and what would act on
//! other tabs is denied.

use super::vfs::DATABASE_PATH;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// What an error says whose statement was denied.
pub(super) const NOT_AUTHORIZED: &str = "framelock sets journal_mode, locking_mode, synchronous and temp_store itself, and \
     checks hold; its file is attached once; a TEMP trigger would act on other tabs' frames; names that start with \
     _framelock_ are framelock's";

/// What the statements that were prepared write. Shared with SQLite's authorizer callback, which must be
/// `Send`; never contended.
#[derive(Clone, Default)]
pub(super) struct Touched {
    tables: Arc<Mutex<BTreeSet<String>>>,
    altered: Arc<Mutex<Option<String>>>,
}

impl Touched {
    pub(super) fn insert(&self, table: &str) {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).insert(table.to_owned());
    }

    /// Adds what was taken away, or is known of a statement that was prepared before.
    pub(super) fn add(&self, tables: &BTreeSet<String>) {
        let mut own = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        for table in tables {
            if !own.contains(table) {
                own.insert(table.clone());
            }
        }
    }

    fn alters(&self, table: &str) {
        *self.altered.lock().unwrap_or_else(PoisonError::into_inner) = Some(table.to_owned());
    }

    /// Whether it has the table, in any spelling.
    pub(super) fn has(&self, table: &str) -> bool {
        let own = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        own.iter().any(|name| name.eq_ignore_ascii_case(table))
    }

    /// Runs `work`; gives what it touched beside its outcome, and leaves what was touched before.
    pub(super) fn during<T>(&self, work: impl FnOnce() -> T) -> (T, BTreeSet<String>) {
        let before = self.take();
        let outcome = work();
        let tables = self.take();
        self.add(&before);
        (outcome, tables)
    }

    /// The table of the file that the last statement to be prepared alters, if it alters one.
    pub(super) fn take_altered(&self) -> Option<String> {
        self.altered.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn clear(&self) {
        self.take();
    }

    pub(super) fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.tables.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Notes which tables statements write, and keeps SQL from what would break the lease: another
/// journal or locking mode.
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
            if let AuthAction::AlterTable { database_name: "main", .. } = context.action {
                touched.alters(table_name);
            }
            let internal =
                table_name.starts_with("sqlite_") || table_name.starts_with("_framelock_");
            if !internal {
                touched.insert(table_name);
            }
            Authorization::Allow
        }
        // It would act on the frames of other tabs, and only while this one has the lease.
        AuthAction::CreateTempTrigger { .. } => Authorization::Deny,
        // The file a second time, with a cache of its own, would not see what the other one writes.
        AuthAction::Attach { filename } if filename == DATABASE_PATH => Authorization::Deny,
        // It would stand before our own.
        AuthAction::CreateTempTable { table_name: name }
        | AuthAction::CreateTempView { view_name: name }
            if name.to_ascii_lowercase().starts_with("_framelock_") =>
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
                // Frames of other tabs have checks to meet.
                "ignore_check_constraints",
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
