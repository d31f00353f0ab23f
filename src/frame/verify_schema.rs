//! What must hold of an IPC schema before arrow-rs reads it, and of its types before it reads data.
//!
//! The flatbuffer verifier proves that every offset stays inside the bytes; this proves what it
//! does not know: that the schema is of a size and depth that we are willing to follow, and that
//! every type is one that arrow-rs can build arrays of without a panic.

use arrow::datatypes::{DataType, Field};
use arrow::ipc::{Endianness, Field as IpcField, Schema, Type};

use super::ident::MAX_COLUMNS;
use super::ipc::{malformed, unsupported};
use super::{decimal, types};
use crate::error::{Code, Result};
use crate::sorted::SortedMap;

/// The deepest nesting of types.
const MAX_DEPTH: usize = 32;

/// The most fields of all depths together.
const MAX_FIELDS: usize = 65_536;

/// Checks a schema before it is converted: sizes, depth, byte order, and unions, which would panic
/// when they have more children than type ids.
///
/// # Errors
/// `INVALID_FRAME`; `UNSUPPORTED_TYPE` for unions and big-endian data.
pub fn check_flatbuffer(schema: Schema<'_>) -> Result<()> {
    if schema.endianness() != Endianness::Little {
        return Err(unsupported("big-endian data is not read"));
    }
    let fields = schema.fields().ok_or_else(|| malformed("a schema without fields"))?;
    if fields.len() > MAX_COLUMNS {
        return Err(malformed(format!(
            "{} columns, but SQLite has at most {MAX_COLUMNS}",
            fields.len()
        )));
    }
    let mut count = 0;
    fields.iter().try_for_each(|field| {
        let checked = check_flatbuffer_field(field, 0, &mut count);
        checked.map_err(|error| error.in_column(field.name().unwrap_or_default()))
    })
}

fn check_flatbuffer_field(field: IpcField<'_>, depth: usize, count: &mut usize) -> Result<()> {
    *count += 1;
    if depth > MAX_DEPTH || *count > MAX_FIELDS {
        return Err(malformed("types that are nested too deeply, or too many"));
    }
    if field.type_type() == Type::Union {
        return Err(unsupported("unions are not stored"));
    }
    let children = field.children();
    children.iter().flatten().try_for_each(|child| check_flatbuffer_field(child, depth + 1, count))
}

/// The value types of dictionaries by their ids.
pub type Dictionaries = SortedMap<i64, DataType>;

/// Checks a column's type, and enters its dictionaries.
///
/// # Errors
/// `INVALID_FRAME` for parameters that no type has, and for one dictionary with two types.
pub fn check_field(field: &Field, dictionaries: &mut Dictionaries) -> Result<()> {
    check_type(field, field.data_type(), dictionaries).map_err(|error| match error.code {
        Code::InvalidFrame | Code::UnsupportedType => error.in_column(field.name()),
        _ => error,
    })
}

fn check_type(field: &Field, data_type: &DataType, dictionaries: &mut Dictionaries) -> Result<()> {
    use DataType::*;
    let broken = || Err(malformed(format!("{} is no type", types::name(data_type))));
    match data_type {
        FixedSizeBinary(size) if *size < 0 => broken(),
        Decimal32(..) => check_decimal(data_type, 9),
        Decimal64(..) => check_decimal(data_type, 18),
        Decimal128(..) => check_decimal(data_type, 38),
        Decimal256(..) => check_decimal(data_type, 76),
        List(item) | LargeList(item) | ListView(item) | LargeListView(item) => {
            check_type(item, item.data_type(), dictionaries)
        }
        FixedSizeList(item, size) => match *size < 0 {
            true => broken(),
            false => check_type(item, item.data_type(), dictionaries),
        },
        Map(entries, _) => match entries.data_type() {
            Struct(fields) if fields.len() == 2 => {
                check_type(entries, entries.data_type(), dictionaries)
            }
            _ => broken(),
        },
        Struct(fields) => {
            fields.iter().try_for_each(|field| check_type(field, field.data_type(), dictionaries))
        }
        RunEndEncoded(ends, values) => match ends.data_type().is_run_ends_type() {
            false => broken(),
            true => check_type(values, values.data_type(), dictionaries),
        },
        Dictionary(keys, values) => {
            if !keys.is_dictionary_key_type() {
                return broken();
            }
            check_type(field, values, dictionaries)?;
            let known = dictionaries.insert(dictionary_id(field), values.as_ref().clone());
            match known.is_some_and(|known| known != **values) {
                true => Err(malformed("one dictionary with two types")),
                false => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn check_decimal(data_type: &DataType, digits: u8) -> Result<()> {
    let fits = decimal::shape(data_type).is_some_and(|shape| {
        (1..=digits).contains(&shape.precision) && i16::from(shape.scale) <= shape.precision.into()
    });
    match fits {
        true => Ok(()),
        false => Err(malformed(format!("{} is no type", types::name(data_type)))),
    }
}

/// The id by which a field's dictionary batches name it.
pub fn dictionary_id(field: &Field) -> i64 {
    // Arrow means to take the id out of the field one day; there is no other way yet.
    #[allow(deprecated)]
    field.dict_id().unwrap_or_default()
}
