//! Which times of a schedule are due, and which of them get a job.

use std::time::Duration;

use crate::domain::clock::Timestamp;
use crate::domain::cron::Cron;
use crate::domain::schedule::CatchUp;

/// A time that is later than this was missed: no host ran, or its clock was set.
const LATE: Duration = Duration::from_secs(60);

/// The most missed times that get a job, whatever the manifest says.
const MOST_MISSED: u32 = 100;

/// A time that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DueTime {
    /// The time.
    pub at: Timestamp,
    /// Whether it gets a job.
    pub runs: bool,
}

/// The times after `last`, the last one that was handled, that are due now, in order. Times that get
/// no job are left out, except for the newest: the schedule goes on after it. If the schedule skips
/// now, for example because its tenant is suspended, no time gets a job.
pub(super) fn due_times(
    cron: &Cron,
    last: Timestamp,
    now: Timestamp,
    catch_up: CatchUp,
    skips: bool,
) -> Vec<DueTime> {
    if skips {
        let newest = cron.last_within(last, now);
        return newest.map(|at| DueTime { at, runs: false }).into_iter().collect();
    }
    let late = Timestamp(now.saturating_sub(LATE).0.saturating_sub(1));
    let mut due = missed(cron, last, late, catch_up);
    let on_time = cron.times_after(last.max(late)).take_while(|at| *at <= now);
    due.extend(on_time.map(|at| DueTime { at, runs: true }));
    due
}

/// The missed times after `last` and not after `until`.
fn missed(cron: &Cron, last: Timestamp, until: Timestamp, catch_up: CatchUp) -> Vec<DueTime> {
    let (most, runs) = match catch_up {
        CatchUp::Skip => (1, false),
        CatchUp::Once => (1, true),
        CatchUp::All(most) => (most.min(MOST_MISSED), true),
    };
    let mut missed = Vec::new();
    let mut until = until;
    for _ in 0..most {
        let Some(at) = cron.last_within(last, until) else {
            break;
        };
        missed.push(DueTime { at, runs });
        until = Timestamp(at.0.saturating_sub(1));
    }
    missed.reverse();
    missed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron(expression: &str) -> Cron {
        Cron::parse(expression, "UTC").unwrap()
    }

    fn at(text: &str) -> Timestamp {
        serde_json::from_value(format!("2026-03-01T{text}Z").into()).unwrap()
    }

    /// The times as text; those without a job in brackets.
    fn due(expression: &str, last: &str, now: &str, catch_up: CatchUp, skips: bool) -> Vec<String> {
        let times = due_times(&cron(expression), at(last), at(now), catch_up, skips);
        let shown = times.iter().map(|due| {
            let text = due.at.to_string();
            match due.runs {
                true => text[11..19].to_owned(),
                false => format!("({})", &text[11..19]),
            }
        });
        shown.collect()
    }

    #[test]
    fn a_time_is_due_until_it_is_a_minute_late() {
        let hourly = |now| due("0 * * * *", "01:30:00", now, CatchUp::Skip, false);
        assert!(hourly("01:59:59.999").is_empty());
        assert_eq!(hourly("02:00:00"), ["02:00:00"]);
        assert_eq!(hourly("02:01:00"), ["02:00:00"]);
        assert_eq!(hourly("02:01:00.001"), ["(02:00:00)"]);
    }

    #[test]
    fn missed_times_are_caught_up_as_the_manifest_says() {
        let after_3_hours = |catch_up| due("0 * * * *", "01:30:00", "05:00:10", catch_up, false);
        assert_eq!(after_3_hours(CatchUp::Skip), ["(04:00:00)", "05:00:00"]);
        assert_eq!(after_3_hours(CatchUp::Once), ["04:00:00", "05:00:00"]);
        assert_eq!(after_3_hours(CatchUp::All(0)), ["05:00:00"]);
        assert_eq!(after_3_hours(CatchUp::All(2)), ["03:00:00", "04:00:00", "05:00:00"]);
        assert_eq!(
            after_3_hours(CatchUp::All(9)),
            ["02:00:00", "03:00:00", "04:00:00", "05:00:00"]
        );
    }

    #[test]
    fn many_missed_times_are_bounded() {
        let caught_up = due("* * * * * *", "01:00:00", "05:00:00", CatchUp::All(u32::MAX), false);
        // A time each second: the last 61 are on time.
        assert_eq!(caught_up.len(), 100 + 61);
        assert_eq!(caught_up.first().unwrap(), "04:57:19");
        assert_eq!(caught_up.last().unwrap(), "05:00:00");
        let long_ago = Timestamp(0);
        let all = due_times(&cron("* * * * * *"), long_ago, at("05:00:00"), CatchUp::Once, false);
        assert_eq!(all.len(), 1 + 61);
    }

    #[test]
    fn a_schedule_that_skips_goes_on_after_the_newest_time() {
        for catch_up in [CatchUp::Skip, CatchUp::Once, CatchUp::All(9)] {
            assert_eq!(
                due("0 * * * *", "01:30:00", "05:00:10", catch_up, true),
                ["(05:00:00)"]
            );
        }
        assert!(due("0 * * * *", "01:30:00", "01:40:00", CatchUp::All(9), true).is_empty());
    }

    #[test]
    fn nothing_is_due_twice_if_the_clock_is_set_back() {
        assert!(due("0 * * * *", "05:00:00", "04:10:00", CatchUp::All(9), false).is_empty());
        assert!(due("0 * * * *", "05:00:00", "05:00:10", CatchUp::All(9), false).is_empty());
        assert_eq!(
            due("0 * * * *", "05:00:00", "06:00:00", CatchUp::All(9), false),
            ["06:00:00"]
        );
    }
}
