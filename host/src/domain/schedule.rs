//! Schedules: jobs that are due at times which a cron expression names.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::{DAY, Timestamp};
use super::cron::Cron;
use super::id::{JobName, ScheduleName};

/// How late a time may be handled without counting as missed.
pub const LATENESS: Duration = Duration::from_secs(60);

/// The most jobs of [`CatchUp::All`].
pub const MAX_CAUGHT_UP: u32 = 100;

/// The most times that are handled at once. The later ones are handled in the next round.
const MAX_HANDLED: usize = 1_000;

/// How far the last handled time may be in the future. The system's clock was set back then, and
/// waiting for it would stop the schedule.
const MAX_AHEAD: Duration = DAY;

/// The beginning of the unique and concurrency keys of schedules. Plugins cannot use keys that
/// begin so.
pub const KEY_PREFIX: &str = "schedule:";

/// A schedule that a plugin declares in its manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSpec {
    /// The name within the plugin.
    pub name: ScheduleName,
    /// Minute, hour, day of the month, month and day of the week, with seconds in front if wanted.
    pub cron: String,
    /// The name of the time zone, such as `Europe/Amsterdam`.
    #[serde(default = "utc")]
    pub zone: String,
    /// The job that it adds.
    pub job: JobName,
    /// The payload of these jobs.
    #[serde(default = "empty_object")]
    pub payload: String,
    /// What happens to times that passed while no host ran.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// What happens if the previous job is still live.
    #[serde(default)]
    pub overlap: Overlap,
}

/// What happens to times that passed while no host ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CatchUp {
    /// Nothing.
    #[default]
    Skip,
    /// One job, for the last of them.
    Once,
    /// A job for each, but at most so many: the last ones.
    All(u32),
}

/// What happens if the previous job of the schedule is still live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// No job is added.
    #[default]
    Skip,
    /// The job waits as the bound of its kind says; without a bound, for the previous one.
    Queue,
}

/// What happens at one time of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// A job is added.
    Run,
    /// No job is added: the time was missed.
    Skip,
}

impl ScheduleSpec {
    /// The key of its jobs.
    pub fn key(&self) -> String {
        format!("{KEY_PREFIX}{}", self.name)
    }

    /// Expression and zone as they are stored. A schedule with others begins anew.
    pub fn expression(&self) -> String {
        format!("{} {}", self.cron, self.zone)
    }
}

/// The times of a schedule that are to be handled at `now`, in order. `last_due` is the last time
/// that was handled, or when the schedule began. Times that are late by more than [`LATENESS`] were
/// missed. Missed times of which nothing is to be done are left out, but for the last one.
///
/// If the clock was set back, nothing is due until it has passed `last_due` again, so that no time
/// is handled twice.
pub fn due(cron: &Cron, last_due: Timestamp, now: Timestamp, catch_up: CatchUp) -> Vec<(Timestamp, Tick)> {
    let on_time = now.saturating_sub(LATENESS);
    // A time is on time at exactly the lateness that is allowed.
    let missed_until = Timestamp(on_time.0.saturating_sub(1));
    let caught_up = match catch_up {
        CatchUp::Skip => 0,
        CatchUp::Once => 1,
        CatchUp::All(most) => most.min(MAX_CAUGHT_UP),
    };
    let mut handle = missed(cron, last_due, missed_until, caught_up);
    let times = cron.times_after(last_due.max(missed_until));
    let times = times.take_while(|time| *time <= now).take(MAX_HANDLED);
    handle.extend(times.map(|time| (time, Tick::Run)));
    handle
}

/// Whether the last handled time of a schedule is so far in the future that the schedule should
/// begin anew: the clock was wrong when it was handled.
pub fn is_far_ahead(last_due: Timestamp, now: Timestamp) -> bool {
    last_due.since(now) > MAX_AHEAD
}

/// The last `most` times after `from` and not after `until`, to be run, and the one before them, to
/// be skipped. They are found from the end, so that a long time does not cost more.
fn missed(cron: &Cron, from: Timestamp, mut until: Timestamp, most: u32) -> Vec<(Timestamp, Tick)> {
    let mut missed = Vec::new();
    let ticks = (0..most).map(|_| Tick::Run).chain([Tick::Skip]);
    for tick in ticks {
        let Some(time) = cron.last_within(from, until) else {
            break;
        };
        missed.push((time, tick));
        until = Timestamp(time.0.saturating_sub(1));
    }
    missed.reverse();
    missed
}

fn utc() -> String {
    "UTC".to_owned()
}

fn empty_object() -> String {
    "{}".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::HOUR;

    const NOON: Timestamp = Timestamp(1_767_268_800_000);

    fn cron(expression: &str) -> Cron {
        Cron::parse(expression, "UTC").unwrap()
    }

    /// The minutes from noon of the times to be run, and of those to be skipped.
    fn handled(
        expression: &str,
        last_due: Timestamp,
        now: Timestamp,
        catch_up: CatchUp,
    ) -> (Vec<i64>, Vec<i64>) {
        let due = due(&cron(expression), last_due, now, catch_up);
        assert!(due.is_sorted_by_key(|(time, _)| *time), "{due:?}");
        let minutes = |wanted: Tick| {
            let times = due.iter().filter(|(_, tick)| *tick == wanted);
            times.map(|(time, _)| (time.0 - NOON.0) / 60_000).collect()
        };
        (minutes(Tick::Run), minutes(Tick::Skip))
    }

    fn minutes(count: u64) -> Timestamp {
        NOON.saturating_add(Duration::from_secs(count * 60))
    }

    #[test]
    fn noon_is_noon() {
        assert_eq!(NOON.to_string(), "2026-01-01T12:00:00.000Z");
    }

    #[test]
    fn a_time_is_due_once_it_has_come_and_on_time_for_a_minute() {
        for catch_up in [CatchUp::Skip, CatchUp::Once, CatchUp::All(9)] {
            let due = |now: Timestamp| handled("0 * * * *", minutes(0), now, catch_up);
            assert_eq!(due(Timestamp(minutes(60).0 - 1)), (vec![], vec![]));
            assert_eq!(due(minutes(60)), (vec![60], vec![]));
            assert_eq!(due(minutes(61)), (vec![60], vec![]));
        }
        let late = Timestamp(minutes(61).0 + 1);
        assert_eq!(
            handled("0 * * * *", minutes(0), late, CatchUp::Skip),
            (vec![], vec![60])
        );
        assert_eq!(
            handled("0 * * * *", minutes(0), late, CatchUp::Once),
            (vec![60], vec![])
        );
    }

    #[test]
    fn after_three_hours_without_a_host_each_policy_does_what_it_says() {
        let now = minutes(190);
        let due = |catch_up| handled("*/30 * * * *", minutes(0), now, catch_up);
        assert_eq!(due(CatchUp::Skip), (vec![], vec![180]));
        assert_eq!(due(CatchUp::Once), (vec![180], vec![150]));
        assert_eq!(due(CatchUp::All(3)), (vec![120, 150, 180], vec![90]));
        assert_eq!(due(CatchUp::All(24)), (vec![30, 60, 90, 120, 150, 180], vec![]));
        // The time that is on time runs whatever was missed.
        let due = |catch_up| handled("*/30 * * * *", minutes(0), minutes(180), catch_up);
        assert_eq!(due(CatchUp::Skip), (vec![180], vec![150]));
        assert_eq!(due(CatchUp::Once), (vec![150, 180], vec![120]));
    }

    #[test]
    fn what_was_handled_is_not_due_again() {
        for catch_up in [CatchUp::Skip, CatchUp::Once, CatchUp::All(100)] {
            let mut last_due = minutes(0);
            let mut ran = Vec::new();
            for now in (0..=240).map(minutes) {
                for (time, tick) in due(&cron("*/10 * * * *"), last_due, now, catch_up) {
                    assert!(time > last_due && time <= now);
                    last_due = time;
                    assert_eq!(tick, Tick::Run);
                    ran.push(time);
                }
            }
            assert_eq!(ran, (1..=24).map(|count| minutes(count * 10)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_clock_that_is_set_back_repeats_nothing_and_one_that_is_set_forward_catches_up() {
        let (expression, last_due) = ("*/15 * * * *", minutes(120));
        let back = minutes(120).saturating_sub(HOUR);
        assert_eq!(
            handled(expression, last_due, back, CatchUp::All(100)),
            (vec![], vec![])
        );
        assert!(!is_far_ahead(last_due, back));
        assert_eq!(
            handled(expression, last_due, minutes(135), CatchUp::Skip),
            (vec![135], vec![])
        );
        let forward = minutes(120).saturating_add(HOUR);
        assert_eq!(
            handled(expression, last_due, forward, CatchUp::Skip),
            (vec![180], vec![165])
        );
        assert_eq!(
            handled(expression, last_due, forward, CatchUp::All(100)),
            (vec![135, 150, 165, 180], vec![])
        );
        assert!(is_far_ahead(minutes(120), minutes(120).saturating_sub(DAY * 2)));
    }

    #[test]
    fn years_of_seconds_are_bounded() {
        let years_ago = NOON.saturating_sub(DAY * 3_650);
        let all = due(&cron("* * * * * *"), years_ago, NOON, CatchUp::All(u32::MAX));
        // The hundred that are caught up, the one before them, and the minute that is on time.
        assert_eq!(all.len(), 100 + 1 + 61);
        assert_eq!(all.first().map(|(_, tick)| *tick), Some(Tick::Skip));
        assert_eq!(all.last(), Some(&(NOON, Tick::Run)));
        let yearly = due(&cron("0 0 1 1 *"), years_ago, NOON, CatchUp::All(3));
        assert_eq!(yearly.len(), 4);
    }

    #[test]
    fn a_catch_up_is_written_as_a_word_or_with_a_number() {
        #[derive(Deserialize)]
        struct Text {
            catch_up: CatchUp,
        }
        let read = |text: &str| toml::from_str::<Text>(text).map(|text| text.catch_up);
        assert_eq!(read("catch_up = 'skip'").unwrap(), CatchUp::Skip);
        assert_eq!(read("catch_up = 'once'").unwrap(), CatchUp::Once);
        assert_eq!(read("catch_up = { all = 24 }").unwrap(), CatchUp::All(24));
        assert!(read("catch_up = 'all'").is_err());
    }
}
