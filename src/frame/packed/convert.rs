//! A column of plain values into an Arrow array of a given type.
//!
//! Dictionaries and run-end encoded types give their values: how a value is stored depends on
//! nothing else, and the plan knows the column's own type. Lists, structs, maps and intervals have
//! no plain value; a column of them can only be null.

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::*;

use super::cells::{Column, Data, Value, Values, lengths, tag};
use super::exact::{self, Fit, Misfit};
use crate::error::{Code, Error, Result};
use crate::frame::convert::F16;
use crate::frame::decimal::{Shape, shape};
use crate::frame::types;

/// The most bytes that nulls of a wide type may take.
const MAX_NULL_BYTES: usize = 256 << 20;

/// The values of a column with their rows.
struct Input<'a> {
    column: &'a str,
    count: usize,
    values: std::iter::Enumerate<Values<'a>>,
    data_type: &'a DataType,
    /// Counts the values that took their nearest; without it they are errors.
    changed: Option<&'a Cell<u64>>,
}

/// The column as an array of `data_type`, and how many of its values were changed, which is an
/// error unless `may_change`.
pub fn array(
    column: &Column,
    rows: usize,
    data_type: &DataType,
    may_change: bool,
) -> Result<(ArrayRef, u64)> {
    if let Some(array) = shared(column, rows, data_type) {
        return Ok((array, 0));
    }
    let changed = Cell::new(0);
    let array = convert(Input {
        column: &column.name,
        count: rows,
        values: column.values().enumerate(),
        data_type,
        changed: may_change.then_some(&changed),
    })?;
    Ok((array, changed.get()))
}

/// The column without a conversion, where its bytes already are what the type wants: typed arrays
/// of that type, and cells that are all numbers, all texts or all blobs.
fn shared(column: &Column, rows: usize, data_type: &DataType) -> Option<ArrayRef> {
    let builder = ArrayData::builder(data_type.clone()).len(rows).align_buffers(true);
    let builder = match (&column.data, data_type) {
        (Data::Typed { data_type: own, values, .. }, _) if own == data_type => {
            builder.add_buffer(values.clone())
        }
        (Data::Cells(cells), DataType::Float64) if cells.count(tag::NUMBER) == rows => {
            builder.add_buffer(cells.numbers.clone())
        }
        (Data::Cells(cells), DataType::Utf8) if cells.count(tag::TEXT) == rows => {
            builder.add_buffer(offsets(&cells.text_lengths)?).add_buffer(cells.texts.clone())
        }
        (Data::Cells(cells), DataType::Binary) if cells.count(tag::BLOB) == rows => {
            builder.add_buffer(offsets(&cells.blob_lengths)?).add_buffer(cells.blobs.clone())
        }
        _ => return None,
    };
    builder.build().ok().map(make_array)
}

/// Lengths as offsets; `None` when their sum is beyond an i32.
fn offsets(pool: &Buffer) -> Option<Buffer> {
    let mut offsets = vec![0i32];
    let mut end = 0i32;
    for length in lengths(pool) {
        end = end.checked_add(i32::try_from(length).ok()?)?;
        offsets.push(end);
    }
    Some(Buffer::from_vec(offsets))
}

fn convert(input: Input<'_>) -> Result<ArrayRef> {
    use arrow::datatypes::TimeUnit::*;
    match *input.data_type {
        DataType::Int8 => input.primitive::<i8>(&exact::integer),
        DataType::Int16 => input.primitive::<i16>(&exact::integer),
        DataType::Int32 | DataType::Time32(Second | Millisecond) => {
            input.primitive::<i32>(&exact::integer)
        }
        DataType::Int64 | DataType::Time64(Microsecond | Nanosecond) | DataType::Duration(_) => {
            input.primitive::<i64>(&exact::integer)
        }
        DataType::UInt8 => input.primitive::<u8>(&exact::integer),
        DataType::UInt16 => input.primitive::<u16>(&exact::integer),
        DataType::UInt32 => input.primitive::<u32>(&exact::integer),
        DataType::UInt64 => input.primitive::<u64>(&exact::integer),
        DataType::Float16 => input.primitive::<F16>(&exact::float16),
        DataType::Float32 => input.primitive::<f32>(&exact::float32),
        DataType::Float64 => input.primitive::<f64>(&exact::float64),
        DataType::Date32 => input.primitive::<i32>(&exact::days),
        DataType::Date64 => input.primitive::<i64>(&exact::milliseconds),
        DataType::Timestamp(unit, _) => {
            input.primitive::<i64>(&move |value| exact::ticks(value, unit))
        }
        DataType::Decimal32(..) => {
            input.decimal::<i32>(|value| value.to_i128().and_then(|value| value.try_into().ok()))
        }
        DataType::Decimal64(..) => {
            input.decimal::<i64>(|value| value.to_i128().and_then(|value| value.try_into().ok()))
        }
        DataType::Decimal128(..) => input.decimal::<i128>(i256::to_i128),
        DataType::Decimal256(..) => input.decimal::<i256>(Some),
        // A unit that has no such width.
        DataType::Time32(_) | DataType::Time64(_) => Err(unsupported(input.data_type)),
        DataType::Boolean => input.booleans(),
        DataType::Utf8 => input.bytes::<i32>(text),
        DataType::LargeUtf8 => input.bytes::<i64>(text),
        DataType::Utf8View => input.views(text),
        DataType::Binary => input.bytes::<i32>(blob),
        DataType::LargeBinary => input.bytes::<i64>(blob),
        DataType::BinaryView => input.views(blob),
        DataType::FixedSizeBinary(size) => input.fixed_size_binary(size),
        DataType::Dictionary(_, ref values) => convert(Input { data_type: values, ..input }),
        DataType::RunEndEncoded(_, ref values) => {
            convert(Input { data_type: values.data_type(), ..input })
        }
        _ => input.nulls(),
    }
}

fn text<'a>(value: Value<'a>) -> Fit<&'a [u8]> {
    match value {
        Value::Text(text) => Ok(text.as_bytes()),
        _ => Err(Misfit::Kind),
    }
}

fn blob<'a>(value: Value<'a>) -> Fit<&'a [u8]> {
    match value {
        Value::Blob(blob) => Ok(blob),
        _ => Err(Misfit::Kind),
    }
}

impl<'a> Input<'a> {
    /// Gives every value in its new form, or `None` for null, to `put`.
    fn each<T>(
        self,
        mut fit: impl FnMut(Value<'a>) -> Fit<T>,
        mut put: impl FnMut(Option<T>),
    ) -> Result<()> {
        for (row, value) in self.values {
            put(match value {
                Value::Null => None,
                value => match (fit(value), self.changed) {
                    (Ok(fitted), _) => Some(fitted),
                    (Err(Misfit::Lossy(nearest)), Some(changed)) => {
                        changed.set(changed.get() + 1);
                        nearest
                    }
                    (Err(why), _) => {
                        return Err(misfit(why, self.column, row, &value, self.data_type));
                    }
                },
            });
        }
        Ok(())
    }

    /// Values of one width, whatever the type makes of them: 13 functions for 31 types.
    fn primitive<N: ArrowNativeType>(self, fit: &dyn Fn(Value<'a>) -> Fit<N>) -> Result<ArrayRef> {
        let (data_type, column) = (self.data_type.clone(), self.column);
        let mut values = Vec::with_capacity(self.count);
        let mut nulls = NullBufferBuilder::new(self.count);
        self.each(fit, |value| {
            nulls.append(value.is_some());
            values.push(value.unwrap_or_default());
        })?;
        let (rows, values) = (values.len(), vec![Buffer::from_vec(values)]);
        built(data_type, rows, nulls, values, column)
    }

    fn decimal<N: ArrowNativeType>(self, narrow: impl Fn(i256) -> Option<N>) -> Result<ArrayRef> {
        let shape: Shape = shape(self.data_type).ok_or_else(|| unsupported(self.data_type))?;
        self.primitive(&move |value| {
            let decimal = exact::decimal(value, shape).map_err(|e| e.map(&narrow))?;
            narrow(decimal).ok_or(Misfit::Lossy(None))
        })
    }

    fn booleans(self) -> Result<ArrayRef> {
        let mut builder = BooleanBuilder::with_capacity(self.count);
        let fit = |value: Value<'a>| match value {
            Value::Bool(value) => Ok(value),
            _ => Err(Misfit::Kind),
        };
        self.each(fit, |value| builder.append_option(value))?;
        Ok(Arc::new(builder.finish()))
    }

    fn bytes<O: OffsetSizeTrait>(self, fit: fn(Value<'a>) -> Fit<&'a [u8]>) -> Result<ArrayRef> {
        let (data_type, column) = (self.data_type.clone(), self.column);
        let mut bytes = Vec::new();
        let mut lengths = Vec::with_capacity(self.count);
        let mut nulls = NullBufferBuilder::new(self.count);
        self.each(fit, |value| {
            nulls.append(value.is_some());
            lengths.push(value.unwrap_or_default().len());
            bytes.extend_from_slice(value.unwrap_or_default());
        })?;
        if O::from_usize(bytes.len()).is_none() {
            let what = format!("its values take more bytes than {data_type} can count");
            return Err(Error::new(Code::InvalidArgument, what).in_column(column));
        }
        let offsets = OffsetBuffer::<O>::from_lengths(lengths);
        let rows = offsets.len() - 1;
        let buffers = vec![offsets.into_inner().into_inner(), Buffer::from_vec(bytes)];
        built(data_type, rows, nulls, buffers, column)
    }

    fn views(self, fit: fn(Value<'a>) -> Fit<&'a [u8]>) -> Result<ArrayRef> {
        let is_text = *self.data_type == DataType::Utf8View;
        let column = self.column;
        let mut builder = BinaryViewBuilder::with_capacity(self.count);
        let mut too_long = false;
        self.each(fit, |value| match value {
            Some(value) => too_long |= builder.try_append_value(value).is_err(),
            None => builder.append_null(),
        })?;
        if too_long {
            let what = "a value is too long for a view";
            return Err(Error::new(Code::InvalidArgument, what).in_column(column));
        }
        let views = builder.finish();
        if !is_text {
            return Ok(Arc::new(views));
        }
        let views = views.to_string_view();
        Ok(Arc::new(views.map_err(|e| Error::new(Code::InvalidArgument, e.to_string()))?))
    }

    fn fixed_size_binary(self, size: i32) -> Result<ArrayRef> {
        let (column, count, data_type) = (self.column, self.count, self.data_type.clone());
        let width = usize::try_from(size).map_err(|_| unsupported(&data_type))?;
        let mut bytes = Vec::new();
        let mut padding = 0usize;
        let mut nulls = NullBufferBuilder::new(count);
        let fit = |value: Value<'a>| {
            let same_size = |blob: &&[u8]| blob.len() == width;
            Some(blob(value)?).filter(same_size).ok_or(Misfit::Lossy(None))
        };
        self.each(fit, |value| {
            nulls.append(value.is_some());
            match value {
                Some(value) => bytes.extend_from_slice(value),
                None => {
                    padding = padding.saturating_add(width);
                    if padding <= MAX_NULL_BYTES {
                        bytes.resize(bytes.len() + width, 0);
                    }
                }
            }
        })?;
        // Too many nulls to fill up: the bytes are fewer than the rows need, which is refused here.
        built(data_type, count, nulls, vec![Buffer::from_vec(bytes)], column)
    }

    /// A column of a type that no plain value goes into.
    fn nulls(self) -> Result<ArrayRef> {
        self.check_null_bytes()?;
        let (count, data_type) = (self.count, self.data_type.clone());
        self.each(|_| Err::<(), _>(Misfit::Kind), |_| ())?;
        Ok(new_null_array(&data_type, count))
    }

    /// Checks that a column of nulls can be made.
    fn check_null_bytes(&self) -> Result<()> {
        let width = null_bytes(self.data_type);
        let bytes = width.and_then(|width| width.checked_mul(self.count));
        if bytes.is_some_and(|bytes| bytes <= MAX_NULL_BYTES) {
            return Ok(());
        }
        let name = types::name(self.data_type);
        let what = format!("{} nulls of {name} cannot be made", self.count);
        Err(Error::new(Code::UnsupportedType, what).in_column(self.column))
    }
}

/// The array of these buffers, unless Arrow finds something wrong with them.
fn built(
    data_type: DataType,
    rows: usize,
    mut nulls: NullBufferBuilder,
    buffers: Vec<Buffer>,
    column: &str,
) -> Result<ArrayRef> {
    let builder = ArrayData::builder(data_type).len(rows).nulls(nulls.finish()).buffers(buffers);
    let built = builder.build().map(make_array);
    built.map_err(|e| Error::new(Code::InvalidArgument, e.to_string()).in_column(column))
}

/// About the bytes of one null; `None` when that is beyond counting, and for types that make no
/// sense or cannot be null, on which the Arrow crate would panic.
fn null_bytes(data_type: &DataType) -> Option<usize> {
    use arrow::datatypes::TimeUnit::*;
    let size = |size: i32| usize::try_from(size).ok();
    match data_type {
        DataType::FixedSizeBinary(width) => size(*width),
        DataType::FixedSizeList(field, length) => {
            null_bytes(field.data_type())?.checked_mul(size(*length)?)
        }
        DataType::Struct(fields) => fields
            .iter()
            .try_fold(1usize, |sum, field| sum.checked_add(null_bytes(field.data_type())?)),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field) => null_bytes(field.data_type()).map(|_| 16),
        DataType::Map(field, _) => match field.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => null_bytes(field.data_type()).map(|_| 8),
            _ => None,
        },
        DataType::Dictionary(keys, values) if keys.is_dictionary_key_type() => {
            null_bytes(values).map(|_| 8)
        }
        DataType::Dictionary(..) | DataType::RunEndEncoded(..) | DataType::Union(..) => None,
        DataType::Time32(Microsecond | Nanosecond) | DataType::Time64(Second | Millisecond) => None,
        _ => Some(32),
    }
}

/// The error for a value, with a short picture of it.
fn misfit<T>(
    why: Misfit<T>,
    column: &str,
    row: usize,
    value: &Value<'_>,
    data_type: &DataType,
) -> Error {
    let picture = match value {
        Value::Number(number) => format!(" {number}"),
        Value::Integer(integer) => format!(" {integer}"),
        Value::Digits(digits) => format!(" {digits}"),
        Value::Text(text) if text.len() <= 40 => format!(" {text:?}"),
        Value::Bool(value) => format!(" {value}"),
        _ => String::new(),
    };
    let (kind, name) = (value.kind(), types::name(data_type));
    let (code, what) = match why {
        Misfit::Kind => (Code::InvalidArgument, "does not go into"),
        Misfit::Lossy(_) => (Code::LossyValue, "cannot be kept exactly as"),
    };
    // Whole numbers make an int64 column, which is where most fractions are refused.
    let what = format!(
        "the {kind}{picture} {what} {name}, the column's type (the table's, or the one in options.types)"
    );
    Error::new(code, what).in_column(column).at_row(row as u64)
}

fn unsupported(data_type: &DataType) -> Error {
    let what = format!("plain values do not go into {}", types::name(data_type));
    Error::new(Code::UnsupportedType, what)
}
