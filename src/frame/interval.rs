//! Intervals as ISO 8601 durations that name every field of the type, so that each is kept.
//!
//! ```text
//! year_month       P14M
//! day_time         P3DT0.500S             days and milliseconds
//! month_day_nano   P1M-2DT0.000000003S    each field with its own sign
//! ```

use arrow::datatypes::{IntervalDayTime, IntervalMonthDayNano};

/// The text of so many months.
pub fn format_year_month(months: i32) -> String {
    format!("P{months}M")
}

/// The text of days and milliseconds.
pub fn format_day_time(value: IntervalDayTime) -> String {
    let seconds = seconds(value.milliseconds.into(), 3);
    format!("P{}DT{seconds}", value.days)
}

/// The text of months, days and nanoseconds.
pub fn format_month_day_nano(value: IntervalMonthDayNano) -> String {
    let seconds = seconds(value.nanoseconds, 9);
    format!("P{}M{}DT{seconds}", value.months, value.days)
}

/// Reads what [`format_year_month`] writes.
pub fn parse_year_month(text: &str) -> Option<i32> {
    text.strip_prefix('P')?.strip_suffix('M')?.parse().ok()
}

/// Reads what [`format_day_time`] writes.
pub fn parse_day_time(text: &str) -> Option<IntervalDayTime> {
    let (days, seconds) = text.strip_prefix('P')?.split_once("DT")?;
    let milliseconds = i32::try_from(parse_seconds(seconds, 3)?).ok()?;
    Some(IntervalDayTime::new(days.parse().ok()?, milliseconds))
}

/// Reads what [`format_month_day_nano`] writes.
pub fn parse_month_day_nano(text: &str) -> Option<IntervalMonthDayNano> {
    let (months, rest) = text.strip_prefix('P')?.split_once('M')?;
    let (days, seconds) = rest.split_once("DT")?;
    Some(IntervalMonthDayNano::new(
        months.parse().ok()?,
        days.parse().ok()?,
        parse_seconds(seconds, 9)?,
    ))
}

fn seconds(value: i64, digits: usize) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let unit = 10_u64.pow(digits as u32);
    let (whole, fraction) = (value.unsigned_abs() / unit, value.unsigned_abs() % unit);
    format!("{sign}{whole}.{fraction:0>digits$}S")
}

fn parse_seconds(text: &str, digits: usize) -> Option<i64> {
    let (whole, fraction) = text.strip_suffix('S')?.split_once('.')?;
    if fraction.len() != digits || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    [whole, fraction].concat().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_kept() {
        for months in [0, -1, 14, i32::MIN, i32::MAX] {
            assert_eq!(parse_year_month(&format_year_month(months)), Some(months));
        }
        for (days, milliseconds) in [(0, 0), (-1, 1), (3, 500), (i32::MIN, i32::MIN), (1, -1)] {
            let value = IntervalDayTime::new(days, milliseconds);
            assert_eq!(parse_day_time(&format_day_time(value)), Some(value));
        }
        for (months, days, nanos) in [(0, 0, 0), (1, -2, 3), (i32::MAX, i32::MIN, i64::MIN)] {
            let value = IntervalMonthDayNano::new(months, days, nanos);
            let text = format_month_day_nano(value);
            assert_eq!(parse_month_day_nano(&text), Some(value), "{text}");
        }
        let value = IntervalMonthDayNano::new(1, -2, 3);
        assert_eq!(format_month_day_nano(value), "P1M-2DT0.000000003S");
    }

    #[test]
    fn other_text_does_not_read() {
        for text in ["", "P", "PM", "P1D", "P1DT0S", "P1M1DT1S", "P1DT0.5000S", "P1DT0.é0S"] {
            assert_eq!(parse_year_month(text), None);
            assert_eq!(parse_day_time(text), None);
            assert_eq!(parse_month_day_nano(text), None);
        }
    }
}
