//! One value of a binary COPY: a length, then the bytes.

use arrow::datatypes::i256;

use super::kind::{Digits, Kind};
use super::{numeric, time};

/// Why a value is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The column's type has no such value, or has it only rounded.
    OutOfRange,
    /// Text with U+0000.
    Nul,
    /// A nested value whose JSON is longer than any that is written.
    TooLong,
}

/// Appends an integer as a number of a kind.
pub fn integer(
    value: Result<i64, u64>,
    kind: Kind,
    narrower: Option<Digits>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let range = Fault::OutOfRange;
    if kind == Kind::Numeric {
        let wide = i256::from_i128(value.map_or_else(i128::from, i128::from));
        if narrower.is_some_and(|to| !numeric::fits(wide, 0, to)) {
            return Err(range);
        }
        sized(out, |out| numeric::write(wide, 0, out));
        return Ok(());
    }
    let value = value.map_err(|_| range)?;
    match kind {
        Kind::Int2 => put(out, i16::try_from(value).map_err(|_| range)?.to_be_bytes()),
        Kind::Int4 => put(out, i32::try_from(value).map_err(|_| range)?.to_be_bytes()),
        Kind::Int8 => put(out, value.to_be_bytes()),
        // Only what reads back as the same integer; the cast of a float saturates, hence 128 bits.
        Kind::Float4 if (value as f32) as i128 == i128::from(value) => {
            put(out, (value as f32).to_be_bytes());
        }
        Kind::Float8 if (value as f64) as i128 == i128::from(value) => {
            put(out, (value as f64).to_be_bytes());
        }
        _ => return Err(range),
    }
    Ok(())
}

/// Text that PostgreSQL stores.
pub fn plain(text: &str) -> Result<&str, Fault> {
    if text.as_bytes().contains(&0) { Err(Fault::Nul) } else { Ok(text) }
}

/// A UUID's text, with hyphens or without.
pub fn uuid(text: &str) -> Option<[u8; 16]> {
    let hyphens = [8, 13, 18, 23];
    let bytes = text.as_bytes();
    let fits = match bytes.len() {
        36 => hyphens.iter().all(|at| bytes[*at] == b'-'),
        length => length == 32,
    };
    let digits: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b'-').collect();
    let mut out = [0; 16];
    if !fits || digits.len() != 32 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks(2)) {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Some(out)
}

/// Appends a value of a fixed length.
pub fn put<const N: usize>(out: &mut Vec<u8>, value: [u8; N]) {
    out.extend((N as i32).to_be_bytes());
    out.extend(value);
}

/// Appends bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as i32).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Appends an interval.
pub fn put_interval(out: &mut Vec<u8>, value: time::Interval) {
    out.extend(16_i32.to_be_bytes());
    out.extend(value.micros.to_be_bytes());
    out.extend(value.days.to_be_bytes());
    out.extend(value.months.to_be_bytes());
}

/// Appends JSON text. `jsonb` has no text with U+0000, not even as an escape; `json` cannot give it back.
pub fn put_json(out: &mut Vec<u8>, text: &str, kind: Kind) -> Result<(), Fault> {
    let escapes_nul = text.match_indices("\\u0000").any(|(at, _)| {
        // The backslash escapes unless it is itself escaped.
        let before = text.as_bytes()[..at].iter().rev().take_while(|byte| **byte == b'\\');
        before.count() % 2 == 0
    });
    if escapes_nul {
        return Err(Fault::Nul);
    }
    sized(out, |out| {
        if kind == Kind::Jsonb {
            out.push(1);
        }
        out.extend_from_slice(text.as_bytes());
    });
    Ok(())
}

/// Appends what a function appends, with its length before it.
pub fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    write(out);
    let length = (out.len() - start - 4) as i32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_becomes_a_float_only_when_it_stays_the_same() {
        let write = |value, kind| integer(Ok(value), kind, None, &mut Vec::new());
        assert_eq!(write(1 << 53, Kind::Float8), Ok(()));
        assert_eq!(write((1 << 53) + 1, Kind::Float8), Err(Fault::OutOfRange));
        assert_eq!(write(i64::MAX, Kind::Float8), Err(Fault::OutOfRange));
        assert_eq!(write(i64::MIN, Kind::Float8), Ok(()));
        assert_eq!(write(16_777_217, Kind::Float4), Err(Fault::OutOfRange));
        assert_eq!(write(32_768, Kind::Int2), Err(Fault::OutOfRange));
        assert_eq!(
            integer(Err(1 << 63), Kind::Int8, None, &mut Vec::new()),
            Err(Fault::OutOfRange)
        );
        let digits = Some(Digits { precision: 4, scale: 2 });
        assert_eq!(
            integer(Ok(100), Kind::Numeric, digits, &mut Vec::new()),
            Err(Fault::OutOfRange)
        );
        assert_eq!(integer(Ok(99), Kind::Numeric, digits, &mut Vec::new()), Ok(()));
    }

    #[test]
    fn json_with_an_escaped_nul_is_refused_and_an_escaped_backslash_is_not_one() {
        for (text, taken) in [
            (r#""a""#, true),
            (r#""\\u0000""#, true),
            (r#""\u0000""#, false),
            (r#""\\\u0000""#, false),
            (r#"["\\u0000","\u0000"]"#, false),
        ] {
            assert_eq!(put_json(&mut Vec::new(), text, Kind::Jsonb).is_ok(), taken, "{text}");
        }
    }

    #[test]
    fn a_uuid_has_32_digits() {
        let text = "00112233-4455-6677-8899-aabbCCDDeeff";
        let bytes = uuid(text).unwrap();
        assert_eq!(bytes[..3], [0, 0x11, 0x22]);
        assert_eq!(uuid(&text.replace('-', "")), Some(bytes));
        for text in
            ["", "00112233-4455-6677-8899-aabbccddeef", "0011223344556677-8899-aabbccddeeff-"]
        {
            assert_eq!(uuid(text), None, "{text}");
        }
        assert_eq!(uuid(&"é".repeat(18)), None);
    }
}
