//! A column of a batch, seen as SQLite's values.
//!
//! [`Column::new`] looks at the Arrow type once; [`Column::cell`] then costs one bit test for null
//! and one match. Text and bytes are borrowed from Arrow's buffers.

#[cfg(feature = "browser")]
mod image;

use std::borrow::Cow;

use arrow::array::{
    Array, AsArray, BinaryArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray,
    LargeBinaryArray, LargeStringArray, StringArray, StringViewArray,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::*;

use super::cell::Cell;
use super::convert::{F16, Loss, Step};
use super::storage::{Storage, value_type};
use super::{decimal, interval, json, types};
use crate::error::{Code, Error, Result};

/// One column of one batch, ready to be read value by value.
#[derive(Debug)]
pub struct Column<'a> {
    rows: usize,
    nulls: Option<NullBuffer>,
    source: Source<'a>,
    step: Step,
}

/// What takes a value.
pub trait Sink {
    /// Takes it; to be `#[inline(always)]`.
    fn put(self, cell: Cell<'_>);
}

/// Where the values stand, by their physical type.
#[derive(Debug)]
enum Source<'a> {
    Null,
    Bool(&'a BooleanArray),
    I8(ScalarBuffer<i8>),
    I16(ScalarBuffer<i16>),
    I32(ScalarBuffer<i32>),
    I64(ScalarBuffer<i64>),
    U8(ScalarBuffer<u8>),
    U16(ScalarBuffer<u16>),
    U32(ScalarBuffer<u32>),
    U64(ScalarBuffer<u64>),
    F16(ScalarBuffer<F16>),
    F32(ScalarBuffer<f32>),
    F64(ScalarBuffer<f64>),
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    Utf8View(&'a StringViewArray),
    Binary(&'a BinaryArray),
    LargeBinary(&'a LargeBinaryArray),
    BinaryView(&'a BinaryViewArray),
    FixedBinary(&'a FixedSizeBinaryArray),
    /// Decimals of one shape in a column of another.
    Decimal(Decimals, decimal::Shape, decimal::Shape),
    YearMonth(ScalarBuffer<i32>),
    DayTime(ScalarBuffer<IntervalDayTime>),
    MonthDayNano(ScalarBuffer<IntervalMonthDayNano>),
    Nested(Box<json::Writer<'a>>),
    /// The value of each row is `values`' at its key.
    Dictionary(Box<Source<'a>>, Box<Column<'a>>),
    /// The value of each row is `values`' at the first run that ends beyond it.
    Runs(Ends, Box<Column<'a>>),
}

#[derive(Debug)]
enum Decimals {
    D32(ScalarBuffer<i32>),
    D64(ScalarBuffer<i64>),
    D128(ScalarBuffer<i128>),
    D256(ScalarBuffer<i256>),
}

#[derive(Debug)]
struct Ends {
    /// Ascending.
    ends: Vec<i64>,
    /// The array's own offset into the runs.
    offset: i64,
}

impl<'a> Column<'a> {
    /// Looks at an array that is to be stored as `storage` says; the types must fit (the plan has
    /// made sure).
    ///
    /// # Errors
    /// `UNSUPPORTED_TYPE` for a union; `INVALID_FRAME` for an array that is not what its type says.
    pub fn new(array: &'a dyn Array, storage: &Storage) -> Result<Self> {
        let source = Source::new(array, storage)?;
        let step = match source {
            // What stands behind has its own step.
            Source::Dictionary(..) | Source::Runs(..) => Step::Keep,
            _ => Step::new(array.data_type(), storage),
        };
        Ok(Column {
            rows: array.len(),
            nulls: array.nulls().filter(|nulls| nulls.null_count() > 0).cloned(),
            source,
            step,
        })
    }

    /// As [`Column::new`] with the array's own type, and every value as it is, NaN included.
    ///
    /// # Errors
    /// As [`Column::new`].
    pub fn raw(array: &'a dyn Array) -> Result<Self> {
        let storage = Storage::new(array.data_type(), false)?;
        let mut column = Column::new(array, &storage)?;
        column.keep();
        Ok(column)
    }

    fn keep(&mut self) {
        self.step = Step::Keep;
        if let Source::Dictionary(_, values) | Source::Runs(_, values) = &mut self.source {
            values.keep();
        }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The value of a row; beyond the last row there are NULLs.
    pub fn cell(&self, row: usize) -> Cell<'_> {
        if self.is_null(row) {
            return Cell::Null;
        }
        match (&self.source, &self.step) {
            (source, Step::Keep | Step::Text) => source.cell(row),
            (Source::U64(values), step) => step.apply_integer(values[row].into()).0,
            (source, step) => step.apply(source.cell(row)).0,
        }
    }

    /// Gives the value of a row on: [`Column::cell`] for where every nanosecond counts. The commonest
    /// columns are told apart here, so that the compiler knows in each arm what kind of cell it is.
    #[inline(always)]
    pub fn give(&self, row: usize, to: impl Sink) {
        if self.is_null(row) {
            return to.put(Cell::Null);
        }
        match (&self.step, &self.source) {
            (Step::Keep, Source::Bool(values)) => to.put(Cell::Integer(values.value(row).into())),
            (Step::Keep, Source::I32(values)) => to.put(Cell::Integer(values[row].into())),
            (Step::Keep, Source::I64(values)) => to.put(Cell::Integer(values[row])),
            (Step::Keep, Source::F64(values)) => to.put(Cell::Real(values[row])),
            (Step::Keep, Source::Utf8(values)) => to.put(Cell::Text(values.value(row).into())),
            (Step::Keep, Source::FixedBinary(values)) => {
                to.put(Cell::Blob(values.value(row).into()));
            }
            _ => self.give_other(row, to),
        }
    }

    /// Out of line: what is seldom needed would make the rest slower.
    #[inline(never)]
    fn give_other(&self, row: usize, to: impl Sink) {
        to.put(self.cell(row));
    }

    /// For a column of whose values none loses anything, as [`Column::loss`] has said of each: the
    /// look at each value is left out.
    pub fn without_losses(mut self) -> Self {
        if matches!(self.step, Step::Real { .. } | Step::Clamp { .. }) {
            self.step = Step::Keep;
        }
        self
    }

    /// What storing the row's value loses.
    pub fn loss(&self, row: usize) -> Option<Loss> {
        if self.is_null(row) {
            return None;
        }
        match &self.source {
            Source::Dictionary(keys, values) => values.loss(keys.index(row)),
            Source::Runs(ends, values) => values.loss(ends.index(row)),
            Source::Decimal(_, from, to) if from == to => None,
            Source::Decimal(values, from, to) => {
                let rescaled = decimal::rescale(values.get(row), from.scale, *to);
                rescaled.is_err().then_some(Loss::OutOfRange)
            }
            Source::U64(values) => self.step.apply_integer(values[row].into()).1,
            Source::Nested(writer) => writer.text(row).is_none().then_some(Loss::TooLong),
            source => self.step.apply(source.cell(row)).1,
        }
    }

    /// Whether some value may lose something; `false` spares the caller the look at each.
    pub fn may_lose(&self) -> bool {
        match &self.source {
            Source::Dictionary(_, values) | Source::Runs(_, values) => values.may_lose(),
            Source::Decimal(_, from, to) => from != to,
            Source::Nested(writer) => writer.may_be_too_long(),
            Source::F64(values) => match self.step {
                Step::Real { keeps_negative_zero, narrow_to: None } => {
                    has_nan_or_negative_zero(values, keeps_negative_zero)
                }
                _ => true,
            },
            Source::U64(values) if matches!(self.step, Step::Clamp { max: i64::MAX, .. }) => {
                // The highest bit of all of them together, with no branch inside the loop.
                values.iter().fold(0, |bits, value| bits | value) > i64::MAX as u64
            }
            _ => self.step != Step::Keep,
        }
    }

    /// Whether a row's own null bit says so, or there is no such row. A dictionary's or a run's
    /// value may still be NULL.
    #[inline(always)]
    pub fn is_null(&self, row: usize) -> bool {
        row >= self.rows || matches!(&self.nulls, Some(nulls) if nulls.is_null(row))
    }
}

/// A loop without branches, which the compiler can do several values at a time.
fn has_nan_or_negative_zero(values: &[f64], keeps_negative_zero: bool) -> bool {
    const NEGATIVE_ZERO: u64 = 1 << 63;
    values.iter().fold(false, |odd, value| {
        odd | value.is_nan() | (!keeps_negative_zero & (value.to_bits() == NEGATIVE_ZERO))
    })
}

impl<'a> Source<'a> {
    fn new(array: &'a dyn Array, storage: &Storage) -> Result<Self> {
        use DataType::*;
        let source = match array.data_type() {
            Null => Some(Source::Null),
            Boolean => array.as_boolean_opt().map(Source::Bool),
            Int8 => values(array).map(Source::I8),
            Int16 => values(array).map(Source::I16),
            Int32 | Date32 | Time32(_) => values(array).map(Source::I32),
            Int64 | Date64 | Time64(_) | Timestamp(..) | Duration(_) => {
                values(array).map(Source::I64)
            }
            UInt8 => values(array).map(Source::U8),
            UInt16 => values(array).map(Source::U16),
            UInt32 => values(array).map(Source::U32),
            UInt64 => values(array).map(Source::U64),
            Float16 => values(array).map(Source::F16),
            Float32 => values(array).map(Source::F32),
            Float64 => values(array).map(Source::F64),
            Interval(IntervalUnit::YearMonth) => values(array).map(Source::YearMonth),
            Interval(IntervalUnit::DayTime) => values(array).map(Source::DayTime),
            Interval(IntervalUnit::MonthDayNano) => values(array).map(Source::MonthDayNano),
            Utf8 => array.as_string_opt::<i32>().map(Source::Utf8),
            LargeUtf8 => array.as_string_opt::<i64>().map(Source::LargeUtf8),
            Utf8View => array.as_string_view_opt().map(Source::Utf8View),
            Binary => array.as_binary_opt::<i32>().map(Source::Binary),
            LargeBinary => array.as_binary_opt::<i64>().map(Source::LargeBinary),
            BinaryView => array.as_binary_view_opt().map(Source::BinaryView),
            FixedSizeBinary(_) => array.as_fixed_size_binary_opt().map(Source::FixedBinary),
            Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => {
                Source::decimals(array, storage)
            }
            Dictionary(..) => {
                let dictionary = array.as_any_dictionary_opt().ok_or_else(|| broken(array))?;
                let keys = Source::new(dictionary.keys(), storage)?;
                let values = Column::new(dictionary.values().as_ref(), storage)?;
                Some(Source::Dictionary(Box::new(keys), Box::new(values)))
            }
            RunEndEncoded(ends, _) => match ends.data_type() {
                Int16 => Source::runs::<Int16Type>(array, storage)?,
                Int32 => Source::runs::<Int32Type>(array, storage)?,
                _ => Source::runs::<Int64Type>(array, storage)?,
            },
            List(_) | LargeList(_) | ListView(_) | LargeListView(_) | FixedSizeList(..)
            | Struct(_) | Map(..) => Some(Source::Nested(Box::new(json::Writer::new(array)?))),
            Union(..) => {
                return Err(Error::new(Code::UnsupportedType, "unions are not stored"));
            }
        };
        source.ok_or_else(|| broken(array))
    }

    fn decimals(array: &'a dyn Array, storage: &Storage) -> Option<Self> {
        let from = decimal::shape(array.data_type())?;
        let to = decimal::shape(value_type(&storage.data_type))?;
        let values = match array.data_type() {
            DataType::Decimal32(..) => values(array).map(Decimals::D32),
            DataType::Decimal64(..) => values(array).map(Decimals::D64),
            DataType::Decimal128(..) => values(array).map(Decimals::D128),
            _ => values(array).map(Decimals::D256),
        };
        Some(Source::Decimal(values?, from, to))
    }

    fn runs<R: RunEndIndexType>(array: &'a dyn Array, storage: &Storage) -> Result<Option<Self>>
    where
        R::Native: Into<i64>,
    {
        let Some(runs) = array.as_run_opt::<R>() else {
            return Ok(None);
        };
        let ends = Ends {
            ends: runs.run_ends().values().iter().map(|end| (*end).into()).collect(),
            offset: i64::try_from(runs.run_ends().offset()).unwrap_or(i64::MAX),
        };
        let values = Column::new(runs.values().as_ref(), storage)?;
        Ok(Some(Source::Runs(ends, Box::new(values))))
    }

    #[inline]
    fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Source::Null => Cell::Null,
            Source::Bool(values) => Cell::Integer(values.value(row).into()),
            Source::I8(values) => Cell::Integer(values[row].into()),
            Source::I16(values) => Cell::Integer(values[row].into()),
            Source::I32(values) => Cell::Integer(values[row].into()),
            Source::I64(values) => Cell::Integer(values[row]),
            Source::U8(values) => Cell::Integer(values[row].into()),
            Source::U16(values) => Cell::Integer(values[row].into()),
            Source::U32(values) => Cell::Integer(values[row].into()),
            Source::U64(values) => Cell::Integer(i64::try_from(values[row]).unwrap_or(i64::MAX)),
            Source::F16(values) => Cell::Real(values[row].to_f64()),
            Source::F32(values) => Cell::Real(values[row].into()),
            Source::F64(values) => Cell::Real(values[row]),
            Source::Utf8(values) => Cell::Text(Cow::Borrowed(values.value(row))),
            Source::LargeUtf8(values) => Cell::Text(Cow::Borrowed(values.value(row))),
            Source::Utf8View(values) => Cell::Text(Cow::Borrowed(values.value(row))),
            Source::Binary(values) => Cell::Blob(Cow::Borrowed(values.value(row))),
            Source::LargeBinary(values) => Cell::Blob(Cow::Borrowed(values.value(row))),
            Source::BinaryView(values) => Cell::Blob(Cow::Borrowed(values.value(row))),
            Source::FixedBinary(values) => Cell::Blob(Cow::Borrowed(values.value(row))),
            Source::Decimal(values, from, to) if from == to => decimal::cell(values.get(row), *to),
            Source::Decimal(values, from, to) => {
                decimal::rescale(values.get(row), from.scale, *to).unwrap_or_else(|nearest| nearest)
            }
            Source::YearMonth(values) => text(interval::format_year_month(values[row])),
            Source::DayTime(values) => text(interval::format_day_time(values[row])),
            Source::MonthDayNano(values) => text(interval::format_month_day_nano(values[row])),
            Source::Nested(writer) => writer.text(row).map_or(Cell::Null, text),
            Source::Dictionary(keys, values) => values.cell(keys.index(row)),
            Source::Runs(ends, values) => values.cell(ends.index(row)),
        }
    }

    /// A dictionary's key as an index; a key that is none points beyond every dictionary.
    #[inline]
    fn index(&self, row: usize) -> usize {
        match self {
            Source::I32(keys) => usize::try_from(keys[row]).unwrap_or(usize::MAX),
            other => match other.cell(row) {
                Cell::Integer(key) => usize::try_from(key).unwrap_or(usize::MAX),
                _ => usize::MAX,
            },
        }
    }
}

impl Decimals {
    fn get(&self, row: usize) -> i256 {
        match self {
            Decimals::D32(values) => i256::from_i128(values[row].into()),
            Decimals::D64(values) => i256::from_i128(values[row].into()),
            Decimals::D128(values) => i256::from_i128(values[row]),
            Decimals::D256(values) => values[row],
        }
    }
}

impl Ends {
    fn index(&self, row: usize) -> usize {
        let row = i64::try_from(row).unwrap_or(i64::MAX).saturating_add(self.offset);
        self.ends.partition_point(|end| *end <= row)
    }
}

/// The values of a primitive array, by their width: one way for the nine types of eight bytes. The
/// caller has looked at the type.
fn values<N: ArrowNativeType>(array: &dyn Array) -> Option<ScalarBuffer<N>> {
    let data = array.to_data();
    let width = data.data_type().primitive_width();
    let buffer = data.buffers().first().filter(|_| width == Some(size_of::<N>()))?;
    Some(ScalarBuffer::new(buffer.clone(), data.offset(), data.len()))
}

pub(super) fn broken(array: &dyn Array) -> Error {
    let name = types::name(array.data_type());
    Error::new(Code::InvalidFrame, format!("an array that is not the {name} it says"))
}

fn text<'a>(text: String) -> Cell<'a> {
    Cell::Text(Cow::Owned(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::*;
    use std::sync::Arc;

    fn cells(array: &dyn Array) -> Vec<String> {
        let storage = Storage::new(array.data_type(), false).unwrap();
        let column = Column::new(array, &storage).unwrap();
        (0..array.len()).map(|row| format!("{:?}", column.cell(row))).collect()
    }

    #[test]
    fn primitive_values_are_numbers_and_nulls_are_null() {
        let array = Int8Array::from(vec![Some(-1), None, Some(3)]);
        assert_eq!(cells(&array), ["Integer(-1)", "Null", "Integer(3)"]);
        assert_eq!(cells(&array.slice(1, 2)), ["Null", "Integer(3)"]);
        assert_eq!(cells(&Float32Array::from(vec![0.1_f32])), ["Real(0.10000000149011612)"]);
        assert_eq!(cells(&BooleanArray::from(vec![true, false])), ["Integer(1)", "Integer(0)"]);
    }

    #[test]
    fn text_is_borrowed_from_the_array() {
        let array = StringViewArray::from(vec![Some("a\0b"), None, Some("")]);
        let storage = Storage::new(array.data_type(), false).unwrap();
        let column = Column::new(&array, &storage).unwrap();
        assert!(matches!(column.cell(0), Cell::Text(Cow::Borrowed("a\0b"))));
        assert_eq!(column.cell(1), Cell::Null);
        assert!(matches!(column.cell(2), Cell::Text(Cow::Borrowed(""))));
        assert_eq!(column.cell(3), Cell::Null);
    }

    #[test]
    fn a_dictionary_reads_through_its_keys() {
        let values: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None]));
        let keys = UInt8Array::from(vec![Some(0), Some(1), None]);
        let array = DictionaryArray::new(keys, values);
        assert_eq!(cells(&array), ["Text(\"x\")", "Null", "Null"]);
    }

    #[test]
    fn runs_are_read_by_their_ends_even_in_a_slice() {
        let ends = Int16Array::from(vec![2, 3, 6]);
        let values = Int32Array::from(vec![Some(1), None, Some(3)]);
        let array = RunArray::try_new(&ends, &values).unwrap();
        let slice = array.slice(1, 4);
        assert_eq!(cells(&slice), ["Integer(1)", "Null", "Integer(3)", "Integer(3)"]);
    }

    #[test]
    fn unsigned_values_beyond_an_integer_are_a_loss() {
        let array = UInt64Array::from(vec![i64::MAX as u64, 1 << 63]);
        let storage = Storage::new(&DataType::UInt64, false).unwrap();
        let column = Column::new(&array, &storage).unwrap();
        assert!(column.may_lose());
        assert_eq!(column.loss(0), None);
        assert_eq!(column.loss(1), Some(Loss::OutOfRange));
        let wide = Storage::new(&DataType::Decimal128(20, 0), false).unwrap();
        let column = Column::new(&array, &wide).unwrap();
        assert_eq!(column.loss(1), None);
        assert_eq!(column.cell(1), Cell::Text("9223372036854775808".into()));
    }

    #[test]
    fn what_reals_cannot_keep_is_a_loss() {
        let array = Float64Array::from(vec![1.5, f64::NAN, -0.0, f64::INFINITY, 5e-324]);
        let storage = Storage::new(&DataType::Float64, false).unwrap();
        let column = Column::new(&array, &storage).unwrap();
        let losses: Vec<_> = (0..5).map(|row| column.loss(row)).collect();
        let (nan, zero) = (Some(Loss::NotANumber), Some(Loss::NegativeZero));
        assert_eq!(losses, [None, nan, zero, None, None]);
        assert_eq!(column.cell(1), Cell::Null);
    }
}
