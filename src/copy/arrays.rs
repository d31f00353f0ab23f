//! The values of an array by what they are, whatever width and layout they have.

use arrow::array::{
    Array, ArrowPrimitiveType, AsArray, BinaryArray, BinaryViewArray, FixedSizeBinaryArray,
    LargeBinaryArray, LargeStringArray, StringArray, StringViewArray,
};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::*;

/// Integers: values, dictionary keys, ends of runs, days.
#[derive(Debug)]
pub enum Integers {
    /// 8 bits.
    I8(ScalarBuffer<i8>),
    /// 16 bits.
    I16(ScalarBuffer<i16>),
    /// 32 bits; days and times too.
    I32(ScalarBuffer<i32>),
    /// 64 bits; times, timestamps and durations too.
    I64(ScalarBuffer<i64>),
    /// 8 bits without sign.
    U8(ScalarBuffer<u8>),
    /// 16 bits without sign.
    U16(ScalarBuffer<u16>),
    /// 32 bits without sign.
    U32(ScalarBuffer<u32>),
    /// 64 bits without sign.
    U64(ScalarBuffer<u64>),
}

impl Integers {
    /// The integers of an array; `None` when it has none.
    pub fn of(array: &dyn Array) -> Option<Self> {
        use DataType::*;
        match array.data_type() {
            Int8 => values::<Int8Type>(array).map(Self::I8),
            Int16 => values::<Int16Type>(array).map(Self::I16),
            Int32 => values::<Int32Type>(array).map(Self::I32),
            Int64 => values::<Int64Type>(array).map(Self::I64),
            UInt8 => values::<UInt8Type>(array).map(Self::U8),
            UInt16 => values::<UInt16Type>(array).map(Self::U16),
            UInt32 => values::<UInt32Type>(array).map(Self::U32),
            UInt64 => values::<UInt64Type>(array).map(Self::U64),
            Date32 => values::<Date32Type>(array).map(Self::I32),
            Date64 => values::<Date64Type>(array).map(Self::I64),
            Time32(TimeUnit::Second) => values::<Time32SecondType>(array).map(Self::I32),
            Time32(_) => values::<Time32MillisecondType>(array).map(Self::I32),
            Time64(TimeUnit::Microsecond) => values::<Time64MicrosecondType>(array).map(Self::I64),
            Time64(_) => values::<Time64NanosecondType>(array).map(Self::I64),
            Timestamp(TimeUnit::Second, _) => values::<TimestampSecondType>(array).map(Self::I64),
            Timestamp(TimeUnit::Millisecond, _) => {
                values::<TimestampMillisecondType>(array).map(Self::I64)
            }
            Timestamp(TimeUnit::Microsecond, _) => {
                values::<TimestampMicrosecondType>(array).map(Self::I64)
            }
            Timestamp(TimeUnit::Nanosecond, _) => {
                values::<TimestampNanosecondType>(array).map(Self::I64)
            }
            Duration(TimeUnit::Second) => values::<DurationSecondType>(array).map(Self::I64),
            Duration(TimeUnit::Millisecond) => {
                values::<DurationMillisecondType>(array).map(Self::I64)
            }
            Duration(TimeUnit::Microsecond) => {
                values::<DurationMicrosecondType>(array).map(Self::I64)
            }
            Duration(TimeUnit::Nanosecond) => {
                values::<DurationNanosecondType>(array).map(Self::I64)
            }
            Interval(IntervalUnit::YearMonth) => {
                values::<IntervalYearMonthType>(array).map(Self::I32)
            }
            _ => None,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::I8(values) => values.len(),
            Self::I16(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::U8(values) => values.len(),
            Self::U16(values) => values.len(),
            Self::U32(values) => values.len(),
            Self::U64(values) => values.len(),
        }
    }

    /// The row's value; a uint64 beyond an int64 is the `Err`.
    #[inline]
    pub fn get(&self, row: usize) -> Result<i64, u64> {
        Ok(match self {
            Self::I8(values) => values[row].into(),
            Self::I16(values) => values[row].into(),
            Self::I32(values) => values[row].into(),
            Self::I64(values) => values[row],
            Self::U8(values) => values[row].into(),
            Self::U16(values) => values[row].into(),
            Self::U32(values) => values[row].into(),
            Self::U64(values) => return i64::try_from(values[row]).map_err(|_| values[row]),
        })
    }

    /// The row's value as an index; what is none points beyond everything.
    #[inline]
    pub fn index(&self, row: usize) -> usize {
        self.get(row).ok().and_then(|value| usize::try_from(value).ok()).unwrap_or(usize::MAX)
    }
}

/// The values of a primitive array.
pub fn values<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<ScalarBuffer<T::Native>> {
    array.as_primitive_opt::<T>().map(|array| array.values().clone())
}

/// Decimals without their scale.
#[derive(Debug)]
pub enum Decimals {
    /// 32 bits.
    D32(ScalarBuffer<i32>),
    /// 64 bits.
    D64(ScalarBuffer<i64>),
    /// 128 bits.
    D128(ScalarBuffer<i128>),
    /// 256 bits.
    D256(ScalarBuffer<i256>),
}

/// Text.
#[derive(Debug)]
pub enum Texts<'a> {
    /// 32-bit offsets.
    Small(&'a StringArray),
    /// 64-bit offsets.
    Large(&'a LargeStringArray),
    /// Views.
    View(&'a StringViewArray),
}

/// Bytes.
#[derive(Debug)]
pub enum Blobs<'a> {
    /// 32-bit offsets.
    Small(&'a BinaryArray),
    /// 64-bit offsets.
    Large(&'a LargeBinaryArray),
    /// Views.
    View(&'a BinaryViewArray),
    /// All of one length.
    Fixed(&'a FixedSizeBinaryArray),
}

impl Decimals {
    /// Those of an array; `None` when it has none.
    pub fn of(array: &dyn Array) -> Option<Self> {
        match array.data_type() {
            DataType::Decimal32(..) => values::<Decimal32Type>(array).map(Self::D32),
            DataType::Decimal64(..) => values::<Decimal64Type>(array).map(Self::D64),
            DataType::Decimal128(..) => values::<Decimal128Type>(array).map(Self::D128),
            _ => values::<Decimal256Type>(array).map(Self::D256),
        }
    }

    /// The row's value.
    pub fn get(&self, row: usize) -> i256 {
        match self {
            Self::D32(values) => i256::from_i128(values[row].into()),
            Self::D64(values) => i256::from_i128(values[row].into()),
            Self::D128(values) => i256::from_i128(values[row]),
            Self::D256(values) => values[row],
        }
    }
}

impl<'a> Texts<'a> {
    /// Those of an array; `None` when it has none.
    pub fn of(array: &'a dyn Array) -> Option<Self> {
        match array.data_type() {
            DataType::Utf8 => array.as_string_opt().map(Self::Small),
            DataType::LargeUtf8 => array.as_string_opt().map(Self::Large),
            _ => array.as_string_view_opt().map(Self::View),
        }
    }

    /// The row's value.
    pub fn get(&self, row: usize) -> &str {
        match self {
            Self::Small(values) => values.value(row),
            Self::Large(values) => values.value(row),
            Self::View(values) => values.value(row),
        }
    }
}

impl<'a> Blobs<'a> {
    /// Those of an array; `None` when it has none.
    pub fn of(array: &'a dyn Array) -> Option<Self> {
        match array.data_type() {
            DataType::Binary => array.as_binary_opt().map(Self::Small),
            DataType::LargeBinary => array.as_binary_opt().map(Self::Large),
            DataType::BinaryView => array.as_binary_view_opt().map(Self::View),
            _ => array.as_fixed_size_binary_opt().map(Self::Fixed),
        }
    }

    /// The row's value.
    pub fn get(&self, row: usize) -> &[u8] {
        match self {
            Self::Small(values) => values.value(row),
            Self::Large(values) => values.value(row),
            Self::View(values) => values.value(row),
            Self::Fixed(values) => values.value(row),
        }
    }
}
