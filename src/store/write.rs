//! A frame's rows into its table, inside a transaction that somebody else opened: all at once, or
//! piece by piece, with whatever the caller does in between. It never begins, commits or undoes.

use super::append::{AppendRequest, Applied, Content};
use super::connection::Store;
use super::insert::put_last_rowid_back;
use super::rows::{Rows, source};
use super::transfer::Transfer;
use crate::error::{Code, Error, Result};
use crate::frame::Frame;
use crate::frame::catalogue;
use crate::frame::column::Column;
use crate::frame::options::{AppendOptions, Match, Mode};
use crate::frame::plan::{Plan, TableState};
use crate::frame::types::{self, ColumnType};
use crate::frame::values::check_values;
use arrow::datatypes::DataType;
use rusqlite::{ffi, params};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// Rows of one statement. SQLite keeps what a statement changes of older pages until it ends, and, where
/// the table has triggers, its rows.
const ROWS_PER_STATEMENT: usize = 1000;

/// A frame of which some rows are written, in a transaction that is open.
pub struct HalfWritten {
    frame: Frame,
    plan: Rc<Plan>,
    /// The insert.
    sql: String,
    /// How the rows are transferred instead, where they can be.
    transfer: Option<Transfer>,
    coerced: BTreeMap<String, u64>,
    /// The next row: its batch, its place there, and how many came before it in all.
    batch: usize,
    row: usize,
    done: u64,
}

impl HalfWritten {
    /// Whether every row is written.
    pub(super) fn has_all_rows(&self) -> bool {
        self.batch >= self.frame.batches.len()
    }
}

impl Store {
    /// The whole frame.
    ///
    /// # Errors
    /// `SCHEMA_MISMATCH`, `LOSSY_VALUE`, `UNSUPPORTED_TYPE`, `CONSTRAINT`, and those of SQLite and its
    /// storage.
    pub(super) fn write_frame(&mut self, request: &AppendRequest) -> Result<Applied> {
        let mut half = self.prepare_frame(request)?;
        self.write_rows(request, &mut half, u64::MAX)?;
        self.finish_frame(request, half)
    }

    /// Everything that comes before the first row: the types, the plan, the look at every value, the
    /// table.
    ///
    /// # Errors
    /// As [`Store::write_frame`]; no row was written.
    pub(super) fn prepare_frame(&mut self, request: &AppendRequest) -> Result<HalfWritten> {
        let AppendRequest { table, options, .. } = request;
        let version = self.schema_version()?;
        self.inserts.at(version);
        let cached = self.known.get_mut().at(version, true).state(table, options);
        let mut fresh = None;
        let (frame, mut coerced) = match &request.content {
            Content::Frame(frame) => (frame.clone(), BTreeMap::new()),
            Content::Packed(packed) => {
                let known = match cached {
                    Some(state) => state,
                    None => fresh.insert(self.fresh_state(request)?).clone(),
                };
                let types = |index: usize, column: &str| match options.types.get(column) {
                    Some(ColumnType::Arrow(data_type)) => Some(data_type.clone()),
                    // A table that is replaced takes its types with it.
                    _ if options.mode == Mode::Replace => None,
                    Some(ColumnType::Iso8601) | None => known_type(&known, options, index, column),
                };
                packed.into_frame(&types, options.lossy)?
            }
        };
        let plan = match self.known.get_mut().plan(table, options, &frame.schema) {
            Some(plan) => plan,
            None => {
                let state = match fresh {
                    Some(state) => state,
                    None => self.fresh_state(request)?,
                };
                let plan = Rc::new(Plan::new(table, &frame, &state, options)?);
                // Rows without columns have the same schema as no rows, and another plan.
                if !frame.is_nothing() {
                    self.known.get_mut().keep(table, options, &frame.schema, &state, &plan);
                }
                plan
            }
        };
        for (column, count) in check_values(&frame, &plan, options.lossy)? {
            *coerced.entry(column).or_default() += count;
        }
        let conn = self.conn()?;
        for statement in &plan.ddl {
            conn.execute_batch(statement).map_err(|e| self.sql_error(e))?;
        }
        self.write_catalogue(table, &plan, version)?;
        let sql = plan.insert_sql(table, &source(plan.columns.len()));
        let transfer = self.plan_transfer(request, &frame, &plan)?;
        Ok(HalfWritten { frame, plan, sql, transfer, coerced, batch: 0, row: 0, done: 0 })
    }

    /// The next rows, so many.
    ///
    /// # Errors
    /// `CONSTRAINT` with the row that SQLite refuses, and those of SQLite and its storage.
    pub(super) fn write_rows(
        &mut self,
        request: &AppendRequest,
        half: &mut HalfWritten,
        count: u64,
    ) -> Result<()> {
        let HalfWritten { frame, plan, sql, transfer, coerced, batch, row, done } = half;
        let blame_column = |error: Error| match plan.column_named_by(&error.message) {
            Some(column) if error.code == Code::Constraint => error.in_column(column),
            _ => error,
        };
        let end = done.saturating_add(count.max(1));
        if plan.columns.is_empty() {
            let conn = self.conn()?;
            let (prepared, tables) = self.touched.during(|| conn.prepare(sql));
            let mut insert = prepared.map_err(|e| self.sql_error(e))?;
            self.touched.add(&tables);
            while *done < end.min(frame.rows) {
                insert.raw_execute().map_err(|e| self.sql_error(e).at_row(*done))?;
                *done += 1;
            }
            if *done == frame.rows {
                *batch = frame.batches.len();
            }
            self.vfs.slots().os().progress(&request.frame_id, *done, frame.rows);
            return Ok(());
        }
        while *done < end
            && let Some(rows) = frame.batches.get(*batch)
        {
            let columns = plan.columns.iter().map(|planned| {
                let column = Column::new(rows.column(planned.frame_index), &planned.storage)?;
                // Every value was looked at before the first one was written.
                let changes = coerced.contains_key(frame.schema.field(planned.frame_index).name());
                Ok(if changes { column } else { column.without_losses() })
            });
            let columns = columns.collect::<Result<Vec<_>>>()?;
            while *done < end && *row < rows.num_rows() {
                let left = usize::try_from(end - *done).unwrap_or(usize::MAX);
                let some = *row..*row + (rows.num_rows() - *row).min(left);
                let count = match self.transfer(transfer, &columns, some.clone())? {
                    Some(count) => count,
                    None => self.insert_some(sql, &columns, some, *done).map_err(blame_column)?,
                };
                *row += count;
                *done += count as u64;
                self.vfs.slots().os().progress(&request.frame_id, *done, frame.rows);
            }
            if *row >= rows.num_rows() {
                (*batch, *row) = (*batch + 1, 0);
            }
        }
        Ok(())
    }

    /// After the last row: what is to be forwarded goes into the outbox.
    ///
    /// # Errors
    /// Those of SQLite and its storage.
    pub(super) fn finish_frame(
        &mut self,
        request: &AppendRequest,
        half: HalfWritten,
    ) -> Result<Applied> {
        let HalfWritten { frame, plan, coerced, .. } = half;
        if request.forward {
            let last_rowid = self.conn()?.last_insert_rowid();
            self.enqueue(&frame, &plan)?;
            put_last_rowid_back(self.conn()?, last_rowid);
        }
        Ok(Applied { rows: frame.rows, coerced, duplicate: false })
    }

    fn fresh_state(&self, request: &AppendRequest) -> Result<Rc<TableState>> {
        self.table_state(&request.table, request.options.mode.is_keyed()).map(Rc::new)
    }

    /// Inserts the first of these rows, and gives how many. `done` rows of the frame came before them.
    fn insert_some(
        &mut self,
        sql: &str,
        columns: &[Column<'_>],
        rows: Range<usize>,
        done: u64,
    ) -> Result<usize> {
        let count = rows.len().min(ROWS_PER_STATEMENT);
        let rows = Rows::new(columns, rows.start..rows.start + count);
        match self.insert(sql, &rows) {
            Ok(()) => Ok(count),
            Err(error) => Err(self.blame_row(sql, &rows, done, error)),
        }
    }

    /// Inserts rows by a statement that [`source`] is in.
    pub(super) fn insert(&mut self, sql: &str, rows: &Rows<'_>) -> Result<()> {
        let Store { inserts, vfs, touched, .. } = self;
        let conn = self.conn.as_ref();
        let conn = conn.ok_or_else(|| Error::new(Code::Busy, "no lease is held"))?;
        inserts.run(conn, vfs.slots(), sql, rows, touched)
    }

    /// A statement of many rows failed: says which of them SQLite refuses. `done` rows of the frame
    /// came before them. The caller undoes everything afterwards.
    fn blame_row(&mut self, sql: &str, rows: &Rows<'_>, done: u64, error: Error) -> Error {
        if error.code != Code::Constraint {
            return error;
        }
        // Foreign keys are looked at when a statement ends, and be it by another row's OR FAIL.
        let at_end = error.sqlite_code == Some(ffi::SQLITE_CONSTRAINT_FOREIGNKEY);
        if let Some(row) = rows.current().filter(|_| !at_end) {
            return error.at_row(done + row as u64);
        }
        // What FAIL or ROLLBACK has left is not what the rows came to.
        let undone = self.conn().is_ok_and(|conn| !conn.is_autocommit() && conn.changes() == 0);
        if !undone {
            return error;
        }
        // It had read them all before it wrote the first one, for the table's triggers, or it looked
        // at foreign keys at its end: one by one, then.
        for (nth, row) in rows.each().enumerate() {
            if let Err(own) = self.insert(sql, &row) {
                return own.at_row(done + nth as u64);
            }
        }
        error
    }

    /// Writes what the plan says of the catalogue. `version` is the schema's from before the plan's
    /// DDL: a change of the catalogue alone counts it up too, since plans are kept under it.
    fn write_catalogue(&self, table: &str, plan: &Plan, version: i64) -> Result<()> {
        if !plan.drop_catalogue && plan.catalogue.is_empty() {
            return Ok(());
        }
        self.run(catalogue::COLUMNS_DDL)?;
        let conn = self.conn()?;
        if plan.drop_catalogue {
            conn.prepare_cached(catalogue::DELETE_SQL)
                .and_then(|mut delete| delete.execute([table]))
                .map_err(|e| self.sql_error(e))?;
        }
        for (column, field) in &plan.catalogue {
            let bytes = catalogue::encode_field(field)?;
            conn.prepare_cached(catalogue::UPSERT_SQL)
                .and_then(|mut insert| {
                    insert.execute(params![table, column, types::name(field.data_type()), bytes])
                })
                .map_err(|e| self.sql_error(e))?;
        }
        if self.schema_version()? == version {
            let next = (version as i32).wrapping_add(1);
            conn.execute_batch(&format!("PRAGMA schema_version = {next}"))
                .map_err(|e| self.sql_error(e))?;
        }
        Ok(())
    }
}

/// The catalogue's type for a column of a frame of plain values, found as the plan finds it.
fn known_type(
    state: &TableState,
    options: &AppendOptions,
    index: usize,
    column: &str,
) -> Option<DataType> {
    let mut columns = state.columns.iter();
    let found = match options.matching {
        Match::Position => columns.filter(|c| !c.generated).nth(index),
        Match::Name => columns.find(|c| c.name.eq_ignore_ascii_case(column)),
    }?;
    let known = found.field.as_ref()?.data_type();
    (*known != DataType::Null).then(|| known.clone())
}
