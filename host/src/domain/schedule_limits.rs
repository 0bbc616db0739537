//! Compares the schedules of a manifest with the limits of a tenant.

use std::time::Duration;

use super::clock::{HOUR, Timestamp};
use super::cron::Cron;
use super::limits::Limits;
use super::manifest::Manifest;
use super::schedule::ScheduleSpec;
use super::units::{ByteSize, Span, as_u64};

/// A schedule, or the schedules together, exceed a limit of the tenant. The text says where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleExcess {
    /// There are too many schedules.
    #[error(
        "plugin.toml: schedule: {own} schedules, with {others} of the tenant's other plugins, are more than the {limit} \
         that the tenant may have (limit `schedules`)"
    )]
    Count {
        /// Those of the manifest.
        own: usize,
        /// Those of the active versions of other plugins.
        others: usize,
        /// The limit.
        limit: u32,
    },
    /// A schedule runs too often.
    #[error(
        "plugin.toml: schedule[{index}].cron: `{cron}` runs twice within {interval}, and the tenant's schedules may \
         run {limit} times per hour (limit `schedule_runs_per_hour`)"
    )]
    Interval {
        /// The position of the schedule in the manifest.
        index: usize,
        /// The expression.
        cron: String,
        /// The shortest interval between two runs.
        interval: Span,
        /// The limit.
        limit: u32,
    },
    /// The payload of a schedule is too large.
    #[error(
        "plugin.toml: schedule[{index}].payload: {size} are more than the {limit} that a job of the tenant may carry \
         (limit `job_payload`)"
    )]
    Payload {
        /// The position of the schedule in the manifest.
        index: usize,
        /// The size of the payload.
        size: ByteSize,
        /// The limit.
        limit: ByteSize,
    },
}

impl ScheduleExcess {
    /// Compares the number of a plugin's schedules with the limit of a tenant whose other plugins
    /// have `others` of them.
    pub fn check_count(own: usize, others: usize, limits: &Limits) -> Result<(), Self> {
        let limit = limits.schedules;
        match own > 0 && as_u64(own.saturating_add(others)) > u64::from(limit) {
            true => Err(Self::Count { own, others, limit }),
            false => Ok(()),
        }
    }

    /// Compares a manifest with the limits of a tenant whose other plugins have `others` schedules.
    /// What the version `active` has already is not refused: a limit that was lowered stops only
    /// additions.
    pub fn check(
        manifest: &Manifest,
        active: Option<&Manifest>,
        others: usize,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<(), Self> {
        let own = manifest.schedules.len();
        let former: &[ScheduleSpec] = active.map_or(&[], |active| &active.schedules);
        if own > former.len() {
            Self::check_count(own, others, limits)?;
        }
        for (index, schedule) in manifest.schedules.iter().enumerate() {
            if former.contains(schedule) {
                continue;
            }
            let size = ByteSize(as_u64(schedule.payload.len()));
            if size > limits.job_payload {
                let limit = limits.job_payload;
                return Err(Self::Payload { index, size, limit });
            }
            // An expression that cannot be read was refused at the upload.
            let cron = Cron::parse(&schedule.cron, &schedule.zone).ok();
            let limit = limits.schedule_runs_per_hour;
            let interval = cron.and_then(|cron| cron.shortest_interval(now));
            if let Some(interval) = interval.filter(|interval| runs_more_often(*interval, limit)) {
                return Err(Self::Interval {
                    index,
                    cron: schedule.cron.clone(),
                    interval: Span(interval),
                    limit,
                });
            }
        }
        Ok(())
    }
}

fn runs_more_often(interval: Duration, limit: u32) -> bool {
    interval.saturating_mul(limit) < HOUR
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(schedules: &[(&str, &str)]) -> Manifest {
        let schedule = |(name, cron): &(&str, &str)| {
            format!("[[schedule]]\nname = '{name}'\ncron = '{cron}'\njob = 'j'\npayload = '123'\n")
        };
        let schedules: String = schedules.iter().map(schedule).collect();
        let text = format!("[plugin]\nname = 'p'\nversion = '1'\n[[job]]\nname = 'j'\n{schedules}");
        Manifest::parse(&text).unwrap()
    }

    fn check(
        schedules: &[(&str, &str)],
        active: &[(&str, &str)],
        others: usize,
        limits: &Limits,
    ) -> Result<(), String> {
        let now = Timestamp(1_767_268_800_000);
        let active = manifest(active);
        ScheduleExcess::check(&manifest(schedules), Some(&active), others, limits, now)
            .map_err(|excess| excess.to_string())
    }

    #[test]
    fn the_schedules_of_all_plugins_count_together() {
        let limits = Limits {
            schedules: 3,
            ..Limits::default()
        };
        let two = [("a", "0 2 * * *"), ("b", "0 3 * * *")];
        assert_eq!(check(&two, &[], 1, &limits), Ok(()));
        let error = check(&two, &[], 2, &limits).unwrap_err();
        assert!(
            error.starts_with("plugin.toml: schedule: 2 schedules, with 2 of the tenant's other plugins, are more than the 3"),
            "{error}"
        );
        assert_eq!(
            check(&two, &two, 2, &limits),
            Ok(()),
            "the plugin has as many already"
        );
        assert_eq!(check(&[], &[], 9, &limits), Ok(()));
        let count = |own, others| ScheduleExcess::check_count(own, others, &limits).is_ok();
        assert!(count(2, 1) && count(0, 9) && !count(2, 2));
    }

    #[test]
    fn a_schedule_runs_no_more_often_than_the_tenant_may() {
        let runs = |count: u32| Limits {
            schedule_runs_per_hour: count,
            ..Limits::default()
        };
        let each_minute = [("a", "* * * * *")];
        assert_eq!(check(&each_minute, &[], 0, &runs(60)), Ok(()));
        let error = check(&each_minute, &[], 0, &runs(59)).unwrap_err();
        assert_eq!(
            error,
            "plugin.toml: schedule[0].cron: `* * * * *` runs twice within 1min, and the tenant's schedules may run 59 \
             times per hour (limit `schedule_runs_per_hour`)"
        );
        assert_eq!(
            check(&each_minute, &each_minute, 0, &runs(59)),
            Ok(()),
            "it ran before"
        );
        // Two times an hour, but one right after the other.
        assert!(check(&[("a", "0,1 * * * *")], &[], 0, &runs(59)).is_err());
        assert_eq!(check(&[("a", "* * * * * *")], &[], 0, &runs(3_600)), Ok(()));
        assert!(check(&[("a", "* * * * * *")], &[], 0, &runs(3_599)).is_err());
        assert!(check(&[("a", "0 2 * * *")], &[], 0, &runs(0)).is_err());
        assert_eq!(check(&[("a", "0 2 * * *")], &[], 0, &runs(1)), Ok(()));
    }

    #[test]
    fn a_payload_fits_into_a_job_of_the_tenant() {
        let payload = |bytes: u64| Limits {
            job_payload: ByteSize(bytes),
            ..Limits::default()
        };
        assert_eq!(check(&[("a", "0 2 * * *")], &[], 0, &payload(3)), Ok(()));
        let error = check(&[("a", "0 2 * * *")], &[], 0, &payload(2)).unwrap_err();
        assert!(
            error.contains("schedule[0].payload: 3B are more than the 2B"),
            "{error}"
        );
    }
}
