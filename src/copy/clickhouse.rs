//! Frames as ClickHouse takes them: an Arrow IPC stream of one batch, with the server's own columns beside.
//!
//! ClickHouse casts what does not fit a column's type, and a cast wraps and saturates. So the types are looked at here:
//! a value goes only into a type that has all values of its own, and moments only within the years that DateTime64 has.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use serde::{Deserialize, Serialize};

use super::arrays::Integers;
use super::plan::Policy;
use super::refusal::{Reason, Refusal, Result};
use crate::frame::Frame;
use crate::frame::decimal;
use crate::frame::join::{join, repeat};
use crate::frame::storage::value_type;
use crate::frame::types;

/// 1900-01-01 and 2300-01-01 in seconds since 1970: what DateTime64 and Date32 have.
const FIRST_SECOND: i64 = -2_208_988_800;
const END_SECOND: i64 = 10_413_792_000;
const DAY_SECONDS: i64 = 86_400;
/// At nine digits an int64 ends earlier.
const END_SECOND_NANOS: i64 = i64::MAX / 1_000_000_000;

/// Where a frame is to go.
#[derive(Debug, Clone, Deserialize)]
pub struct Target {
    /// The database; by default the connection's.
    pub namespace: Option<String>,
    /// The table.
    pub table: String,
    /// What may be changed about it.
    pub policy: Policy,
    /// Its columns as `system.columns` has them; `None` when there is no table.
    pub columns: Option<Vec<Column>>,
    /// The column of tags.
    pub tag: String,
}

/// A column as the server describes it.
#[derive(Debug, Clone, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub sql: String,
}

/// What is to be done with a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Statements that make the table fit; empty when it fits.
    pub schema: Vec<String>,
    /// The INSERT, whose data is the stream that [`stream`] gives.
    pub insert: String,
}

/// Plans a frame with a schema, constants included.
///
/// # Errors
/// `SCHEMA_MISMATCH`, `UNSUPPORTED_TYPE` with the column concerned.
pub fn plan(schema: &Schema, target: &Target) -> Result<Plan> {
    let table = match &target.namespace {
        Some(database) => format!("{}.{}", quote(database), quote(&target.table)),
        None => quote(&target.table),
    };
    let declared = |field: &Field| {
        let sql = declare(field.data_type()).map_err(|e| e.in_column(field.name()))?;
        Ok::<_, Refusal>(format!("{} {sql}", quote(field.name())))
    };
    let Some(columns) = &target.columns else {
        if target.policy != Policy::Create {
            return Err(mismatch("there is no such table".to_owned()));
        }
        let all = schema.fields().iter().map(|field| declared(field));
        let all = all.collect::<Result<Vec<_>>>()?.join(", ");
        let tag = quote(&target.tag);
        // In the order of the tags: what a frame has left behind is found by its beginning.
        let made = format!(
            "CREATE TABLE IF NOT EXISTS {table} ({all}, {tag} String CODEC(ZSTD)) ENGINE = MergeTree \
             ORDER BY {tag} SETTINGS non_replicated_deduplication_window = 10000"
        );
        return Ok(Plan { schema: vec![made], insert: String::new() });
    };
    if !columns.iter().any(|column| column.name == target.tag && column.sql == "String") {
        let message = format!("the table has no column {} of type String", target.tag);
        return Err(mismatch(message).in_column(&target.tag));
    }
    let mut added = Vec::new();
    for field in schema.fields() {
        let name = field.name();
        match columns.iter().find(|column| column.name == *name) {
            Some(column) if fits(field.data_type(), &column.sql) => {}
            Some(column) => {
                let from = types::name(field.data_type());
                let message = format!("{from} does not go into a column of type {}", column.sql);
                return Err(mismatch(message).in_column(name));
            }
            None if target.policy == Policy::Strict => {
                return Err(mismatch("the table has no such column".to_owned()).in_column(name));
            }
            None => added.push(format!("ADD COLUMN IF NOT EXISTS {}", declared(field)?)),
        }
    }
    if !added.is_empty() {
        let statement = format!("ALTER TABLE {table} {}", added.join(", "));
        return Ok(Plan { schema: vec![statement], insert: String::new() });
    }
    let names = schema.fields().iter().map(|field| field.name()).chain([&target.tag]);
    let names: Vec<_> = names.map(|name| quote(name)).collect();
    let insert = format!("INSERT INTO {table} ({}) FORMAT ArrowStream", names.join(", "));
    Ok(Plan { schema: Vec::new(), insert })
}

/// The frame with its constants and the tag, as an Arrow IPC stream.
///
/// # Errors
/// A moment that ClickHouse does not have, with its column and row.
pub fn stream(frame: &Frame, constants: &RecordBatch, tag: &str, value: &str) -> Result<Vec<u8>> {
    let broken =
        |error: arrow::error::ArrowError| Refusal::new(Reason::InvalidFrame, error.to_string());
    let mut fields: Vec<_> = frame.schema.fields().iter().cloned().collect();
    fields.extend(constants.schema_ref().fields().iter().cloned());
    fields.push(Arc::new(Field::new(tag, DataType::Utf8, false)));
    let schema = Arc::new(Schema::new(fields));
    let mut before = 0;
    for batch in &frame.batches {
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            check_moments(array.as_ref())
                .map_err(|row| out_of_range(field).at_row(before + row as u64))?;
        }
        before += batch.num_rows() as u64;
    }
    if frame.rows == 0 {
        return Ok(Frame::new(schema, Vec::new()).encode()?);
    }
    // One batch: each becomes a block, and each block would have a token of its own.
    let mut columns = Vec::new();
    for i in 0..frame.schema.fields().len() {
        let parts: Vec<&dyn Array> =
            frame.batches.iter().map(|batch| batch.column(i).as_ref()).collect();
        columns.push(join(&parts).map_err(broken)?);
    }
    let tag: ArrayRef = Arc::new(StringArray::from(vec![value]));
    for constant in constants.columns().iter().chain([&tag]) {
        columns.push(repeat(constant.as_ref(), frame.rows as usize).map_err(broken)?);
    }
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(broken)?;
    Ok(Frame::new(schema, vec![batch]).encode()?)
}

/// The first row whose moment or day ClickHouse does not have.
fn check_moments(array: &dyn Array) -> std::result::Result<(), usize> {
    let (per_second, end) = match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => (1, END_SECOND),
        DataType::Timestamp(TimeUnit::Millisecond, _) => (1_000, END_SECOND),
        DataType::Timestamp(TimeUnit::Microsecond, _) => (1_000_000, END_SECOND),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => (1_000_000_000, END_SECOND_NANOS),
        DataType::Date32 => (0, END_SECOND),
        _ => return Ok(()),
    };
    let Some(values) = Integers::of(array) else {
        return Ok(());
    };
    for row in 0..array.len() {
        let value = values.get(row).unwrap_or(i64::MAX);
        let second = match per_second {
            0 => value.saturating_mul(DAY_SECONDS),
            _ => value.div_euclid(per_second),
        };
        if array.is_valid(row) && !(FIRST_SECOND..end).contains(&second) {
            return Err(row);
        }
    }
    Ok(())
}

fn out_of_range(field: &Field) -> Refusal {
    let message = "a moment that ClickHouse does not have: before 1900 or after 2299";
    Refusal::new(Reason::ValueOutOfRange, message).in_column(field.name())
}

/// What a column is declared as.
fn declare(data_type: &DataType) -> Result<String> {
    match item(data_type) {
        Some(item) => Ok(format!("Array(Nullable({}))", scalar(item)?)),
        None => Ok(format!("Nullable({})", scalar(value_type(data_type))?)),
    }
}

fn item(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) => Some(item.data_type()),
        _ => None,
    }
}

fn scalar(data_type: &DataType) -> Result<String> {
    use DataType::*;
    let name = match data_type {
        Boolean => "Bool",
        Int8 => "Int8",
        Int16 => "Int16",
        Int32 => "Int32",
        Int64 => "Int64",
        UInt8 => "UInt8",
        UInt16 => "UInt16",
        UInt32 => "UInt32",
        UInt64 => "UInt64",
        Float16 | Float32 => "Float32",
        Float64 => "Float64",
        Null | Utf8 | LargeUtf8 | Binary | LargeBinary => "String",
        Date32 => "Date32",
        Timestamp(unit, zone) => {
            let zone = zone.as_deref().unwrap_or("UTC").replace(['\'', '\\'], "");
            return Ok(format!("DateTime64({}, '{zone}')", unit_digits(*unit)));
        }
        other => match decimal::shape(other) {
            Some(shape) if shape.scale >= 0 => {
                return Ok(format!("Decimal({}, {})", shape.precision, shape.scale));
            }
            _ => {
                let message = format!("{} is not forwarded to ClickHouse", types::name(other));
                return Err(Refusal::new(Reason::UnsupportedType, message));
            }
        },
    };
    Ok(name.to_owned())
}

fn unit_digits(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// Whether a type has all values of another.
fn fits(data_type: &DataType, sql: &str) -> bool {
    let within = |sql: &str, name: &str| {
        sql.strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('('))
            .and_then(|rest| rest.strip_suffix(')'))
            .map(str::to_owned)
    };
    if let Some(items) = item(data_type) {
        return within(sql, "Array").is_some_and(|sql| fits(items, &sql));
    }
    let mut sql = sql.to_owned();
    for wrapper in ["LowCardinality", "Nullable"] {
        sql = within(&sql, wrapper).unwrap_or(sql);
    }
    let Ok(own) = scalar(value_type(data_type)) else {
        return false;
    };
    if let (Some(shape), Some(digits)) =
        (decimal::shape(value_type(data_type)), within(&sql, "Decimal"))
    {
        let (precision, scale) = digits.split_once(", ").unwrap_or((&digits, "0"));
        return precision.parse::<i16>().is_ok_and(|precision| {
            scale.parse::<i16>().is_ok_and(|scale| {
                scale >= shape.scale.into() && precision - scale >= shape.integer_digits()
            })
        });
    }
    if let (DataType::Timestamp(unit, _), Some(digits)) =
        (value_type(data_type), within(&sql, "DateTime64"))
    {
        // The same digits: with more of them an int64 has fewer years.
        return digits.split(',').next() == Some(&unit_digits(*unit).to_string());
    }
    let wider: &[&str] = match own.as_str() {
        "Int8" => &["Int16", "Int32", "Int64"],
        "Int16" => &["Int32", "Int64"],
        "Int32" => &["Int64"],
        "UInt8" => &["UInt16", "UInt32", "UInt64", "Int16", "Int32", "Int64"],
        "UInt16" => &["UInt32", "UInt64", "Int32", "Int64"],
        "UInt32" => &["UInt64", "Int64"],
        "Float32" => &["Float64"],
        _ => &[],
    };
    sql == own || wider.contains(&sql.as_str())
}

fn quote(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

fn mismatch(message: String) -> Refusal {
    Refusal::new(Reason::SchemaMismatch, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, UInt32Array};

    #[test]
    fn a_type_goes_only_where_all_its_values_are() {
        use DataType::*;
        let moment = |unit| Timestamp(unit, Some("UTC".into()));
        for (data_type, sql, wanted) in [
            (Int32, "Int32", true),
            (Int32, "Nullable(Int64)", true),
            (Int64, "Int32", false),
            (UInt32, "Int32", false),
            (Utf8, "LowCardinality(Nullable(String))", true),
            (Utf8, "Int8", false),
            (Decimal128(10, 2), "Decimal(18, 4)", true),
            (Decimal128(10, 2), "Nullable(Decimal(10, 3))", false),
            (moment(TimeUnit::Millisecond), "DateTime64(3)", true),
            (moment(TimeUnit::Millisecond), "DateTime64(3, 'UTC')", true),
            (moment(TimeUnit::Microsecond), "DateTime64(3)", false),
            (moment(TimeUnit::Second), "DateTime", false),
            (DataType::new_list(Int8, true), "Array(Nullable(Int16))", true),
            (DataType::new_list(Int8, true), "Int8", false),
        ] {
            assert_eq!(fits(&data_type, sql), wanted, "{data_type} {sql}");
        }
    }

    #[test]
    fn moments_end_where_clickhouses_do() {
        for (value, fits) in [(FIRST_SECOND, true), (FIRST_SECOND - 1, false), (END_SECOND, false)]
        {
            let array = arrow::array::TimestampSecondArray::from(vec![0, value]);
            assert_eq!(check_moments(&array), if fits { Ok(()) } else { Err(1) }, "{value}");
        }
        assert_eq!(check_moments(&Int64Array::from(vec![i64::MIN])), Ok(()));
        assert_eq!(check_moments(&UInt32Array::from(vec![u32::MAX])), Ok(()));
    }
}
