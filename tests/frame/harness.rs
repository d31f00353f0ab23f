//! A store in a hundred lines: what the real one does with a plan, over rusqlite in memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use framelock::error::Result;
use framelock::frame::Frame;
use framelock::frame::catalogue;
use framelock::frame::cell::Cell;
use framelock::frame::column::Column;
use framelock::frame::options::{AppendOptions, Lossy};
use framelock::frame::plan::{Plan, TableColumn, TableKind, TableState};
use framelock::frame::read::{BatchReader, ReadColumn};
use framelock::frame::values::check_values;
use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

pub struct Db(pub Connection);

/// Options from the JSON that JavaScript would send.
pub fn options(json: &str) -> AppendOptions {
    serde_json::from_str(json).expect("options")
}

/// A frame of one nullable column `c`.
pub fn one(array: ArrayRef) -> Frame {
    let field = Field::new("c", array.data_type().clone(), true);
    frame(vec![field], vec![array])
}

pub fn frame(fields: Vec<Field>, arrays: Vec<ArrayRef>) -> Frame {
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).expect("a batch");
    Frame::new(schema, vec![batch])
}

impl Db {
    pub fn new() -> Self {
        let db = Connection::open_in_memory().expect("SQLite");
        db.execute_batch(catalogue::COLUMNS_DDL).expect("the catalogue");
        Db(db)
    }

    pub fn exec(&self, sql: &str) {
        self.0.execute_batch(sql).expect(sql);
    }

    /// Appends, all or nothing; SQLite's refusals panic.
    pub fn append(
        &self,
        table: &str,
        frame: &Frame,
        options: &AppendOptions,
    ) -> Result<BTreeMap<String, u64>> {
        let plan = Plan::new(table, frame, &self.state(table), options)?;
        let coerced = check_values(frame, &plan, options.lossy)?;
        self.exec("BEGIN");
        for sql in &plan.ddl {
            self.exec(sql);
        }
        if plan.drop_catalogue {
            self.0.execute(catalogue::DELETE_SQL, [table]).expect("catalogue");
        }
        for (column, field) in &plan.catalogue {
            let bytes = catalogue::encode_field(field)?;
            let row = (table, column, field.data_type().to_string(), bytes);
            self.0.execute(catalogue::UPSERT_SQL, row).expect("catalogue");
        }
        for batch in &frame.batches {
            let columns = plan
                .columns
                .iter()
                .map(|planned| Column::new(batch.column(planned.frame_index), &planned.storage));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            let values = format!("VALUES({})", vec!["?"; columns.len()].join(","));
            let sql = plan.insert_sql(table, &values);
            let mut insert = self.0.prepare_cached(&sql).expect(&sql);
            for row in 0..batch.num_rows() {
                let cells = columns.iter().map(|column| Bound(column.cell(row)));
                insert.execute(rusqlite::params_from_iter(cells)).expect(&sql);
            }
        }
        self.exec("COMMIT");
        Ok(coerced)
    }

    /// A table as it is, as the plan wants to know it.
    pub fn state(&self, table: &str) -> TableState {
        let mut state = TableState::default();
        let found = self.0.query_row(
            "SELECT type, wr, strict, name FROM pragma_table_list WHERE schema='main' AND name=?1 COLLATE NOCASE",
            [table],
            |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        );
        let Ok((kind, without_rowid, strict, name)) = found else {
            return state;
        };
        (state.exists, state.name) = (true, name);
        (state.without_rowid, state.strict) = (without_rowid, strict);
        state.kind = match kind.as_str() {
            "table" => TableKind::Table,
            "view" => TableKind::View,
            _ => TableKind::Virtual,
        };
        let fields = self.fields(table);
        let mut sql = self
            .0
            .prepare("SELECT name, type, \"notnull\", dflt_value IS NOT NULL, pk, hidden FROM pragma_table_xinfo(?1)")
            .expect("xinfo");
        let columns = sql.query_map([table], |row| {
            let (name, declared): (String, String) = (row.get(0)?, row.get(1)?);
            let known = fields.get(&name.to_ascii_lowercase());
            let known = known.filter(|field| catalogue::applies(field, &declared, strict));
            Ok(TableColumn {
                field: known.cloned(),
                name,
                declared,
                not_null: row.get(2)?,
                has_default: row.get(3)?,
                primary_key: row.get(4)?,
                generated: row.get::<_, i64>(5)? >= 2,
            })
        });
        state.columns = columns.expect("columns").map(|c| c.expect("column")).collect();
        let mut sql = self
            .0
            .prepare(
                "SELECT l.name, i.name FROM pragma_index_list(?1) l, pragma_index_info(l.name) i \
                 WHERE l.\"unique\" AND NOT l.partial ORDER BY l.seq, i.seqno",
            )
            .expect("indexes");
        let mut unique: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let rows = sql.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)));
        for row in rows.expect("indexes") {
            let (index, column) = row.expect("index");
            unique.entry(index).or_default().push(column);
        }
        state.unique = unique.into_values().collect();
        let mut names = self.0.prepare("SELECT name FROM sqlite_schema").expect("schema");
        let names = names.query_map([], |row| row.get(0)).expect("names");
        state.taken = names.map(|name| name.expect("name")).collect();
        if state.kind == TableKind::Table {
            let sql = format!("SELECT EXISTS(SELECT 1 FROM \"{}\")", table.replace('"', "\"\""));
            state.has_rows = self.0.query_row(&sql, [], |row| row.get(0)).expect("rows");
        }
        state
    }

    /// The catalogue's fields of a table, by their names in lower case.
    fn fields(&self, table: &str) -> BTreeMap<String, Field> {
        let mut sql = self
            .0
            .prepare("SELECT column_name, field FROM main._framelock_columns WHERE table_name = ?1")
            .expect("catalogue");
        let rows = sql.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)));
        let rows = rows.expect("catalogue").map(|row| {
            let (name, bytes): (String, Vec<u8>) = row.expect("row");
            (name.to_ascii_lowercase(), catalogue::decode_field(&bytes).expect("a field"))
        });
        rows.collect()
    }

    /// `SELECT *` with the catalogue's types.
    pub fn read(&self, table: &str) -> Result<RecordBatch> {
        let fields = self.fields(table);
        let sql = format!("SELECT * FROM \"{}\"", table.replace('"', "\"\""));
        self.query(&sql, |name| fields.get(&name.to_ascii_lowercase()).cloned())
    }

    pub fn query(&self, sql: &str, field: impl Fn(&str) -> Option<Field>) -> Result<RecordBatch> {
        let mut statement = self.0.prepare(sql).expect(sql);
        let columns: Vec<_> = statement
            .column_names()
            .map(|name| ReadColumn { name: name.to_owned(), field: field(name) })
            .collect();
        let count = columns.len();
        let mut reader = BatchReader::new(columns)?;
        let mut rows = statement.query([]).expect(sql);
        while let Some(row) = rows.next().expect("a row") {
            for column in 0..count {
                let cell = match row.get_ref(column).expect("a value") {
                    ValueRef::Null => Cell::Null,
                    ValueRef::Integer(value) => Cell::Integer(value),
                    ValueRef::Real(value) => Cell::Real(value),
                    ValueRef::Text(text) => {
                        Cell::Text(Cow::Borrowed(std::str::from_utf8(text).expect("UTF-8")))
                    }
                    ValueRef::Blob(bytes) => Cell::Blob(Cow::Borrowed(bytes)),
                };
                reader.push(column, cell)?;
            }
        }
        reader.take()
    }

    /// `typeof` and the quoted value of a column's first row.
    pub fn stored(&self, table: &str, column: &str) -> String {
        let sql =
            format!("SELECT typeof(\"{column}\") || ' ' || quote(\"{column}\") FROM \"{table}\"");
        self.0.query_row(&sql, [], |row| row.get(0)).expect(&sql)
    }
}

/// What comes back of a frame that is appended to a new table, and what was changed on the way.
pub fn round_trip(frame: &Frame, lossy: Lossy) -> Result<(RecordBatch, BTreeMap<String, u64>)> {
    let db = Db::new();
    let options = AppendOptions { lossy, ..AppendOptions::default() };
    let coerced = db.append("t", frame, &options)?;
    Ok((db.read("t")?, coerced))
}

struct Bound<'a>(Cell<'a>);

impl rusqlite::ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match &self.0 {
            Cell::Null => ToSqlOutput::Owned(Value::Null),
            Cell::Integer(value) => ToSqlOutput::Owned(Value::Integer(*value)),
            Cell::Real(value) => ToSqlOutput::Owned(Value::Real(*value)),
            Cell::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Cell::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}
