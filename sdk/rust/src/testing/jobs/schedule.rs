//! The times of schedules, which fall due when a test moves the clock.

use std::cell::Cell;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::Background;
use super::accept::SCHEDULE_KEY;
use super::queue::Bound;
use super::spec::{Overlap, ScheduleSpec};
use crate::jobs::Origin;

/// A schedule with the next time that it is due.
pub(super) struct Schedule {
    pub spec: ScheduleSpec,
    cron: Cron,
    zone: TimeZone,
    /// In milliseconds since 1970 UTC; `None` if it is never due again.
    next: Cell<Option<i64>>,
}

impl Schedule {
    /// Begins a schedule. One that the host would refuse fails the test.
    pub fn new(spec: &ScheduleSpec, now_ms: i64) -> Self {
        let ScheduleSpec { name, cron, zone, .. } = spec;
        let parser = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .build();
        let schedule = Self {
            spec: spec.clone(),
            cron: parser
                .parse(cron)
                .unwrap_or_else(|error| panic!("schedule `{name}`: `{cron}` is no cron expression: {error}")),
            zone: jiff::tz::db()
                .get(zone)
                .or_else(|_| TimeZoneDatabase::bundled().get(zone))
                .unwrap_or_else(|error| panic!("schedule `{name}`: `{zone}` is no time zone: {error}")),
            next: Cell::new(None),
        };
        schedule.next.set(schedule.after(now_ms));
        schedule
    }

    /// The first time after this one.
    fn after(&self, unix_ms: i64) -> Option<i64> {
        let time = Timestamp::from_millisecond(unix_ms).ok()?;
        let next = self
            .cron
            .find_next_occurrence(&time.to_zoned(self.zone.clone()), false);
        Some(next.ok()?.timestamp().as_millisecond())
    }
}

impl Background {
    /// Adds the jobs of all schedules that are due by `now_ms`, in the order of their times.
    pub fn tick(&self, now_ms: i64) {
        loop {
            let due = self.schedules.iter().filter_map(|schedule| {
                let due = schedule.next.get()?;
                (due <= now_ms).then_some((due, schedule))
            });
            let Some((due, schedule)) = due.min_by_key(|(due, _)| *due) else {
                return;
            };
            schedule.next.set(schedule.after(due));
            self.add_scheduled(&schedule.spec, due);
        }
    }

    fn add_scheduled(&self, schedule: &ScheduleSpec, due: i64) {
        let Some(spec) = self.spec(&schedule.job) else {
            unreachable!("the jobs of schedules were compared with the manifest's");
        };
        let origin = Origin::Schedule {
            name: schedule.name.clone(),
            due_at: due,
        };
        let mut entry = self.entry(&spec, schedule.payload.clone(), origin, 0, due);
        let key = format!("{SCHEDULE_KEY}{}", schedule.name);
        match (schedule.overlap, entry.bound.is_some()) {
            (Overlap::Skip, _) => entry.job.unique_key = Some(key),
            // The bound of the kind of job holds for all of its jobs.
            (Overlap::Queue, true) => {}
            (Overlap::Queue, false) => {
                entry.bound = Some(Bound {
                    key,
                    limit: 1,
                    ordered: true,
                });
            }
        }
        self.queue.borrow_mut().add(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{from_rfc3339, to_rfc3339};

    fn spec(cron: &str, zone: &str) -> ScheduleSpec {
        let text = format!("name = 'nightly'\njob = 'report'\ncron = '{cron}'\nzone = '{zone}'");
        toml::from_str(&text).expect("a schedule")
    }

    fn times(cron: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let from = from_rfc3339(from).expect("a time");
        let schedule = Schedule::new(&spec(cron, zone), from);
        let next = std::iter::successors(schedule.next.get(), |last| schedule.after(*last));
        next.take(count).map(to_rfc3339).collect()
    }

    #[test]
    fn times_are_those_of_the_zone() {
        assert_eq!(
            times("0 2 * * *", "Europe/Amsterdam", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:00:00.000Z", "2026-10-26T01:00:00.000Z"]
        );
        assert_eq!(
            times("*/20 * * * * *", "UTC", "2026-01-01T00:00:00Z", 2),
            ["2026-01-01T00:00:20.000Z", "2026-01-01T00:00:40.000Z"]
        );
    }

    #[test]
    #[should_panic(expected = "schedule `nightly`: `0 25 * * *` is no cron expression")]
    fn a_mistake_in_an_expression_fails_the_test() {
        Schedule::new(&spec("0 25 * * *", "UTC"), 0);
    }

    #[test]
    #[should_panic(expected = "schedule `nightly`: `Europe/Atlantis` is no time zone")]
    fn an_unknown_zone_fails_the_test() {
        Schedule::new(&spec("0 2 * * *", "Europe/Atlantis"), 0);
    }
}
