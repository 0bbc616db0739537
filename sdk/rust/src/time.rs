//! The time of day. The host's clock is deliberately coarse, so that it cannot be used for timing
//! attacks.
//!
//! Times are milliseconds since 1970-01-01 UTC. [`to_rfc3339`] and [`from_rfc3339`] convert them to
//! text and back.

use crate::host::{Backend, Host};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The days of 400 years, after which the calendar repeats.
const ERA_DAYS: i64 = 146_097;

/// The days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// The time in milliseconds since 1970-01-01 UTC. With the feature `testing` it is the clock of the
/// test host.
///
/// ```
/// use std::time::Duration;
///
/// let host = mortise_sdk::testing::Host::start();
/// let before = mortise_sdk::time::now();
/// host.advance(Duration::from_secs(2));
/// assert_eq!(mortise_sdk::time::now() - before, 2_000);
/// ```
pub fn now() -> i64 {
    Host::now_ms()
}

/// Writes a time in UTC as RFC 3339 does. A time before the year 0 or after the year 9999 becomes
/// the first or the last one of these years.
///
/// ```
/// assert_eq!(mortise_sdk::time::to_rfc3339(1_767_225_600_000), "2026-01-01T00:00:00.000Z");
/// ```
pub fn to_rfc3339(unix_ms: i64) -> String {
    let (first, last) = (-62_167_219_200_000, 253_402_300_799_999);
    let unix_ms = unix_ms.clamp(first, last);
    let (days, ms) = (unix_ms.div_euclid(DAY_MS), unix_ms.rem_euclid(DAY_MS));
    let (year, month, day) = date(days);
    let (hour, minute) = (ms / 3_600_000, ms / 60_000 % 60);
    let (second, ms) = (ms / 1_000 % 60, ms % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Reads a time that is written as RFC 3339 says, with any offset. Digits after the milliseconds do
/// not count.
///
/// ```
/// use mortise_sdk::time::from_rfc3339;
///
/// assert_eq!(from_rfc3339("2026-01-01T01:00:00+01:00"), Some(1_767_225_600_000));
/// assert_eq!(from_rfc3339("tomorrow"), None);
/// ```
pub fn from_rfc3339(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, rest) = rest.split_at_checked(8)?;
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?),
        None => ("0", rest),
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let is_date = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    // A leap second counts as the next second.
    if !is_date || hour > 23 || minute > 59 || second > 60 || fraction.is_empty() {
        return None;
    }
    let ms: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let seconds = (hour * 60 + minute) * 60 + second - offset_seconds(rest)?;
    Some(days(year, month, day) * DAY_MS + seconds * 1_000 + ms)
}

fn offset_seconds(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let (sign, offset) = match text.split_at_checked(1)? {
        ("+", offset) => (1, offset),
        ("-", offset) => (-1, offset),
        _ => return None,
    };
    let [hours, minutes] = numbers(offset, ':', [2, 2])?;
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes) * 60)
}

/// Numbers of so many digits each, with a character between them.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(between);
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        let is_number = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        *number = is_number.then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(numbers)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The days since 1970-01-01. Years begin in March here, so that the leap day is the last of them.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * ERA_DAYS + day_of_era - EPOCH_DAYS
}

/// Year, month and day of a number of days since 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_DAYS;
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / (ERA_DAYS - 1);
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_399_001, "2100-02-28T23:59:59.001Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(to_rfc3339(ms), text);
            assert_eq!(from_rfc3339(text), Some(ms), "{text}");
        }
        for day in (-800_000..800_000).step_by(997) {
            let (year, month, day_of_month) = date(day);
            assert_eq!(days(year, month, day_of_month), day);
        }
    }

    #[test]
    fn offsets_and_fractions_are_read() {
        for (text, expected) in [
            ("2026-01-01T00:00:00Z", Some(1_767_225_600_000)),
            ("2026-01-01t00:00:00.5z", Some(1_767_225_600_500)),
            ("2025-12-31T19:00:00.123456789-05:00", Some(1_767_225_600_123)),
            ("2026-01-01 05:45:00+05:45", Some(1_767_225_600_000)),
            ("2025-12-31T23:59:60Z", Some(1_767_225_600_000)),
            ("2026-02-29T00:00:00Z", None),
            ("2026-01-01T24:00:00Z", None),
            ("2026-01-01T00:00:00", None),
            ("2026-01-01T00:00:00.Z", None),
            ("2026-01-01T00:00:00+24:00", None),
            ("26-01-01T00:00:00Z", None),
            ("2026-01-01T00:00:00Zulu", None),
            ("+026-01-01T00:00:00Z", None),
            ("2026-01-0ä", None),
            ("", None),
        ] {
            assert_eq!(from_rfc3339(text), expected, "{text}");
        }
    }
}
