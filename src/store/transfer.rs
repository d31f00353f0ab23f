//! The rows of a large frame as records, which SQLite moves from one b-tree to another without looking
//! into them: its transfer optimisation ("The INSERT INTO ... SELECT xfer optimization" in its
//! `insert.c`).
//!
//! Rows go this way where nothing but the records is to be written, no index and no trigger, and where
//! SQLite would store every value as it is. Nothing depends on whether SQLite takes its short way: the
//! image is a database, and `INSERT … SELECT *` reads it one way or the other. What it does not check on
//! that way is checked here: that no NULL goes where none may, and that there is no `CHECK`.

use super::append::AppendRequest;
use super::connection::Store;
use super::vfs::IMAGE_PATH;
use crate::error::{Code, Error, Result};
use crate::frame::Frame;
use crate::frame::column::Column;
use crate::frame::ident::quote;
use crate::frame::plan::{Plan, PlannedColumn};
use crate::frame::storage::{Affinity, Encoding, Storage};
use framelock_image::{Image, Rows};
use rusqlite::OptionalExtension;
use std::ops::Range;

/// From here on it is worth attaching an image.
pub const TRANSFER_CELLS: u64 = 20_000;
/// How much of a frame is in an image at one time.
const IMAGE_BYTES: u64 = 4 << 20;
/// So many cells are a table of an image, at least; see [`Store::tables_for`].
const TABLE_CELLS: u64 = 200_000;

/// How the rows of a frame go into a table.
pub(super) struct Transfer {
    /// The table's name, quoted.
    table: String,
    /// What follows its name in its DDL.
    definition: String,
    /// The table's columns, in order.
    fields: Vec<Field>,
    /// Which of them is the row id.
    row_id: Option<usize>,
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
    /// From how many cells on a frame is transferred, where it can be; otherwise than usual.
    pub fn transfer_from(&mut self, cells: u64) {
        self.transfer_cells = cells;
    }

    /// How a frame is transferred, if it can be. The table is as the plan wants it.
    pub(super) fn plan_transfer(
        &self,
        request: &AppendRequest,
        frame: &Frame,
        plan: &Plan,
    ) -> Result<Option<Transfer>> {
        let cells = frame.rows.saturating_mul(plan.columns.len() as u64);
        let plain = plan.conflict.is_empty()
            && plan.columns.iter().all(|column| stores_as_it_is(&column.storage));
        if cells < self.transfer_cells || !plain {
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
        Ok(Some(Transfer {
            table: quote(&request.table),
            definition: definition.to_owned(),
            row_id: fields.iter().position(|field| plan.columns[field.column].row_id),
            fields,
            tables: tables_for(cells, request.content.bytes_estimate(), frame.batches.len()),
            image: None,
        }))
    }

    /// The DDL of a table that has neither index nor trigger.
    fn plain_table(&self, table: &str) -> Result<Option<String>> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT sql FROM main.sqlite_schema
                 WHERE type = 'table' AND name = ?1 COLLATE NOCASE
                 AND NOT EXISTS(SELECT 1 FROM main.sqlite_schema
                   WHERE type IN ('index', 'trigger') AND tbl_name = ?1 COLLATE NOCASE)
                 AND NOT EXISTS(SELECT 1 FROM temp.sqlite_schema
                   WHERE tbl_name = ?1 COLLATE NOCASE)",
            )?
            .query_row([table], |row| row.get(0))
            .optional()
        })
    }

    /// The table's columns, if the frame has them all.
    fn fields(&self, table: &str, columns: &[PlannedColumn]) -> Result<Option<Vec<Field>>> {
        let fields: Vec<Option<Field>> = self.read(|conn| {
            conn.prepare_cached("SELECT name, \"notnull\" FROM pragma_table_xinfo(?, 'main')")?
                .query_map([table], |row| {
                    let (name, not_null): (String, bool) = (row.get(0)?, row.get(1)?);
                    let column = columns.iter().position(|c| c.name.eq_ignore_ascii_case(&name));
                    Ok(column.map(|column| Field {
                        column,
                        not_null: not_null && !columns[column].row_id,
                        affinity: columns[column].storage.affinity,
                    }))
                })?
                .collect()
        })?;
        Ok(fields.into_iter().collect())
    }

    /// Writes some of the rows, and gives how many. Nothing when these cannot be transferred, or one of
    /// them is refused; nothing is written then, and who inserts them one by one is told why.
    ///
    /// # Errors
    /// Those of SQLite and its storage.
    pub(super) fn transfer(
        &mut self,
        transfer: &mut Transfer,
        columns: &[Column<'_>],
        rows: Range<usize>,
    ) -> Result<Option<usize>> {
        let Some((filled, count)) = transfer.encode(columns, rows) else {
            return Ok(None);
        };
        let Some((image, table)) = self.next_table(transfer)? else {
            return Ok(None);
        };
        let slots = self.vfs.slots().clone();
        if let Some(image) = slots.images.borrow_mut().get_mut(image) {
            image.fill(table, filled);
        }
        let source = format!("{}.{}", schema_name(image), table_name(table));
        let sql = format!("INSERT INTO main.{} SELECT * FROM {source}", transfer.table);
        let moved = self.read(|conn| conn.execute(&sql, []));
        if let Some(image) = slots.images.borrow_mut().get_mut(image) {
            image.empty();
        }
        match moved {
            Ok(moved) if moved == count => Ok(Some(count)),
            Ok(_) => Err(Error::new(Code::Sql, "the insert has not read the frame")),
            Err(error) if error.code == Code::Constraint && self.in_transaction() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A table that nothing was read from yet: SQLite keeps pages that it has read until the transaction
    /// ends, and an image attached as long.
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
        let Some(image) = Image::new(transfer.tables, create) else {
            return Ok(None);
        };
        let nth = images.borrow().len();
        images.borrow_mut().push(image);
        let attached = self.run(&format!("ATTACH '{IMAGE_PATH}{nth}' AS {}", schema_name(nth)));
        if attached.is_err() {
            // There are ten at most, the caller's own among them.
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
            if self.run(&format!("DETACH {}", schema_name(nth))).is_err() {
                return;
            }
            images.borrow_mut().pop();
        }
    }
}

impl Transfer {
    /// As many of the rows as an image takes, and how many that are.
    fn encode(&self, columns: &[Column<'_>], rows: Range<usize>) -> Option<(Rows, usize)> {
        let columns: Vec<_> = self
            .fields
            .iter()
            .map(|field| {
                let column = columns[field.column].as_image();
                let whole_as_integers = field.affinity == Affinity::Real;
                framelock_image::Column { whole_as_integers, not_null: field.not_null, ..column }
            })
            .collect();
        Rows::encode(&columns, self.row_id, rows).ok()
    }
}

/// How many tables an image should have for a frame: more than it will need, with pieces of so many cells
/// or bytes of each batch.
fn tables_for(cells: u64, bytes: u64, batches: usize) -> u32 {
    let tables = cells / TABLE_CELLS + bytes / (IMAGE_BYTES / 2) + batches as u64 + 1;
    u32::try_from(tables).unwrap_or(u32::MAX)
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
    const LOOKED_AT: [&str; 3] = ["CHECK", "CONFLICT", "WITHOUT"];
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
