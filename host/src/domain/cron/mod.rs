//! Times that a cron expression names in a time zone.

use std::time::Duration;

use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Zoned};

use super::clock::{DAY, Timestamp};

/// A cron expression in a time zone.
///
/// If clocks go forward, a fixed time that does not exist comes at the end of the gap, and times of
/// an interval are left out. If clocks go back, a fixed time comes once, the first time, and times
/// of an interval come twice. A day that a zone leaves out has no times.
#[derive(Clone, Debug)]
pub struct Cron {
    pattern: croner::Cron,
    zone: TimeZone,
}

/// Why there is no such schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// The expression is too long.
    #[error("the expression has {0} bytes, and {MAX_BYTES} are possible")]
    TooLong(usize),
    /// The expression does not have five or six fields.
    #[error("`{expression}` has {count} fields; {FORM}")]
    Fields {
        /// The expression.
        expression: String,
        /// The number of its fields.
        count: usize,
    },
    /// A field is not valid.
    #[error("`{value}` is no {field}; {FORM}")]
    Field {
        /// The name of the field.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// The expression is not valid, although each of its fields is.
    #[error("`{0}` is no cron expression; {FORM}")]
    Expression(String),
    /// No day has this date.
    #[error("`{0}` names a time that never comes, such as February 30th")]
    Never(String),
    /// No time zone has this name.
    #[error(
        "no time zone is named `{0}`; write a name of the IANA time zone database such as `Europe/Amsterdam`, or \
         `UTC`"
    )]
    Zone(String),
}

/// The longest expression, in bytes.
const MAX_BYTES: usize = 200;

/// How an expression is written.
const FORM: &str = "write minute, hour, day of the month, month and day of the week, such as `0 2 * * *`, with a \
                    second in front if wanted";

/// The names of the fields, the second first.
const FIELDS: [&str; 6] = [
    "second",
    "minute",
    "hour",
    "day of the month",
    "month",
    "day of the week",
];

/// Folders of a system's time zone database that hold other forms of the zones.
const OTHER_FORMS: [&str; 2] = ["posix/", "right/"];

/// Names in a system's time zone database that are no zones, or mean what the system is set to.
const NO_ZONES: [&str; 5] = ["etc/unknown", "factory", "local", "localtime", "posixrules"];

/// The search of croner ends at gaps that are longer.
const LONG_GAP: SignedDuration = SignedDuration::from_hours(2);

/// The most changes of clocks among which a long gap is looked for: those of centuries.
const MAX_CHANGES: usize = 1_000;

/// The most times that are compared to find the shortest interval.
const COMPARED: usize = 1_000;

/// The period in which times are compared: a leap year, so that all dates are in it but one.
const COMPARED_DAYS: u32 = 366;

impl CronError {
    /// The key of the manifest that is wrong.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Zone(_) => "zone",
            _ => "cron",
        }
    }
}

impl Cron {
    /// Reads an expression. `zone` is a name of the IANA time zone database.
    pub fn parse(expression: &str, zone: &str) -> Result<Self, CronError> {
        let cron = Self {
            pattern: pattern(expression)?,
            zone: time_zone(zone).ok_or_else(|| CronError::Zone(shown(zone)))?,
        };
        match cron.after(Timestamp(0)) {
            Some(_) => Ok(cron),
            None => Err(CronError::Never(shown(expression))),
        }
    }

    /// The first time after `moment`. `None` if there is none in the next thousands of years.
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        let start = jiff::Timestamp::from_millisecond(moment.0).ok()?;
        let start = start.to_zoned(self.zone.clone());
        let next = match self.pattern.find_next_occurrence(&start, false) {
            Ok(next) => next,
            // The search ends at a long gap. The times in it are left out.
            Err(_) => {
                let end = self.long_gap(&start)?;
                self.pattern.find_next_occurrence(&end, true).ok()?
            }
        };
        let next = Timestamp(next.timestamp().as_millisecond());
        // A schedule relies on it that time goes on.
        (next > moment).then_some(next)
    }

    /// The end of the first long gap after `start`, such as a day that the zone left out to move
    /// across the date line.
    fn long_gap(&self, start: &Zoned) -> Option<Zoned> {
        let mut offset = start.offset();
        let mut changes = self.zone.following(start.timestamp()).take(MAX_CHANGES);
        let end = changes.find(|change| {
            let gap = change.offset().duration_since(offset);
            offset = change.offset();
            gap > LONG_GAP
        })?;
        Some(end.timestamp().to_zoned(self.zone.clone()))
    }

    /// The times after `moment`, in order.
    pub fn times_after(&self, moment: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        std::iter::successors(self.after(moment), |last| self.after(*last))
    }

    /// The first `count` times after `moment`.
    pub fn upcoming(&self, moment: Timestamp, count: usize) -> Vec<Timestamp> {
        self.times_after(moment).take(count).collect()
    }

    /// The last time after `from` that is not after `until`. It is found by bisection, so that the
    /// number of times in between does not matter.
    pub fn last_within(&self, from: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let mut last = self.after(from).filter(|time| *time <= until)?;
        // No time lies after `end` and not after `until`.
        let mut end = until;
        while last < end {
            let middle = Timestamp(last.0 + (end.0 - last.0) / 2);
            match self.after(middle).filter(|time| *time <= until) {
                Some(time) => last = time,
                None => end = middle,
            }
        }
        Some(last)
    }

    /// The shortest interval between two of the next 1,000 times, or of those in the next 366 days
    /// if these are fewer. `None` if there are fewer than two.
    pub fn shortest_interval(&self, now: Timestamp) -> Option<Duration> {
        let end = now.saturating_add(DAY * COMPARED_DAYS);
        let times = self.times_after(now).take(COMPARED);
        let times: Vec<Timestamp> = times.take_while(|time| *time <= end).collect();
        let pairs = times.iter().zip(times.iter().skip(1));
        pairs.map(|(earlier, later)| later.since(*earlier)).min()
    }
}

fn pattern(expression: &str) -> Result<croner::Cron, CronError> {
    if expression.len() > MAX_BYTES {
        return Err(CronError::TooLong(expression.len()));
    }
    let invalid = || CronError::Expression(shown(expression));
    if !expression
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ')
    {
        return Err(invalid());
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Disallowed)
        .build();
    if let Ok(pattern) = parser.parse(expression) {
        return Ok(pattern);
    }
    let values: Vec<&str> = expression.split_whitespace().collect();
    let count = values.len();
    if !(FIELDS.len() - 1..=FIELDS.len()).contains(&count) {
        let expression = shown(expression);
        return Err(CronError::Fields { expression, count });
    }
    // The wrong field is the one with which the expression is wrong even if all others are `*`.
    let is_wrong = |wrong: usize| {
        let only = |(index, value): (usize, &&str)| {
            if index == wrong {
                (*value).to_owned()
            } else {
                "*".to_owned()
            }
        };
        let fields: Vec<String> = values.iter().enumerate().map(only).collect();
        parser.parse(&fields.join(" ")).is_err()
    };
    let names = FIELDS.iter().skip(FIELDS.len() - count);
    let mut fields = values.iter().zip(names).enumerate();
    match fields.find(|(index, _)| is_wrong(*index)) {
        Some((_, (value, field))) => Err(CronError::Field {
            field,
            value: shown(value),
        }),
        None => Err(invalid()),
    }
}

/// The time zone of this name. The system's database may be newer than the one in this executable,
/// and may be missing.
fn time_zone(name: &str) -> Option<TimeZone> {
    let lower = name.to_ascii_lowercase();
    let is_other_form = OTHER_FORMS.iter().any(|folder| lower.starts_with(folder));
    if is_other_form || NO_ZONES.contains(&lower.as_str()) {
        return None;
    }
    let system = jiff::tz::db().get(name);
    system.or_else(|_| TimeZoneDatabase::bundled().get(name)).ok()
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
