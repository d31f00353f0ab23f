//! Decimals: an integer and where its point stands, as SQLite's integer or as canonical digits.
//!
//! Canonical digits are one text per value: a minus only before a non-zero number, no leading
//! zeros but one before the point, and exactly `scale` digits after it; a negative scale writes its
//! zeros out. `decimal128(38, 2)` 5 is `0.05`, `decimal128(38, -2)` 5 is `500`.

use std::borrow::Cow;

use arrow::datatypes::{DataType, i256};

use super::cell::Cell;
use super::storage::MAX_INTEGER_DIGITS;

/// A decimal type without its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The most digits.
    pub precision: u8,
    /// How many of them stand after the point; negative: how many zeros follow the digits.
    pub scale: i8,
}

impl Shape {
    /// The most digits before the point.
    pub fn integer_digits(self) -> i16 {
        i16::from(self.precision) - i16::from(self.scale)
    }
}

/// The shape of a decimal type; `None` for another type.
pub fn shape(data_type: &DataType) -> Option<Shape> {
    match *data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => Some(Shape { precision, scale }),
        _ => None,
    }
}

/// An integer as a decimal; `Err` has the nearest that fits.
pub fn from_integer(value: i128, shape: Shape) -> Result<Cell<'static>, Cell<'static>> {
    rescale(i256::from_i128(value), 0, shape)
}

/// A decimal's unscaled value as a cell of a column of `to`; `Err` has the nearest that fits.
pub fn rescale(value: i256, from_scale: i8, to: Shape) -> Result<Cell<'static>, Cell<'static>> {
    match nearest(value, from_scale.into(), to) {
        (kept, true) => Ok(cell(kept, to)),
        (kept, false) => Err(cell(kept, to)),
    }
}

/// A decimal's unscaled value as that of `to`, digits that do not fit cut off, and whether it is
/// exact.
fn nearest(value: i256, from_scale: i16, to: Shape) -> (i256, bool) {
    let by = i16::from(to.scale) - from_scale;
    let power = power_of_ten(by.unsigned_abs());
    let mut exact = true;
    let scaled = match power {
        Some(power) if by >= 0 => value.checked_mul(power),
        Some(power) => {
            exact = value.checked_rem(power) == Some(i256::ZERO);
            value.checked_div(power)
        }
        None if by >= 0 && value != i256::ZERO => None,
        None => {
            exact = value == i256::ZERO;
            Some(i256::ZERO)
        }
    };
    let limit = limit(to.precision);
    let fits = scaled.filter(|scaled| *scaled <= limit && *scaled >= limit.wrapping_neg());
    let end = if value.is_negative() { limit.wrapping_neg() } else { limit };
    (fits.unwrap_or(end), exact && fits.is_some())
}

/// An unscaled value as it is stored. Arrow lets a decimal have more digits than its type says;
/// where the type's are stored as an integer and these do not fit one, their canonical digits are
/// stored as a blob, which no column's affinity rewrites.
pub fn cell(value: i256, shape: Shape) -> Cell<'static> {
    let integer = value.to_i128().and_then(|value| i64::try_from(value).ok());
    match integer {
        _ if shape.precision > MAX_INTEGER_DIGITS => {
            Cell::Text(Cow::Owned(format(value, shape.scale)))
        }
        Some(integer) => Cell::Integer(integer),
        None => Cell::Blob(Cow::Owned(format(value, shape.scale).into_bytes())),
    }
}

/// The greatest value of so many digits: 10^precision − 1.
pub fn limit(precision: u8) -> i256 {
    power_of_ten(precision.into()).map(|power| power.wrapping_sub(i256::ONE)).unwrap_or(i256::MAX)
}

/// The most digits of 256 bits.
const MAX_DIGITS: usize = 77;

/// Canonical digits.
pub fn format(value: i256, scale: i8) -> String {
    let digits = value.to_string();
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits.as_str()),
    };
    let point = usize::from(scale.unsigned_abs());
    if scale <= 0 {
        let zeros = if digits == "0" { 0 } else { point };
        return format!("{sign}{digits}{}", "0".repeat(zeros));
    }
    let padded = format!("{digits:0>width$}", width = point + 1);
    let (whole, fraction) = padded.split_at(padded.len() - point);
    format!("{sign}{whole}.{fraction}")
}

/// Reads digits, canonical or not, as an unscaled value; `None` when they are not a number with
/// an exact form in `shape`.
pub fn parse(text: &str, shape: Shape) -> Option<i256> {
    let limit = limit(shape.precision);
    parse_wide(text, shape.scale).filter(|value| *value <= limit && *value >= limit.wrapping_neg())
}

/// The nearest in `shape` of digits of any length, or of `inf`: what is beyond its digits is cut
/// off, and beyond its range stands the range's end.
pub fn parse_nearest(text: &str, shape: Shape) -> i256 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let places = usize::from(shape.scale.max(0).unsigned_abs());
    let kept = fraction.get(..places).unwrap_or(fraction);
    match parse_wide(&format!("{whole}.{kept}"), shape.scale.max(0)) {
        Some(value) => nearest(value, shape.scale.max(0).into(), shape).0,
        None if text.starts_with('-') => limit(shape.precision).wrapping_neg(),
        None => limit(shape.precision),
    }
}

/// As [`parse`], for a value of any number of digits that 256 bits have.
pub fn parse_wide(text: &str, scale: i8) -> Option<i256> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all = [whole, fraction].concat();
    if all.is_empty() || all.len() > 1_000 || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // The digits count 10^-fraction.len(); shift them until they count 10^-scale.
    let shift = i64::from(scale) - fraction.len() as i64;
    let digits = match usize::try_from(shift) {
        Ok(zeros) => all + &"0".repeat(zeros),
        Err(_) => {
            let cut = all.len().checked_sub(shift.unsigned_abs() as usize);
            let (kept, lost) = match cut {
                Some(cut) => all.split_at(cut),
                None => ("", all.as_str()),
            };
            if lost.bytes().any(|byte| byte != b'0') {
                return None;
            }
            kept.to_owned()
        }
    };
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(i256::ZERO);
    }
    if digits.len() > MAX_DIGITS {
        return None;
    }
    match i256::from_string(digits) {
        Some(value) if negative => Some(value.wrapping_neg()),
        Some(value) => Some(value),
        // The least of all has no positive counterpart.
        None => Some(i256::MIN).filter(|min| negative && min.to_string().ends_with(digits)),
    }
}

/// 10^exponent, when it fits.
fn power_of_ten(exponent: u16) -> Option<i256> {
    (exponent <= 76).then(|| i256::from_i128(10).wrapping_pow(exponent.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn shape_of(precision: u8, scale: i8) -> Shape {
        Shape { precision, scale }
    }

    #[test]
    fn digits_are_canonical_and_read_back() {
        let limit = limit(76);
        for (value, scale, text) in [
            (i256::ZERO, 0, "0"),
            (i256::ZERO, 3, "0.000"),
            (i256::ZERO, -3, "0"),
            (i256::from_i128(5), 2, "0.05"),
            (i256::from_i128(-5), 2, "-0.05"),
            (i256::from_i128(-12_345), 2, "-123.45"),
            (i256::from_i128(5), -2, "500"),
            (limit, 0, &"9".repeat(76)),
        ] {
            assert_eq!(format(value, scale), text);
            assert_eq!(parse(text, shape_of(76, scale)), Some(value), "{text}");
        }
    }

    #[test]
    fn text_that_is_no_exact_decimal_does_not_read() {
        for text in ["", ".", "-", "1e5", " 1", "0.001", "1000", "--1", "1.2.3", "NaN"] {
            assert_eq!(parse(text, shape_of(4, 2)), None, "{text:?}");
        }
        for (text, value) in [("1", 100), ("+1.5", 150), ("0099.990", 9999), (".5", 50)] {
            let value = Some(i256::from_i128(value));
            assert_eq!(parse(text, shape_of(4, 2)), value, "{text:?}");
        }
        assert_eq!(parse("99", shape_of(4, -2)), None);
        assert_eq!(parse_wide(&"9".repeat(77), 0), None);
        for value in [i256::MAX, i256::MIN] {
            assert_eq!(parse_wide(&format(value, 3), 3), Some(value));
        }
    }

    #[test]
    fn rescaling_says_what_does_not_fit() {
        let rescale = |value, from, to| rescale(i256::from_i128(value), from, to);
        assert_eq!(rescale(15, 1, shape_of(5, 3)), Ok(Cell::Integer(1500)));
        assert_eq!(rescale(15, 1, shape_of(5, 0)), Err(Cell::Integer(1)));
        assert_eq!(rescale(-15, 0, shape_of(1, 0)), Err(Cell::Integer(-9)));
        assert!(rescale(1, -127, shape_of(38, 38)).is_err());
        assert_eq!(rescale(0, -127, shape_of(5, 0)), Ok(Cell::Integer(0)));
        let uint64 = from_integer(u64::MAX.into(), shape_of(20, 0));
        assert_eq!(uint64, Ok(Cell::Text("18446744073709551615".into())));
    }
}
