//! A column of a batch, seen as the values of a column of PostgreSQL.
//!
//! [`Column::new`] decides once whether and how the one type goes into the other; [`Column::write`]
//! then costs a bit test for null and one match for each value. A value in a binary COPY is
//!
//! ```text
//! i32   length in bytes, −1 for NULL
//! …     the value, as `Kind` says
//! ```

use arrow::array::{Array, AsArray, BooleanArray, FixedSizeBinaryArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::*;

use super::arrays::{Blobs, Decimals, Integers, Texts, values};
use super::kind::{ColumnType, Digits, Kind};
use super::value::{Fault, integer, plain, put, put_bytes, put_interval, put_json, sized, uuid};
use super::{numeric, time};
use crate::frame::convert::F16;
use crate::frame::decimal::{self, Shape};
use crate::frame::json::{self, Ranges};

/// One column of one batch, ready to be written value by value.
#[derive(Debug)]
pub struct Column<'a> {
    rows: usize,
    nulls: Option<NullBuffer>,
    values: Values<'a>,
}

/// Where the values stand, and what they are written as.
#[derive(Debug)]
enum Values<'a> {
    Null,
    Bool(&'a BooleanArray),
    Integer(Integers, Kind, Option<Digits>),
    Single(ScalarBuffer<f32>, Kind),
    Half(ScalarBuffer<F16>, Kind),
    Double(ScalarBuffer<f64>),
    Decimal(Decimals, i8, Option<Digits>),
    Text(Texts<'a>, Option<usize>),
    Json(Texts<'a>, Kind),
    TextUuid(Texts<'a>),
    Bytes(Blobs<'a>),
    Uuid(&'a FixedSizeBinaryArray),
    Date(Integers),
    DateMillis(Integers),
    Time(Integers, TimeUnit, u32),
    Timestamp(Integers, TimeUnit, u32),
    Duration(Integers, TimeUnit),
    YearMonth(Integers),
    DayTime(ScalarBuffer<IntervalDayTime>),
    MonthDayNano(ScalarBuffer<IntervalMonthDayNano>),
    List { ranges: Ranges, items: Box<Column<'a>>, item_oid: u32 },
    Nested(Box<json::Writer<'a>>, Kind),
    Dictionary(Integers, Box<Column<'a>>),
    Runs { ends: Integers, offset: usize, values: Box<Column<'a>> },
}

impl<'a> Column<'a> {
    /// Looks at an array that is to go into a column of a type; `None` when they do not go together.
    pub fn new(array: &'a dyn Array, to: &ColumnType) -> Option<Self> {
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
        Some(Column { rows: array.len(), nulls, values: Values::new(array, to)? })
    }

    /// Appends the row's value with its length before it.
    ///
    /// # Errors
    /// What the column cannot hold; `out` then ends anywhere.
    #[inline]
    pub fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        // Beyond the last row there are NULLs: a dictionary's key may be anything.
        if row >= self.rows || self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.extend((-1_i32).to_be_bytes());
            return Ok(());
        }
        self.values.write(row, out)
    }
}

impl<'a> Values<'a> {
    fn new(array: &'a dyn Array, to: &ColumnType) -> Option<Self> {
        use DataType::*;
        let integers = || Integers::of(array);
        let kind = to.kind();
        Some(match (array.data_type(), kind) {
            (Dictionary(..), _) => {
                let dictionary = array.as_any_dictionary_opt()?;
                let keys = Integers::of(dictionary.keys())?;
                Values::Dictionary(keys, Box::new(Column::new(dictionary.values().as_ref(), to)?))
            }
            (RunEndEncoded(ends, _), _) => match ends.data_type() {
                Int16 => Values::runs::<Int16Type>(array, to)?,
                Int32 => Values::runs::<Int32Type>(array, to)?,
                _ => Values::runs::<Int64Type>(array, to)?,
            },
            (Null, _) => Values::Null,
            (
                List(_) | LargeList(_) | ListView(_) | LargeListView(_) | FixedSizeList(..),
                Kind::Json | Kind::Jsonb,
            )
            | (Struct(_) | Map(..), Kind::Json | Kind::Jsonb)
                if !to.array =>
            {
                Values::Nested(Box::new(json::Writer::new(array).ok()?), kind)
            }
            (List(_) | LargeList(_) | ListView(_) | LargeListView(_) | FixedSizeList(..), _) => {
                let (ranges, items) = Ranges::of_list(array).filter(|_| to.array)?;
                let items = Box::new(Column::new(items.as_ref(), &to.item())?);
                // A list of lists would be an array of one more dimension, whose rows must be alike.
                if matches!(items.values, Values::List { .. }) {
                    return None;
                }
                Values::List { ranges, items, item_oid: to.oid }
            }
            _ if to.array => return None,
            (Boolean, Kind::Bool) => Values::Bool(array.as_boolean_opt()?),
            (data_type, Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Float4 | Kind::Float8)
                if data_type.is_integer() =>
            {
                Values::Integer(integers()?, kind, None)
            }
            (data_type, Kind::Numeric) if data_type.is_integer() => {
                let digits = Shape { precision: 20, scale: 0 };
                Values::Integer(integers()?, kind, narrower(to, digits))
            }
            (Float16, Kind::Float4 | Kind::Float8) => {
                Values::Half(values::<Float16Type>(array)?, kind)
            }
            (Float32, Kind::Float4 | Kind::Float8) => {
                Values::Single(values::<Float32Type>(array)?, kind)
            }
            (Float64, Kind::Float8) => Values::Double(values::<Float64Type>(array)?),
            (
                data_type @ (Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..)),
                Kind::Numeric,
            ) => {
                let shape = decimal::shape(data_type)?;
                Values::Decimal(Decimals::of(array)?, shape.scale, narrower(to, shape))
            }
            (Utf8 | LargeUtf8 | Utf8View, Kind::Text) => {
                Values::Text(Texts::of(array)?, to.max_chars())
            }
            (Utf8 | LargeUtf8 | Utf8View, Kind::Json | Kind::Jsonb) => {
                Values::Json(Texts::of(array)?, kind)
            }
            (Utf8 | LargeUtf8 | Utf8View, Kind::Uuid) => Values::TextUuid(Texts::of(array)?),
            (Binary | LargeBinary | BinaryView | FixedSizeBinary(_), Kind::Bytea) => {
                Values::Bytes(Blobs::of(array)?)
            }
            (FixedSizeBinary(16), Kind::Uuid) => Values::Uuid(array.as_fixed_size_binary_opt()?),
            (Date32, Kind::Date) => Values::Date(integers()?),
            (Date64, Kind::Date) => Values::DateMillis(integers()?),
            (Time32(unit) | Time64(unit), Kind::Time) => {
                Values::Time(integers()?, *unit, to.second_digits())
            }
            (Timestamp(unit, None), Kind::Timestamp)
            | (Timestamp(unit, Some(_)), Kind::Timestamptz) => {
                Values::Timestamp(integers()?, *unit, to.second_digits())
            }
            // interval(3) or interval day to hour would cut.
            (_, Kind::Interval) if to.modifier != -1 => return None,
            (Duration(unit), Kind::Interval) => Values::Duration(integers()?, *unit),
            (Interval(IntervalUnit::YearMonth), Kind::Interval) => Values::YearMonth(integers()?),
            (Interval(IntervalUnit::DayTime), Kind::Interval) => {
                Values::DayTime(values::<IntervalDayTimeType>(array)?)
            }
            (Interval(IntervalUnit::MonthDayNano), Kind::Interval) => {
                Values::MonthDayNano(values::<IntervalMonthDayNanoType>(array)?)
            }
            _ => return None,
        })
    }

    fn runs<R: RunEndIndexType>(array: &'a dyn Array, to: &ColumnType) -> Option<Self> {
        let runs = array.as_run_opt::<R>()?;
        let (ends, offset) = (runs.run_ends(), runs.run_ends().offset());
        let ends = arrow::array::PrimitiveArray::<R>::new(ends.inner().clone(), None);
        let values = Box::new(Column::new(runs.values().as_ref(), to)?);
        Some(Values::Runs { ends: Integers::of(&ends)?, offset, values })
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        let range = Fault::OutOfRange;
        match self {
            Values::Null => out.extend((-1_i32).to_be_bytes()),
            Values::Bool(values) => put(out, [values.value(row).into()]),
            Values::Integer(values, kind, narrower) => {
                return integer(values.get(row), *kind, *narrower, out);
            }
            Values::Half(values, Kind::Float4) => put(out, values[row].to_f32().to_be_bytes()),
            Values::Half(values, _) => put(out, values[row].to_f64().to_be_bytes()),
            Values::Single(values, Kind::Float4) => put(out, values[row].to_be_bytes()),
            Values::Single(values, _) => put(out, f64::from(values[row]).to_be_bytes()),
            Values::Double(values) => put(out, values[row].to_be_bytes()),
            Values::Decimal(values, scale, narrower) => {
                let value = values.get(row);
                if narrower.is_some_and(|to| !numeric::fits(value, *scale, to)) {
                    return Err(range);
                }
                sized(out, |out| numeric::write(value, *scale, out));
            }
            Values::Text(values, max_chars) => {
                let text = plain(values.get(row))?;
                let most = max_chars.unwrap_or(usize::MAX);
                if text.len() > most && text.chars().count() > most {
                    return Err(range);
                }
                put_bytes(out, text.as_bytes());
            }
            Values::Json(values, kind) => put_json(out, plain(values.get(row))?, *kind)?,
            Values::TextUuid(values) => put(out, uuid(values.get(row)).ok_or(range)?),
            Values::Bytes(values) => put_bytes(out, values.get(row)),
            Values::Uuid(values) => put_bytes(out, values.value(row)),
            Values::Date(values) => {
                let days = values.get(row).ok().and_then(|days| i32::try_from(days).ok());
                put(out, days.and_then(time::date).ok_or(range)?.to_be_bytes());
            }
            Values::DateMillis(values) => {
                let days = values.get(row).ok().and_then(time::date_of_millis);
                put(out, days.ok_or(range)?.to_be_bytes());
            }
            Values::Time(values, unit, digits) => {
                let micros = values.get(row).ok().and_then(|value| time::time(value, *unit));
                let kept = micros.filter(|micros| time::keeps(*micros, *digits));
                put(out, kept.ok_or(range)?.to_be_bytes());
            }
            Values::Timestamp(values, unit, digits) => {
                let micros = values.get(row).ok().and_then(|value| time::timestamp(value, *unit));
                let kept = micros.filter(|micros| time::keeps(*micros, *digits));
                put(out, kept.ok_or(range)?.to_be_bytes());
            }
            Values::Duration(values, unit) => {
                let micros = values.get(row).ok().and_then(|value| time::micros(value, *unit));
                let micros = micros.ok_or(range)?;
                put_interval(out, time::Interval { micros, days: 0, months: 0 });
            }
            Values::YearMonth(values) => {
                let months = values.get(row).ok().and_then(|months| i32::try_from(months).ok());
                let months = months.ok_or(range)?;
                put_interval(out, time::Interval { micros: 0, days: 0, months });
            }
            Values::DayTime(values) => put_interval(out, time::day_time(values[row])),
            Values::MonthDayNano(values) => {
                put_interval(out, time::month_day_nano(values[row]).ok_or(range)?);
            }
            Values::List { ranges, items, item_oid } => {
                return list(ranges.of(row), items, *item_oid, out);
            }
            Values::Nested(writer, kind) => {
                put_json(out, &writer.text(row).ok_or(Fault::TooLong)?, *kind)?;
            }
            Values::Dictionary(keys, values) => return values.write(keys.index(row), out),
            Values::Runs { ends, offset, values } => {
                let row = row as u64 + *offset as u64;
                let ends_by = |i: usize| ends.get(i).is_ok_and(|end| end as u64 <= row);
                return values.write(partition_point(ends.len(), ends_by), out);
            }
        }
        Ok(())
    }
}

/// The column's own digits, when some of the frame's values may not fit them.
fn narrower(to: &ColumnType, from: Shape) -> Option<Digits> {
    let digits = to.digits()?;
    let fits = digits.scale >= from.scale.into()
        && digits.precision - digits.scale >= from.integer_digits().into();
    (!fits).then_some(digits)
}

/// ```text
/// i32   dimensions: 1, or 0 for an empty array     u32   id of the items' type
/// i32   1 if there may be NULLs                    i32   number of items     i32   first index: 1
/// ```
fn list(
    items: std::ops::Range<usize>,
    column: &Column<'_>,
    item_oid: u32,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let start = out.len();
    out.extend([0; 4]);
    out.extend(i32::from(!items.is_empty()).to_be_bytes());
    out.extend(1_i32.to_be_bytes());
    out.extend(item_oid.to_be_bytes());
    if !items.is_empty() {
        let count = i32::try_from(items.len()).map_err(|_| Fault::TooLong)?;
        out.extend(count.to_be_bytes());
        out.extend(1_i32.to_be_bytes());
        for item in items {
            column.write(item, out)?;
            if out.len() - start > MAX_VALUE_BYTES {
                return Err(Fault::TooLong);
            }
        }
    }
    let length = (out.len() - start - 4) as i32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// The longest array of one row. Views can repeat their items without end.
const MAX_VALUE_BYTES: usize = 64 << 20;

/// The first of `len` for which a condition that becomes false and stays so does not hold.
fn partition_point(len: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
