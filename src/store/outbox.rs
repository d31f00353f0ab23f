//! The outbox: what is to be forwarded, written in the transaction of the rows themselves.
//!
//! ```text
//! _framelock_stream        one row: the stream's id, what the server has, whether it is paused
//! _framelock_outbox        items, numbered without gaps: an Arrow IPC stream of at most 4 MiB each
//! _framelock_dead_letters  items that the server refused, until the user settles them
//! ```
//!
//! An item's number never changes; its sequence number in the stream is the number less `base`, so
//! that a new stream after a fork costs one row. The last acknowledged item always stays: numbers go
//! on from it, and it is what the server's last one is compared with. The digest of an item is made of
//! its bytes when they are sent, not here, where a user waits; only a skip, whose bytes have gone to
//! the dead letters, has its digest in its row.
//!
//! The tables are made with the first forwarded frame. A database without one never sees them.

use super::connection::Store;
use super::error::is_missing_table;
use super::rows::{Rows, source};
use crate::error::{Code, Error, Result};
use crate::forward::{
    Content, DeadLetter, Digest, Item, Look, OutboxState, Page, PauseReason, Record, Refused,
    stamp, stamp_anew,
};
use crate::frame::Frame;
use crate::frame::column::Column;
use crate::frame::pieces::{Most, pieces};
use crate::frame::plan::Plan;
use crate::json;
use arrow::array::{BinaryArray, Int64Array, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer};
use rusqlite::{OptionalExtension, Row, params};

/// The most bytes of an item, of which nobody is asked to take more at once, and its most rows: of a type that
/// takes no or few bytes a row, millions would fit.
pub const ITEM_BYTES: usize = 4 << 20;
const ITEM: Most = Most { bytes: ITEM_BYTES, rows: 250_000 };

const DDL: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS main._framelock_stream(
       id INTEGER PRIMARY KEY CHECK(id = 1), stream TEXT NOT NULL, base INTEGER NOT NULL,
       acknowledged INTEGER NOT NULL, paused TEXT, remote INTEGER)",
    "CREATE TABLE IF NOT EXISTS main._framelock_outbox(
       number INTEGER PRIMARY KEY, table_name TEXT NOT NULL, rows INTEGER NOT NULL, skip TEXT,
       digest BLOB, ipc BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS main._framelock_dead_letters(
       number INTEGER PRIMARY KEY, stream TEXT NOT NULL, seq INTEGER NOT NULL,
       table_name TEXT NOT NULL, rows INTEGER NOT NULL, refused TEXT NOT NULL, ipc BLOB NOT NULL)",
];
const INSERT: &str = "INSERT INTO main._framelock_outbox(table_name, rows, ipc)";

impl Store {
    /// Puts a frame's rows behind everything in the outbox: the columns that were stored, with the frame's
    /// own values. Part of the open transaction.
    ///
    /// # Errors
    /// Those of SQLite and its storage.
    pub(super) fn enqueue(&mut self, frame: &Frame, plan: &Plan) -> Result<()> {
        let pieces = pieces(frame, &plan.columns, &stamp(self.random()), ITEM)?;
        if !pieces.is_empty() {
            self.ensure_stream()?;
        }
        let sql = format!("{INSERT} {}", source(3));
        for piece in pieces {
            // As a frame's own rows: SQLite reads the bytes where they lie.
            let lengths = OffsetBuffer::from_lengths([piece.ipc.len()]);
            let ipc = BinaryArray::new(lengths, Buffer::from_vec(piece.ipc), None);
            let table = StringArray::from(vec![plan.table.as_str()]);
            let rows = Int64Array::from(vec![piece.rows as i64]);
            let columns = [Column::raw(&table)?, Column::raw(&rows)?, Column::raw(&ipc)?];
            self.insert(&sql, &Rows::new(&columns, 0..1))?;
        }
        Ok(())
    }

    /// The stream's row, and the tables, unless they are there.
    fn ensure_stream(&self) -> Result<()> {
        let known = self
            .conn()?
            .prepare_cached("SELECT EXISTS(SELECT 1 FROM main._framelock_stream)")
            .and_then(|mut select| select.query_row([], |row| row.get::<_, bool>(0)));
        match known {
            Ok(true) => return Ok(()),
            Err(error) if !is_missing_table(&error) => return Err(self.sql_error(error)),
            _ => {}
        }
        for ddl in DDL {
            self.run(ddl)?;
        }
        let stream = self.new_stream();
        self.change(
            "INSERT INTO main._framelock_stream(id, stream, base, acknowledged) VALUES(1, ?, 0, 0)",
            params![stream],
        )?;
        Ok(())
    }

    fn new_stream(&self) -> String {
        uuid::Builder::from_random_bytes(self.random()).into_uuid().to_string()
    }

    fn random(&self) -> [u8; 16] {
        let mut random = [0; 16];
        self.vfs.slots().os().random(&mut random);
        random
    }

    /// Runs one statement; gives how many rows it changed.
    fn change(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize> {
        self.read(|conn| conn.prepare_cached(sql)?.execute(params))
    }

    /// The outbox in a few numbers. Nothing was ever forwarded: the default.
    ///
    /// # Errors
    /// Those of SQLite and its storage.
    pub fn outbox_state(&self) -> Result<OutboxState> {
        let found = self
            .conn()?
            .prepare_cached(
                "SELECT stream, base, acknowledged, paused, remote,
                   (SELECT min(number) FROM main._framelock_outbox),
                   (SELECT max(number) FROM main._framelock_outbox),
                   (SELECT count(*) FROM main._framelock_dead_letters)
                 FROM main._framelock_stream",
            )
            .and_then(|mut select| select.query_row([], read_state).optional());
        match found {
            Err(error) if is_missing_table(&error) => Ok(OutboxState::default()),
            other => other.map(Option::unwrap_or_default).map_err(|e| self.sql_error(e)),
        }
    }

    /// Reads a part of the outbox.
    ///
    /// # Errors
    /// Those of SQLite and its storage.
    pub fn look_at_outbox(&self, look: &Look) -> Result<Page> {
        let state = self.outbox_state()?;
        let mut page = Page { state, items: Vec::new(), kept: Vec::new() };
        if page.state.stream.is_none() {
            return Ok(page);
        }
        let after = look.after.unwrap_or(page.state.acknowledged);
        page.items = self.read(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT number, table_name, rows, skip, digest, ipc FROM main._framelock_outbox
                 WHERE number > ? ORDER BY number LIMIT ?",
            )?;
            let mut rows = select.query(params![after, look.items as i64])?;
            let (mut items, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let item = read_item(row)?;
                bytes += item.bytes();
                items.push(item);
                if bytes >= look.bytes {
                    break;
                }
            }
            Ok(items)
        })?;
        if look.kept {
            page.kept = self.read(|conn| {
                conn.prepare_cached(
                    "SELECT number, length(ipc) FROM main._framelock_outbox WHERE number <= ?
                     ORDER BY number",
                )?
                .query_map([page.state.acknowledged], |row| {
                    Ok((row.get(0)?, row.get::<_, i64>(1)? as u64))
                })?
                .collect()
            })?;
        }
        Ok(page)
    }

    /// Writes down what the sender found out, in one transaction.
    ///
    /// # Errors
    /// Those of SQLite and its storage; nothing is written then, or all of it.
    pub fn record_in_outbox(&mut self, records: &[Record]) -> Result<()> {
        self.in_own_transaction(|store| records.iter().try_for_each(|record| store.record(record)))
    }

    /// Runs `work` in a transaction of its own.
    fn in_own_transaction<T>(&mut self, work: impl FnOnce(&mut Store) -> Result<T>) -> Result<T> {
        self.begin()?;
        match work(self) {
            Ok(value) => self.commit().map(|()| value),
            Err(error) => {
                self.rollback();
                Err(error)
            }
        }
    }

    fn record(&self, record: &Record) -> Result<()> {
        match record {
            Record::Acknowledged { stream, number, keep_from } => {
                let ours = self.change(
                    "UPDATE main._framelock_stream SET acknowledged = ? WHERE stream = ?",
                    params![number, stream],
                )?;
                let below = (*keep_from).min(*number);
                if ours > 0 && below > 0 {
                    self.change("DELETE FROM main._framelock_outbox WHERE number < ?", [below])?;
                }
            }
            Record::DeadLetter { stream, number, digest, refused } => {
                let text = serde_json::to_string(refused).unwrap_or_default();
                let moved = self.change(
                    "INSERT INTO main._framelock_dead_letters
                     SELECT number, stream, number - base, table_name, rows, ?, ipc
                     FROM main._framelock_outbox, main._framelock_stream
                     WHERE stream = ? AND number = ? AND skip IS NULL",
                    params![text, stream, number],
                )?;
                if moved > 0 {
                    self.change(
                        "UPDATE main._framelock_outbox SET skip = ?, digest = ?, ipc = x'' WHERE number = ?",
                        params![refused.code, digest.0, number],
                    )?;
                }
            }
            Record::Arrived { stream, after, number } => {
                // The rows go back to their item: the server may lose it, and is sent it again.
                for sql in [
                    "UPDATE main._framelock_outbox SET skip = NULL, digest = NULL, ipc = letter.ipc
                     FROM main._framelock_dead_letters AS letter, _framelock_stream AS ours
                     WHERE letter.number = _framelock_outbox.number
                       AND letter.number > ? AND letter.number <= ? AND ours.stream = ?",
                    "DELETE FROM main._framelock_dead_letters WHERE number > ? AND number <= ?
                       AND EXISTS(SELECT 1 FROM main._framelock_stream AS ours WHERE ours.stream = ?)",
                ] {
                    self.change(sql, params![after, number, stream])?;
                }
            }
            Record::Forked { stream, base } => self.start_stream(stream, *base)?,
            Record::Paused { stream, reason } => {
                let remote = match reason {
                    PauseReason::Asked => None,
                    PauseReason::RemoteRewound { remote } => Some(remote),
                };
                self.change(
                    "UPDATE main._framelock_stream SET paused = ?, remote = ? WHERE stream = ?",
                    params![reason.code(), remote, stream],
                )?;
            }
        }
        Ok(())
    }

    /// Items after `base` go under a new stream id, from 1 on.
    fn start_stream(&self, old: &str, base: i64) -> Result<()> {
        self.change(
            "UPDATE main._framelock_stream SET stream = ?1, base = ?2, acknowledged = ?2,
               paused = NULL, remote = NULL WHERE stream = ?3",
            params![self.new_stream(), base, old],
        )?;
        Ok(())
    }

    /// `pause()`: nothing is sent, by no tab, until [`Store::resume_outbox`].
    ///
    /// # Errors
    /// Those of SQLite and its storage.
    pub fn pause_outbox(&mut self) -> Result<()> {
        self.in_own_transaction(|store| {
            store.ensure_stream()?;
            // A pause for a better reason stays what it is.
            store.change(
                "UPDATE main._framelock_stream SET paused = ? WHERE paused IS NULL",
                [PauseReason::Asked.code()],
            )?;
            Ok(())
        })
    }

    /// `resume()`.
    ///
    /// # Errors
    /// Those of SQLite and its storage.
    pub fn resume_outbox(&mut self) -> Result<()> {
        if self.outbox_state()?.paused.is_none() {
            return Ok(());
        }
        self.in_own_transaction(|store| {
            store.change("UPDATE main._framelock_stream SET paused = NULL, remote = NULL", [])?;
            Ok(())
        })
    }

    /// `restart()`: after `REMOTE_REWOUND`, everything that is kept and that the server does not have
    /// goes under a new stream id.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when the server was not found rewound.
    pub fn restart_outbox(&mut self) -> Result<()> {
        let state = self.outbox_state()?;
        let (Some(stream), Some(PauseReason::RemoteRewound { remote })) =
            (state.stream, state.paused)
        else {
            let message = "there is nothing to restart: the server was not found rewound";
            return Err(Error::new(Code::InvalidArgument, message));
        };
        let base = remote.max(state.first - 1);
        self.in_own_transaction(|store| store.start_stream(&stream, base))
    }

    /// The items that the server refused, oldest first.
    ///
    /// # Errors
    /// Those of SQLite and its storage.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>> {
        let list = self.conn()?.prepare_cached(
            "SELECT number, stream, seq, table_name, rows, refused FROM main._framelock_dead_letters
             ORDER BY number",
        );
        let list = list.and_then(|mut select| select.query_map([], read_letter)?.collect());
        match list {
            Err(error) if is_missing_table(&error) => Ok(Vec::new()),
            other => other.map_err(|e| self.sql_error(e)),
        }
    }

    /// Puts a dead letter behind everything in the outbox, as a new item: a copy of this database may retry its own,
    /// and neither is the other.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when there is no such letter.
    pub fn retry_dead_letter(&mut self, id: i64) -> Result<()> {
        self.in_own_transaction(|store| {
            store.find_letter(id)?;
            let mut ipc: Vec<u8> = store.read(|conn| {
                conn.prepare_cached(
                    "SELECT ipc FROM main._framelock_dead_letters WHERE number = ?",
                )?
                .query_row([id], |row| row.get(0))
            })?;
            stamp_anew(&mut ipc, store.random());
            store.change(
                "INSERT INTO main._framelock_outbox(table_name, rows, ipc)
                 SELECT table_name, rows, ? FROM main._framelock_dead_letters WHERE number = ?",
                params![ipc, id],
            )?;
            store.remove_letter(id)
        })
    }

    /// Removes a dead letter for good.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when there is no such letter.
    pub fn discard_dead_letter(&mut self, id: i64) -> Result<()> {
        self.in_own_transaction(|store| {
            store.find_letter(id)?;
            store.remove_letter(id)
        })
    }

    fn remove_letter(&self, id: i64) -> Result<()> {
        self.change("DELETE FROM main._framelock_dead_letters WHERE number = ?", [id]).map(|_| ())
    }

    fn find_letter(&self, id: i64) -> Result<()> {
        match self.dead_letters()?.iter().any(|letter| letter.id == id) {
            true => Ok(()),
            false => {
                let message = format!("there is no dead letter {id}");
                Err(Error::new(Code::InvalidArgument, message))
            }
        }
    }
}

fn read_state(row: &Row<'_>) -> rusqlite::Result<OutboxState> {
    let remote: Option<i64> = row.get(4)?;
    let paused = row.get::<_, Option<String>>(3)?.map(|_| match remote {
        Some(remote) => PauseReason::RemoteRewound { remote },
        None => PauseReason::Asked,
    });
    let acknowledged = row.get(2)?;
    Ok(OutboxState {
        stream: row.get(0)?,
        base: row.get(1)?,
        acknowledged,
        first: row.get::<_, Option<i64>>(5)?.unwrap_or(acknowledged + 1),
        last: row.get::<_, Option<i64>>(6)?.unwrap_or(acknowledged),
        paused,
        dead_letters: row.get::<_, i64>(7)? as u64,
    })
}

fn read_item(row: &Row<'_>) -> rusqlite::Result<Item> {
    let (skip, digest): (Option<String>, Option<[u8; 32]>) = (row.get(3)?, row.get(4)?);
    let content = match (skip, digest) {
        (Some(code), Some(digest)) => Content::Skip { digest: Digest(digest), code },
        _ => Content::Frame(row.get(5)?),
    };
    let (number, table, rows) = (row.get(0)?, row.get(1)?, row.get::<_, i64>(2)? as u64);
    Ok(Item { number, table, rows, content })
}

fn read_letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let text: String = row.get(5)?;
    // A row that somebody else wrote has no reason that could be read.
    let unknown = || Refused { code: "UNKNOWN".into(), title: None, column: None, row: None };
    Ok(DeadLetter {
        id: row.get(0)?,
        stream: row.get(1)?,
        seq: row.get(2)?,
        table: row.get(3)?,
        rows: row.get::<_, i64>(4)? as u64,
        refused: json::read(text.as_bytes()).unwrap_or_else(|_| unknown()),
    })
}
