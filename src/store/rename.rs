//! `ALTER TABLE` and `DROP TABLE`: the catalogue follows. What is renamed keeps its types, and what is made later under
//! the name of something that was dropped has none of that, whoever dies in between. A table that is renamed was written
//! under both names.

use super::authorizer::{Altered, is_own};
use super::connection::Store;
use super::error::from_code;
use crate::error::Result;
use rusqlite::{OptionalExtension, ffi, params};

/// A table before a statement that alters it.
struct Before {
    table: String,
    /// Its first page, which stays whatever the table is called.
    root: i64,
    /// None when the catalogue does not know the table.
    columns: Vec<String>,
}

impl Store {
    /// Runs a statement; if it alters a table, the catalogue follows in one transaction with it.
    pub(super) fn altering<T>(
        &self,
        altered: Option<Altered>,
        run: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let Some(Altered { table, is_dropped }) = altered else {
            return run();
        };
        let Some(before) = self.before_alter(table)? else {
            return run();
        };
        let is_known = !before.columns.is_empty();
        if is_dropped && !is_known {
            return run();
        }
        self.savepoint()?;
        let outcome = run().and_then(|done| {
            // The first page of a table that was dropped may be another's now.
            if !is_dropped {
                self.after_rename(&before)?;
            }
            if is_known {
                self.prune_catalogue()?;
            }
            Ok(done)
        });
        self.end_savepoint(outcome)
    }

    /// Looks at a table that is about to be altered. Nothing when it has no page, as virtual tables have none.
    fn before_alter(&self, table: String) -> Result<Option<Before>> {
        let columns = match self.catalogue_of(&table)?.is_empty() {
            true => Vec::new(),
            false => self.column_names(&table)?,
        };
        let root = self.read(|conn| {
            let sql = "SELECT rootpage FROM main.sqlite_schema
                       WHERE type = 'table' AND rootpage > 0 AND name = ? COLLATE NOCASE";
            conn.prepare_cached(sql)?.query_row([&table], |row| row.get(0)).optional()
        })?;
        Ok(root.map(|root| Before { table, root, columns }))
    }

    /// After it: one statement renames a table, or one column, or nothing.
    fn after_rename(&self, before: &Before) -> Result<()> {
        let Before { table, root, columns } = before;
        let name: Option<String> = self.read(|conn| {
            let sql = "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND rootpage = ?";
            conn.prepare_cached(sql)?.query_row([root], |row| row.get(0)).optional()
        })?;
        let Some(name) = name else {
            return Ok(());
        };
        if is_own(&name) {
            // SQLite asks for the old name alone.
            return Err(from_code(ffi::SQLITE_AUTH, "not authorized".into(), None));
        }
        self.touched.insert(&name);
        if columns.is_empty() {
            return Ok(());
        }
        // The new name may have rows of something that another program has dropped.
        if name != *table {
            self.read(|conn| {
                let sql = "UPDATE OR REPLACE main._framelock_columns SET table_name = ? WHERE table_name = ?";
                conn.execute(sql, params![name, table])
            })?;
        }
        let now = self.column_names(&name)?;
        let renamed: Vec<_> = columns.iter().zip(&now).filter(|(old, new)| old != new).collect();
        if let [(old, new)] = renamed[..]
            && columns.len() == now.len()
        {
            self.read(|conn| {
                let sql = "UPDATE OR REPLACE main._framelock_columns SET column_name = ?
                           WHERE table_name = ? AND column_name = ?";
                conn.execute(sql, params![new, name, old])
            })?;
        }
        Ok(())
    }

    fn column_names(&self, table: &str) -> Result<Vec<String>> {
        self.read(|conn| {
            conn.prepare_cached("SELECT name FROM pragma_table_xinfo(?, 'main')")?
                .query_map([table], |row| row.get(0))?
                .collect()
        })
    }
}
