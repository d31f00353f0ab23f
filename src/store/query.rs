//! Reading: rows in SQLite's values out to a sink, with the catalogue's types beside them.

use super::connection::{Params, Store, bind};
use super::error::is_missing_table;
use crate::error::{Code, Error, Result};
use crate::frame::catalogue;
use crate::frame::cell::Cell;
use crate::frame::ident::fold;
use crate::frame::read::{BatchReader, ReadColumn};
use crate::sorted::SortedMap;
use arrow::array::RecordBatch;
use arrow::datatypes::Field;
use arrow::ipc::writer::StreamWriter;
use rusqlite::types::ValueRef;
use std::borrow::Cow;

/// Takes the rows of a query, one at a time.
pub trait RowSink {
    /// The columns, once, before the first row.
    fn columns(&mut self, columns: &[ReadColumn]) -> Result<()>;
    /// The next value of the present row.
    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<()>;
}

impl Store {
    /// Runs one statement and gives its rows to `sink`. Gives how many there were.
    ///
    /// # Errors
    /// `SQL`, `INVALID_ARGUMENT` for parameters that do not fit or several statements, and what
    /// the sink says. A statement that writes fails under a shared lease; see [`Store::writes`].
    pub fn query(&mut self, sql: &str, params: &Params, sink: &mut dyn RowSink) -> Result<u64> {
        let nested = self.in_transaction();
        let outcome = self.query_rows(sql, params, sink);
        match self.ends_what_it_began(nested) {
            Ok(()) => outcome,
            Err(left_open) => outcome.and(Err(left_open)),
        }
    }

    fn query_rows(&mut self, sql: &str, params: &Params, sink: &mut dyn RowSink) -> Result<u64> {
        self.refresh_schema()?;
        let conn = self.conn()?;
        let mut statement = conn.prepare(sql).map_err(|e| self.sql_error(e))?;
        bind(&mut statement, params)?;
        let schema = if statement.readonly() { None } else { Some(self.schema_version()?) };
        if schema.is_some() || statement.column_count() == 0 {
            self.plans.borrow_mut().clear();
        }
        let columns = self.read_columns(&statement)?;
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
        drop(rows);
        if let Some(schema) = schema {
            self.schema_changed(schema)?;
        }
        Ok(count)
    }

    /// Another tab may have changed the schema since our last lease. SQLite notices when a statement
    /// runs, and prepares it anew; by then the names and types of its columns have been read.
    fn refresh_schema(&mut self) -> Result<()> {
        if !self.schema_is_fresh {
            self.run("SELECT 1 FROM sqlite_schema LIMIT 0")?;
            self.schema_is_fresh = true;
        }
        Ok(())
    }

    /// Whether a statement would write to the database, and so needs the exclusive lease.
    ///
    /// # Errors
    /// What SQLite says of the text.
    pub fn writes(&self, sql: &str) -> Result<bool> {
        let conn = self.conn()?;
        let statement = conn.prepare(sql).map_err(|e| self.sql_error(e))?;
        Ok(!statement.readonly())
    }

    /// The rows of a query as one Arrow IPC stream.
    ///
    /// # Errors
    /// As [`Store::query`], and those of [`BatchReader`] for an expression of mixed kinds.
    pub fn query_arrow(&mut self, sql: &str, params: &Params) -> Result<Vec<u8>> {
        ipc_stream(&self.query_batch(sql, params)?)
    }

    /// The rows of a query as Arrow IPC streams of `batch_rows` rows each, all of one schema; at
    /// least one, so that an empty result has a schema too.
    ///
    /// # Errors
    /// As [`Store::query_arrow`].
    pub fn query_batches(
        &mut self,
        sql: &str,
        params: &Params,
        batch_rows: usize,
    ) -> Result<Vec<Vec<u8>>> {
        let batch = self.query_batch(sql, params)?;
        let step = batch_rows.max(1);
        let starts = (0..batch.num_rows().max(1)).step_by(step);
        starts
            .map(|start| ipc_stream(&batch.slice(start, step.min(batch.num_rows() - start))))
            .collect()
    }

    fn query_batch(&mut self, sql: &str, params: &Params) -> Result<RecordBatch> {
        let mut sink = ArrowSink { reader: None };
        self.query(sql, params, &mut sink)?;
        let reader = sink.reader.ok_or_else(|| Error::new(Code::Sql, "no statement"))?;
        Ok(reader.finish()?.1)
    }

    /// Result columns, with the catalogue's field where one is a plain reference to a column.
    fn read_columns(&self, statement: &rusqlite::Statement<'_>) -> Result<Vec<ReadColumn>> {
        let mut tables: SortedMap<String, SortedMap<String, Field>> = SortedMap::new();
        let mut columns = Vec::new();
        for column in statement.columns_with_metadata() {
            let mut field = None;
            let origin = (column.database_name(), column.table_name(), column.origin_name());
            if let (Some("main"), Some(table), Some(name)) = origin {
                if !tables.contains_key(table) {
                    tables.insert(table.to_owned(), self.catalogue_of(table)?);
                }
                field = tables.get(table).and_then(|t| t.get(&fold(name))).cloned();
            }
            columns.push(ReadColumn { name: column.name().to_owned(), field });
        }
        Ok(columns)
    }

    /// The catalogue's fields of a table, by folded column name; those that cannot be about the
    /// column as it is declared now are left out.
    pub(super) fn catalogue_of(&self, table: &str) -> Result<SortedMap<String, Field>> {
        let conn = self.conn()?;
        let read = || {
            let mut select = conn.prepare_cached(
                "SELECT info.name, info.type, list.strict, known.field
                 FROM pragma_table_list(?1) AS list, pragma_table_xinfo(?1) AS info
                 JOIN _framelock_columns AS known
                   ON known.table_name = ?1 AND known.column_name = info.name
                 WHERE list.schema = 'main'",
            )?;
            select
                .query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
                .collect()
        };
        let rows: Vec<(String, String, bool, Vec<u8>)> = match read() {
            Err(error) if is_missing_table(&error) => return Ok(SortedMap::new()),
            other => other.map_err(|e| self.sql_error(e))?,
        };
        let mut fields = SortedMap::new();
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
                "DELETE FROM _framelock_columns WHERE NOT EXISTS (
                   SELECT 1 FROM pragma_table_xinfo(_framelock_columns.table_name) AS info
                   WHERE info.name = _framelock_columns.column_name COLLATE NOCASE)",
                [],
            )
            .map_err(|e| self.sql_error(e))?;
        }
        Ok(())
    }
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
        match &mut self.reader {
            Some(reader) => reader.push(column, cell),
            None => Err(Error::new(Code::Sql, "a row came before its columns")),
        }
    }
}
