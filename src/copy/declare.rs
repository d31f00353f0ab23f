//! What a column is declared as when the server may make it. `docs/forwarding-server.md` has the table in words.

use std::collections::HashSet;

use arrow::datatypes::{DataType, Field, IntervalUnit};

use super::refusal::{Reason, Refusal, Result};
use crate::frame::decimal;
use crate::frame::storage::value_type;
use crate::frame::types;

/// A column's declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// The type as it stands in `CREATE TABLE`.
    pub sql: String,
    /// What the type alone does not tell: the zone of a timestamp, the layout of JSON.
    pub comment: Option<String>,
}

/// The declaration for the values of a field.
///
/// # Errors
/// `UNSUPPORTED_TYPE` for a union and for structs in which two fields have one name, which `jsonb`
/// would make one.
pub fn declare(field: &Field) -> Result<Declared> {
    use DataType::*;
    let data_type = value_type(field.data_type());
    let comment = match data_type {
        Timestamp(_, Some(_)) => Some(types::name(data_type)),
        data_type if data_type.is_nested() => Some(types::name(data_type)),
        _ => None,
    };
    let sql = match item(data_type) {
        Some(item) => scalar(item).map(|sql| format!("{sql}[]")),
        None => scalar(data_type),
    };
    let sql = match sql {
        Some(sql) => sql,
        None => {
            check_json(data_type).map_err(|refusal| refusal.in_column(field.name()))?;
            "jsonb".to_owned()
        }
    };
    Ok(Declared { sql, comment })
}

/// The type of a list's items, for a list that becomes an array: one of values that are no lists.
fn item(data_type: &DataType) -> Option<&DataType> {
    use DataType::*;
    match data_type {
        List(item)
        | LargeList(item)
        | ListView(item)
        | LargeListView(item)
        | FixedSizeList(item, _) => {
            let item = value_type(item.data_type());
            (!item.is_nested()).then_some(item)
        }
        _ => None,
    }
}

/// The type of values that are not nested; `None` for those that are.
fn scalar(data_type: &DataType) -> Option<String> {
    use DataType::*;
    let name = match data_type {
        // The items of a list that has none; a column of NULLs is not made at all.
        Null => "text",
        Boolean => "boolean",
        Int8 | Int16 | UInt8 => "smallint",
        Int32 | UInt16 => "integer",
        Int64 | UInt32 => "bigint",
        UInt64 => "numeric(20,0)",
        Float16 | Float32 => "real",
        Float64 => "double precision",
        Utf8 | LargeUtf8 | Utf8View => "text",
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => "bytea",
        Date32 | Date64 => "date",
        Time32(_) | Time64(_) => "time",
        Timestamp(_, None) => "timestamp",
        Timestamp(_, Some(_)) => "timestamptz",
        Duration(_)
        | Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime | IntervalUnit::MonthDayNano) => {
            "interval"
        }
        other => {
            let shape = decimal::shape(other)?;
            // A negative scale is zeros after the digits; before PostgreSQL 15 there is none.
            let (precision, scale) = match shape.scale {
                scale @ 0.. => (i16::from(shape.precision), scale),
                _ => (shape.integer_digits(), 0),
            };
            return Some(format!("numeric({precision},{scale})"));
        }
    };
    Some(name.to_owned())
}

/// Whether `jsonb` keeps every value of a type: it keeps one of two fields with one name.
pub fn check_json(data_type: &DataType) -> Result<()> {
    use DataType::*;
    match data_type {
        Struct(fields) => {
            // Each name is looked up, not compared with all before it: a sender may say 100,000 of them.
            let mut names = HashSet::new();
            for field in fields {
                if !names.insert(field.name()) {
                    let message = "a struct in which two fields have one name";
                    return Err(Refusal::new(Reason::UnsupportedType, message));
                }
                check_json(field.data_type())?;
            }
            Ok(())
        }
        List(item)
        | LargeList(item)
        | ListView(item)
        | LargeListView(item)
        | FixedSizeList(item, _)
        | Map(item, _) => check_json(item.data_type()),
        Dictionary(_, values) => check_json(values),
        RunEndEncoded(_, values) => check_json(values.data_type()),
        Union(..) => Err(Refusal::new(Reason::UnsupportedType, "unions are not stored")),
        _ => Ok(()),
    }
}
