//! Frames as ClickHouse takes them: an Arrow IPC stream of one batch, with the server's own columns beside.
//!
//! ClickHouse casts what does not fit a column's type, and a cast wraps and saturates. So the types are looked at here:
//! a value goes only into a type that has all values of its own, and moments only within the years that DateTime64 has.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, RecordBatch, StringArray, make_array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};

use super::arrays::Integers;
use super::plain::plain;
use super::plan::{Policy, has_type};
use super::refusal::{Reason, Refusal, Result};
use crate::frame::Frame;
use crate::frame::decimal;
use crate::frame::join::{join, repeat};
use crate::frame::json::Ranges;
use crate::frame::storage::value_type;
use crate::frame::types;

/// 1900-01-01 and 2300-01-01 in seconds since 1970: what DateTime64 and Date32 have.
const FIRST_SECOND: i64 = -2_208_988_800;
const END_SECOND: i64 = 10_413_792_000;
const DAY_SECONDS: i64 = 86_400;
/// Columns that every table has and that nobody may write.
const SYSTEM_COLUMNS: [&str; 3] = ["_row_exists", "_block_number", "_block_offset"];
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
    /// What its default is: empty, `DEFAULT`, or one of those that nobody may write.
    #[serde(default)]
    pub default_kind: String,
}

/// What is to be done with a frame.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Statements that make the table fit; empty when it fits.
    pub schema: Vec<String>,
    /// The INSERT, whose data is the stream that [`stream`] gives.
    pub insert: String,
    /// The columns that are written; those that are left out have only NULLs.
    #[serde(skip)]
    pub fields: Vec<usize>,
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
    for field in schema.fields() {
        check_column(field, &target.tag).map_err(|refusal| refusal.in_column(field.name()))?;
    }
    let declared = |field: &Field| {
        let sql = declare(field.data_type()).map_err(|e| e.in_column(field.name()))?;
        let comment = match value_type(field.data_type()) {
            zoned @ DataType::Timestamp(_, Some(_)) => {
                format!(" COMMENT {}", literal(&types::name(zoned)))
            }
            _ => String::new(),
        };
        Ok::<_, Refusal>(format!("{} {sql}{comment}", quote(field.name())))
    };
    let Some(columns) = &target.columns else {
        if target.policy != Policy::Create {
            return Err(mismatch("there is no such table".to_owned()));
        }
        let tag = quote(&target.tag);
        let typed = schema.fields().iter().filter(|field| has_type(field));
        let mut all = typed.map(|field| declared(field)).collect::<Result<Vec<_>>>()?;
        all.push(format!("{tag} String CODEC(ZSTD)"));
        let all = all.join(", ");
        // In the order of the tags: what a frame has left behind is found by its beginning.
        let made = format!(
            "CREATE TABLE IF NOT EXISTS {table} ({all}) ENGINE = MergeTree \
             ORDER BY {tag} SETTINGS non_replicated_deduplication_window = 10000"
        );
        return Ok(Plan { schema: vec![made], ..Plan::default() });
    };
    if !columns.iter().any(|column| column.name == target.tag && column.sql == "String") {
        let message = format!("the table has no column {} of type String", target.tag);
        return Err(mismatch(message).in_column(&target.tag));
    }
    let known: HashMap<_, _> = columns.iter().map(|column| (&column.name, column)).collect();
    let (mut added, mut fields) = (Vec::new(), Vec::new());
    for (i, field) in schema.fields().iter().enumerate() {
        let name = field.name();
        match known.get(name) {
            Some(column) if ["MATERIALIZED", "ALIAS"].contains(&column.default_kind.as_str()) => {
                return Err(mismatch("the table computes this column".to_owned()).in_column(name));
            }
            Some(column) if fits(field.data_type(), &column.sql) => fields.push(i),
            Some(column) => {
                let from = types::name(field.data_type());
                let message = format!("{from} does not go into a column of type {}", column.sql);
                return Err(mismatch(message).in_column(name));
            }
            None if target.policy == Policy::Strict => {
                return Err(mismatch("the table has no such column".to_owned()).in_column(name));
            }
            // NULLs alone say nothing of a column: a later frame that has values makes it.
            None if !has_type(field) => {}
            None => added.push(format!("ADD COLUMN IF NOT EXISTS {}", declared(field)?)),
        }
    }
    if !added.is_empty() {
        let statement = format!("ALTER TABLE {table} {}", added.join(", "));
        return Ok(Plan { schema: vec![statement], ..Plan::default() });
    }
    let names = fields.iter().map(|i| schema.field(*i).name()).chain([&target.tag]);
    let names: Vec<_> = names.map(|name| quote(name)).collect();
    let insert = format!("INSERT INTO {table} ({}) FORMAT ArrowStream", names.join(", "));
    Ok(Plan { schema: Vec::new(), insert, fields })
}

/// A frame of the columns that a plan writes, with its constants and the tag, as an Arrow IPC stream.
///
/// # Errors
/// A value that ClickHouse does not have, with its column and row; `TOO_LARGE` as [`plain`].
pub fn stream(
    frame: &Frame,
    constants: &RecordBatch,
    (tag, value): (&str, &str),
    most_bytes: u64,
) -> Result<Vec<u8>> {
    let frame = plain(frame, most_bytes)?;
    let broken = |error: ArrowError| Refusal::new(Reason::InvalidFrame, error.to_string());
    let mut fields: Vec<_> = frame.schema.fields().iter().cloned().collect();
    fields.extend(constants.schema_ref().fields().iter().cloned());
    fields.push(Arc::new(Field::new(tag, DataType::Utf8, false)));
    let fields: Vec<_> = fields.iter().map(in_utc_field).collect();
    let schema = Arc::new(Schema::new(fields));
    let mut before = 0;
    for batch in &frame.batches {
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            check_rows(array.as_ref()).map_err(|(row, why)| {
                let refusal = Refusal::new(Reason::ValueOutOfRange, why);
                refusal.in_column(field.name()).at_row(before + row as u64)
            })?;
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
        columns.push(in_utc(join(&parts).map_err(broken)?).map_err(broken)?);
    }
    let tag: ArrayRef = Arc::new(StringArray::from(vec![value]));
    for constant in constants.columns().iter().chain([&tag]) {
        columns.push(repeat(constant.as_ref(), frame.rows as usize).map_err(broken)?);
    }
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(broken)?;
    Ok(Frame::new(schema, vec![batch]).encode()?)
}

/// The same moments with the one zone that every ClickHouse knows.
fn in_utc(array: ArrayRef) -> std::result::Result<ArrayRef, ArrowError> {
    fn retyped(data: &ArrayData) -> std::result::Result<ArrayData, ArrowError> {
        let children =
            data.child_data().iter().map(retyped).collect::<std::result::Result<_, _>>()?;
        let builder = data.clone().into_builder().data_type(in_utc_type(data.data_type()));
        builder.child_data(children).build()
    }
    if in_utc_type(array.data_type()) == *array.data_type() {
        return Ok(array);
    }
    Ok(make_array(retyped(&array.to_data())?))
}

fn in_utc_type(data_type: &DataType) -> DataType {
    use DataType::*;
    match data_type {
        Timestamp(unit, Some(_)) => Timestamp(*unit, Some("UTC".into())),
        List(item) => List(in_utc_field(item)),
        LargeList(item) => LargeList(in_utc_field(item)),
        other => other.clone(),
    }
}

fn in_utc_field(field: &FieldRef) -> FieldRef {
    Arc::new(field.as_ref().clone().with_data_type(in_utc_type(field.data_type())))
}

/// The first row that ClickHouse would store as something else, and why.
fn check_rows(array: &dyn Array) -> std::result::Result<(), (usize, &'static str)> {
    let Some(items) = item(array.data_type()) else {
        return check_moments(array).map_err(|row| (row, NO_SUCH_MOMENT));
    };
    if let Some(row) = (0..array.len()).find(|row| array.is_null(*row)) {
        return Err((row, NULL_LIST));
    }
    let looks =
        item(items).is_some() || matches!(items, DataType::Timestamp(..) | DataType::Date32);
    if let (true, Some((ranges, items))) = (looks, Ranges::of_list(array)) {
        for row in 0..array.len() {
            let range = ranges.of(row);
            let items = items.slice(range.start, range.len());
            check_rows(items.as_ref()).map_err(|(_, why)| (row, why))?;
        }
    }
    Ok(())
}

const NO_SUCH_MOMENT: &str = "a moment that ClickHouse does not have: before 1900 or after 2299";
const NULL_LIST: &str = "a NULL for a list, which ClickHouse would store as an empty one";

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
        // Moments are the same in every zone, and not every zone is one to ClickHouse: it is a comment.
        Timestamp(unit, _) => return Ok(format!("DateTime64({}, 'UTC')", unit_digits(*unit))),
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
    if *value_type(data_type) == DataType::Null {
        return ["Nullable(", "LowCardinality(Nullable("].iter().any(|with| sql.starts_with(with));
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

/// What is wrong with a column whatever the table is.
fn check_column(field: &Field, tag: &str) -> Result<()> {
    let refuse = |reason, why| Err(Refusal::new(reason, why));
    match field.name().as_str() {
        "" => refuse(Reason::InvalidName, "a column name is empty"),
        name if name == tag => {
            refuse(Reason::InvalidName, "a column name that the server uses itself")
        }
        name if SYSTEM_COLUMNS.contains(&name) => {
            refuse(Reason::InvalidName, "a column name that ClickHouse has for itself")
        }
        name if name.contains('\0') => refuse(Reason::InvalidName, "a column name has U+0000"),
        _ if types::name(field.data_type()).contains('\0') => {
            refuse(Reason::NulInText, "a type with U+0000 in its name")
        }
        _ => Ok(()),
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
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
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::TimestampSecondType;

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
            (Null, "Nullable(Int8)", true),
            (Null, "LowCardinality(Nullable(String))", true),
            (Null, "String", false),
            (Null, "Array(Nullable(Int8))", false),
        ] {
            assert_eq!(fits(&data_type, sql), wanted, "{data_type} {sql}");
        }
    }

    #[test]
    fn a_zone_is_a_comment_and_no_part_of_the_type() {
        let zoned = DataType::Timestamp(TimeUnit::Millisecond, Some("+02:00'\\".into()));
        let schema = Schema::new(vec![Field::new("at", zoned, true)]);
        let target = |policy| Target {
            namespace: None,
            table: "t".into(),
            policy,
            columns: None,
            tag: "_tag".into(),
        };
        let made = plan(&schema, &target(Policy::Create)).expect("a plan").schema.join(";");
        let wanted =
            r"`at` Nullable(DateTime64(3, 'UTC')) COMMENT 'timestamp[ms, +02:00\'\\]', `_tag`";
        assert!(made.contains(wanted), "{made}");
        for name in ["_tag", "", "a\0b"] {
            let schema = Schema::new(vec![Field::new(name, DataType::Int8, true)]);
            let refusal = plan(&schema, &target(Policy::Create)).expect_err("a refusal");
            assert_eq!(
                (refusal.reason, refusal.column.as_deref()),
                (Reason::InvalidName, Some(name))
            );
        }
        let zoned = DataType::Timestamp(TimeUnit::Second, Some("a\0".into()));
        let schema = Schema::new(vec![Field::new("at", zoned, true)]);
        let refusal = plan(&schema, &target(Policy::Create)).expect_err("a refusal");
        assert_eq!(refusal.reason, Reason::NulInText);
    }

    #[test]
    fn a_null_for_a_list_is_refused_at_any_depth_and_so_are_moments_in_lists() {
        let lists = |rows: Vec<Option<Vec<Option<i64>>>>| {
            arrow::array::ListArray::from_iter_primitive::<TimestampSecondType, _, _>(rows)
        };
        let good = lists(vec![Some(vec![Some(0), None]), Some(vec![])]);
        assert_eq!(check_rows(&good), Ok(()));
        assert_eq!(check_rows(&lists(vec![Some(vec![]), None])), Err((1, NULL_LIST)));
        let early = lists(vec![Some(vec![]), Some(vec![Some(0), Some(FIRST_SECOND - 1)])]);
        assert_eq!(check_rows(&early), Err((1, NO_SUCH_MOMENT)));
        let inner = Arc::new(lists(vec![Some(vec![]), Some(vec![]), None]));
        let field = Arc::new(Field::new("item", inner.data_type().clone(), true));
        let offsets = OffsetBuffer::new(vec![0, 1, 3].into());
        let outer = arrow::array::ListArray::new(field, offsets, inner, None);
        assert_eq!(check_rows(&outer), Err((1, NULL_LIST)));
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
