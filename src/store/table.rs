//! What SQLite and the catalogue know of a table, for the plan of an append.

use super::connection::Store;
use crate::error::Result;
use crate::frame::ident::{fold, qualified};
use crate::frame::plan::{TableColumn, TableKind, TableState};
use rusqlite::OptionalExtension;

impl Store {
    /// The table as it is now; the default when nothing has the name. Unique indexes are read
    /// only `with_unique`: only the keyed modes ask for them.
    pub(super) fn table_state(&self, table: &str, with_unique: bool) -> Result<TableState> {
        let found = self.read(|conn| {
            conn.prepare_cached(
                "SELECT name, type, wr, strict,
                   EXISTS(SELECT 1 FROM pragma_index_list(?1, 'main') WHERE origin = 'pk')
                 FROM pragma_table_list(?1) WHERE schema = 'main'",
            )?
            .query_row([table], |row| {
                Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            })
            .optional()
        })?;
        let Some((name, kind, without_rowid, strict, indexed_key)) = found else {
            return Ok(TableState::default());
        };
        let kind = match kind.as_str() {
            "table" => TableKind::Table,
            "view" => TableKind::View,
            _ => TableKind::Virtual,
        };
        let has_rows = kind == TableKind::Table
            && self.read(|conn| {
                conn.prepare_cached(&format!("SELECT EXISTS(SELECT 1 FROM {})", qualified(table)))?
                    .query_row([], |row| row.get(0))
            })?;
        let columns = self.table_columns(table)?;
        let (unique, taken) = match with_unique {
            true => (self.unique_keys(table)?, self.names()?),
            false => (Vec::new(), Vec::new()),
        };
        Ok(TableState {
            exists: true,
            name,
            kind,
            strict,
            without_rowid,
            indexed_key,
            has_rows,
            columns,
            unique,
            taken,
        })
    }

    /// Its columns, generated ones too.
    pub(super) fn table_columns(&self, table: &str) -> Result<Vec<TableColumn>> {
        let fields = self.catalogue_of(table)?;
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT name, type, \"notnull\", dflt_value IS NOT NULL, pk, hidden >= 2
                 FROM pragma_table_xinfo(?, 'main') WHERE hidden <> 1",
            )?
            .query_map([table], |row| {
                let name: String = row.get(0)?;
                let field = fields.get(&fold(&name)).cloned();
                Ok(TableColumn {
                    name,
                    declared: row.get(1)?,
                    not_null: row.get(2)?,
                    has_default: row.get(3)?,
                    primary_key: row.get(4)?,
                    generated: row.get(5)?,
                    field,
                })
            })?
            .collect()
        })
    }

    /// The names of all tables, views, indexes and triggers.
    fn names(&self) -> Result<Vec<String>> {
        self.read(|conn| {
            let mut names = conn.prepare_cached("SELECT name FROM main.sqlite_schema")?;
            names.query_map([], |row| row.get(0))?.collect()
        })
    }

    /// The columns of each unique index that is neither partial nor on an expression.
    fn unique_keys(&self, table: &str) -> Result<Vec<Vec<String>>> {
        self.read(|conn| {
            let mut indexes = conn.prepare_cached(
                "SELECT name FROM pragma_index_list(?, 'main') WHERE \"unique\" AND NOT partial",
            )?;
            let mut columns =
                conn.prepare_cached("SELECT name FROM pragma_index_info(?, 'main')")?;
            let names: Vec<String> =
                indexes.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            let mut keys = Vec::new();
            for name in names {
                let key: Vec<Option<String>> = columns
                    .query_map([name], |row| row.get(0))?
                    .collect::<rusqlite::Result<_>>()?;
                keys.extend(key.into_iter().collect::<Option<Vec<_>>>());
            }
            Ok(keys)
        })
    }

    /// Reads with rusqlite, and says in our words what went wrong.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        work(self.conn()?).map_err(|e| self.sql_error(e))
    }
}
