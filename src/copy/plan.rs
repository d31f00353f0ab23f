//! From a frame and a table's description to what is to be done: statements that make or widen the
//! table, or the COPY with the types that its bytes are written for.

use std::fmt::Write;

use arrow::array::new_empty_array;
use arrow::datatypes::{DataType, Field, Schema};
use serde::{Deserialize, Serialize};

use super::column::Column;
use super::declare::{check_json, declare};
use super::kind::{ColumnType, Kind};
use super::refusal::{Reason, Refusal, Result};
use crate::frame::ident::quote;
use crate::frame::storage::value_type;
use crate::frame::types;

/// PostgreSQL cuts longer names, silently.
const MAX_NAME_BYTES: usize = 63;
/// Columns that every table has and that nobody may write.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "cmin", "xmax", "cmax", "tableoid"];
/// The most columns of a table.
const MAX_COLUMNS: usize = 1_600;
/// The table in which rows stand for a moment when COPY may not write the real one.
const STAGE: &str = "pg_temp.framelock_stage";

/// What a frame may do to the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Policy {
    /// Nothing: the table is there with every column of the frame.
    Strict,
    /// Add columns to a table that is there.
    AddColumns,
    /// Make the table, and add columns.
    Create,
}

/// Where a frame is to go.
#[derive(Debug, Clone, Deserialize)]
pub struct Target {
    /// The schema of the table; by default the first of the search path.
    pub namespace: Option<String>,
    /// The table.
    pub table: String,
    /// What may be changed about it.
    pub policy: Policy,
    /// What it is; `None` when there is none.
    pub description: Option<Description>,
}

/// A table as the server describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// Whether COPY is refused: policies for rows hold for us, or it is a view. INSERT is not.
    pub no_copy: bool,
    /// The columns.
    pub columns: Vec<DescribedColumn>,
}

/// A column as the server describes it.
#[derive(Debug, Clone, Deserialize)]
pub struct DescribedColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(flatten)]
    pub column_type: ColumnType,
    /// Its type in SQL.
    pub sql: String,
    /// Whether the server computes its values.
    pub generated: bool,
}

/// What is to be done with a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Statements that make the table fit, after which it is described and planned again; empty
    /// when it fits.
    pub schema: Vec<String>,
    /// What comes before COPY: a stage for tables that it may not write.
    pub before: Vec<String>,
    /// The COPY.
    pub copy: String,
    /// What comes after it.
    pub after: Vec<String>,
    /// The types that the bytes are written for.
    #[serde(skip)]
    pub types: Vec<ColumnType>,
    /// The columns that are written, in the order of the types; those that are left out have only NULLs.
    #[serde(skip)]
    pub fields: Vec<usize>,
}

/// Plans a frame with a schema, constants included.
///
/// # Errors
/// `INVALID_NAME`, `SCHEMA_MISMATCH`, `UNSUPPORTED_TYPE` with the column concerned.
pub fn plan(schema: &Schema, target: &Target) -> Result<Plan> {
    for name in target.namespace.iter().chain([&target.table]) {
        check_name(name, "table")?;
    }
    for field in schema.fields() {
        check_column(field).map_err(|refusal| refusal.in_column(field.name()))?;
    }
    // No table has more, and each is looked for among those of the table.
    if schema.fields().len() > MAX_COLUMNS {
        return Err(mismatch(format!("more than {MAX_COLUMNS} columns")));
    }
    let table = qualified(target);
    let Some(description) = &target.description else {
        return create(schema, target, &table);
    };
    let find = |field: &Field| description.columns.iter().find(|c| c.name == *field.name());
    let missing: Vec<&Field> =
        schema.fields().iter().map(AsRef::as_ref).filter(|field| find(field).is_none()).collect();
    if let (Policy::Strict, Some(first)) = (target.policy, missing.first()) {
        return Err(mismatch("the table has no such column").in_column(first.name()));
    }
    let added: Vec<&Field> = missing.into_iter().filter(|field| has_type(field)).collect();
    if !added.is_empty() {
        if description.columns.len() + added.len() > MAX_COLUMNS {
            return Err(mismatch(format!("more than {MAX_COLUMNS} columns")));
        }
        let mut statements = Vec::new();
        for field in &added {
            let (name, sql) = (quote(field.name()), declare(field)?.sql);
            statements.push(format!("ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {name} {sql}"));
        }
        statements.extend(comments(&added, &table)?);
        return Ok(Plan::of_schema(statements));
    }
    let mut columns = Vec::new();
    let mut fields = Vec::new();
    for (i, field) in schema.fields().iter().enumerate() {
        if let Some(column) = find(field) {
            check_fit(field, column)?;
            columns.push(column);
            fields.push(i);
        }
    }
    if columns.is_empty() && !schema.fields().is_empty() {
        return Err(no_types());
    }
    Ok(Plan { fields, ..write(&table, &columns, description.no_copy) })
}

/// Whether a field's values say what a column for them is. One of NULLs alone makes no column: a later
/// frame that has values makes it, and nothing is lost until then. Lists of NULLs alone say as little, and a column of
/// texts made for them would refuse the lists of numbers that come later.
pub fn has_type(field: &Field) -> bool {
    use DataType::*;
    match value_type(field.data_type()) {
        Null => false,
        List(item) | LargeList(item) | ListView(item) | LargeListView(item) => {
            *value_type(item.data_type()) != Null
        }
        FixedSizeList(item, _) => *value_type(item.data_type()) != Null,
        _ => true,
    }
}

fn no_types() -> Refusal {
    mismatch("no column of the frame has a type, and the table has none of them")
}

impl Plan {
    fn of_schema(schema: Vec<String>) -> Self {
        let (before, after) = (Vec::new(), Vec::new());
        let (types, fields) = (Vec::new(), Vec::new());
        Plan { schema, before, copy: String::new(), after, types, fields }
    }
}

fn create(schema: &Schema, target: &Target, table: &str) -> Result<Plan> {
    if target.policy != Policy::Create {
        return Err(mismatch("there is no such table"));
    }
    let all = schema.fields().iter().map(AsRef::as_ref);
    let fields: Vec<&Field> = all.filter(|field| has_type(field)).collect();
    if fields.is_empty() && !schema.fields().is_empty() {
        return Err(no_types());
    }
    let columns = fields
        .iter()
        .map(|field| Ok(format!("{} {}", quote(field.name()), declare(field)?.sql)))
        .collect::<Result<Vec<_>>>()?;
    let made = format!("CREATE TABLE IF NOT EXISTS {table} ({})", columns.join(", "));
    let mut statements = vec![made];
    statements.extend(comments(&fields, table)?);
    Ok(Plan::of_schema(statements))
}

fn comments(fields: &[&Field], table: &str) -> Result<Vec<String>> {
    let mut statements = Vec::new();
    for field in fields {
        if let Some(comment) = declare(field)?.comment {
            let (name, comment) = (quote(field.name()), literal(&comment));
            statements.push(format!("COMMENT ON COLUMN {table}.{name} IS {comment}"));
        }
    }
    Ok(statements)
}

fn write(table: &str, columns: &[&DescribedColumn], no_copy: bool) -> Plan {
    let names: Vec<_> = columns.iter().map(|column| quote(&column.name)).collect();
    let names = names.join(", ");
    let from = "FROM STDIN (FORMAT binary)";
    let types = columns.iter().map(|column| column.column_type.clone()).collect();
    if !no_copy {
        let copy = format!("COPY {table} ({names}) {from}");
        return Plan { copy, types, ..Plan::of_schema(Vec::new()) };
    }
    let mut stage = format!("CREATE TEMPORARY TABLE {} (", &STAGE["pg_temp.".len()..]);
    for (i, column) in columns.iter().enumerate() {
        let comma = if i > 0 { ", " } else { "" };
        // Writing to a string does not fail.
        let _ = write!(stage, "{comma}{} {}", quote(&column.name), column.sql);
    }
    stage.push_str(") ON COMMIT DROP");
    Plan {
        before: vec![stage],
        copy: format!("COPY {STAGE} ({names}) {from}"),
        after: vec![format!(
            // As COPY does: an identity column takes the value that it is given.
            "INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM {STAGE}"
        )],
        types,
        ..Plan::of_schema(Vec::new())
    }
}

fn check_fit(field: &Field, column: &DescribedColumn) -> Result<()> {
    let refuse = |why: String| Err(mismatch(why).in_column(field.name()));
    if column.generated {
        return refuse("the table computes this column".to_owned());
    }
    let (from, to) = (types::name(field.data_type()), &column.sql);
    if column.column_type.kind() == Kind::Other {
        return refuse(format!("a column of type {to} is not written"));
    }
    let empty = new_empty_array(field.data_type());
    match Column::new(empty.as_ref(), &column.column_type) {
        Some(_) => Ok(()),
        None => refuse(format!("{from} does not go into a column of type {to}")),
    }
}

/// The table's name, quoted.
fn qualified(target: &Target) -> String {
    match &target.namespace {
        Some(namespace) => format!("{}.{}", quote(namespace), quote(&target.table)),
        None => quote(&target.table),
    }
}

/// What is wrong with a column whatever the table is.
fn check_column(field: &Field) -> Result<()> {
    check_name(field.name(), "column")?;
    if SYSTEM_COLUMNS.contains(&field.name().as_str()) {
        let message = "a column name that PostgreSQL has for itself";
        return Err(Refusal::new(Reason::InvalidName, message));
    }
    // A zone's name would stand in the column's comment.
    if types::name(field.data_type()).contains('\0') {
        return Err(Refusal::new(Reason::NulInText, "a type with U+0000 in its name"));
    }
    check_json(field.data_type())
}

fn check_name(name: &str, what: &str) -> Result<()> {
    let refuse =
        |why: String| Err(Refusal::new(Reason::InvalidName, format!("a {what} name {why}")));
    if name.is_empty() {
        refuse("is empty".to_owned())
    } else if name.len() > MAX_NAME_BYTES {
        refuse(format!("of more than {MAX_NAME_BYTES} bytes would be cut"))
    } else if name.contains('\0') {
        refuse("has U+0000".to_owned())
    } else {
        Ok(())
    }
}

/// Text as an SQL literal. With a backslash it says that it is one of those in which it escapes,
/// so that the server's settings do not matter.
fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    match quoted.contains('\\') {
        true => format!(" E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

fn mismatch(message: impl Into<String>) -> Refusal {
    Refusal::new(Reason::SchemaMismatch, message)
}
