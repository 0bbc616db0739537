//! `mortise schedules`: when the schedules of a tenant run, and running one now.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::client::Client;
use super::jobs::tell_wait;
use super::output::columns;
use super::{CliError, Output, PluginArgument, TenantArgument};
use crate::domain::clock::Timestamp;
use crate::domain::job::JobState;
use crate::wire::jobs::JobDetail;
use crate::wire::schedules::{ScheduleView, StartedView};

/// Subcommands for schedules.
#[derive(Debug, Subcommand)]
pub enum Schedules {
    /// List the schedules of the active versions with their next and last runs
    List(TenantArgument),
    /// Add the job of a schedule now
    Run(Run),
}

/// Arguments of `mortise schedules run`.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    of: PluginArgument,
    /// Name of the schedule
    name: String,
}

impl Schedules {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::List(of) => {
                let schedules: Vec<ScheduleView> = client.list(&["tenants", &of.tenant, "schedules"])?;
                if output.is_json() {
                    return output.data(&schedules);
                }
                let columns = columns!(Row:
                    "PLUGIN" => plugin,
                    "SCHEDULE" => schedule,
                    "JOB" => job,
                    "CRON" => cron,
                    "ZONE" => zone,
                    "NEXT" => next,
                    "LAST" => last,
                    "STATE" => state,
                    "SKIPS BECAUSE" => hold,
                );
                let rows: Vec<Row> = schedules.into_iter().map(Row::from).collect();
                output.table(&rows, &columns)
            }
            Self::Run(Run { of, name }) => {
                let started: StartedView = client.post_where(&of.path(&["schedules", &name, "run"]), &[])?;
                if !started.added {
                    output.news("the previous job of the schedule is still live, so no job was added");
                }
                let id = started.job_id.to_string();
                // The job may run or have ended by now.
                if let Ok(job) = client.get::<JobDetail>(&["tenants", &of.of.tenant, "jobs", &id]) {
                    tell_wait(job.job.waits_for.as_ref(), output);
                }
                output.object(&started)
            }
        }
    }
}

/// A row of the table.
#[derive(Serialize)]
struct Row {
    plugin: String,
    schedule: String,
    job: String,
    cron: String,
    zone: String,
    next: Option<Timestamp>,
    last: Option<Timestamp>,
    state: Option<JobState>,
    hold: Option<String>,
}

impl From<ScheduleView> for Row {
    fn from(schedule: ScheduleView) -> Self {
        Self {
            plugin: schedule.plugin.to_string(),
            schedule: schedule.name.to_string(),
            job: schedule.job.to_string(),
            cron: schedule.cron,
            zone: schedule.zone,
            next: schedule.next_runs.first().copied(),
            last: schedule.last_run.as_ref().map(|run| run.due_at),
            state: schedule.last_run.as_ref().map(|run| run.state),
            hold: schedule.hold,
        }
    }
}
