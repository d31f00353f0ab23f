//! Dates and times: Arrow counts from 1970, PostgreSQL from 2000 and in microseconds.
//!
//! Every step is checked. A plain subtraction would wrap for an int64 near its end, and what comes
//! out is then a date that PostgreSQL takes.

use arrow::datatypes::{IntervalDayTime, IntervalMonthDayNano, TimeUnit};

/// 2000-01-01 in days and microseconds since 1970-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// PostgreSQL's own limits, since 2000-01-01: 4714-11-24 BC, and the first moment beyond 294276 AD.
const FIRST_MICROS: i64 = -211_813_488_000_000_000;
const END_MICROS: i64 = 9_223_371_331_200_000_000;
/// The same for dates: 4714-11-24 BC, and the first day beyond 5874897 AD.
const FIRST_DAY: i32 = -2_451_545;
const END_DAY: i32 = 2_145_031_949;

const DAY_MS: i64 = 86_400_000;
const DAY_MICROS: i64 = 86_400_000_000;

/// So many of a unit in microseconds; `None` beyond an int64 and for nanoseconds that are not
/// whole microseconds.
pub fn micros(value: i64, unit: TimeUnit) -> Option<i64> {
    i64::try_from(wide_micros(value, unit)?).ok()
}

/// The same in 128 bits, which no int64 of any unit leaves.
fn wide_micros(value: i64, unit: TimeUnit) -> Option<i128> {
    let value = i128::from(value);
    match unit {
        TimeUnit::Second => Some(value * 1_000_000),
        TimeUnit::Millisecond => Some(value * 1_000),
        TimeUnit::Microsecond => Some(value),
        TimeUnit::Nanosecond => (value % 1_000 == 0).then_some(value / 1_000),
    }
}

/// Whether microseconds have no more digits after the second's point than are kept.
pub fn keeps(micros: i64, second_digits: u32) -> bool {
    micros % 10_i64.pow(6 - second_digits.min(6)) == 0
}

/// A timestamp since 1970 as PostgreSQL's. Its last thirty years are an int64 of microseconds since 2000, and none
/// since 1970.
pub fn timestamp(value: i64, unit: TimeUnit) -> Option<i64> {
    let since_2000 = i64::try_from(wide_micros(value, unit)? - i128::from(EPOCH_MICROS)).ok()?;
    (FIRST_MICROS..END_MICROS).contains(&since_2000).then_some(since_2000)
}

/// Days since 1970 as PostgreSQL's.
pub fn date(days: i32) -> Option<i32> {
    let since_2000 = days.checked_sub(EPOCH_DAYS)?;
    (FIRST_DAY..END_DAY).contains(&since_2000).then_some(since_2000)
}

/// Milliseconds since 1970, which must be whole days, as PostgreSQL's date.
pub fn date_of_millis(millis: i64) -> Option<i32> {
    if millis % DAY_MS != 0 {
        return None;
    }
    date(i32::try_from(millis / DAY_MS).ok()?)
}

/// A time of day; 24:00:00 is one.
pub fn time(value: i64, unit: TimeUnit) -> Option<i64> {
    micros(value, unit).filter(|micros| (0..=DAY_MICROS).contains(micros))
}

/// An interval's three fields as PostgreSQL has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Microseconds.
    pub micros: i64,
    /// Days.
    pub days: i32,
    /// Months.
    pub months: i32,
}

/// Days and milliseconds.
pub fn day_time(value: IntervalDayTime) -> Interval {
    Interval { micros: i64::from(value.milliseconds) * 1_000, days: value.days, months: 0 }
}

/// Months, days and nanoseconds that are whole microseconds.
pub fn month_day_nano(value: IntervalMonthDayNano) -> Option<Interval> {
    let micros = micros(value.nanoseconds, TimeUnit::Nanosecond)?;
    Some(Interval { micros, days: value.days, months: value.months })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_end_where_postgresqls_do() {
        let seconds = |value| timestamp(value, TimeUnit::Second);
        assert_eq!(seconds(946_684_800), Some(0));
        assert_eq!(seconds(0), Some(-EPOCH_MICROS));
        // 4714-11-24 BC 00:00:00 and the second before; 294276-12-31 23:59:59 and the one after.
        assert_eq!(seconds(-210_866_803_200), Some(FIRST_MICROS));
        assert_eq!(seconds(-210_866_803_201), None);
        assert_eq!(seconds(9_224_318_015_999), Some(END_MICROS - 1_000_000));
        assert_eq!(seconds(9_224_318_016_000), None);
        let last_ms = timestamp(9_224_318_015_999_999, TimeUnit::Millisecond);
        assert_eq!(last_ms, Some(END_MICROS - 1_000));
        assert_eq!(timestamp(9_224_318_016_000_000, TimeUnit::Millisecond), None);
        assert_eq!(timestamp(i64::MAX, TimeUnit::Microsecond).map(|v| v < END_MICROS), Some(true));
        for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond] {
            assert_eq!(timestamp(i64::MIN, unit), None, "{unit:?}");
        }
        for unit in [TimeUnit::Second, TimeUnit::Millisecond] {
            assert_eq!(timestamp(i64::MAX, unit), None, "{unit:?}");
        }
        assert_eq!(timestamp(1_001, TimeUnit::Nanosecond), None);
        assert_eq!(timestamp(-1_000, TimeUnit::Nanosecond), Some(-1 - EPOCH_MICROS));
    }

    #[test]
    fn dates_and_times_are_whole() {
        assert_eq!(date(0), Some(-10_957));
        assert_eq!(date(i32::MIN), None);
        assert_eq!(date(i32::MAX), None);
        assert_eq!(date_of_millis(DAY_MS), Some(1 - EPOCH_DAYS));
        assert_eq!(date_of_millis(1), None);
        assert_eq!(date_of_millis(i64::MIN), None);
        assert_eq!(time(86_400, TimeUnit::Second), Some(DAY_MICROS));
        for (value, unit) in [(-1, TimeUnit::Second), (86_401, TimeUnit::Second)] {
            assert_eq!(time(value, unit), None);
        }
        assert_eq!(time(1, TimeUnit::Nanosecond), None);
        assert!(keeps(1_000, 3) && !keeps(1_001, 3) && keeps(1, 6) && !keeps(1, 0));
    }
}
