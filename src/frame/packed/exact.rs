//! One value into one type, exactly or not at all.
//!
//! Numbers and bigints go into integers, floats, decimals, and, as the stored number, into dates,
//! times, timestamps and durations. A Date goes into dates and timestamps. Text goes into text and
//! decimals, and is never read as anything else: not as a number, not as a date.

use arrow::datatypes::{ArrowPrimitiveType, Float16Type, TimeUnit, i256};

use super::cells::Value;
use crate::frame::decimal::{self, Shape};

type F16 = <Float16Type as ArrowPrimitiveType>::Native;

/// Why a value does not go into a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// The wrong kind of value.
    Kind,
    /// The right kind, but this one has no exact form.
    Lossy,
}

/// A value in its new form.
pub type Fit<T> = Result<T, Misfit>;

/// Into an integer of any width.
pub fn integer<N: TryFrom<i128>>(value: Value<'_>) -> Fit<N> {
    let integer = match value {
        Value::Integer(integer) => integer,
        Value::Number(number) => whole(number).ok_or(Misfit::Lossy)?,
        Value::Digits(_) => return Err(Misfit::Lossy),
        _ => return Err(Misfit::Kind),
    };
    N::try_from(integer).map_err(|_| Misfit::Lossy)
}

/// A number as an integer; −0 is none, and neither are those beyond 2^100, which fit nowhere.
pub fn whole(number: f64) -> Option<i128> {
    // Nearly all of them; a cast there and back is several times faster than trunc.
    let narrow = number as i64;
    if narrow as f64 == number && narrow.unsigned_abs() < 1 << 62 {
        let is_minus_zero = narrow == 0 && number.is_sign_negative();
        return (!is_minus_zero).then_some(narrow.into());
    }
    let is_whole = number.trunc() == number && number.abs() < 2f64.powi(100);
    is_whole.then_some(number as i128)
}

/// Into a float64. NaN passes: what becomes of it is for the rules of the column to say.
pub fn float64(value: Value<'_>) -> Fit<f64> {
    match value {
        Value::Number(number) => Ok(number),
        Value::Integer(integer) => {
            let number = integer as f64;
            // In range of i128: the integers here have 64 bits.
            (number as i128 == integer).then_some(number).ok_or(Misfit::Lossy)
        }
        Value::Digits(_) => Err(Misfit::Lossy),
        _ => Err(Misfit::Kind),
    }
}

/// Into a float32.
pub fn float32(value: Value<'_>) -> Fit<f32> {
    let number = float64(value)?;
    let narrow = number as f32;
    let same = f64::from(narrow) == number || number.is_nan();
    same.then_some(narrow).ok_or(Misfit::Lossy)
}

/// Into a float16.
pub fn float16(value: Value<'_>) -> Fit<F16> {
    let number = float64(value)?;
    let narrow = F16::from_f64(number);
    let same = narrow.to_f64() == number || number.is_nan();
    same.then_some(narrow).ok_or(Misfit::Lossy)
}

/// Into days since the epoch: a Date at midnight UTC, or the number of days.
pub fn days(value: Value<'_>) -> Fit<i32> {
    match value {
        Value::Date(_) => instant(value, 1, 86_400_000),
        _ => integer(value),
    }
}

/// Into milliseconds since the epoch.
pub fn milliseconds(value: Value<'_>) -> Fit<i64> {
    ticks(value, TimeUnit::Millisecond)
}

/// Into a timestamp: a Date, or the number of units.
pub fn ticks(value: Value<'_>, unit: TimeUnit) -> Fit<i64> {
    match (value, unit) {
        (Value::Date(_), TimeUnit::Second) => instant(value, 1, 1_000),
        (Value::Date(_), TimeUnit::Millisecond) => instant(value, 1, 1),
        (Value::Date(_), TimeUnit::Microsecond) => instant(value, 1_000, 1),
        (Value::Date(_), TimeUnit::Nanosecond) => instant(value, 1_000_000, 1),
        _ => integer(value),
    }
}

/// Milliseconds times `up`, divided by `down` without a remainder.
fn instant<N: TryFrom<i128>>(value: Value<'_>, up: i64, down: i64) -> Fit<N> {
    const FARTHEST_MS: f64 = 8.64e15;
    let Value::Date(ms) = value else {
        return Err(Misfit::Kind);
    };
    let whole = ms as i64;
    let is_date = whole as f64 == ms && ms.abs() <= FARTHEST_MS;
    if !is_date || whole % down != 0 {
        return Err(Misfit::Lossy);
    }
    N::try_from(i128::from(whole / down) * i128::from(up)).map_err(|_| Misfit::Lossy)
}

/// Into a decimal, unscaled. A number counts as the binary fraction that it is: 0.5 has a decimal
/// form, 0.1 has none short of 55 digits; give '0.1' as text.
pub fn decimal(value: Value<'_>, shape: Shape) -> Fit<i256> {
    let parsed = match value {
        Value::Integer(integer) => decimal::parse(&integer.to_string(), shape),
        Value::Digits(digits) => decimal::parse(digits, shape),
        Value::Text(text) if is_decimal(text) => decimal::parse(text, shape),
        Value::Number(number) => {
            binary_digits(number, shape.scale).and_then(|digits| decimal::parse(&digits, shape))
        }
        _ => return Err(Misfit::Kind),
    };
    parsed.ok_or(Misfit::Lossy)
}

/// `[+-]digits[.digits]`, with a digit at least.
fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    !(whole.is_empty() && fraction.is_empty())
        && (whole.bytes().chain(fraction.bytes())).all(|byte| byte.is_ascii_digit())
}

/// A number written out in full; `None` when that takes more than `scale` digits after the point.
fn binary_digits(number: f64, scale: i8) -> Option<String> {
    if !number.is_finite() || number == 0.0 && number.is_sign_negative() {
        return None;
    }
    // number = mantissa × 2^exponent, the mantissa odd: as many digits after the point as −exponent.
    let bits = number.to_bits();
    let biased = (bits >> 52 & 0x7ff) as i32;
    let fraction = bits & ((1 << 52) - 1);
    let mantissa = if biased == 0 { fraction } else { fraction | 1 << 52 };
    let exponent = biased.max(1) - 1075 + mantissa.trailing_zeros() as i32;
    let digits = if mantissa == 0 { 0 } else { (-exponent).max(0) };
    (digits <= i32::from(scale.max(0))).then(|| format!("{number:.0$}", digits as usize))
}
