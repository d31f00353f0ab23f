//! The rows of a large frame as records, which SQLite moves from one b-tree to another without looking
//! into them: its transfer optimisation ("The INSERT INTO ... SELECT xfer optimization" in its
//! `insert.c`).
//!
//! Rows go this way where nothing but the records is to be written, no index and no trigger, where SQLite
//! would store every value as it is, and behind all rows that are there. What SQLite does not check on
//! that way is checked here: that no NULL goes where none may, that row ids ascend, and that there is
//! nothing else to check. Only in a transaction of framelock's own: until it ends the image is attached,
//! which a caller's SQL would see.

use super::append::AppendRequest;
use super::connection::Store;
use super::vfs::IMAGE_PATH;
use crate::error::{Code, Error, Result};
use crate::frame::Frame;
use crate::frame::column::Column;
use crate::frame::ident::quote;
use crate::frame::plan::{Plan, PlannedColumn};
use crate::frame::storage::{Affinity, Encoding, Storage};
use framelock_image::{Image, MOST_BYTES, RowIds, Rows};
use rusqlite::OptionalExtension;
use std::ops::Range;

/// From so many rows on it is worth attaching an image.
pub const TRANSFER_ROWS: u64 = 4000;
/// So many images may be attached. SQLite allows ten databases, the caller's own among them.
const MOST_IMAGES: usize = 4;
/// Pages of an image that SQLite keeps; it reads none twice.
const CACHE_PAGES: u32 = 4;
/// A piece of a long frame has more cells than this.
const TABLE_CELLS: u64 = 200_000;

/// How the rows of a frame go into a table.
pub(super) struct Transfer {
    /// The table's name, quoted.
    table: String,
    /// What follows its name in its DDL.
    definition: String,
    /// The table's columns, in order.
    fields: Vec<Field>,
    /// Which of them is the row id, and its name, quoted.
    row_id: Option<(usize, String)>,
    /// How many tables an image should have.
    tables: u32,
    /// The image that is in use, and its next table.
    image: Option<(usize, u32)>,
}

struct Field {
    /// Its place in the plan.
    column: usize,
    not_null: bool,
    affinity: Affinity,
}

impl Store {
    /// From how many rows on a frame is transferred, where it can be; otherwise than usual.
    pub fn transfer_from(&mut self, rows: u64) {
        self.transfer_rows = rows;
    }

    /// How many rows were transferred so far.
    pub fn transferred(&self) -> u64 {
        self.transferred
    }

    /// How a frame is transferred, if it can be. The table is as the plan wants it.
    pub(super) fn plan_transfer(
        &self,
        request: &AppendRequest,
        frame: &Frame,
        plan: &Plan,
    ) -> Result<Option<Transfer>> {
        let plain = plan.conflict.is_empty()
            && plan.columns.iter().all(|column| stores_as_it_is(&column.storage));
        if !self.transfers || frame.rows < self.transfer_rows || !plain {
            return Ok(None);
        }
        let Some(sql) = self.plain_table(&request.table)? else {
            return Ok(None);
        };
        let (Some(definition), Some(fields)) =
            (definition(&sql), self.fields(&request.table, &plan.columns)?)
        else {
            return Ok(None);
        };
        let columns = fields.iter().map(|field| &plan.columns[field.column]);
        let row_id = columns.enumerate().find(|(_, column)| column.row_id);
        Ok(Some(Transfer {
            table: quote(&request.table),
            definition: definition.to_owned(),
            row_id: row_id.map(|(nth, column)| (nth, quote(&column.name))),
            tables: self.tables_for(request, frame, fields.len()),
            fields,
            image: None,
        }))
    }

    /// The DDL of a table that has neither index nor trigger. Nothing, too, where there are foreign keys
    /// to look at, where it would read an image backwards, or keeps text in another encoding.
    fn plain_table(&self, table: &str) -> Result<Option<String>> {
        let found = self.read(|conn| {
            conn.prepare_cached(
                "SELECT sql FROM main.sqlite_schema
                 WHERE type = 'table' AND name = ?1 COLLATE NOCASE
                 AND NOT EXISTS(SELECT 1 FROM main.sqlite_schema
                   WHERE type IN ('index', 'trigger') AND tbl_name = ?1 COLLATE NOCASE)
                 AND NOT EXISTS(SELECT 1 FROM temp.sqlite_schema
                   WHERE tbl_name = ?1 COLLATE NOCASE)
                 AND NOT EXISTS(SELECT 1
                   FROM main.sqlite_schema AS own, pragma_foreign_key_list(own.name, 'main') AS foreign_key
                   WHERE own.type = 'table' AND (own.name = ?1 COLLATE NOCASE
                     OR foreign_key.\"table\" = ?1 COLLATE NOCASE))
                 AND NOT (SELECT reverse_unordered_selects FROM pragma_reverse_unordered_selects)
                 AND (SELECT encoding FROM pragma_encoding) = 'UTF-8'",
            )?
            // DDL that is no UTF-8 is left alone.
            .query_row([table], |row| Ok(row.get_ref(0)?.as_str().ok().map(str::to_owned)))
            .optional()
        })?;
        Ok(found.flatten())
    }

    /// The table's columns, if the frame has them all.
    fn fields(&self, table: &str, columns: &[PlannedColumn]) -> Result<Option<Vec<Field>>> {
        let fields = self.table_columns(table)?.into_iter().map(|found| {
            let same = |planned: &PlannedColumn| planned.name.eq_ignore_ascii_case(&found.name);
            let column = columns.iter().position(same)?;
            Some(Field {
                column,
                not_null: found.not_null && !columns[column].row_id,
                affinity: columns[column].storage.affinity,
            })
        });
        Ok(fields.collect())
    }

    /// How many tables an image should have for a frame: as many as there may be pieces.
    fn tables_for(&self, request: &AppendRequest, frame: &Frame, columns: usize) -> u32 {
        let cells = frame.rows.saturating_mul(columns as u64);
        let pieces = cells / TABLE_CELLS + request.content.bytes_estimate() / MOST_BYTES as u64;
        // Every batch begins another one, unless it is too small to be transferred.
        let batches = (frame.batches.len() as u64).min(frame.rows / self.transfer_rows.max(1));
        u32::try_from(pieces + batches.max(1)).unwrap_or(u32::MAX)
    }

    /// Writes the first of these rows, and gives how many. Nothing when they are too few or cannot be
    /// transferred: nothing is written then, and whoever inserts them finds out what is wrong with one.
    ///
    /// # Errors
    /// Those of SQLite and its storage.
    pub(super) fn transfer(
        &mut self,
        how: &mut Option<Transfer>,
        columns: &[Column<'_>],
        rows: Range<usize>,
    ) -> Result<Option<usize>> {
        let Some(transfer) = how else {
            return Ok(None);
        };
        if (rows.len() as u64) < self.transfer_rows {
            return Ok(None);
        }
        let moved = match transfer.encode(columns, rows, self.row_ids(transfer)?) {
            Some((rows, count)) => self.transfer_all(transfer, rows, count)?,
            None => None,
        };
        if moved.is_none() {
            // It would hardly be otherwise with the next ones.
            *how = None;
        }
        Ok(moved)
    }

    /// Where the row ids are, and the last one that is taken.
    fn row_ids(&self, transfer: &Transfer) -> Result<Option<RowIds>> {
        let Some((column, name)) = &transfer.row_id else {
            return Ok(None);
        };
        let sql = format!("SELECT max({name}) FROM main.{}", transfer.table);
        let after = self.read(|conn| conn.prepare_cached(&sql)?.query_row([], |row| row.get(0)))?;
        Ok(Some(RowIds { column: *column, after }))
    }

    fn transfer_all(
        &mut self,
        transfer: &mut Transfer,
        rows: Rows,
        count: usize,
    ) -> Result<Option<usize>> {
        let Some((image, table)) = self.next_table(transfer)? else {
            return Ok(None);
        };
        let slots = self.vfs.slots().clone();
        if let Some(image) = slots.images.borrow_mut().get_mut(image) {
            image.fill(table, rows);
        }
        let source = format!("{}.{}", schema_name(image), table_name(table));
        let sql = format!("INSERT INTO main.{} SELECT * FROM {source}", transfer.table);
        let moved = self.read(|conn| conn.execute(&sql, []));
        if let Some(image) = slots.images.borrow_mut().get_mut(image) {
            image.empty();
        }
        if moved? != count {
            return Err(Error::new(Code::Sql, "the insert has not read the frame"));
        }
        self.transferred += count as u64;
        Ok(Some(count))
    }

    /// A table that nothing was read from yet: SQLite may keep a page that it has read until the
    /// transaction ends, and an image attached as long.
    fn next_table(&self, transfer: &mut Transfer) -> Result<Option<(usize, u32)>> {
        let images = &self.vfs.slots().images;
        if let Some((image, next)) = &mut transfer.image
            && images.borrow().get(*image).is_some_and(|image| *next < image.tables())
        {
            *next += 1;
            return Ok(Some((*image, *next - 1)));
        }
        let create = |table| {
            let name = table_name(table);
            let sql = format!("CREATE TABLE {name}{}", transfer.definition);
            (name, sql)
        };
        let nth = images.borrow().len();
        let image = Image::new(transfer.tables, create).filter(|_| nth < MOST_IMAGES);
        let Some(image) = image else {
            return Ok(None);
        };
        images.borrow_mut().push(image);
        let schema = schema_name(nth);
        let attach = format!(
            "ATTACH '{IMAGE_PATH}{nth}' AS {schema}; PRAGMA {schema}.cache_size={CACHE_PAGES}"
        );
        if self.read(|conn| conn.execute_batch(&attach)).is_err() {
            // The caller has attached too many databases.
            images.borrow_mut().pop();
            return Ok(None);
        }
        transfer.image = Some((nth, 1));
        Ok(Some((nth, 0)))
    }

    /// After a transaction: SQLite lets go of its images.
    pub(super) fn detach_images(&self) {
        let images = &self.vfs.slots().images;
        let attached = images.borrow().len();
        for nth in (0..attached).rev() {
            let detach = format!("DETACH {}", schema_name(nth));
            if self.read(|conn| conn.execute_batch(&detach)).is_err() {
                return;
            }
            images.borrow_mut().pop();
        }
    }
}

impl Transfer {
    /// As many of the rows as an image takes, and how many that are.
    fn encode(
        &self,
        columns: &[Column<'_>],
        rows: Range<usize>,
        ids: Option<RowIds>,
    ) -> Option<(Rows, usize)> {
        let as_image = |field: &Field| framelock_image::Column {
            whole_as_integers: field.affinity == Affinity::Real,
            not_null: field.not_null,
            ..columns[field.column].as_image()
        };
        let columns: Vec<_> = self.fields.iter().map(as_image).collect();
        Rows::encode(&columns, ids, rows).ok()
    }
}

fn schema_name(image: usize) -> String {
    format!("_framelock_image_{image}")
}

fn table_name(table: u32) -> String {
    format!("_framelock_rows_{table}")
}

/// Whether SQLite stores what it is given in such a column, value for value.
fn stores_as_it_is(storage: &Storage) -> bool {
    match storage.encoding {
        Encoding::Nothing | Encoding::Blob => true,
        Encoding::Integer | Encoding::Scaled => {
            matches!(storage.affinity, Affinity::Integer | Affinity::Numeric | Affinity::Blob)
        }
        Encoding::Real => matches!(storage.affinity, Affinity::Real | Affinity::Blob),
        Encoding::Text
        | Encoding::Digits
        | Encoding::Interval
        | Encoding::Json
        | Encoding::Iso8601 => matches!(storage.affinity, Affinity::Text | Affinity::Blob),
    }
}

/// What follows the name in a table's DDL, which SQLite keeps as `CREATE TABLE`, the name as it was written,
/// and the rest. Nothing where a word in it means, or might mean, that rows have to be looked at.
fn definition(sql: &str) -> Option<&str> {
    const LOOKED_AT: [&str; 4] = ["CHECK", "CONFLICT", "STRICT", "WITHOUT"];
    let upper = sql.to_ascii_uppercase();
    if LOOKED_AT.iter().any(|word| upper.contains(word)) {
        return None;
    }
    let named = sql.strip_prefix("CREATE TABLE ")?;
    let end = match named.chars().next()? {
        '[' => named.find(']')? + 1,
        quote @ ('"' | '`' | '\'') => end_of_quoted(named, quote)?,
        _ => {
            named.find(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && !"_$".contains(c))?
        }
    };
    Some(&named[end..])
}

/// Where a name ends that begins with a quotation mark; two of them stand for one in it.
fn end_of_quoted(text: &str, quote: char) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text[at..].find(quote)? + 1;
        if !text[at..].starts_with(quote) {
            return Some(at);
        }
        at += 1;
    }
}
