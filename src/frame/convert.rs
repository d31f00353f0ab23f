//! From the type a frame has to the type its column has: which pairs go together, and how one
//! value is carried over.
//!
//! *Widening* keeps every value's meaning and is done without being asked: `int32` into an `int64`
//! column, `utf8` into `large_utf8`, seconds into milliseconds. *Narrowing* is done only where
//! `options.types` asks for it. Both are exact or reported, value by value.

use std::borrow::Cow;

use arrow::array::ArrowPrimitiveType;
use arrow::datatypes::{DataType, Float16Type, TimeUnit};

use super::cell::Cell;
use super::decimal;
use super::iso;
use super::storage::{Affinity, Encoding, Storage, value_type};

/// Arrow's half-precision float.
pub type F16 = <Float16Type as ArrowPrimitiveType>::Native;

/// How well values of one type go into a column of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// The values are written alike.
    Same,
    /// The column's type has room for all or nearly all values of the other.
    Widens,
    /// Some values may fit.
    Narrows,
}

/// How values of `from` go into a column of `to`; `None` when they do not.
pub fn fit(from: &DataType, to: &DataType) -> Option<Fit> {
    use DataType::*;
    let (from, to) = (value_type(from), value_type(to));
    if same_shape(from, to) {
        return Some(Fit::Same);
    }
    if *from == Null {
        return Some(Fit::Widens);
    }
    if let (Some(a), Some(b)) = (decimal::shape(from), decimal::shape(to)) {
        let widens = b.scale >= a.scale && b.integer_digits() >= a.integer_digits();
        return Some(if widens { Fit::Widens } else { Fit::Narrows });
    }
    if let (Some(a), Some(b)) = (int_range(from), int_range(to)) {
        let widens = b.0 <= a.0 && a.1 <= b.1;
        return Some(if widens { Fit::Widens } else { Fit::Narrows });
    }
    if let (Some(_), Some(b)) = (int_range(from), decimal::shape(to)) {
        return Some(if b.scale >= 0 { Fit::Widens } else { Fit::Narrows });
    }
    if let (Some(a), Some(b)) = (float_width(from), float_width(to)) {
        return Some(if a <= b { Fit::Widens } else { Fit::Narrows });
    }
    match (from, to) {
        (from, Float16 | Float32 | Float64) if from.is_integer() => Some(Fit::Widens),
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => Some(Fit::Same),
        (
            Binary | LargeBinary | BinaryView | FixedSizeBinary(_),
            Binary | LargeBinary | BinaryView,
        ) => Some(Fit::Same),
        (Timestamp(a, zone_a), Timestamp(b, zone_b)) if zone_a == zone_b => units(a, b),
        (Time32(a) | Time64(a), Time32(b) | Time64(b)) => units(a, b),
        (Duration(a), Duration(b)) => units(a, b),
        (Date32, Date64) => Some(Fit::Widens),
        _ => None,
    }
}

/// Whether two types are written alike: equal but for what children are called where the name has
/// no meaning (a list's item, a map's entries), for their metadata and nullability, and for which
/// of the list layouts it is.
fn same_shape(a: &DataType, b: &DataType) -> bool {
    use DataType::*;
    let (a, b) = (value_type(a), value_type(b));
    match (a, b) {
        (
            List(a) | LargeList(a) | ListView(a) | LargeListView(a),
            List(b) | LargeList(b) | ListView(b) | LargeListView(b),
        ) => same_shape(a.data_type(), b.data_type()),
        (FixedSizeList(a, n), FixedSizeList(b, m)) => {
            n == m && same_shape(a.data_type(), b.data_type())
        }
        (Map(a, _), Map(b, _)) => match (a.data_type(), b.data_type()) {
            (Struct(a), Struct(b)) => {
                a.len() == b.len()
                    && a.iter().zip(b).all(|(a, b)| same_shape(a.data_type(), b.data_type()))
            }
            _ => false,
        },
        (Struct(a), Struct(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| a.name() == b.name() && same_shape(a.data_type(), b.data_type()))
        }
        (a, b) => a == b,
    }
}

fn int_range(data_type: &DataType) -> Option<(i128, i128)> {
    Some(match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, u64::MAX.into()),
        _ => return None,
    })
}

fn float_width(data_type: &DataType) -> Option<u8> {
    match data_type {
        DataType::Float16 => Some(16),
        DataType::Float32 => Some(32),
        DataType::Float64 => Some(64),
        _ => None,
    }
}

fn units(from: &TimeUnit, to: &TimeUnit) -> Option<Fit> {
    Some(match per_second(from) <= per_second(to) {
        true => Fit::Widens,
        false => Fit::Narrows,
    })
}

fn per_second(unit: &TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

fn unit_of(data_type: &DataType) -> Option<&TimeUnit> {
    match data_type {
        DataType::Timestamp(unit, _)
        | DataType::Time32(unit)
        | DataType::Time64(unit)
        | DataType::Duration(unit) => Some(unit),
        _ => None,
    }
}

/// What was not exact about a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// NaN, which SQLite stores as NULL.
    NotANumber,
    /// −0.0, which SQLite stores as 0.0 in this column.
    NegativeZero,
    /// An integer beyond the column's type; it is stored as the nearest that fits.
    OutOfRange,
    /// A number that the column's type has no exact form for; it is rounded, away from the half.
    Inexact,
    /// Text that SQLite would turn into a number in this column.
    TextBecomesNumber,
    /// NULL in the column that is the table's row id, where SQLite puts a number of its own.
    NullBecomesNumber,
    /// A nested value that is longer than 256 MiB as JSON; NULL is stored.
    TooLong,
}

impl Loss {
    /// What is wrong, as the end of a sentence that starts with the value.
    pub const fn why(self) -> &'static str {
        match self {
            Loss::NotANumber => "is NaN, which SQLite keeps as NULL",
            Loss::NegativeZero => "is -0.0, which SQLite keeps as 0.0",
            Loss::OutOfRange => "is outside the column's range",
            Loss::Inexact => "has no exact form in the column's type",
            Loss::TextBecomesNumber => {
                "looks like a number, which the column's affinity would turn it into"
            }
            Loss::TooLong => "is longer than 256 MiB as JSON",
            Loss::NullBecomesNumber => {
                "is NULL, and SQLite numbers it: the column is the table's row id"
            }
        }
    }
}

/// What is done to each value between Arrow's buffer and SQLite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// Nothing.
    Keep,
    /// A double; what SQLite cannot keep is reported.
    Real {
        /// Whether the column keeps the sign of −0.0.
        keeps_negative_zero: bool,
        /// The bits of precision of the column's type, when it is narrower than the frame's.
        narrow_to: Option<u8>,
    },
    /// An integer becomes a double.
    IntegerToReal {
        /// As above.
        narrow_to: Option<u8>,
    },
    /// An integer is clamped to a range.
    Clamp {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// A count of one unit becomes a count of another.
    Rescale(Scale),
    /// A count, rescaled, becomes ISO 8601 text.
    Iso(Scale, iso::Kind),
    /// An integer becomes a decimal.
    IntegerToDecimal(decimal::Shape),
    /// A text that looks like a number is reported.
    Text,
}

/// From a count of one unit to a count of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    multiply: i64,
    /// By what it is then divided.
    divide: i64,
    /// The greatest that the other type has; the least is one further from 0.
    max: i64,
}

impl Scale {
    fn new(from: &DataType, to: &DataType) -> Scale {
        let (multiply, divide) = match (from, to, unit_of(from), unit_of(to)) {
            (DataType::Date32, DataType::Date64, ..) => (86_400_000, 1),
            (_, _, Some(a), Some(b)) => {
                let (a, b) = (per_second(a), per_second(b));
                ((b / a).max(1), (a / b).max(1))
            }
            _ => (1, 1),
        };
        let max = if let DataType::Time32(_) = to { i32::MAX.into() } else { i64::MAX };
        Scale { multiply, divide, max }
    }

    fn apply(self, value: i64) -> (i64, Option<Loss>) {
        let end = if value < 0 { -self.max - 1 } else { self.max };
        match value.checked_mul(self.multiply) {
            None => (end, Some(Loss::OutOfRange)),
            Some(value) => match value.div_euclid(self.divide) {
                kept if kept > self.max || kept < -self.max - 1 => (end, Some(Loss::OutOfRange)),
                kept => (kept, (value.rem_euclid(self.divide) != 0).then_some(Loss::Inexact)),
            },
        }
    }
}

impl Step {
    /// The step from values of `from` into a column stored as `storage`. The pair must [`fit`].
    pub fn new(from: &DataType, storage: &Storage) -> Step {
        let (from, to) = (value_type(from), value_type(&storage.data_type));
        let is_integer = int_range(from).is_some();
        if storage.encoding == Encoding::Real {
            let narrow_to = float_width(to)
                .filter(|to| is_integer || float_width(from).is_some_and(|from| from > *to));
            return if is_integer {
                Step::IntegerToReal { narrow_to }
            } else {
                Step::Real { keeps_negative_zero: storage.affinity == Affinity::Blob, narrow_to }
            };
        }
        if is_integer && let Some(shape) = decimal::shape(to) {
            return Step::IntegerToDecimal(shape);
        }
        let scale = Scale::new(from, to);
        if storage.encoding == Encoding::Iso8601
            && let Some(kind) = iso::Kind::of(to)
        {
            return Step::Iso(scale, kind);
        }
        if (scale.multiply, scale.divide) != (1, 1) {
            return Step::Rescale(scale);
        }
        if let (Some(from), Some(to)) = (int_range(from), int_range(to)) {
            // What is stored is an i64 whatever the type says.
            let min = to.0.max(i64::MIN.into());
            let max = to.1.min(i64::MAX.into());
            if from.0 < min || from.1 > max {
                return Step::Clamp {
                    min: i64::try_from(min).unwrap_or(i64::MIN),
                    max: i64::try_from(max).unwrap_or(i64::MAX),
                };
            }
        }
        match (storage.encoding, storage.affinity) {
            (Encoding::Text, Affinity::Numeric) => Step::Text,
            _ => Step::Keep,
        }
    }

    /// Carries one value over, and says what was lost on the way.
    pub fn apply<'a>(&self, cell: Cell<'a>) -> (Cell<'a>, Option<Loss>) {
        match (self, cell) {
            (Step::Real { keeps_negative_zero, narrow_to }, Cell::Real(value)) => {
                real(value, *keeps_negative_zero, *narrow_to)
            }
            (Step::Rescale(scale), Cell::Integer(value)) => {
                let (value, loss) = scale.apply(value);
                (Cell::Integer(value), loss)
            }
            (Step::Iso(scale, kind), Cell::Integer(value)) => {
                let (value, loss) = scale.apply(value);
                (Cell::Text(Cow::Owned(iso::format(*kind, value))), loss)
            }
            (Step::Text, Cell::Text(text)) => {
                let loss = looks_like_a_number(&text).then_some(Loss::TextBecomesNumber);
                (Cell::Text(text), loss)
            }
            (_, Cell::Integer(value)) => self.apply_integer(value.into()),
            (_, cell) => (cell, None),
        }
    }

    /// As [`Step::apply`], for the integers of every type, unsigned ones included.
    pub fn apply_integer<'a>(&self, value: i128) -> (Cell<'a>, Option<Loss>) {
        match self {
            Step::IntegerToReal { narrow_to } => {
                let (real, loss) = real(value as f64, true, *narrow_to);
                let exact = value as f64 as i128 == value;
                (real, loss.or((!exact).then_some(Loss::Inexact)))
            }
            Step::IntegerToDecimal(shape) => match decimal::from_integer(value, *shape) {
                Ok(cell) => (cell, None),
                Err(cell) => (cell, Some(Loss::OutOfRange)),
            },
            step => {
                let (min, max) = match step {
                    Step::Clamp { min, max } => (*min, *max),
                    _ => (i64::MIN, i64::MAX),
                };
                let kept = value.clamp(min.into(), max.into());
                let loss = (kept != value).then_some(Loss::OutOfRange);
                (Cell::Integer(i64::try_from(kept).unwrap_or(max)), loss)
            }
        }
    }
}

fn real<'a>(
    value: f64,
    keeps_negative_zero: bool,
    narrow_to: Option<u8>,
) -> (Cell<'a>, Option<Loss>) {
    if value.is_nan() {
        return (Cell::Null, Some(Loss::NotANumber));
    }
    let kept = match narrow_to {
        Some(16) => F16::from_f64(value).to_f64(),
        Some(32) => f64::from(value as f32),
        _ => value,
    };
    if kept != value {
        (Cell::Real(kept), Some(Loss::Inexact))
    } else if kept == 0.0 && kept.is_sign_negative() && !keeps_negative_zero {
        (Cell::Real(0.0), Some(Loss::NegativeZero))
    } else {
        (Cell::Real(kept), None)
    }
}

/// Whether SQLite's NUMERIC affinity would take the text for a number: an optional sign, digits
/// with at most one point, an optional exponent, and spaces around it.
pub fn looks_like_a_number(text: &str) -> bool {
    let space = [' ', '\t', '\n', '\u{b}', '\u{c}', '\r'];
    let text = text.trim_matches(space);
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_is_one =
        digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    mantissa_is_one
        && exponent.is_none_or(|exponent| {
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent)
        })
}
