//! Dates and times as ISO 8601 text, for people who read the file with SQL's date functions.
//!
//! ```text
//! date               2024-02-29            years beyond 0000–9999: +12024-02-29, -0044-03-15
//! time               13:37:00.250          as many digits as the unit has, out of range: -00:00:01
//! timestamp          2024-02-29T13:37:00.250      with a zone: 2024-02-29T13:37:00.250Z
//! ```
//!
//! Every count of the unit has one text and reads back from it, the whole 64-bit range. The
//! calendar is the proleptic Gregorian one; year 0 is 1 BC.

use arrow::datatypes::{DataType, TimeUnit};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Days since 1970-01-01.
    Days,
    /// Milliseconds since 1970-01-01, which are whole days: a date, or a timestamp if they are not.
    DateMillis,
    /// Units of 10^-digits seconds since midnight.
    Time {
        /// The digits after the second's point.
        digits: u8,
    },
    /// Units of 10^-digits seconds since 1970-01-01T00:00:00, in UTC when there is a zone.
    Timestamp {
        /// The digits after the second's point.
        digits: u8,
        /// Whether the text ends with `Z`.
        utc: bool,
    },
}

const DAY_SECONDS: i64 = 86_400;

impl Kind {
    /// What values of a type count; `None` for a type that is neither date nor time.
    pub fn of(data_type: &DataType) -> Option<Kind> {
        Some(match data_type {
            DataType::Date32 => Kind::Days,
            DataType::Date64 => Kind::DateMillis,
            DataType::Time32(unit) | DataType::Time64(unit) => Kind::Time { digits: digits(unit) },
            DataType::Timestamp(unit, zone) => {
                Kind::Timestamp { digits: digits(unit), utc: zone.is_some() }
            }
            _ => return None,
        })
    }
}

/// The text of a count.
pub fn format(kind: Kind, value: i64) -> String {
    match kind {
        Kind::Days => date(value),
        Kind::DateMillis if value.rem_euclid(DAY_SECONDS * 1_000) == 0 => {
            date(value.div_euclid(DAY_SECONDS * 1_000))
        }
        Kind::DateMillis => timestamp(value, 3),
        Kind::Time { digits } => {
            let sign = if value < 0 { "-" } else { "" };
            format!("{sign}{}", time(value.unsigned_abs(), digits))
        }
        Kind::Timestamp { digits, utc } => timestamp(value, digits) + if utc { "Z" } else { "" },
    }
}

/// The count of a text: what [`format`] writes, and what people write by hand, such as a space for
/// the `T`, fewer digits, or an offset. `None` when it is something else, or not an exact count.
pub fn parse(kind: Kind, text: &str) -> Option<i64> {
    let text = text.trim();
    match kind {
        Kind::Days => parse_date(text),
        Kind::Time { digits } => {
            let (sign, text) = match text.strip_prefix('-') {
                Some(text) => (-1, text),
                None => (1, text),
            };
            i64::try_from(sign * parse_time(text, digits)?).ok()
        }
        Kind::DateMillis => parse_timestamp(text, 3),
        Kind::Timestamp { digits, .. } => parse_timestamp(text, digits),
    }
}

fn digits(unit: &TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

fn timestamp(value: i64, digits: u8) -> String {
    let day = DAY_SECONDS.saturating_mul(10_i64.pow(digits.into()));
    format!(
        "{}T{}",
        date(value.div_euclid(day)),
        time(value.rem_euclid(day).unsigned_abs(), digits)
    )
}

fn time(value: u64, digits: u8) -> String {
    let unit = 10_u64.pow(digits.into());
    let (seconds, fraction) = (value / unit, value % unit);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let fraction = match digits {
        0 => String::new(),
        _ => format!(".{fraction:0>width$}", width = usize::from(digits)),
    };
    format!("{hours:02}:{minutes:02}:{seconds:02}{fraction}")
}

/// Howard Hinnant's `civil_from_days`, in 128 bits so that no count overflows.
fn date(days: i64) -> String {
    let z = i128::from(days) + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i128::from(month <= 2);
    match year {
        0..=9_999 => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:+05}-{month:02}-{day:02}"),
    }
}

/// Howard Hinnant's `days_from_civil`.
fn parse_date(text: &str) -> Option<i64> {
    let (sign, unsigned) = match text.as_bytes().first()? {
        b'-' => (-1, text.get(1..)?),
        b'+' => (1, text.get(1..)?),
        _ => (1, text),
    };
    let mut parts = unsigned.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() < 4 || month.len() != 2 || day.len() != 2 {
        return None;
    }
    let (year, month, day) = (sign * number(year)?, number(month)?, number(day)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = year - i128::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = i64::try_from(era * 146_097 + day_of_era - 719_468).ok()?;
    // The 31st of a short month would be another day's text.
    date(days).ends_with(text.get(text.len() - 6..)?).then_some(days)
}

fn parse_time(text: &str, digits: u8) -> Option<i128> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':');
    let (hours, minutes) = (number(parts.next()?)?, number(parts.next()?)?);
    let seconds = parts.next().map_or(Some(0), number)?;
    if parts.next().is_some() || minutes > 59 || seconds > 59 {
        return None;
    }
    let kept = fraction.len().min(digits.into());
    let (fraction, lost) = fraction.split_at_checked(kept)?;
    if lost.bytes().any(|byte| byte != b'0') {
        return None;
    }
    let fraction = format!("{fraction:0<width$}", width = usize::from(digits));
    let fraction = if digits == 0 { 0 } else { number(&fraction)? };
    let unit = 10_i128.pow(digits.into());
    Some(((hours * 60 + minutes) * 60 + seconds) * unit + fraction)
}

fn parse_timestamp(text: &str, digits: u8) -> Option<i64> {
    let unit = 10_i128.pow(digits.into());
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let midnight = i128::from(parse_date(date)?) * i128::from(DAY_SECONDS) * unit;
    let Some(time) = time else {
        return i64::try_from(midnight).ok();
    };
    let (time, offset_minutes) = split_offset(time.trim_end())?;
    let count = midnight + parse_time(time, digits)? - offset_minutes * 60 * unit;
    i64::try_from(count).ok()
}

/// A time and the minutes it is ahead of UTC: `Z`, `+05:30`, `-08:00` or nothing.
fn split_offset(time: &str) -> Option<(&str, i128)> {
    if let Some(time) = time.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let Some(at) = time.rfind(['+', '-']) else {
        return Some((time, 0));
    };
    let (time, offset) = time.split_at(at);
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let minutes = number(hours)? * 60 + number(minutes)?;
    Some((time, if offset.starts_with('-') { -minutes } else { minutes }))
}

/// Digits only, at most 18 of them.
fn number(text: &str) -> Option<i128> {
    let plain = !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NS: Kind = Kind::Timestamp { digits: 9, utc: true };

    #[test]
    fn counts_have_one_text_and_read_back() {
        for (kind, value, text) in [
            (Kind::Days, 0, "1970-01-01"),
            (Kind::Days, -1, "1969-12-31"),
            (Kind::Days, 2_932_896, "9999-12-31"),
            (Kind::Days, 2_932_897, "+10000-01-01"),
            (Kind::Days, -719_528, "0000-01-01"),
            (Kind::Days, -719_529, "-0001-12-31"),
            (Kind::DateMillis, 86_400_000, "1970-01-02"),
            (Kind::DateMillis, -1, "1969-12-31T23:59:59.999"),
            (Kind::Time { digits: 9 }, 45_296_000_000_001, "12:34:56.000000001"),
            (Kind::Time { digits: 0 }, -1, "-00:00:01"),
            (Kind::Time { digits: 3 }, 90_000_000, "25:00:00.000"),
            (NS, -1, "1969-12-31T23:59:59.999999999Z"),
            (NS, i64::MAX, "2262-04-11T23:47:16.854775807Z"),
            (NS, i64::MIN, "1677-09-21T00:12:43.145224192Z"),
        ] {
            assert_eq!(format(kind, value), text);
            assert_eq!(parse(kind, text), Some(value), "{text}");
        }
        let seconds = Kind::Timestamp { digits: 0, utc: false };
        for value in [i64::MIN, i64::MAX] {
            for kind in [seconds, Kind::Days, Kind::Time { digits: 0 }] {
                let text = format(kind, value);
                assert_eq!(parse(kind, &text), Some(value), "{text}");
            }
        }
    }

    #[test]
    fn handwritten_text_reads_and_nonsense_does_not() {
        assert_eq!(parse(NS, "1970-01-01 00:00"), Some(0));
        assert_eq!(parse(NS, "1970-01-01T05:30:00+05:30"), Some(0));
        assert_eq!(parse(NS, "1970-01-01"), Some(0));
        for text in ["", "-", "2023-02-29", "2023-04-31", "1970-1-1", "x", "1970-01-01T", "é-01-01"]
        {
            assert_eq!(parse(NS, text), None, "{text:?}");
            assert_eq!(parse(Kind::Days, text), None, "{text:?}");
        }
        assert_eq!(parse(Kind::Time { digits: 0 }, "00:00:00.5"), None);
    }
}
