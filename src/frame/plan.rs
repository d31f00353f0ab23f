//! From a frame's schema, a table's state and the options to what is to be done: the DDL, the
//! insert, the catalogue rows. Every disagreement is found here, before the first row.
//!
//! A table of our own has its types in the catalogue. A table made by other people has none: a
//! column of it takes what its affinity keeps as it is, and an *empty* one adopts the frame's types
//! (its catalogue rows are written), so that they read back. One that has rows stays untyped, as
//! nobody knows what its integers count.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Field, Schema};

use super::convert::fit;
use super::ident::{check_columns, check_table_name, fold, names, qualified, quote};
use super::nested::relaxed;
use super::options::{AppendOptions, ExtraColumns, Match, MissingColumns, Mode};
use super::storage::{Affinity, Encoding, Storage, read_back_type, value_type};
pub use super::table::{TableColumn, TableKind, TableState};
use super::types::{self, ColumnType};
use super::{Frame, catalogue, early, keys, target};
use crate::error::{Code, Error, Result};

/// What is to be done for a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The table's own name, which may be spelled in other cases than the one that was given.
    pub table: String,
    /// Statements to execute before the first row, in the rows' transaction.
    pub ddl: Vec<String>,
    /// The columns to write, in the order of the insert.
    pub columns: Vec<PlannedColumn>,
    /// Whether the table's catalogue rows are to be forgotten first.
    pub drop_catalogue: bool,
    /// The catalogue rows to write, by column name.
    pub catalogue: Vec<(String, Field)>,
    /// What follows the insert's source: empty, or ` ON CONFLICT…`.
    pub conflict: String,
}

/// A column to write.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedColumn {
    /// Its place in the frame.
    pub frame_index: usize,
    /// Its name in the table.
    pub name: String,
    /// How its values are stored.
    pub storage: Storage,
    /// Whether it is the table's row id, where SQLite writes a number of its own for NULL.
    pub row_id: bool,
}

impl Plan {
    /// The column of which SQLite says that it is why a row was refused: `NOT NULL constraint failed: t.c`. A
    /// constraint of several columns, or of another table, names none.
    pub fn column_named_by(&self, message: &str) -> Option<&str> {
        let is_named = |column: &&PlannedColumn| {
            message.ends_with(&format!(" constraint failed: {}.{}", self.table, column.name))
        };
        self.columns.iter().find(is_named).map(|column| column.name.as_str())
    }

    /// Decides what is to be done.
    ///
    /// # Errors
    /// `SCHEMA_MISMATCH` where table and frame disagree, `INVALID_ARGUMENT` for options that make
    /// no sense, `INVALID_FRAME` and `UNSUPPORTED_TYPE` for the frame's columns.
    pub fn new(
        table: &str,
        frame: &Frame,
        state: &TableState,
        options: &AppendOptions,
    ) -> Result<Plan> {
        let planner = Planner { table, frame, schema: &frame.schema, state, options };
        planner.plan().map_err(|error| error.in_table(table))
    }

    /// The insert of what `source` gives, columns in the plan's order; of a plan without columns, of a single row of
    /// defaults.
    pub fn insert_sql(&self, table: &str, source: &str) -> String {
        if self.columns.is_empty() {
            return format!("INSERT INTO {} DEFAULT VALUES", qualified(table));
        }
        let names: Vec<_> = self.columns.iter().map(|column| quote(&column.name)).collect();
        let (table, names) = (qualified(table), names.join(","));
        // `excluded` is what was refused, unless the table itself is called that: so it goes by another name.
        let alias = if self.conflict.is_empty() { "" } else { " AS target" };
        format!("INSERT INTO {table}{alias}({names}) {source}{}", self.conflict)
    }
}

struct Planner<'a> {
    table: &'a str,
    frame: &'a Frame,
    schema: &'a Schema,
    state: &'a TableState,
    options: &'a AppendOptions,
}

impl Planner<'_> {
    fn plan(&self) -> Result<Plan> {
        check_table_name(self.table)?;
        let names = names(self.schema);
        check_columns(&names)?;
        early::check_options(&names, self.frame.rows, self.options)?;
        match self.state.kind {
            _ if !self.state.exists => {}
            TableKind::Table => {}
            TableKind::View => return Err(mismatch("a view has no rows of its own to append to")),
            TableKind::Virtual => return Err(mismatch("a virtual table is not written to")),
        }
        match (self.options.mode, self.state.exists) {
            (Mode::Create, true) => Err(mismatch("the table exists already, and mode is 'create'")),
            (Mode::Append, false) => {
                Err(mismatch("the table does not exist, and mode is 'append'"))
            }
            (Mode::Replace, _) | (_, false) => self.create(),
            (_, true) => self.append(),
        }
    }

    /// The table is made, or dropped and made anew.
    fn create(&self) -> Result<Plan> {
        if self.schema.fields().is_empty() {
            return Err(mismatch("a frame without columns makes no table"));
        }
        let mut columns = Vec::new();
        let mut catalogue = Vec::new();
        let mut definitions = Vec::new();
        let key = keys::in_frame(self.schema, self.options)?;
        for (frame_index, field) in self.schema.fields().iter().enumerate() {
            let (data_type, iso8601) = wanted(field, self.options)?;
            let storage =
                Storage::new(&data_type, iso8601).map_err(|e| e.in_column(field.name()))?;
            let in_key = key.contains(&frame_index);
            definitions.push(format!(
                "{} {}{}",
                quote(field.name()),
                storage.encoding.declared().as_sql(),
                if in_key { " NOT NULL" } else { "" }
            ));
            catalogue.push((field.name().clone(), typed(field, &storage)));
            columns.push(PlannedColumn {
                frame_index,
                name: field.name().clone(),
                row_id: in_key && key.len() == 1 && storage.affinity == Affinity::Integer,
                storage,
            });
        }
        let key: Vec<_> =
            key.iter().map(|index| self.schema.field(*index).name().clone()).collect();
        if !key.is_empty() {
            definitions.push(format!("PRIMARY KEY({})", keys::list(&key)));
        }
        let mut ddl = Vec::new();
        if self.state.exists {
            ddl.push(format!("DROP TABLE {}", qualified(self.table)));
        }
        ddl.push(format!("CREATE TABLE {}({})", qualified(self.table), definitions.join(", ")));
        Ok(Plan {
            table: self.table.to_owned(),
            ddl,
            conflict: keys::conflict(self.options.mode, &key, &columns),
            columns,
            drop_catalogue: true,
            catalogue,
        })
    }

    /// The table is there, with its types.
    fn append(&self) -> Result<Plan> {
        let mut plan = Plan {
            table: self.state.name.clone(),
            ddl: Vec::new(),
            columns: Vec::new(),
            drop_catalogue: false,
            catalogue: Vec::new(),
            conflict: String::new(),
        };
        let empties = self.options.mode == Mode::DeleteRows;
        if empties {
            plan.ddl.push(format!("DELETE FROM {}", qualified(self.table)));
        }
        if self.frame.is_nothing() {
            return Ok(plan);
        }
        let adopts = empties || !self.state.has_rows;
        let mut written = BTreeSet::new();
        for (frame_index, field) in self.schema.fields().iter().enumerate() {
            match self.find(frame_index, field) {
                Some(column) => {
                    let planned = self
                        .existing(frame_index, field, column, adopts, &mut plan)
                        .map_err(|error| error.in_column(field.name()))?;
                    written.insert(fold(&column.name));
                    plan.columns.push(planned);
                }
                None => self
                    .extra(frame_index, field, &mut plan)
                    .map_err(|error| error.in_column(field.name()))?,
            }
        }
        for column in &self.state.columns {
            if !column.generated && !written.contains(&fold(&column.name)) {
                self.missing(column, &mut plan).map_err(|error| error.in_column(&column.name))?;
            }
        }
        let (key, index) = keys::in_table(self.table, self.state, self.options, &plan.columns)?;
        plan.ddl.extend(index);
        plan.conflict = keys::conflict(self.options.mode, &key, &plan.columns);
        Ok(plan)
    }

    /// The table's column for a column of the frame.
    fn find(&self, frame_index: usize, field: &Field) -> Option<&TableColumn> {
        let columns = &self.state.columns;
        match self.options.matching {
            Match::Position => columns.iter().filter(|column| !column.generated).nth(frame_index),
            Match::Name => {
                columns.iter().find(|column| column.name.eq_ignore_ascii_case(field.name()))
            }
        }
    }

    fn existing(
        &self,
        frame_index: usize,
        field: &Field,
        column: &TableColumn,
        adopts: bool,
        plan: &mut Plan,
    ) -> Result<PlannedColumn> {
        if column.generated {
            return Err(mismatch("the table computes this column itself"));
        }
        let (wanted, iso8601) = wanted(field, self.options)?;
        let known = column.field.as_ref();
        let untyped = known.is_none_or(|known| *known.data_type() == DataType::Null);
        let mut target = target::Target {
            declared: &column.declared,
            strict: self.state.strict,
            adopts: adopts || known.is_some(),
        };
        let storage = match known {
            Some(known) if !untyped => target.known(known, &wanted, iso8601)?,
            _ => {
                target.adopts |= untyped && known.is_some();
                target.unknown(&wanted, iso8601)?
            }
        };
        if known.is_none() && adopts || known.is_some() && untyped && wanted != DataType::Null {
            let field = typed(field, &storage).with_name(&column.name);
            plan.catalogue.push((column.name.clone(), field));
        } else if let Some(known) = known {
            let data_type = relaxed(known.data_type(), field.data_type());
            let nullable = known.is_nullable() || field.is_nullable();
            let relaxed = known.clone().with_data_type(data_type).with_nullable(nullable);
            if relaxed != *known {
                plan.catalogue.push((column.name.clone(), relaxed));
            }
        }
        Ok(PlannedColumn {
            frame_index,
            name: column.name.clone(),
            storage,
            row_id: self.state.is_row_id(column),
        })
    }

    /// A column that the table does not have.
    fn extra(&self, frame_index: usize, field: &Field, plan: &mut Plan) -> Result<()> {
        match self.options.extra_columns {
            ExtraColumns::Error => Err(mismatch(
                "the table does not have this column; extraColumns may say 'add' or 'drop'",
            )),
            ExtraColumns::Drop => Ok(()),
            ExtraColumns::Add if self.has_column(field.name()) => {
                Err(mismatch("the table has another column of this name"))
            }
            ExtraColumns::Add => {
                let (data_type, iso8601) = wanted(field, self.options)?;
                let storage = Storage::new(&data_type, iso8601)?;
                plan.ddl.push(format!(
                    "ALTER TABLE {} ADD COLUMN {} {}",
                    qualified(self.table),
                    quote(field.name()),
                    storage.encoding.declared().as_sql()
                ));
                let nullable = field.is_nullable() || self.state.has_rows;
                let known = typed(field, &storage).with_nullable(nullable);
                plan.catalogue.push((field.name().clone(), known));
                plan.columns.push(PlannedColumn {
                    frame_index,
                    name: field.name().clone(),
                    storage,
                    row_id: false,
                });
                Ok(())
            }
        }
    }

    fn has_column(&self, name: &str) -> bool {
        self.state.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// A column that the frame does not have.
    fn missing(&self, column: &TableColumn, plan: &mut Plan) -> Result<()> {
        if self.options.missing_columns == MissingColumns::Error {
            return Err(mismatch("the frame does not have this column"));
        }
        if self.state.is_row_id(column) {
            return check_numbered(column);
        }
        if column.has_default {
            return Ok(());
        }
        if column.not_null {
            let why = "the frame does not have this column, which is NOT NULL without a DEFAULT";
            return Err(mismatch(why));
        }
        if let Some(known) = &column.field
            && !known.is_nullable()
        {
            plan.catalogue.push((column.name.clone(), known.clone().with_nullable(true)));
        }
        Ok(())
    }
}

/// The type a column of the frame is to have, and whether as ISO 8601 text. The table has no say in it.
pub(super) fn wanted(field: &Field, options: &AppendOptions) -> Result<(DataType, bool)> {
    let own = read_back_type(field.data_type());
    match options.types.get(field.name()) {
        None => Ok((own, false)),
        Some(ColumnType::Iso8601) => {
            Encoding::of(&own, true).map_err(|e| e.in_column(field.name()))?;
            Ok((own, true))
        }
        Some(ColumnType::Arrow(wanted)) => {
            let wanted = read_back_type(wanted);
            match fit(&own, &wanted) {
                Some(_) => Ok((wanted, false)),
                None => Err(mismatch(format!(
                    "{} cannot become {}",
                    types::name(&own),
                    types::name(&wanted)
                ))
                .in_column(field.name())),
            }
        }
    }
}

/// SQLite numbers the rows that come without the row id. As a time, a decimal or a bool such a number would be made
/// up.
fn check_numbered(column: &TableColumn) -> Result<()> {
    match column.field.as_ref().map(|field| value_type(field.data_type())) {
        Some(other) if !can_be_numbered(other) => Err(mismatch(format!(
            "the frame does not have this column, which is the table's row id: SQLite would number \
             the rows, and a number of its own is no {}",
            types::name(other)
        ))),
        _ => Ok(()),
    }
}

/// Whether SQLite's own numbers are ids in a row id of this type: integers that have room for them.
pub(super) fn can_be_numbered(data_type: &DataType) -> bool {
    use DataType::{Int32, Int64, Null, UInt32, UInt64};
    matches!(value_type(data_type), Null | Int32 | Int64 | UInt32 | UInt64)
}

/// A field as the catalogue has it: with the type that is read back, and how that is stored.
fn typed(field: &Field, storage: &Storage) -> Field {
    let typed = match *field.data_type() == storage.data_type {
        true => field.clone(),
        false => field.clone().with_data_type(storage.data_type.clone()),
    };
    match storage.encoding {
        Encoding::Iso8601 => catalogue::mark_iso8601(typed),
        _ => catalogue::unmarked(typed),
    }
}

pub(super) fn argument(why: &str) -> Error {
    Error::new(Code::InvalidArgument, why)
}

pub(super) fn mismatch(why: impl Into<String>) -> Error {
    Error::new(Code::SchemaMismatch, why)
}
