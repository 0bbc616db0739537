//! Schedules: jobs that are due at times which a cron expression names.

use serde::{Deserialize, Serialize};

use super::id::{JobName, ScheduleName};

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
    /// The job waits for the previous one.
    Queue,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn empty_object() -> String {
    "{}".to_owned()
}
