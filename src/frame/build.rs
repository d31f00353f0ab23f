//! Building an Arrow array of a given type from SQLite's values: the inverse of [`super::column`].

use std::collections::HashMap;

use arrow::array::{BinaryViewBuilder, BooleanBufferBuilder, StringViewBuilder};
use arrow::datatypes::*;

use super::cell::Cell;
use super::convert::F16;
use super::{decimal, interval, iso, json_read};
use crate::error::{Code, Error, Result};

/// Why a value did not go in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// It is not a value of the type.
    Value,
    /// The type's 32-bit offsets do not reach that far.
    TooMuch,
}

/// What a push answers.
pub type Push = std::result::Result<(), Misfit>;

/// An array in the making.
#[derive(Debug)]
pub struct Builder {
    pub(super) data_type: DataType,
    pub(super) values: Values,
    /// Whether each row has a value; grown on the first null only.
    pub(super) valid: Vec<bool>,
    pub(super) rows: usize,
    pub(super) nulls: usize,
}

/// The values by their physical type. A null has a value too, of no meaning.
#[derive(Debug)]
pub(super) enum Values {
    Null,
    Bool(BooleanBufferBuilder),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    F16(Vec<F16>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    I128(Vec<i128>),
    I256(Vec<i256>),
    DayTime(Vec<IntervalDayTime>),
    MonthDayNano(Vec<IntervalMonthDayNano>),
    /// Utf8, Binary and their large forms: bytes and where each value ends.
    Bytes(Vec<u8>, Vec<usize>),
    TextView(Box<StringViewBuilder>),
    BlobView(Box<BinaryViewBuilder>),
    FixedBytes(Vec<u8>, usize),
    /// Lists of every layout, and maps (with entries that are structs): where each ends.
    List(Vec<usize>, Box<Builder>),
    FixedList(Box<Builder>, usize),
    Struct(Vec<Builder>),
    Dictionary(Vec<usize>, Box<Dictionary>),
}

/// The distinct values of a dictionary, in the order in which they came.
#[derive(Debug)]
pub(super) struct Dictionary {
    /// From a value's bytes to its key; looked up only, never walked.
    keys: HashMap<Vec<u8>, usize>,
    pub(super) values: Builder,
}

impl Builder {
    /// An empty array of a type.
    ///
    /// # Errors
    /// `UNSUPPORTED_TYPE` for unions and run-ends, which no catalogue has.
    pub fn new(data_type: &DataType) -> Result<Builder> {
        use DataType::*;
        let child = |field: &FieldRef| Builder::new(field.data_type()).map(Box::new);
        let size = |size: &i32| usize::try_from(*size).unwrap_or(0);
        let values = match data_type {
            Null => Values::Null,
            Boolean => Values::Bool(BooleanBufferBuilder::new(0)),
            Int8 => Values::I8(Vec::new()),
            Int16 => Values::I16(Vec::new()),
            Int32 | Date32 | Time32(_) | Decimal32(..) | Interval(IntervalUnit::YearMonth) => {
                Values::I32(Vec::new())
            }
            Int64 | Date64 | Time64(_) | Timestamp(..) | Duration(_) | Decimal64(..) => {
                Values::I64(Vec::new())
            }
            UInt8 => Values::U8(Vec::new()),
            UInt16 => Values::U16(Vec::new()),
            UInt32 => Values::U32(Vec::new()),
            UInt64 => Values::U64(Vec::new()),
            Float16 => Values::F16(Vec::new()),
            Float32 => Values::F32(Vec::new()),
            Float64 => Values::F64(Vec::new()),
            Decimal128(..) => Values::I128(Vec::new()),
            Decimal256(..) => Values::I256(Vec::new()),
            Interval(IntervalUnit::DayTime) => Values::DayTime(Vec::new()),
            Interval(IntervalUnit::MonthDayNano) => Values::MonthDayNano(Vec::new()),
            Utf8 | LargeUtf8 | Binary | LargeBinary => Values::Bytes(Vec::new(), Vec::new()),
            Utf8View => Values::TextView(Box::default()),
            BinaryView => Values::BlobView(Box::default()),
            FixedSizeBinary(n) => Values::FixedBytes(Vec::new(), size(n)),
            List(item) | LargeList(item) | ListView(item) | LargeListView(item) | Map(item, _) => {
                Values::List(Vec::new(), child(item)?)
            }
            FixedSizeList(item, n) => Values::FixedList(child(item)?, size(n)),
            Struct(fields) => {
                let children = fields.iter().map(|field| Builder::new(field.data_type()));
                Values::Struct(children.collect::<Result<_>>()?)
            }
            Dictionary(_, values) => {
                let values = Builder::new(values)?;
                let keys = HashMap::new();
                Values::Dictionary(Vec::new(), Box::new(self::Dictionary { keys, values }))
            }
            RunEndEncoded(..) | Union(..) => {
                let why = "a type that is never read back";
                return Err(Error::new(Code::UnsupportedType, why));
            }
        };
        Ok(Builder { data_type: data_type.clone(), values, valid: Vec::new(), rows: 0, nulls: 0 })
    }

    /// The number of rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether some row is null.
    pub fn has_nulls(&self) -> bool {
        self.nulls > 0
    }

    /// Adds a row.
    ///
    /// # Errors
    /// A [`Misfit`]; the builder is of no further use then.
    pub fn push(&mut self, cell: Cell<'_>) -> Push {
        if let Values::Dictionary(keys, dictionary) = &mut self.values {
            let Some(bytes) = identity(&cell) else {
                self.push_null();
                return Ok(());
            };
            let key = dictionary.key(bytes, |values| values.push(cell))?;
            keys.push(key);
            self.count_valid();
            return Ok(());
        }
        match cell {
            Cell::Null => self.push_null(),
            Cell::Integer(value) => self.push_integer(value.into())?,
            Cell::Real(value) => self.push_real(value)?,
            Cell::Text(text) => self.push_text(&text)?,
            Cell::Blob(bytes) => self.push_bytes(&bytes)?,
        }
        Ok(())
    }

    pub(super) fn push_null(&mut self) {
        match &mut self.values {
            Values::Null => {}
            Values::Bool(values) => values.append(false),
            Values::I8(values) => values.push(0),
            Values::I16(values) => values.push(0),
            Values::I32(values) => values.push(0),
            Values::I64(values) => values.push(0),
            Values::U8(values) => values.push(0),
            Values::U16(values) => values.push(0),
            Values::U32(values) => values.push(0),
            Values::U64(values) => values.push(0),
            Values::F16(values) => values.push(F16::ZERO),
            Values::F32(values) => values.push(0.0),
            Values::F64(values) => values.push(0.0),
            Values::I128(values) => values.push(0),
            Values::I256(values) => values.push(i256::ZERO),
            Values::DayTime(values) => values.push(IntervalDayTime::ZERO),
            Values::MonthDayNano(values) => values.push(IntervalMonthDayNano::ZERO),
            Values::Bytes(bytes, ends) => ends.push(bytes.len()),
            Values::TextView(values) => values.append_null(),
            Values::BlobView(values) => values.append_null(),
            Values::FixedBytes(bytes, size) => bytes.resize(bytes.len() + *size, 0),
            Values::List(ends, items) => ends.push(items.rows),
            Values::FixedList(items, size) => (0..*size).for_each(|_| items.push_null()),
            Values::Struct(children) => children.iter_mut().for_each(Builder::push_null),
            Values::Dictionary(keys, _) => keys.push(0),
        }
        if self.nulls == 0 {
            self.valid = vec![true; self.rows];
        }
        self.valid.push(false);
        self.rows += 1;
        self.nulls += 1;
    }

    /// Counts a row whose value the caller has put in.
    pub(super) fn count_valid(&mut self) {
        if self.nulls > 0 {
            self.valid.push(true);
        }
        self.rows += 1;
    }

    pub(super) fn push_integer(&mut self, value: i128) -> Push {
        fn put<T: TryFrom<i128>>(values: &mut Vec<T>, value: i128) -> Push {
            values.push(T::try_from(value).map_err(|_| Misfit::Value)?);
            Ok(())
        }
        if let Some(shape) = decimal::shape(&self.data_type) {
            // An integer is a decimal's digits where those are stored as an integer, else a number.
            let unscaled = match shape.precision <= super::storage::MAX_INTEGER_DIGITS {
                true => Some(i256::from_i128(value)),
                false => decimal::parse_wide(&value.to_string(), shape.scale),
            };
            return self.push_unscaled(unscaled.ok_or(Misfit::Value)?);
        }
        match &mut self.values {
            Values::Bool(values) if value == 0 || value == 1 => values.append(value == 1),
            Values::I8(values) => put(values, value)?,
            Values::I16(values) => put(values, value)?,
            Values::I32(values) if self.data_type.is_temporal() || self.data_type.is_integer() => {
                put(values, value)?;
            }
            Values::I64(values) => put(values, value)?,
            Values::U8(values) => put(values, value)?,
            Values::U16(values) => put(values, value)?,
            Values::U32(values) => put(values, value)?,
            Values::U64(values) => put(values, value)?,
            Values::F16(_) | Values::F32(_) | Values::F64(_) if value as f64 as i128 == value => {
                return self.push_real(value as f64);
            }
            _ => return Err(Misfit::Value),
        }
        self.count_valid();
        Ok(())
    }

    pub(super) fn push_real(&mut self, value: f64) -> Push {
        match &mut self.values {
            Values::F16(values) => {
                let narrow = F16::from_f64(value);
                values.push(Some(narrow).filter(|n| same(n.to_f64(), value)).ok_or(Misfit::Value)?);
            }
            Values::F32(values) => {
                let narrow = value as f32;
                values
                    .push(Some(narrow).filter(|n| same((*n).into(), value)).ok_or(Misfit::Value)?);
            }
            Values::F64(values) => values.push(value),
            _ => return Err(Misfit::Value),
        }
        self.count_valid();
        Ok(())
    }

    pub(super) fn push_unscaled(&mut self, value: i256) -> Push {
        let narrow = value.to_i128();
        match (&mut self.values, narrow) {
            (Values::I32(values), Some(value)) => {
                values.push(value.try_into().map_err(|_| Misfit::Value)?);
            }
            (Values::I64(values), Some(value)) => {
                values.push(value.try_into().map_err(|_| Misfit::Value)?);
            }
            (Values::I128(values), Some(value)) => values.push(value),
            (Values::I256(values), _) => values.push(value),
            _ => return Err(Misfit::Value),
        }
        self.count_valid();
        Ok(())
    }

    fn push_text(&mut self, text: &str) -> Push {
        if let Some(shape) = decimal::shape(&self.data_type) {
            return self
                .push_unscaled(decimal::parse_wide(text, shape.scale).ok_or(Misfit::Value)?);
        }
        if let Some(kind) = iso::Kind::of(&self.data_type) {
            let count = iso::parse(kind, text).ok_or(Misfit::Value)?;
            return self.push_integer(count.into());
        }
        match (&self.data_type, &mut self.values) {
            (DataType::Utf8 | DataType::LargeUtf8, _) => return self.push_raw(text.as_bytes()),
            (_, Values::TextView(values)) => {
                values.try_append_value(text).map_err(|_| Misfit::TooMuch)?;
            }
            (DataType::Interval(_), Values::I32(values)) => {
                values.push(interval::parse_year_month(text).ok_or(Misfit::Value)?);
            }
            (_, Values::DayTime(values)) => {
                values.push(interval::parse_day_time(text).ok_or(Misfit::Value)?);
            }
            (_, Values::MonthDayNano(values)) => {
                values.push(interval::parse_month_day_nano(text).ok_or(Misfit::Value)?);
            }
            (data_type, _) if data_type.is_nested() => return json_read::read(text, self),
            _ => return Err(Misfit::Value),
        }
        self.count_valid();
        Ok(())
    }

    pub(super) fn push_bytes(&mut self, bytes: &[u8]) -> Push {
        if let Some(shape) = decimal::shape(&self.data_type) {
            let digits = std::str::from_utf8(bytes).ok();
            let value = digits.and_then(|digits| decimal::parse_wide(digits, shape.scale));
            return self.push_unscaled(value.ok_or(Misfit::Value)?);
        }
        match (&self.data_type, &mut self.values) {
            (DataType::Binary | DataType::LargeBinary, _) => return self.push_raw(bytes),
            (_, Values::BlobView(values)) => {
                values.try_append_value(bytes).map_err(|_| Misfit::TooMuch)?;
            }
            (_, Values::FixedBytes(all, size)) if bytes.len() == *size => {
                all.extend_from_slice(bytes);
            }
            _ => return Err(Misfit::Value),
        }
        self.count_valid();
        Ok(())
    }

    fn push_raw(&mut self, value: &[u8]) -> Push {
        if let Values::Bytes(bytes, ends) = &mut self.values {
            let wide = matches!(self.data_type, DataType::LargeUtf8 | DataType::LargeBinary);
            if !wide && bytes.len() + value.len() > i32::MAX as usize {
                return Err(Misfit::TooMuch);
            }
            bytes.extend_from_slice(value);
            ends.push(bytes.len());
        }
        self.count_valid();
        Ok(())
    }

    /// Counts a list row that ends with the items pushed so far.
    pub(super) fn end_list(&mut self) -> Push {
        match &mut self.values {
            Values::List(ends, items) if items.rows <= i32::MAX as usize => ends.push(items.rows),
            Values::FixedList(items, size) if items.rows == (self.rows + 1) * *size => {}
            Values::List(..) => return Err(Misfit::TooMuch),
            _ => return Err(Misfit::Value),
        }
        self.count_valid();
        Ok(())
    }
}

impl Dictionary {
    /// The key of the value with these bytes, which `push` adds when it is new.
    pub(super) fn key(
        &mut self,
        bytes: Vec<u8>,
        push: impl FnOnce(&mut Builder) -> Push,
    ) -> std::result::Result<usize, Misfit> {
        if let Some(key) = self.keys.get(&bytes) {
            return Ok(*key);
        }
        let key = self.values.rows();
        push(&mut self.values)?;
        self.keys.insert(bytes, key);
        Ok(key)
    }
}

/// Bytes that are equal when two values are the same; `None` for NULL.
fn identity(cell: &Cell<'_>) -> Option<Vec<u8>> {
    let (tag, bytes): (u8, &[u8]) = match cell {
        Cell::Null => return None,
        Cell::Integer(value) => (0, &value.to_le_bytes()),
        Cell::Real(value) => (1, &value.to_le_bytes()),
        Cell::Text(text) => (2, text.as_bytes()),
        Cell::Blob(bytes) => (3, bytes),
    };
    Some([&[tag], bytes].concat())
}

/// Equal, or both NaN.
fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}
