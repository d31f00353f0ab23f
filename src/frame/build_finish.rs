//! From a builder's values to the array: the buffers as Arrow lays them out.

use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, make_array};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::DataType;

use super::build::{Builder, Values};
use super::nested::with_children;
use crate::error::{Code, Error, Result};

impl Builder {
    /// The array.
    ///
    /// # Errors
    /// `INVALID_FRAME` when Arrow refuses it, which would be a bug here.
    pub fn finish(self) -> Result<ArrayRef> {
        let masked = self.nulls > 0 && self.data_type != DataType::Null;
        let nulls = masked.then(|| NullBuffer::from(self.valid));
        let (data_type, rows) = (self.data_type, self.rows);
        let whole = |data_type: DataType, buffers: Vec<Buffer>, children: Vec<ArrayData>| {
            ArrayData::builder(data_type)
                .len(rows)
                .nulls(nulls.clone())
                .buffers(buffers)
                .child_data(children)
                .build()
                .map(make_array)
                .map_err(|error| Error::new(Code::InvalidFrame, error.to_string()))
        };
        let absent = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        let data_of = |arrays: &[ArrayRef]| arrays.iter().map(|array| array.to_data()).collect();
        let buffers = match self.values {
            Values::Null => vec![],
            Values::Bool(mut values) => vec![values.finish().into_inner()],
            Values::I8(values) => vec![Buffer::from_vec(values)],
            Values::I16(values) => vec![Buffer::from_vec(values)],
            Values::I32(values) => vec![Buffer::from_vec(values)],
            Values::I64(values) => vec![Buffer::from_vec(values)],
            Values::U8(values) => vec![Buffer::from_vec(values)],
            Values::U16(values) => vec![Buffer::from_vec(values)],
            Values::U32(values) => vec![Buffer::from_vec(values)],
            Values::U64(values) => vec![Buffer::from_vec(values)],
            Values::F16(values) => vec![Buffer::from_vec(values)],
            Values::F32(values) => vec![Buffer::from_vec(values)],
            Values::F64(values) => vec![Buffer::from_vec(values)],
            Values::I128(values) => vec![Buffer::from_vec(values)],
            Values::I256(values) => vec![Buffer::from_vec(values)],
            Values::DayTime(values) => vec![Buffer::from_vec(values)],
            Values::MonthDayNano(values) => vec![Buffer::from_vec(values)],
            Values::FixedBytes(bytes, _) => vec![Buffer::from_vec(bytes)],
            Values::Bytes(bytes, ends) => {
                vec![offsets(&data_type, &ends), Buffer::from_vec(bytes)]
            }
            Values::TextView(mut values) => return Ok(Arc::new(values.finish())),
            Values::BlobView(mut values) => return Ok(Arc::new(values.finish())),
            Values::List(ends, items) => {
                let items = [items.finish()?];
                let nested = over(&data_type, &items, |_| false);
                return whole(nested, list_buffers(&data_type, &ends), data_of(&items));
            }
            Values::FixedList(items, size) => {
                let items = [items.finish()?];
                return whole(
                    over(&data_type, &items, |row| absent(row / size)),
                    vec![],
                    data_of(&items),
                );
            }
            Values::Struct(children) => {
                let children = children.into_iter().map(Builder::finish);
                let children = children.collect::<Result<Vec<_>>>()?;
                return whole(over(&data_type, &children, absent), vec![], data_of(&children));
            }
            Values::Dictionary(keys, dictionary) => {
                let (key_type, keys) = key_buffer(&data_type, &keys, dictionary.values.rows)?;
                let values = dictionary.values.finish()?;
                let data_type =
                    DataType::Dictionary(Box::new(key_type), Box::new(values.data_type().clone()));
                return whole(data_type, vec![keys], vec![values.to_data()]);
            }
        };
        whole(data_type, buffers, vec![])
    }
}

/// A nested type over its children as they came out: a dictionary's keys may have become wider, and
/// plain SQL may have written nulls where the catalogue has none. `hidden` says of a child's row
/// that it is of no meaning because its parent is null.
fn over(data_type: &DataType, children: &[ArrayRef], hidden: impl Fn(usize) -> bool) -> DataType {
    with_children(data_type, &mut |at, field| {
        let Some(child) = children.get(at) else {
            return Arc::clone(field);
        };
        let is_null = |row| child.is_null(row) && !hidden(row);
        let nullable =
            field.is_nullable() || child.null_count() > 0 && (0..child.len()).any(is_null);
        if nullable == field.is_nullable() && field.data_type() == child.data_type() {
            return Arc::clone(field);
        }
        let field = field.as_ref().clone().with_data_type(child.data_type().clone());
        Arc::new(field.with_nullable(nullable))
    })
}

/// Offsets from ends: 0 first, in the width of the type.
fn offsets(data_type: &DataType, ends: &[usize]) -> Buffer {
    use DataType::*;
    let all = std::iter::once(&0).chain(ends);
    match data_type {
        LargeUtf8 | LargeBinary | LargeList(_) => all.map(|end| *end as i64).collect(),
        _ => all.map(|end| *end as i32).collect(),
    }
}

fn list_buffers(data_type: &DataType, ends: &[usize]) -> Vec<Buffer> {
    let starts = std::iter::once(&0).chain(ends);
    let sizes = ends.iter().zip(starts.clone()).map(|(end, start)| end - start);
    match data_type {
        DataType::ListView(_) => vec![
            starts.take(ends.len()).map(|start| *start as i32).collect(),
            sizes.map(|size| size as i32).collect(),
        ],
        DataType::LargeListView(_) => vec![
            starts.take(ends.len()).map(|start| *start as i64).collect(),
            sizes.map(|size| size as i64).collect(),
        ],
        _ => vec![offsets(data_type, ends)],
    }
}

/// The keys in the dictionary's own key type, or, when it has more values than that counts, in the
/// next wider one of the same sign: several frames together may have more than each alone.
fn key_buffer(data_type: &DataType, keys: &[usize], values: usize) -> Result<(DataType, Buffer)> {
    use DataType::*;
    let own = match data_type {
        Dictionary(keys, _) => keys.as_ref(),
        other => other,
    };
    let fits = |limit: u64| values as u64 <= limit;
    let key_type = match own {
        Int8 if fits(1 << 7) => Int8,
        Int8 | Int16 if fits(1 << 15) => Int16,
        Int8 | Int16 | Int32 if fits(1 << 31) => Int32,
        UInt8 if fits(1 << 8) => UInt8,
        UInt8 | UInt16 if fits(1 << 16) => UInt16,
        UInt8 | UInt16 | UInt32 if fits(1 << 32) => UInt32,
        UInt8 | UInt16 | UInt32 | UInt64 => UInt64,
        _ => Int64,
    };
    let buffer = match key_type {
        Int8 => keys.iter().map(|key| *key as i8).collect(),
        Int16 => keys.iter().map(|key| *key as i16).collect(),
        Int32 => keys.iter().map(|key| *key as i32).collect(),
        UInt8 => keys.iter().map(|key| *key as u8).collect(),
        UInt16 => keys.iter().map(|key| *key as u16).collect(),
        UInt32 => keys.iter().map(|key| *key as u32).collect(),
        UInt64 => keys.iter().map(|key| *key as u64).collect(),
        _ => keys.iter().map(|key| *key as i64).collect(),
    };
    Ok((key_type, buffer))
}
