//! A frame and its id into the database, in one transaction: at one go, with others, or in pieces.
//!
//! The frame's id is written in the same transaction as its rows, so a frame is applied at most
//! once on whatever path it comes. A group of frames may share a transaction; each is still all or
//! nothing, by a savepoint of its own. A long frame has a transaction to itself, and its caller may do
//! something else between two pieces of it, or roll it back. What is written is in `write`.

use super::connection::Store;
use super::error::{from_file, is_missing_table, is_verdict};
use super::insert::put_last_rowid_back;
use super::write::HalfWritten;
use crate::error::{Code, Error, Result};
use crate::frame::Frame;
use crate::frame::options::AppendOptions;
use crate::frame::packed::Packed;
use crate::json;
use crate::message::FrameName;
use rusqlite::{OptionalExtension, Row, params};
use std::collections::{BTreeMap, BTreeSet};

/// The table of applied frame ids, in the order in which they were applied; `digest` tells a
/// repeat from a conflict, `own` an id that framelock made from one that the caller gave; `coerced`
/// counts, as JSON, the values that were changed.
const FRAMES_DDL: &str = "CREATE TABLE IF NOT EXISTS main._framelock_frames(
  seq INTEGER PRIMARY KEY, frame_id TEXT NOT NULL UNIQUE, table_name TEXT NOT NULL,
  rows INTEGER NOT NULL, digest BLOB NOT NULL, own INTEGER NOT NULL, coerced TEXT)";

/// Ids that framelock made are forgotten once so many frames were applied after them: no frame is
/// on its way for that long, since the queue is drained before every write. Ids that callers gave
/// are kept for ever: only they know how late they may send one again.
const KEPT_OWN_IDS: i64 = 100_000;
/// Once in so many frames, whichever tabs they are of, as many old ids are looked at.
const FORGET_EVERY: i64 = 1024;

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
    /// xxh3-128 of what was sent: the table's name and the frame's bytes. Options are not part of it.
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

impl AppendRequest {
    /// The error of an id that another frame has.
    pub fn id_conflict(&self) -> Error {
        let message = format!("frame id {:?} was used for another frame", self.frame_id);
        Error::new(Code::FrameIdConflict, message).in_table(&self.table)
    }
}

impl Content {
    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        match self {
            Content::Frame(frame) => frame.rows,
            Content::Packed(packed) => packed.rows(),
        }
    }

    /// Whether its rows have no columns.
    pub fn has_no_columns(&self) -> bool {
        match self {
            Content::Frame(frame) => frame.schema.fields().is_empty(),
            Content::Packed(packed) => packed.column_names().next().is_none(),
        }
    }

    /// About how many bytes it takes to hand it on.
    pub fn bytes_estimate(&self) -> u64 {
        match self {
            Content::Frame(frame) => frame.bytes_estimate(),
            Content::Packed(packed) => packed.bytes_estimate(),
        }
    }

    fn columns(&self) -> u64 {
        match self {
            Content::Frame(frame) => frame.schema.fields().len() as u64,
            Content::Packed(packed) => packed.column_names().count() as u64,
        }
    }
}

/// How much of a frame is written at one go.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    pub cells: u64,
    pub bytes: u64,
}

impl Piece {
    /// A frame's rows in so much, taking all rows for equally large.
    pub fn rows_of(self, content: &Content) -> u64 {
        let by_cells = self.cells / content.columns().max(1);
        let frames = content.bytes_estimate().max(1) as f64 / self.bytes as f64;
        let by_bytes = (content.rows() as f64 / frames) as u64;
        by_cells.min(by_bytes).max(1)
    }
}

/// How far a long frame is.
pub enum Long {
    /// Its transaction is open.
    Half(Box<HalfWritten>),
    /// It is committed.
    Done(Applied),
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
        self.begin_own()?;
        let mut outcomes = Vec::with_capacity(requests.len());
        for request in requests {
            let outcome = match requests.len() {
                // Alone, it is undone with the whole transaction.
                1 => self.apply(request),
                _ => self.apply_in_savepoint(request),
            };
            if !self.in_transaction() {
                // SQLite rolled the whole transaction back (a full disk does that).
                self.rollback();
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
        self.commit_applied(requests, outcomes)
    }

    fn commit_applied(
        &mut self,
        requests: &[&AppendRequest],
        outcomes: Vec<Result<Applied>>,
    ) -> Result<Vec<Result<Applied>>> {
        let tables = self.touched.take();
        match self.commit() {
            Ok(()) if outcomes.iter().flatten().any(|applied| applied.duplicate) => {
                self.make_durable()?;
            }
            Ok(()) => {}
            // The error came after the point of no return: everything is in.
            Err(_) if self.all_committed(requests, &outcomes) => {}
            Err(error) => return Err(error),
        }
        self.committed.extend(tables);
        Ok(outcomes)
    }

    /// The tables that frames were committed to since the last call, triggers' tables too.
    pub fn take_committed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.committed)
    }

    /// Begins a transaction for one frame, and does all that comes before its first row.
    ///
    /// # Errors
    /// As [`Store::append_group`] for a single frame; nothing of it stays, and no transaction is open.
    pub fn begin_long(&mut self, request: &AppendRequest) -> Result<Long> {
        self.begin_own()?;
        let begun = match self.known(request) {
            Ok(None) => self.prepare_frame(request).map(|half| Long::Half(Box::new(half))),
            Ok(Some(duplicate)) => self.commit_alone(request, duplicate).map(Long::Done),
            Err(error) => Err(error),
        };
        self.undone_if_failed(request, begun)
    }

    /// Writes the next piece; after the last one, commits.
    ///
    /// # Errors
    /// As [`Store::begin_long`]; and those of the commit, which may be in doubt.
    pub fn go_on(
        &mut self,
        request: &AppendRequest,
        mut half: Box<HalfWritten>,
        rows: u64,
    ) -> Result<Long> {
        let written = self.write_rows(request, &mut half, rows);
        let gone_on = match written {
            Ok(()) if half.has_all_rows() => self.finish_long(request, *half).map(Long::Done),
            Ok(()) => Ok(Long::Half(half)),
            Err(error) => Err(error),
        };
        self.undone_if_failed(request, gone_on)
    }

    fn finish_long(&mut self, request: &AppendRequest, half: HalfWritten) -> Result<Applied> {
        let applied = self.finish_frame(request, half)?;
        self.note_applied(request, &applied)?;
        self.commit_alone(request, applied)
    }

    fn commit_alone(&mut self, request: &AppendRequest, applied: Applied) -> Result<Applied> {
        let mut outcomes = self.commit_applied(&[request], vec![Ok(applied)])?;
        outcomes.pop().unwrap_or_else(|| Err(Error::new(Code::Sql, "no outcome")))
    }

    fn undone_if_failed<T>(&mut self, request: &AppendRequest, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| {
            self.rollback();
            in_table(error, request)
        })
    }

    /// Once in a while, forgets ids that nobody can send again, in the transaction of the frame `seq`. Those before
    /// the ones it looks at were looked at before.
    fn forget_ids(&self, seq: i64) -> Result<()> {
        if seq % FORGET_EVERY != 0 {
            return Ok(());
        }
        let last = seq - KEPT_OWN_IDS;
        self.read(|conn| {
            conn.prepare_cached(
                "DELETE FROM main._framelock_frames WHERE own AND seq > ? AND seq <= ?",
            )?
            .execute([last - FORGET_EVERY, last])
        })?;
        Ok(())
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

    /// What a lease with `durability: 'relaxed'` has written so far is durable after this. Any other flushes
    /// as it goes.
    pub fn flush_relaxed(&self) -> Result<()> {
        self.vfs.slots().flush_relaxed().map_err(from_file)
    }

    /// Applies one frame inside the open transaction; on an error nothing of it stays.
    ///
    /// # Errors
    /// As [`Store::apply`].
    pub fn apply_in_savepoint(&mut self, request: &AppendRequest) -> Result<Applied> {
        self.savepoint()?;
        let touched = self.touched.clone();
        let (outcome, tables) = touched.during(|| self.apply(request));
        if outcome.is_ok() {
            touched.add(&tables);
        }
        self.end_savepoint(outcome)
    }

    /// Applies one frame inside the open transaction.
    ///
    /// # Errors
    /// `FRAME_ID_CONFLICT`, `SCHEMA_MISMATCH`, `LOSSY_VALUE`, `UNSUPPORTED_TYPE`, `CONSTRAINT`,
    /// and those of SQLite and its storage.
    fn apply(&mut self, request: &AppendRequest) -> Result<Applied> {
        if let Some(duplicate) = self.known(request)? {
            return Ok(duplicate);
        }
        let applied = self.write_frame(request).map_err(|error| in_table(error, request))?;
        self.note_applied(request, &applied)?;
        Ok(applied)
    }

    /// What was said of this frame before, if its id is known. Makes sure of the table of ids.
    fn known(&mut self, request: &AppendRequest) -> Result<Option<Applied>> {
        match self.look_up(&request.frame_id)? {
            LookUp::NoTable => self.run(FRAMES_DDL).map(|()| None),
            LookUp::Unknown => Ok(None),
            LookUp::Applied(frame) if frame.digest != request.digest => Err(request.id_conflict()),
            LookUp::Applied(frame) => {
                Ok(Some(Applied { rows: frame.rows, coerced: BTreeMap::new(), duplicate: true }))
            }
        }
    }

    /// The id, in the transaction of the rows.
    fn note_applied(&mut self, request: &AppendRequest, applied: &Applied) -> Result<()> {
        let conn = self.conn()?;
        let last_rowid = conn.last_insert_rowid();
        conn.prepare_cached(
            "INSERT INTO main._framelock_frames(frame_id, table_name, rows, digest, own, coerced)
             VALUES(?, ?, ?, ?, ?, ?)",
        )
        .and_then(|mut insert| {
            let rows = applied.rows as i64;
            insert.execute(params![
                request.frame_id,
                request.table,
                rows,
                request.digest,
                request.own_id,
                (!applied.coerced.is_empty())
                    .then(|| serde_json::json!(applied.coerced).to_string())
            ])
        })
        .map_err(|e| self.sql_error(e))?;
        if !self.touched.has(&request.table) {
            self.touched.insert(&request.table);
        }
        let seq = conn.last_insert_rowid();
        put_last_rowid_back(conn, last_rowid);
        self.forget_ids(seq)
    }

    /// The frame that was applied under this id, if one was.
    ///
    /// # Errors
    /// Those of SQLite and its storage.
    pub fn find_frame(&self, frame_id: &str) -> Result<Option<FrameName>> {
        Ok(match self.look_up(frame_id)? {
            LookUp::Applied(frame) => Some(frame),
            LookUp::Unknown | LookUp::NoTable => None,
        })
    }

    /// As [`Store::find_frame`], for whom it is promised to; see [`Store::make_durable`].
    ///
    /// # Errors
    /// As [`Store::find_frame`].
    pub fn find_applied(&self, frame_id: &str) -> Result<Option<FrameName>> {
        let found = self.find_frame(frame_id)?;
        if found.is_some() {
            self.make_durable()?;
        }
        Ok(found)
    }

    fn look_up(&self, frame_id: &str) -> Result<LookUp> {
        const SELECT: &str = "SELECT table_name, rows, digest, coerced FROM main._framelock_frames
             WHERE frame_id = ?";
        let read = |row: &Row<'_>| {
            let coerced: Option<String> = row.get(3)?;
            let coerced = coerced.and_then(|json| json::read(json.as_bytes()).ok());
            Ok(LookUp::Applied(FrameName {
                frame_id: frame_id.to_owned(),
                table: row.get(0)?,
                rows: row.get::<_, i64>(1)? as u64,
                digest: row.get(2)?,
                coerced: coerced.unwrap_or_default(),
                by: None,
            }))
        };
        let found = self
            .conn()?
            .prepare_cached(SELECT)
            .and_then(|mut select| select.query_row([frame_id], read).optional());
        match found {
            Err(error) if is_missing_table(&error) => Ok(LookUp::NoTable),
            other => Ok(other.map_err(|e| self.sql_error(e))?.unwrap_or(LookUp::Unknown)),
        }
    }
}

/// What the table of applied ids says of one.
enum LookUp {
    Applied(FrameName),
    Unknown,
    /// There is no such table yet.
    NoTable,
}

fn in_table(error: Error, request: &AppendRequest) -> Error {
    match error.table {
        Some(_) => error,
        None => error.in_table(&request.table),
    }
}
