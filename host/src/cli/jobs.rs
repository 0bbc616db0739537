//! `mortise jobs`: lists, shows and changes the jobs of a tenant.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::Client;
use super::job_filter::{JobFilterOptions, pairs};
use super::output::{columns, printable};
use super::{CliError, Output, PluginArgument, TenantArgument, confirmed};
use crate::domain::job::JobState;
use crate::wire::jobs::{
    AttemptView, JobDetail, JobKindView, JobSummaryView, JobView, PausedView, PurgedView, WaitView,
};

/// Subcommands for jobs.
#[derive(Debug, Subcommand)]
pub enum Jobs {
    /// List jobs, the newest first
    List(List),
    /// Show a job with its payload, what it waits for, and its attempts with their errors
    Show(OneJob),
    /// Count the jobs by plugin, kind and state
    Summary(TenantArgument),
    /// Run an ended job again, or a scheduled one now
    Retry(OneJob),
    /// Cancel a job; one that runs is stopped
    Cancel(OneJob),
    /// Delete jobs with their payloads and attempts; jobs that run stay
    Purge(Purge),
    /// Pause the jobs of a plugin, or those of one kind: they wait until they are resumed
    Pause(Kind),
    /// Resume paused jobs
    Resume(Kind),
    /// Write jobs with payloads and attempts, one JSON object per line
    Export(Export),
}

/// Arguments of `mortise jobs list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    of: TenantArgument,
    #[command(flatten)]
    filter: JobFilterOptions,
    /// Number of jobs, the newest ones
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

/// A job.
#[derive(Debug, Args)]
pub struct OneJob {
    #[command(flatten)]
    of: TenantArgument,
    /// Its id
    id: String,
}

/// Arguments of `mortise jobs purge`.
#[derive(Debug, Args)]
pub struct Purge {
    #[command(flatten)]
    of: TenantArgument,
    #[command(flatten)]
    filter: JobFilterOptions,
    /// The name of the tenant again, to confirm: without a filter, all of its jobs are deleted
    #[arg(long, value_name = "NAME")]
    confirm: String,
}

/// The jobs of a plugin, or those of one kind.
#[derive(Debug, Args)]
pub struct Kind {
    #[command(flatten)]
    of: PluginArgument,
    /// Only jobs of this kind
    #[arg(long, value_name = "KIND")]
    job: Option<String>,
}

/// Arguments of `mortise jobs export`.
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    of: TenantArgument,
    #[command(flatten)]
    filter: JobFilterOptions,
    /// File to write; by default standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Jobs {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::List(List { of, filter, limit }) => {
                let path = ["tenants", &of.tenant, "jobs"];
                table(&client.first(&path, &pairs(&filter.query()), limit)?, output)
            }
            Self::Show(job) => show(&client.get(&job.path(&[]))?, output),
            Self::Summary(of) => {
                let summary: JobSummaryView = client.get(&["tenants", &of.tenant, "jobs", "summary"])?;
                show_summary(&summary, output)
            }
            Self::Retry(job) => {
                let detail: JobDetail = client.post_where(&job.path(&["retry"]), &[])?;
                output.news(format_args!("the job {} is in the queue", job.id));
                tell_wait(detail.job.waits_for.as_ref(), output);
                show(&detail, output)
            }
            Self::Cancel(job) => {
                let detail: JobDetail = client.post_where(&job.path(&["cancel"]), &[])?;
                match detail.job.state {
                    JobState::Cancelled => output.news(format_args!("cancelled the job {}", job.id)),
                    _ => output.news(format_args!(
                        "the job {} runs and is being stopped; `mortise jobs show` tells when it has ended",
                        job.id
                    )),
                }
                show(&detail, output)
            }
            Self::Purge(Purge { of, filter, confirm }) => {
                confirmed(&of.tenant, &confirm)?;
                let path = ["tenants", &of.tenant, "jobs"];
                report_purged(&client.delete_where(&path, &pairs(&filter.query()))?, output)
            }
            Self::Pause(kind) => {
                let paused: PausedView = client.post_where(&kind.path(), &[])?;
                tell_paused(&paused, output);
                output.object(&paused)
            }
            Self::Resume(kind) => {
                let paused: PausedView = client.delete_where(&kind.path(), &[])?;
                tell_resumed(&paused, output);
                output.object(&paused)
            }
            Self::Export(Export {
                of,
                filter,
                output: file,
            }) => {
                let path = ["tenants", &of.tenant, "jobs", "export"];
                let mut lines = client.download(&path, &pairs(&filter.query()))?;
                let Some(file) = file else {
                    return output.copy(lines);
                };
                let mut written =
                    File::create(&file).map_err(|error| CliError::file("write", &file, &error))?;
                io::copy(&mut lines, &mut written)
                    .map_err(|error| CliError::file("write the whole export to", &file, &error))?;
                output.news(format_args!("wrote {}", file.display()));
                Ok(())
            }
        }
    }
}

impl OneJob {
    fn path<'a>(&'a self, below: &[&'a str]) -> Vec<&'a str> {
        [&["tenants", &self.of.tenant, "jobs", &self.id], below].concat()
    }
}

impl Kind {
    fn path(&self) -> Vec<&str> {
        let kind = self.job.as_deref();
        let below: Vec<&str> = ["jobs"].into_iter().chain(kind).chain(["pause"]).collect();
        self.of.path(&below)
    }
}

/// Writes a list of jobs.
pub fn table(jobs: &[JobView], output: &mut Output) -> Result<(), CliError> {
    let mut columns = Vec::from(columns!(JobView:
        "ADDED" => created_at,
        "ID" => id,
        "PLUGIN" => plugin,
        "JOB" => job,
        "STATE" => state,
        "ATTEMPT" => attempt,
        "DUE" => due_at,
        "ENDED" => ended_at,
    ));
    columns.push(("WAITS OR FAILED BECAUSE", reason));
    output.table(jobs, &columns)
}

/// Reports how many jobs were deleted.
pub fn report_purged(purged: &PurgedView, output: &mut Output) -> Result<(), CliError> {
    if purged.running > 0 {
        output.news(format_args!(
            "{} jobs run and stay; `mortise jobs cancel` stops them",
            purged.running
        ));
    }
    output.object(purged)
}

/// Characters of a reason that the table shows.
const MOST_CHARACTERS: usize = 60;

/// Why a job waits or failed, on one short line.
fn reason(job: &JobView) -> String {
    let wait = job.waits_for.as_ref().map(|wait| wait.detail.as_str());
    let text = job.error.as_deref().or(wait).unwrap_or("-");
    let text = text.lines().next().unwrap_or_default();
    let text = match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    };
    printable(&text)
}

fn show(detail: &JobDetail, output: &mut Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.data(detail);
    }
    let mut shown =
        serde_json::to_value(detail).unwrap_or_else(|error| json!({ "error": error.to_string() }));
    if let Some(members) = shown.as_object_mut() {
        members.remove("attempts");
    }
    output.object(&shown)?;
    if detail.content_hidden {
        output.news("payload, keys and error texts are for developers and owners of the tenant");
    }
    if detail.attempts.is_empty() {
        return Ok(());
    }
    output.line("")?;
    let columns = columns!(AttemptView:
        "ATTEMPT" => number,
        "STARTED" => started_at,
        "ENDED" => ended_at,
        "OUTCOME" => outcome,
        "INVOCATION" => invocation,
        "NODE" => node,
        "ERROR" => error,
    );
    output.table(&detail.attempts, &columns)
}

fn show_summary(summary: &JobSummaryView, output: &mut Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.data(summary);
    }
    output.object(&json!({
        "live": summary.live,
        "running": summary.running,
        "dead": summary.dead,
        "oldest_ready": summary.oldest_ready,
    }))?;
    output.line("")?;
    let columns = columns!(JobKindView:
        "PLUGIN" => plugin,
        "JOB" => job,
        "SCHEDULED" => states.scheduled,
        "READY" => states.ready,
        "BLOCKED" => states.blocked,
        "HELD" => states.held,
        "RUNNING" => states.running,
        "DONE" => states.done,
        "DEAD" => states.dead,
        "CANCELLED" => states.cancelled,
        "CANNOT RUN BECAUSE" => hold,
    );
    output.table(&summary.kinds, &columns)
}

/// Says why a job does not run at once.
pub fn tell_wait(wait: Option<&WaitView>, output: &mut Output) {
    if let Some(wait) = wait {
        output.news(format_args!("it waits: {}", printable(&wait.detail)));
    }
}

fn tell_paused(paused: &PausedView, output: &mut Output) {
    output.news(match paused.changed {
        true => "paused; jobs that run end, and all others wait until `mortise jobs resume`",
        false => "they were paused before",
    });
}

fn tell_resumed(paused: &PausedView, output: &mut Output) {
    output.news(match paused.changed {
        true => "resumed; jobs that waited run within some seconds",
        false => "they were not paused",
    });
    if paused.all {
        output.news(format_args!(
            "all jobs of {} are still paused; `mortise jobs resume` without --job resumes them",
            paused.plugin
        ));
    } else if !paused.jobs.is_empty() {
        let kinds: Vec<&str> = paused.jobs.iter().map(|job| job.as_str()).collect();
        output.news(format_args!(
            "still paused on their own: {}; `mortise jobs resume --job …` resumes them",
            kinds.join(", ")
        ));
    }
}
