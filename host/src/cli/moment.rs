//! Times as arguments: a date and time, or a span relative to now.

use crate::domain::clock::{Clock as _, SystemClock, Timestamp};
use crate::domain::units::Span;

/// Parses a time in the past: `2026-01-02T03:04:05Z`, or `15min` for 15 minutes ago.
pub fn past(text: &str) -> Result<Timestamp, String> {
    parse(text, SystemClock.now(), |now, span| {
        Timestamp(now.0.saturating_sub(span))
    })
}

/// Parses a time in the future: `2026-01-02T03:04:05Z`, or `24h` for 24 hours from now.
pub fn ahead(text: &str) -> Result<Timestamp, String> {
    parse(text, SystemClock.now(), |now, span| {
        Timestamp(now.0.saturating_add(span))
    })
}

fn parse(
    text: &str,
    now: Timestamp,
    moved: impl Fn(Timestamp, i64) -> Timestamp,
) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp(moment.as_millisecond()));
    }
    // Days are allowed here, but not in the configuration.
    let days = text.strip_suffix('d').and_then(|days| days.parse::<i64>().ok());
    let span = match days {
        Some(days) => days.checked_mul(24 * 60 * 60 * 1_000).filter(|span| *span >= 0),
        None => text
            .parse::<Span>()
            .ok()
            .and_then(|span| i64::try_from(span.0.as_millis()).ok()),
    };
    let span = span.ok_or_else(|| {
        "write a date and time such as 2026-01-02T03:04:05Z, or a span such as 15min, 24h or 30d".to_owned()
    })?;
    let moment = moved(now, span);
    // No host has anything from before 1970, and a time that has no date cannot be sent.
    match moment.0 >= 0 && jiff::Timestamp::from_millisecond(moment.0).is_ok() {
        true => Ok(moment),
        false => Err(
            "that is before 1970 or after the year 9999; write a shorter span, such as 15min, 24h or 30d"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_date_or_a_span() {
        let now = Timestamp(1_000_000_000_000);
        let ago = |text: &str| parse(text, now, |now, span| Timestamp(now.0 - span));
        assert_eq!(ago("15min"), Ok(Timestamp(1_000_000_000_000 - 900_000)));
        assert_eq!(ago("2d"), Ok(Timestamp(1_000_000_000_000 - 172_800_000)));
        assert_eq!(ago("1970-01-01T00:00:01Z"), Ok(Timestamp(1_000)));
        assert_eq!(ago("1970-01-01T01:00:01+01:00"), Ok(Timestamp(1_000)));
        for wrong in ["", "soon", "5", "-1d", "99999999999999999d", "2026-01-02"] {
            assert!(ago(wrong).unwrap_err().contains("15min"), "{wrong}");
        }
        for long in ["999999999999h", "20000d"] {
            let refused = ago(long).unwrap_err();
            assert!(refused.starts_with("that is before 1970"), "{refused}");
        }
        let later = |text: &str| parse(text, now, |now, span| Timestamp(now.0.saturating_add(span)));
        assert_eq!(later("20000d"), Ok(Timestamp(2_728_000_000_000)));
        assert!(later("999999999999h").is_err());
    }
}
