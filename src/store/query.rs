//! Reading: rows in SQLite's values out to a sink, with the catalogue's types beside them.

use super::compound::{branches, is_empty};
use super::connection::{Params, Store, bind};
use super::error::is_missing_table;
use super::known::Types;
use super::slots::Slots;
use crate::error::{Code, Error, Result};
use crate::frame::catalogue;
use crate::frame::cell::Cell;
use crate::frame::ident::{fold, quote};
use crate::frame::read::{BatchReader, ReadColumn};
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use rusqlite::types::ValueRef;
use std::borrow::Cow;
use std::rc::Rc;

/// Takes the rows of a query, one at a time.
pub trait RowSink {
    /// The columns, once, before the first row.
    fn columns(&mut self, columns: &[ReadColumn]) -> Result<()>;
    /// The next value of the present row.
    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<()>;
}

impl Store {
    /// Runs one statement and gives its rows to `sink`. Gives how many there were. What fails changes
    /// nothing, and be it for a value of `RETURNING` that the sink does not take.
    ///
    /// # Errors
    /// `SQL`, `INVALID_ARGUMENT` for parameters that do not fit or several statements, and what
    /// the sink says. A statement that writes fails under a shared lease; see [`Store::writes`].
    pub fn query(&mut self, sql: &str, params: &Params, sink: &mut dyn RowSink) -> Result<u64> {
        self.callers(|store| store.query_rows(sql, params, sink))
    }

    fn query_rows(&mut self, sql: &str, params: &Params, sink: &mut dyn RowSink) -> Result<u64> {
        self.refresh_schema()?;
        let conn = self.conn()?;
        let (prepared, written) = self.touched.preparing(|| conn.prepare(sql));
        let mut statement = prepared.map_err(|e| self.sql_error(e))?;
        if is_empty(sql) {
            return Err(Error::new(Code::Sql, "the SQL has no statement"));
        }
        bind(&mut statement, params)?;
        let schema = if statement.readonly() { None } else { Some(self.schema_version()?) };
        let returns = !written.tables.is_empty() && statement.column_count() > 0;
        let before = conn.total_changes();
        let given = if returns {
            self.savepoint()?;
            let outcome = self.give_rows(sql, statement, sink);
            self.end_savepoint(outcome)
        } else {
            self.altering(written.altered, || self.give_rows(sql, statement, sink))
        };
        // What fails writes nothing, unless it says OR FAIL and returns nothing.
        if given.is_ok() || !returns && conn.total_changes() != before {
            self.touched.add(&written.tables);
        }
        let count = given?;
        // Once the catalogue has followed what was renamed.
        if let Some(schema) = schema {
            self.schema_changed(schema)?;
        }
        Ok(count)
    }

    fn give_rows(
        &self,
        sql: &str,
        mut statement: rusqlite::Statement<'_>,
        sink: &mut dyn RowSink,
    ) -> Result<u64> {
        if !statement.readonly() || statement.column_count() == 0 {
            self.schema_moved();
        }
        let columns = self.read_columns(sql, &statement)?;
        sink.columns(&columns)?;
        let mut rows = statement.raw_query();
        let mut count = 0;
        while let Some(row) = rows.next().map_err(|e| self.sql_error(e))? {
            for (index, column) in columns.iter().enumerate() {
                let value = row.get_ref(index).map_err(|e| self.sql_error(e))?;
                let given = to_cell(value).and_then(|cell| sink.cell(index, cell));
                given.map_err(|e| match e.row {
                    Some(_) => e,
                    None => e.in_column(&column.name).at_row(count),
                })?;
            }
            count += 1;
        }
        Ok(count)
    }

    /// Another tab may have changed the schema since our last lease, or a roll-back here. SQLite notices when a statement
    /// runs, and prepares it anew; by then the names and types of its columns have been read.
    pub(super) fn refresh_schema(&mut self) -> Result<()> {
        if self.schema_is_fresh.get() {
            return Ok(());
        }
        // The file's, that of what is temporary, and those of what a caller attached.
        for nth in 0.. {
            let Ok(name) = self.conn()?.db_name(nth) else {
                break;
            };
            self.run(&format!("SELECT 1 FROM {}.sqlite_schema LIMIT 0", quote(&name)))?;
        }
        self.schema_is_fresh.set(true);
        Ok(())
    }

    /// Whether a statement would write to the database, and so needs the exclusive lease.
    ///
    /// # Errors
    /// What SQLite says of the text.
    pub fn writes(&self, sql: &str) -> Result<bool> {
        let conn = self.conn()?;
        let (prepared, _) = self.touched.preparing(|| conn.prepare(sql));
        Ok(!prepared.map_err(|e| self.sql_error(e))?.readonly())
    }

    /// The rows of a query as one Arrow IPC stream.
    ///
    /// # Errors
    /// As [`Store::query`], and those of [`BatchReader`] for an expression of mixed kinds.
    pub fn query_arrow(&mut self, sql: &str, params: &Params) -> Result<Vec<u8>> {
        ipc_stream(&self.query_batch(sql, params)?)
    }

    /// The rows of a query as Arrow IPC streams of `batch_rows` rows each, all of one schema; at
    /// least one, so that an empty result has a schema too. They are given to [`super::Os::batch`]
    /// while the query runs: no more than one is in memory here.
    ///
    /// The schema is known when all rows are: integers in an expression may be followed by real
    /// numbers. Should it change on the way, what was given is void, and the query runs again with
    /// what it has come to. A statement that writes cannot run twice, and is given on at its end.
    ///
    /// # Errors
    /// As [`Store::query_arrow`].
    pub fn query_batches(&mut self, sql: &str, params: &Params, batch_rows: usize) -> Result<()> {
        let slots = self.vfs.slots().clone();
        slots.os().batch(None);
        let given = self.give_batches(&slots, sql, params, batch_rows.max(1));
        if given.is_err() {
            slots.os().batch(None);
        }
        given
    }

    fn give_batches(
        &mut self,
        slots: &Slots,
        sql: &str,
        params: &Params,
        step: usize,
    ) -> Result<()> {
        if self.writes(sql)? {
            let batch = self.query_batch(sql, params)?;
            for start in (0..batch.num_rows().max(1)).step_by(step) {
                let slice = batch.slice(start, step.min(batch.num_rows() - start));
                slots.os().batch(Some(&ipc_stream(&slice)?));
            }
            return Ok(());
        }
        let mut expected = None;
        loop {
            let mut sink = BatchSink::new(slots, step, expected);
            self.query(sql, params, &mut sink)?;
            match sink.end()? {
                None => return Ok(()),
                wider => expected = wider,
            }
            slots.os().batch(None);
        }
    }

    fn query_batch(&mut self, sql: &str, params: &Params) -> Result<RecordBatch> {
        let mut sink = ArrowSink { reader: None };
        self.query(sql, params, &mut sink)?;
        let mut reader = sink.reader.ok_or_else(|| Error::new(Code::Sql, "no statement"))?;
        reader.take()
    }

    /// Result columns, with the catalogue's field where one is a plain reference to a column, and
    /// certainly does not come out of a compound.
    fn read_columns(
        &self,
        sql: &str,
        statement: &rusqlite::Statement<'_>,
    ) -> Result<Vec<ReadColumn>> {
        self.known.borrow_mut().at(self.schema_version()?, self.in_transaction());
        let mut columns = self.origins(statement)?;
        if columns.iter().all(|column| column.field.is_none()) {
            return Ok(columns);
        }
        let kept = match self.without_compounds(sql, statement.readonly())? {
            Some(Cow::Borrowed(_)) => return Ok(columns),
            Some(Cow::Owned(cut)) => {
                let mut kept = match self.conn()?.prepare(&cut) {
                    Ok(statement) => self.origins(&statement)?,
                    Err(_) => Vec::new(),
                };
                for (kept, column) in kept.iter_mut().zip(&columns) {
                    kept.field =
                        kept.field.take().filter(|field| Some(field) == column.field.as_ref());
                }
                kept
            }
            None if statement.readonly() => self.agreed(sql)?,
            None => Vec::new(),
        };
        for (nth, column) in columns.iter_mut().enumerate() {
            column.field = kept.get(nth).and_then(|kept| kept.field.clone());
        }
        Ok(columns)
    }

    /// The result columns of a compound, with the field where all its branches have the same one. Nothing where that
    /// is not plain to see.
    fn agreed(&self, sql: &str) -> Result<Vec<ReadColumn>> {
        let mut agreed: Option<Vec<ReadColumn>> = None;
        for branch in branches(sql) {
            let is_plain = matches!(self.without_compounds(branch, true)?, Some(Cow::Borrowed(_)));
            let Some(statement) = self.conn()?.prepare(branch).ok().filter(|_| is_plain) else {
                return Ok(Vec::new());
            };
            let own = self.origins(&statement)?;
            match &mut agreed {
                None => agreed = Some(own),
                Some(all) => {
                    for (column, own) in all.iter_mut().zip(own) {
                        column.field = common(column.field.take(), own.field);
                    }
                }
            }
        }
        Ok(agreed.unwrap_or_default())
    }

    /// Result columns, with the catalogue's field where SQLite says of which column one is.
    fn origins(&self, statement: &rusqlite::Statement<'_>) -> Result<Vec<ReadColumn>> {
        let mut columns = Vec::new();
        for column in statement.columns_with_metadata() {
            let mut field = None;
            let origin = (column.database_name(), column.table_name(), column.origin_name());
            if let (Some("main"), Some(table), Some(name)) = origin {
                field = self.types_of(table)?.get(&fold(name)).cloned();
            }
            columns.push(ReadColumn { name: column.name().to_owned(), field });
        }
        Ok(columns)
    }

    /// As [`Store::catalogue_of`], from what is known where it is.
    fn types_of(&self, table: &str) -> Result<Rc<Types>> {
        if let Some(types) = self.known.borrow().types.get(table) {
            return Ok(types.clone());
        }
        let types = Rc::new(self.catalogue_of(table)?);
        self.known.borrow_mut().types.insert(table.to_owned(), types.clone());
        Ok(types)
    }

    /// The catalogue's fields of a table, by folded column name; those that cannot be about the
    /// column as it is declared now are left out.
    pub(super) fn catalogue_of(&self, table: &str) -> Result<Types> {
        let conn = self.conn()?;
        let read = || {
            let mut select = conn.prepare_cached(
                "SELECT info.name, info.type, list.strict, known.field
                 FROM pragma_table_list(?1) AS list, pragma_table_xinfo(?1, 'main') AS info
                 JOIN main._framelock_columns AS known
                   ON known.table_name = ?1 AND known.column_name = info.name
                 WHERE list.schema = 'main'",
            )?;
            select
                .query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
                .collect()
        };
        let rows: Vec<(String, String, bool, Vec<u8>)> = match read() {
            Err(error) if is_missing_table(&error) => return Ok(Types::new()),
            other => other.map_err(|e| self.sql_error(e))?,
        };
        let mut fields = Types::new();
        for (column, declared, strict, bytes) in rows {
            let field = catalogue::decode_field(&bytes)?;
            if catalogue::applies(&field, &declared, strict) {
                fields.insert(fold(&column), field);
            }
        }
        Ok(fields)
    }

    /// After the schema changed by SQL: forgets the types of tables and columns that are no more.
    pub(super) fn prune_catalogue(&self) -> Result<()> {
        let conn = self.conn()?;
        let known: bool = conn
            .query_row(
                "SELECT count(*) FROM sqlite_schema WHERE name = '_framelock_columns'",
                [],
                |row| row.get(0),
            )
            .map_err(|e| self.sql_error(e))?;
        if known {
            conn.execute(
                "DELETE FROM main._framelock_columns WHERE NOT EXISTS (
                   SELECT 1 FROM pragma_table_xinfo(_framelock_columns.table_name, 'main') AS info
                   WHERE info.name = _framelock_columns.column_name COLLATE NOCASE)",
                [],
            )
            .map_err(|e| self.sql_error(e))?;
        }
        Ok(())
    }
}

/// The field of two columns whose values mean the same; it has NULLs if one of them has.
fn common(one: Option<Field>, other: Option<Field>) -> Option<Field> {
    let (one, other) = (one?, other?);
    let nullable = one.is_nullable() || other.is_nullable();
    let alike = |field: Field| field.with_name("").with_nullable(nullable);
    let name = one.name().clone();
    let one = alike(one);
    (one == alike(other)).then(|| one.with_name(name))
}

fn to_cell(value: ValueRef<'_>) -> Result<Cell<'_>> {
    Ok(match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(value) => Cell::Integer(value),
        ValueRef::Real(value) => Cell::Real(value),
        ValueRef::Text(bytes) => Cell::Text(Cow::Borrowed(
            std::str::from_utf8(bytes)
                .map_err(|_| Error::new(Code::Corrupt, "the stored text is not valid UTF-8"))?,
        )),
        ValueRef::Blob(bytes) => Cell::Blob(Cow::Borrowed(bytes)),
    })
}

fn ipc_stream(batch: &RecordBatch) -> Result<Vec<u8>> {
    let failed = |e: arrow::error::ArrowError| Error::new(Code::Sql, e.to_string());
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).map_err(failed)?;
    writer.write(batch).map_err(failed)?;
    writer.into_inner().map_err(failed)
}

struct ArrowSink {
    reader: Option<BatchReader>,
}

impl RowSink for ArrowSink {
    fn columns(&mut self, columns: &[ReadColumn]) -> Result<()> {
        self.reader = Some(BatchReader::new(columns.to_vec())?);
        Ok(())
    }

    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<()> {
        self.reader.as_mut().ok_or_else(too_early)?.push(column, cell)
    }
}

/// Gives a query's rows on in batches, as long as they have one schema.
struct BatchSink<'s> {
    slots: &'s Slots,
    batch_rows: usize,
    reader: Option<BatchReader>,
    /// What an earlier run of the query came to.
    expected: Option<SchemaRef>,
    /// The schema of the first batch, and of the last.
    schemas: Option<(SchemaRef, SchemaRef)>,
}

impl<'s> BatchSink<'s> {
    fn new(slots: &'s Slots, batch_rows: usize, expected: Option<SchemaRef>) -> Self {
        BatchSink { slots, batch_rows, reader: None, expected, schemas: None }
    }

    /// Whether so many rows wait to be given on.
    fn has(&self, rows: usize) -> bool {
        self.reader.as_ref().is_some_and(|reader| reader.rows() >= rows)
    }

    fn give(&mut self) -> Result<()> {
        let reader = self.reader.as_mut().ok_or_else(too_early)?;
        let batch = reader.take()?;
        let last = batch.schema();
        let first = self.schemas.take().map_or_else(|| last.clone(), |(first, _)| first);
        // Once it is wider, the run goes on to find out how wide it will be.
        if first == last {
            self.slots.os().batch(Some(&ipc_stream(&batch)?));
        }
        self.schemas = Some((first, last));
        Ok(())
    }

    /// Gives the last rows on. Answers the schema that the batches should have had, if it is another.
    fn end(mut self) -> Result<Option<SchemaRef>> {
        if self.has(1) || self.schemas.is_none() {
            self.give()?;
        }
        Ok(self.schemas.and_then(|(first, last)| (first != last).then_some(last)))
    }
}

impl RowSink for BatchSink<'_> {
    fn columns(&mut self, columns: &[ReadColumn]) -> Result<()> {
        let mut reader = BatchReader::new(columns.to_vec())?;
        if let Some(schema) = &self.expected {
            reader.expect(schema)?;
        }
        self.reader = Some(reader);
        Ok(())
    }

    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<()> {
        if column == 0 && self.has(self.batch_rows) {
            self.give()?;
        }
        self.reader.as_mut().ok_or_else(too_early)?.push(column, cell)
    }
}

fn too_early() -> Error {
    Error::new(Code::Sql, "a row came before its columns")
}
