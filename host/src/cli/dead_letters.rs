//! `mortise dead-letters`: jobs that failed for good.

use clap::{Args, Subcommand};

use super::client::Client;
use super::job_filter::{DeadLetterFilterOptions, pairs};
use super::jobs::{report_purged, table};
use super::{CliError, Output, TenantArgument, confirmed};
use crate::wire::jobs::RetriedView;

/// Subcommands for dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// List dead letters, those of the newest jobs first; `mortise jobs show` shows one
    List(List),
    /// Run dead letters again, with all their attempts; `mortise jobs retry` does so for one
    Retry(Retry),
    /// Delete dead letters with their payloads and attempts
    Purge(Purge),
}

/// Arguments of `mortise dead-letters list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    of: TenantArgument,
    #[command(flatten)]
    filter: DeadLetterFilterOptions,
    /// Number of dead letters, those of the newest jobs
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

/// Arguments of `mortise dead-letters retry`.
#[derive(Debug, Args)]
pub struct Retry {
    #[command(flatten)]
    of: TenantArgument,
    #[command(flatten)]
    filter: DeadLetterFilterOptions,
}

/// Arguments of `mortise dead-letters purge`.
#[derive(Debug, Args)]
pub struct Purge {
    #[command(flatten)]
    of: TenantArgument,
    #[command(flatten)]
    filter: DeadLetterFilterOptions,
    /// The name of the tenant again, to confirm: without a filter, all of its dead letters are
    /// deleted
    #[arg(long, value_name = "NAME")]
    confirm: String,
}

impl DeadLetters {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::List(List { of, filter, limit }) => {
                let path = ["tenants", &of.tenant, "dead-letters"];
                table(&client.first(&path, &pairs(&filter.query()), limit)?, output)
            }
            Self::Retry(Retry { of, filter }) => {
                let path = ["tenants", &of.tenant, "dead-letters", "retry"];
                let retried: RetriedView = client.post_where(&path, &pairs(&filter.query()))?;
                output.object(&retried)
            }
            Self::Purge(Purge { of, filter, confirm }) => {
                confirmed(&of.tenant, &confirm)?;
                let path = ["tenants", &of.tenant, "dead-letters"];
                report_purged(&client.delete_where(&path, &pairs(&filter.query()))?, output)
            }
        }
    }
}
