//! Jobs, schedules and events as the manifest declares them.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A kind of job.
#[derive(Clone, Deserialize)]
pub(in crate::testing) struct JobSpec {
    pub name: String,
    #[serde(default = "default_attempts")]
    pub attempts: u32,
    #[serde(default)]
    pub backoff: Backoff,
    pub concurrency: Option<Concurrency>,
}

/// The wait before a failed job runs again. It doubles with each attempt.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub(in crate::testing) struct Backoff {
    initial: Span,
    max: Span,
}

/// A bound of jobs with the same concurrency key.
#[derive(Clone, Copy, Deserialize)]
pub(in crate::testing) struct Concurrency {
    pub limit: u32,
    #[serde(default)]
    pub ordered: bool,
}

/// A schedule.
#[derive(Clone, Deserialize)]
pub(in crate::testing) struct ScheduleSpec {
    pub name: String,
    pub cron: String,
    #[serde(default = "utc")]
    pub zone: String,
    pub job: String,
    #[serde(default = "empty_object")]
    pub payload: String,
    #[serde(default)]
    pub overlap: Overlap,
}

/// What happens if the previous job of the schedule is still live.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::testing) enum Overlap {
    #[default]
    Skip,
    Queue,
}

#[derive(Default, Deserialize)]
pub(in crate::testing) struct Events {
    #[serde(default)]
    pub publish: Vec<String>,
}

/// The job that an event of a topic causes.
#[derive(Clone, Deserialize)]
pub(in crate::testing) struct Subscription {
    pub topic: String,
    pub job: String,
}

/// A span of time, written `50ms`, `5s`, `15min` or `24h`.
#[derive(Clone, Copy, Debug)]
pub(in crate::testing) struct Span(Duration);

impl JobSpec {
    /// A job of a plugin without a manifest.
    pub fn of_name(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            attempts: default_attempts(),
            backoff: Backoff::default(),
            concurrency: None,
        }
    }
}

impl Backoff {
    /// The longest wait after the attempt with this number. The host takes off a random part.
    pub fn wait(self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.initial.0.saturating_mul(1 << doublings).min(self.max.0)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Span(Duration::from_secs(1)),
            max: Span(Duration::from_secs(5 * 60)),
        }
    }
}

impl Span {
    /// The whole seconds.
    pub fn seconds(self) -> u64 {
        self.0.as_secs()
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("ms", 1), ("min", 60_000), ("h", 3_600_000), ("s", 1_000)];
        let parsed = units.iter().find_map(|(suffix, factor)| {
            let number: u64 = text.strip_suffix(suffix)?.trim_end().parse().ok()?;
            number.checked_mul(*factor)
        });
        parsed
            .map(|ms| Self(Duration::from_millis(ms)))
            .ok_or_else(|| format!("`{text}` is not a span such as `50ms`, `5s` or `15min`"))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

fn default_attempts() -> u32 {
    8
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

    #[test]
    fn a_wait_doubles_up_to_its_longest() {
        let backoff: Backoff = toml::from_str("initial = '1s'\nmax = '5min'").expect("a back-off");
        let waits = [1, 2, 3, 9, 10, 100].map(|attempt| backoff.wait(attempt).as_secs());
        assert_eq!(waits, [1, 2, 4, 256, 300, 300]);
        assert!(toml::from_str::<Backoff>("initial = '5m'").is_err());
    }
}
