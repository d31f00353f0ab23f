//! A frame into its table: id, plan, checks, DDL, catalogue and rows, in one transaction.
//!
//! The frame's id is written in the same transaction as its rows, so a frame is applied at most
//! once on whatever path it comes. A group of frames may share a transaction; each is still all or
//! nothing, by a savepoint of its own.

use super::connection::Store;
use super::error::is_missing_table;
use super::error::{from_file, is_verdict};
use crate::error::{Code, Error, Result};
use crate::frame::Frame;
use crate::frame::catalogue;
use crate::frame::column::Column;
use crate::frame::options::{AppendOptions, Match, Mode};
use crate::frame::packed::Packed;
use crate::frame::plan::{Plan, TableState};
use crate::frame::types::{self, ColumnType};
use crate::frame::values::check_values;
use crate::message::FrameName;
use arrow::array::Array as _;
use arrow::datatypes::DataType;
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The table of applied frame ids, in the order in which they were applied; `digest` tells a
/// repeat from a conflict, `own` an id that framelock made from one that the caller gave.
const FRAMES_DDL: &str = "CREATE TABLE IF NOT EXISTS _framelock_frames(
  seq INTEGER PRIMARY KEY, frame_id TEXT NOT NULL UNIQUE, table_name TEXT NOT NULL,
  rows INTEGER NOT NULL, digest BLOB NOT NULL, own INTEGER NOT NULL)";

/// Ids that framelock made are forgotten once so many frames were applied after them: no frame is
/// on its way for that long, since the queue is drained before every write. Ids that callers gave
/// are kept for ever: only they know how late they may send one again.
const KEPT_OWN_IDS: i64 = 100_000;
/// Old ids are looked for once in so many frames.
const PRUNE_EVERY: u32 = 1024;

/// A frame on its way into a table.
#[derive(Clone)]
pub struct AppendRequest {
    /// The idempotency key.
    pub frame_id: String,
    /// Whether framelock made the key; nobody sends such a frame again much later.
    pub own_id: bool,
    /// The table's name, unquoted.
    pub table: String,
    /// How the frame meets the table.
    pub options: AppendOptions,
    /// The rows.
    pub content: Content,
    /// xxh3-128 of what was sent: the frame's bytes, its table and its options.
    pub digest: [u8; 16],
    /// Whether its rows go to the outbox, too.
    pub forward: bool,
}

/// The rows of a frame.
#[derive(Clone)]
pub enum Content {
    /// Typed.
    Frame(Frame),
    /// Plain values, whose types may yet come from the table's catalogue.
    Packed(Packed),
}

impl Content {
    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        match self {
            Content::Frame(frame) => frame.rows,
            Content::Packed(packed) => packed.rows(),
        }
    }

    /// About how many bytes it takes to hand it on.
    pub fn bytes_estimate(&self) -> u64 {
        match self {
            Content::Frame(frame) => frame
                .batches
                .iter()
                .flat_map(|batch| batch.columns())
                .map(|column| column.to_data().get_slice_memory_size().unwrap_or(usize::MAX) as u64)
                .fold(0, u64::saturating_add),
            Content::Packed(packed) => packed.bytes_estimate(),
        }
    }
}

/// What became of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Rows of the frame.
    pub rows: u64,
    /// Values changed on the way in, by column (`lossy: 'warn' | 'allow'`).
    pub coerced: BTreeMap<String, u64>,
    /// The id was known, with the same content: nothing was written.
    pub duplicate: bool,
}

impl Store {
    /// Applies frames in one transaction of their own and commits it.
    ///
    /// The outer error is of the transaction: none of the frames is in then, unless the commit was
    /// in doubt. The inner ones are of single frames; the others are in.
    ///
    /// # Errors
    /// As [`Store::apply`], and those of begin and commit.
    pub fn append_group(&mut self, requests: &[&AppendRequest]) -> Result<Vec<Result<Applied>>> {
        self.begin()?;
        let mut outcomes = Vec::with_capacity(requests.len());
        for request in requests {
            let outcome = match requests.len() {
                // Alone, it is undone with the whole transaction.
                1 => self.apply(request),
                _ => self.apply_in_savepoint(request),
            };
            if !self.in_transaction() {
                // SQLite rolled the whole transaction back (a full disk does that).
                return Err(outcome
                    .err()
                    .unwrap_or_else(|| Error::new(Code::Sql, "the transaction ended by itself")));
            }
            if let Err(error) = &outcome
                && !is_verdict(error)
            {
                // The storage failed, and not the frame: what comes after it would overtake it.
                self.rollback();
                return outcome.map(|_| Vec::new());
            }
            outcomes.push(outcome);
        }
        if matches!(outcomes[..], [Err(_)]) {
            self.rollback();
            return Ok(outcomes);
        }
        self.prune_ids(requests.len() as u32)?;
        match self.commit() {
            Ok(_) => {
                if outcomes.iter().flatten().any(|applied| applied.duplicate) {
                    self.make_durable()?;
                }
                Ok(outcomes)
            }
            Err(error) if self.all_committed(requests, &outcomes) => {
                // The error came after the point of no return: everything is in.
                drop(error);
                Ok(outcomes)
            }
            Err(error) => Err(error),
        }
    }

    /// Once in a while, forgets ids that nobody can send again.
    fn prune_ids(&mut self, applied: u32) -> Result<()> {
        self.applied_since_prune += applied;
        if self.applied_since_prune < PRUNE_EVERY {
            return Ok(());
        }
        self.applied_since_prune = 0;
        let pruned = self.read(|conn| {
            conn.prepare_cached(
                "DELETE FROM _framelock_frames
                 WHERE own AND seq <= (SELECT max(seq) FROM _framelock_frames) - ?",
            )?
            .execute([KEPT_OWN_IDS])
        });
        if pruned.is_err() {
            self.rollback();
        }
        pruned.map(|_| ())
    }

    /// After a failed commit: whether its frames are in the file all the same.
    fn all_committed(&self, requests: &[&AppendRequest], outcomes: &[Result<Applied>]) -> bool {
        let outcomes = requests.iter().zip(outcomes);
        let wrote = outcomes
            .filter(|(_, outcome)| outcome.as_ref().is_ok_and(|applied| !applied.duplicate));
        let ids: Vec<&str> = wrote.map(|(request, _)| &*request.frame_id).collect();
        self.are_committed(&ids)
    }

    /// After a failed commit that wrote these frames: whether they are in the file all the same, and
    /// durable. Without frames there is nothing to tell it by.
    pub fn are_committed(&self, frame_ids: &[&str]) -> bool {
        !frame_ids.is_empty()
            && frame_ids.iter().all(|id| matches!(self.find_frame(id), Ok(Some(_))))
            && self.make_durable().is_ok()
    }

    /// What was found in the database is promised to somebody now. Whoever wrote it may have died, or
    /// failed, between the end of its transaction and the flush of that.
    pub fn make_durable(&self) -> Result<()> {
        self.vfs.slots().flush().map_err(from_file)
    }

    /// Applies one frame inside the open transaction; on an error nothing of it stays.
    ///
    /// # Errors
    /// As [`Store::apply`].
    pub fn apply_in_savepoint(&mut self, request: &AppendRequest) -> Result<Applied> {
        self.savepoint()?;
        match self.apply(request) {
            Ok(applied) => self.release().map(|()| applied),
            Err(error) => {
                if self.in_transaction() {
                    self.undo()?;
                }
                Err(error)
            }
        }
    }

    /// Applies one frame inside the open transaction.
    ///
    /// # Errors
    /// `FRAME_ID_CONFLICT`, `SCHEMA_MISMATCH`, `LOSSY_VALUE`, `UNSUPPORTED_TYPE`, `CONSTRAINT`,
    /// and those of SQLite and its storage.
    fn apply(&mut self, request: &AppendRequest) -> Result<Applied> {
        let in_table = |error: Error| match error.table {
            Some(_) => error,
            None => error.in_table(&request.table),
        };
        match self.look_up(&request.frame_id)? {
            LookUp::NoTable => self.run(FRAMES_DDL)?,
            LookUp::Unknown => {}
            LookUp::Applied { digest, .. } if digest != request.digest => {
                return Err(in_table(Error::new(
                    Code::FrameIdConflict,
                    format!("frame id {:?} was used for another frame", request.frame_id),
                )));
            }
            LookUp::Applied { rows, .. } => {
                return Ok(Applied { rows, coerced: BTreeMap::new(), duplicate: true });
            }
        }
        let applied = self.write_frame(request).map_err(in_table)?;
        let conn = self.conn()?;
        conn.prepare_cached(
            "INSERT INTO _framelock_frames(frame_id, table_name, rows, digest, own)
             VALUES(?, ?, ?, ?, ?)",
        )
        .and_then(|mut insert| {
            let rows = applied.rows as i64;
            insert.execute(params![
                request.frame_id,
                request.table,
                rows,
                request.digest,
                request.own_id
            ])
        })
        .map_err(|e| self.sql_error(e))?;
        self.touched.insert(&request.table);
        Ok(applied)
    }

    fn write_frame(&mut self, request: &AppendRequest) -> Result<Applied> {
        let AppendRequest { table, options, .. } = request;
        let version = self.schema_version()?;
        let cached = self.plans.get_mut().at(version).state(table, options);
        let mut fresh = None;
        let typed;
        let (frame, mut coerced) = match &request.content {
            Content::Frame(frame) => (frame, BTreeMap::new()),
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
                let (frame, coerced) = packed.into_frame(&types, options.lossy)?;
                typed = frame;
                (&typed, coerced)
            }
        };
        let plan = match self.plans.get_mut().plan(table, options, &frame.schema) {
            Some(plan) => plan,
            None => {
                let state = match fresh {
                    Some(state) => state,
                    None => self.fresh_state(request)?,
                };
                let plan = Rc::new(Plan::new(table, &frame.schema, &state, options)?);
                self.plans.get_mut().keep(table, options, &frame.schema, &state, &plan);
                plan
            }
        };
        for (column, count) in check_values(frame, &plan, options.lossy)? {
            *coerced.entry(column).or_default() += count;
        }
        let conn = self.conn()?;
        for statement in &plan.ddl {
            conn.execute_batch(statement).map_err(|e| self.sql_error(e))?;
        }
        self.write_catalogue(table, &plan, version)?;
        self.insert_rows(request, frame, &plan)?;
        if request.forward {
            self.enqueue(&request.table, frame, &plan)?;
        }
        Ok(Applied { rows: frame.rows, coerced, duplicate: false })
    }

    fn fresh_state(&self, request: &AppendRequest) -> Result<Rc<TableState>> {
        let keyed = matches!(request.options.mode, Mode::Upsert | Mode::Ignore);
        self.table_state(&request.table, keyed).map(Rc::new)
    }

    fn insert_rows(&mut self, request: &AppendRequest, frame: &Frame, plan: &Plan) -> Result<()> {
        let table = &request.table;
        let per_statement = plan.rows_per_statement();
        let mut first_row = 0;
        for batch in &frame.batches {
            let columns = plan
                .columns
                .iter()
                .map(|c| Column::new(batch.column(c.frame_index), &c.storage))
                .collect::<Result<Vec<_>>>()?;
            let mut done = 0;
            while done < batch.num_rows() {
                let rows = per_statement.min(batch.num_rows() - done);
                let inserted = self.insert_chunk(table, plan, &columns, done, rows);
                if let Err(error) = inserted {
                    return Err(self.blame_row(table, plan, &columns, first_row, done, rows, error));
                }
                done += rows;
                let written = (first_row + done) as u64;
                self.vfs.slots().os().progress(&request.frame_id, written, frame.rows);
            }
            first_row += batch.num_rows();
        }
        Ok(())
    }

    fn insert_chunk(
        &mut self,
        table: &str,
        plan: &Plan,
        columns: &[Column<'_>],
        start: usize,
        rows: usize,
    ) -> Result<()> {
        let Store { inserts, vfs, .. } = self;
        let conn = self.conn.as_ref();
        let conn = conn.ok_or_else(|| Error::new(Code::Busy, "no lease is held"))?;
        let slots = vfs.slots();
        let statement = inserts.get(conn, slots, plan.insert_sql(table, rows))?;
        statement
            .run(conn, slots, rows, columns.len(), |row, column| columns[column].cell(start + row))
    }

    /// A statement of many rows failed: finds the row that SQLite refuses, by itself, so that the
    /// error can name it. The caller undoes everything afterwards.
    #[allow(clippy::too_many_arguments)]
    fn blame_row(
        &mut self,
        table: &str,
        plan: &Plan,
        columns: &[Column<'_>],
        first_row: usize,
        start: usize,
        rows: usize,
        error: Error,
    ) -> Error {
        if error.code != Code::Constraint || !self.in_transaction() {
            return error;
        }
        for row in start..start + rows {
            if let Err(own) = self.insert_chunk(table, plan, columns, row, 1) {
                return own.at_row((first_row + row) as u64);
            }
        }
        error
    }

    /// The digest and row count under which a frame id was applied, if it was.
    ///
    /// # Errors
    /// Those of SQLite and its storage.
    pub fn find_frame(&self, frame_id: &str) -> Result<Option<([u8; 16], u64)>> {
        Ok(match self.look_up(frame_id)? {
            LookUp::Applied { digest, rows } => Some((digest, rows)),
            LookUp::Unknown | LookUp::NoTable => None,
        })
    }

    fn look_up(&self, frame_id: &str) -> Result<LookUp> {
        let conn = self.conn()?;
        let found = conn
            .prepare_cached("SELECT digest, rows FROM _framelock_frames WHERE frame_id = ?")
            .and_then(|mut select| {
                select
                    .query_row([frame_id], |row| {
                        let digest = row.get::<_, [u8; 16]>(0)?;
                        Ok(LookUp::Applied { digest, rows: row.get::<_, i64>(1)? as u64 })
                    })
                    .optional()
            });
        match found {
            Err(error) if is_missing_table(&error) => Ok(LookUp::NoTable),
            other => Ok(other.map_err(|e| self.sql_error(e))?.unwrap_or(LookUp::Unknown)),
        }
    }

    /// The table and row count of an applied frame.
    ///
    /// # Errors
    /// As [`Store::find_frame`].
    pub fn find_applied(&self, frame_id: &str) -> Result<Option<FrameName>> {
        let Some((digest, rows)) = self.find_frame(frame_id)? else {
            return Ok(None);
        };
        let table = self.read(|conn| {
            conn.prepare_cached("SELECT table_name FROM _framelock_frames WHERE frame_id = ?")?
                .query_row([frame_id], |row| row.get(0))
        })?;
        self.make_durable()?;
        Ok(Some(FrameName { frame_id: frame_id.to_owned(), table, rows, digest }))
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

/// What the table of applied ids says of one.
enum LookUp {
    Applied {
        digest: [u8; 16],
        rows: u64,
    },
    Unknown,
    /// There is no such table yet.
    NoTable,
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
    let field = found.field.as_ref()?;
    let known = catalogue::applies(field, &found.declared, state.strict);
    (known && *field.data_type() != DataType::Null).then(|| field.data_type().clone())
}
