//! One value into one type, exactly, or as the nearest that the type has, which is then a loss.
//!
//! Numbers and bigints go into integers, floats, decimals, and, as the stored number, into dates,
//! times, timestamps and durations. A Date goes into dates and timestamps. Text goes into text and
//! decimals, and is never read as anything else: not as a number, not as a date.
//!
//! The nearest of a number beyond the type's range is the end of the range; a fraction is cut off,
//! as SQL's `CAST` does; a double is rounded to a decimal's last digit; a Date goes back to the
//! start of the unit. NaN and an invalid Date have no nearest: NULL is stored.

use std::borrow::Cow;

use arrow::array::ArrowNativeTypeOp;
use arrow::datatypes::{TimeUnit, i256};

use super::cells::Value;
use crate::frame::convert::F16;
use crate::frame::decimal::{self, Shape};

/// Why a value does not go into a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit<T> {
    /// The wrong kind of value.
    Kind,
    /// The right kind, but this one has no exact form; its nearest, or `None` for NULL.
    Lossy(Option<T>),
}

/// A value in its new form.
pub type Fit<T> = Result<T, Misfit<T>>;

impl<T> Misfit<T> {
    /// The same in another form.
    pub fn map<U>(self, form: impl FnOnce(T) -> Option<U>) -> Misfit<U> {
        match self {
            Misfit::Kind => Misfit::Kind,
            Misfit::Lossy(nearest) => Misfit::Lossy(nearest.and_then(form)),
        }
    }
}

/// Into an integer of any width.
pub fn integer<N: ArrowNativeTypeOp + TryFrom<i128>>(value: Value<'_>) -> Fit<N> {
    let integer = match value {
        Value::Integer(integer) => integer,
        Value::Number(number) if number.is_nan() => return Err(Misfit::Lossy(None)),
        Value::Number(number) => {
            whole(number).ok_or_else(|| Misfit::Lossy(Some(clamped(number as i128))))?
        }
        Value::Digits(digits) => {
            let end = if digits.starts_with('-') { i128::MIN } else { i128::MAX };
            return Err(Misfit::Lossy(Some(clamped(end))));
        }
        _ => return Err(Misfit::Kind),
    };
    N::try_from(integer).map_err(|_| Misfit::Lossy(Some(clamped(integer))))
}

/// The nearest integer that the type has and SQLite stores: no uint64 beyond int64.
fn clamped<N: ArrowNativeTypeOp + TryFrom<i128>>(integer: i128) -> N {
    let stored = integer.clamp(i64::MIN.into(), i64::MAX.into());
    let end = if integer < 0 { N::MIN_TOTAL_ORDER } else { N::MAX_TOTAL_ORDER };
    N::try_from(stored).unwrap_or(end)
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
            let same = number as i128 == integer;
            if same { Ok(number) } else { Err(Misfit::Lossy(Some(number))) }
        }
        Value::Digits(digits) => {
            let Ok(number) = digits.parse::<f64>() else {
                return Err(Misfit::Lossy(None));
            };
            // A whole double is printed with all its digits.
            let same = number.is_finite() && format!("{number:.0}") == digits;
            let nearest = number.clamp(f64::MIN, f64::MAX);
            if same { Ok(number) } else { Err(Misfit::Lossy(Some(nearest))) }
        }
        _ => Err(Misfit::Kind),
    }
}

/// Into a float32.
pub fn float32(value: Value<'_>) -> Fit<f32> {
    narrower(value, |number| number as f32, f64::from)
}

/// Into a float16.
pub fn float16(value: Value<'_>) -> Fit<F16> {
    narrower(value, F16::from_f64, F16::to_f64)
}

fn narrower<N: ArrowNativeTypeOp>(
    value: Value<'_>,
    narrow: impl Fn(f64) -> N,
    widen: impl Fn(N) -> f64,
) -> Fit<N> {
    // A nearest of −0 would be a second loss.
    let nearest = |number| narrow(number).add_wrapping(N::ZERO);
    let number = float64(value).map_err(|misfit| misfit.map(|number| Some(nearest(number))))?;
    let narrowed = narrow(number);
    let same = widen(narrowed) == number || number.is_nan();
    if same { Ok(narrowed) } else { Err(Misfit::Lossy(Some(nearest(number)))) }
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
fn instant<N: ArrowNativeTypeOp + TryFrom<i128>>(value: Value<'_>, up: i64, down: i64) -> Fit<N> {
    const FARTHEST_MS: f64 = 8.64e15;
    let Value::Date(ms) = value else {
        return Err(Misfit::Kind);
    };
    if ms.is_nan() {
        return Err(Misfit::Lossy(None));
    }
    let whole = ms.floor() as i64;
    let is_date = whole as f64 == ms && ms.abs() <= FARTHEST_MS;
    let count = i128::from(whole.div_euclid(down)) * i128::from(up);
    match N::try_from(count) {
        Ok(count) if is_date && whole % down == 0 => Ok(count),
        _ => Err(Misfit::Lossy(Some(clamped(count)))),
    }
}

/// Into a decimal, unscaled. A number counts as the binary fraction that it is: 0.5 has a decimal
/// form, 0.1 has none short of 55 digits; give '0.1' as text.
pub fn decimal(value: Value<'_>, shape: Shape) -> Fit<i256> {
    let places = usize::from(shape.scale.max(0).unsigned_abs());
    let (text, exact) = match value {
        Value::Integer(integer) => (Cow::Owned(integer.to_string()), true),
        Value::Digits(digits) => (Cow::Borrowed(digits), true),
        Value::Text(text) if is_decimal(text) => (Cow::Borrowed(text), true),
        Value::Number(number) if number.is_nan() => return Err(Misfit::Lossy(None)),
        Value::Number(number) => match binary_digits(number, shape.scale) {
            Some(digits) => (Cow::Owned(digits), true),
            None => (Cow::Owned(format!("{number:.places$}")), false),
        },
        _ => return Err(Misfit::Kind),
    };
    match decimal::parse(&text, shape) {
        Some(value) if exact => Ok(value),
        _ => Err(Misfit::Lossy(Some(decimal::parse_nearest(&text, shape)))),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_takes_the_digits_that_it_holds_exactly() {
        let digits = |text: &str| text.to_owned();
        let two_to_64 = digits("18446744073709551616");
        let two_to_64_and_more = digits("18446744073709551617");
        let ten_to_22 = digits("10000000000000000000000");
        let ten_to_23 = digits("100000000000000000000000");
        let largest = format!("{:.0}", f64::MAX);
        for (text, number) in
            [(&two_to_64, 2f64.powi(64)), (&ten_to_22, 1e22), (&largest, f64::MAX)]
        {
            assert_eq!(float64(Value::Digits(text)), Ok(number));
            assert_eq!(float64(Value::Digits(&format!("-{text}"))), Ok(-number));
        }
        for (text, nearest) in [(&two_to_64_and_more, 2f64.powi(64)), (&ten_to_23, 1e23)] {
            assert_eq!(float64(Value::Digits(text)), Err(Misfit::Lossy(Some(nearest))));
        }
        let beyond = format!("{largest}0");
        assert_eq!(float64(Value::Digits(&beyond)), Err(Misfit::Lossy(Some(f64::MAX))));
        assert_eq!(float32(Value::Digits(&two_to_64)), Ok(2f32.powi(64)));
        assert_eq!(float32(Value::Digits(&ten_to_22)), Err(Misfit::Lossy(Some(1e22f32))));
    }
}
