//! PostgreSQL's numeric: digits to the base of 10,000.
//!
//! ```text
//! i16   number of digits
//! i16   weight: the first digit counts 10,000^weight
//! u16   sign: 0x0000 plus, 0x4000 minus
//! i16   digits after the point when it is shown
//! i16…  the digits, the first one first
//! ```

use arrow::datatypes::i256;

use super::kind::Digits;
use crate::frame::decimal;

const BASE: u128 = 10_000;
/// Decimal digits of one digit here.
const GROUP: usize = 4;

/// Appends an integer with `scale` of its digits after the point (negative: zeros after it).
pub fn write(value: i256, scale: i8, out: &mut Vec<u8>) {
    let small = value.to_i128().filter(|value| value.unsigned_abs() <= u64::MAX.into());
    match small {
        Some(value) if scale >= 0 => write_small(value, scale.unsigned_abs(), out),
        _ => write_digits(value, scale, out),
    }
}

/// Whether a numeric of so many digits has this very value: no digit after its last, none before its first.
pub fn fits(value: i256, scale: i8, to: Digits) -> bool {
    let scale = i32::from(scale);
    // Digits of the value that would be rounded away, and those that there is room for.
    let (beyond, room) = (scale - to.scale, to.precision - to.scale + scale);
    let power =
        |digits: i32| u32::try_from(digits).ok().and_then(|n| i256::from_i128(10).checked_pow(n));
    let whole = beyond <= 0 || power(beyond).is_some_and(|power| value % power == i256::ZERO);
    let small = match room {
        ..=0 => false,
        // More than 256 bits have.
        room => power(room).is_none_or(|power| value > power.wrapping_neg() && value < power),
    };
    value == i256::ZERO || (whole && small)
}

/// At most 64 bits: the point is moved to a group's border by a product that fits 128.
fn write_small(value: i128, scale: u8, out: &mut Vec<u8>) {
    let scale_digits = usize::from(scale);
    let after = scale_digits.div_ceil(GROUP);
    let mut rest = value.unsigned_abs() * 10_u128.pow((after * GROUP - scale_digits) as u32);
    // 64 bits are 20 digits, moved by at most 3: six groups.
    let mut groups = [0_u16; 6];
    let mut count = 0;
    while rest > 0 {
        groups[count] = (rest % BASE) as u16;
        rest /= BASE;
        count += 1;
    }
    let groups = &mut groups[..count];
    groups.reverse();
    write_groups(groups, count as i16 - after as i16, value < 0, scale.into(), out);
}

/// Any size, by way of the digits as text.
fn write_digits(value: i256, scale: i8, out: &mut Vec<u8>) {
    let text = decimal::format(value, scale);
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text.as_str()),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let width = whole.len().div_ceil(GROUP) * GROUP;
    let tail = fraction.len().div_ceil(GROUP) * GROUP;
    let aligned = format!("{whole:0>width$}{fraction:0<tail$}");
    let groups: Vec<u16> = aligned
        .as_bytes()
        .chunks(GROUP)
        .map(|group| group.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
        .collect();
    let before = (width / GROUP) as i16;
    write_groups(&groups, before, negative, fraction.len() as i16, out);
}

/// Appends digits of which `before` stand before the point, without the zeros at either end.
fn write_groups(groups: &[u16], before: i16, negative: bool, shown: i16, out: &mut Vec<u8>) {
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups[leading..].iter().rev().take_while(|group| **group == 0).count();
    let digits = &groups[leading..groups.len() - trailing];
    // Zero has no digits, no weight and no sign.
    let (weight, sign) = match digits.is_empty() {
        true => (0, 0),
        false => (before - 1 - leading as i16, if negative { 0x4000_u16 } else { 0 }),
    };
    out.extend((digits.len() as i16).to_be_bytes());
    out.extend(weight.to_be_bytes());
    out.extend(sign.to_be_bytes());
    out.extend(shown.to_be_bytes());
    for digit in digits {
        out.extend(digit.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a numeric back as canonical digits.
    fn read(bytes: &[u8]) -> String {
        let word = |i: usize| i16::from_be_bytes([bytes[2 * i], bytes[2 * i + 1]]);
        let (count, weight, shown) = (word(0) as usize, i32::from(word(1)), word(3) as usize);
        assert_eq!(bytes.len(), 8 + 2 * count);
        let group = |at: i32| match usize::try_from(weight - at) {
            Ok(i) if i < count => word(4 + i) as u16,
            _ => 0,
        };
        let whole: String =
            (0..=weight.max(0)).rev().map(|at| format!("{:04}", group(at))).collect();
        let fraction: String =
            (1..=shown.div_ceil(4) as i32).map(|at| format!("{:04}", group(-at))).collect();
        let whole = whole.trim_start_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        let sign = if word(2) == 0x4000 { "-" } else { "" };
        let point = if shown > 0 { "." } else { "" };
        format!("{sign}{whole}{point}{}", &fraction[..shown])
    }

    fn written(value: i256, scale: i8) -> String {
        let mut out = Vec::new();
        write(value, scale, &mut out);
        read(&out)
    }

    #[test]
    fn extremes_are_written_digit_by_digit() {
        for (value, scale) in [
            (i256::ZERO, 0),
            (i256::ZERO, 9),
            (i256::from_i128(1), 3),
            (i256::from_i128(-12_345), 2),
            (i256::from_i128(10_000), 0),
            (i256::from_i128(10_000), 4),
            (i256::from_i128(i128::MAX), 38),
            (i256::from_i128(i128::MIN), 0),
            (i256::from_i128(u64::MAX.into()), 0),
            (i256::MAX, 76),
            (i256::MIN, 0),
            (decimal::limit(76), 0),
            (i256::from_i128(5), -2),
        ] {
            assert_eq!(written(value, scale), decimal::format(value, scale), "{value} {scale}");
        }
    }

    #[test]
    fn a_value_fits_the_digits_that_a_column_has() {
        for (value, scale, precision, to_scale, wanted) in [
            (1, 0, 100, 90, true),
            (9_999_999_999, 0, 100, 90, true),
            (10_000_000_000, 0, 100, 90, false),
            (1, 38, 1000, 500, true),
            (i128::MAX, 0, 1000, 0, true),
            (0, 9, 3, -2, true),
            (12_300, 0, 3, -2, true),
            (12_345, 0, 3, -2, false),
            (99_900, 0, 3, -2, true),
            (100_000, 0, 3, -2, false),
            (123, 2, 3, 2, true),
            (-999, 2, 3, 2, true),
            (-1_000, 2, 3, 2, false),
            (1_230, 3, 3, 2, true),
            (1_234, 3, 3, 2, false),
            // 0.0005 in numeric(2,4): its digits begin after two zeros.
            (5, 4, 2, 4, true),
            (100, 4, 2, 4, false),
            (1, 0, 2, 4, false),
            (1, 76, 3, -100, false),
        ] {
            let to = Digits { precision, scale: to_scale };
            assert_eq!(fits(i256::from_i128(value), scale, to), wanted, "{value} {scale} {to:?}");
        }
    }

    #[test]
    fn a_numeric_has_the_layout_that_postgresql_sends() {
        // `select 12345.6789::numeric` in binary, as a server gave it.
        let mut out = Vec::new();
        write(i256::from_i128(123_456_789), 4, &mut out);
        assert_eq!(out, [0, 3, 0, 1, 0, 0, 0, 4, 0, 1, 0x09, 0x29, 0x1a, 0x85]);
    }

    proptest! {
        #[test]
        fn every_value_reads_back(high in any::<i128>(), low in any::<u128>(), scale in -20_i8..=76) {
            let value = i256::from_parts(low, high);
            prop_assert_eq!(written(value, scale), decimal::format(value, scale));
            let value = i256::from_i128(high >> 64);
            prop_assert_eq!(written(value, scale), decimal::format(value, scale));
            let value = i256::from_i128(high >> (low % 128) as u32);
            prop_assert_eq!(written(value, scale), decimal::format(value, scale));
        }
    }
}
