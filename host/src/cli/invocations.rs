//! `mortise invocations`: lists and shows invocation records.

use clap::{Args, Subcommand};

use super::client::Client;
use super::moment;
use super::output::columns;
use super::{CliError, Output, TenantArgument};
use crate::domain::clock::Timestamp;
use crate::wire::invocations::InvocationView;

/// Subcommands for invocation records.
#[derive(Debug, Subcommand)]
pub enum Invocations {
    /// List invocations, the newest first
    List(List),
    /// Show an invocation with its usage
    Show {
        #[command(flatten)]
        of: TenantArgument,
        /// Its id: the `x-request-id` of the response
        id: String,
    },
}

/// Arguments of `mortise invocations list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    of: TenantArgument,
    /// Only those of this plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Only those with this trigger: http, function, job
    #[arg(long, value_name = "TRIGGER")]
    trigger: Option<String>,
    /// Only calls of this function
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// Only attempts to run jobs of this kind
    #[arg(long, value_name = "NAME")]
    job: Option<String>,
    /// Only those of the route with this pattern: /orders/{id}
    #[arg(long, value_name = "PATTERN")]
    route: Option<String>,
    /// Only those with this status, or with one of this class: 404, 5xx
    #[arg(long)]
    status: Option<String>,
    /// Only those of this caller: api-key:ID, with an id of `mortise keys list`
    #[arg(long, value_name = "CALLER")]
    principal: Option<String>,
    /// Only those that failed: the host answered with a problem, or the plugin with a status of 5xx
    #[arg(long)]
    failed: bool,
    /// Only invocations from this time on: 2026-01-02T03:04:05Z, or 15min for as long ago
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    since: Option<Timestamp>,
    /// Only invocations before this time
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    until: Option<Timestamp>,
    /// Number of invocations, the newest ones
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

impl Invocations {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::List(List {
                of,
                plugin,
                trigger,
                function,
                job,
                route,
                status,
                principal,
                failed,
                since,
                until,
                limit,
            }) => {
                let text = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string());
                let wanted = [
                    ("plugin", plugin),
                    ("trigger", trigger),
                    ("function", function),
                    ("job", job),
                    ("route", route),
                    ("status", status),
                    ("principal", principal),
                    ("since", text(since)),
                    ("until", text(until)),
                ];
                let wanted = wanted
                    .iter()
                    .map(|(name, value)| Some((*name, value.as_deref()?)));
                let mut filter: Vec<_> = wanted.flatten().collect();
                filter.extend(failed.then_some(("failed", "true")));
                let found = client.first(&["tenants", &of.tenant, "invocations"], &filter, limit)?;
                let columns = columns!(InvocationView:
                    "STARTED" => started_at,
                    "ID" => id,
                    "PLUGIN" => plugin,
                    "TRIGGER" => trigger,
                    "METHOD" => method,
                    "ROUTE" => route,
                    "FUNCTION" => function,
                    "JOB" => job,
                    "ATTEMPT" => attempt,
                    "OUTCOME" => outcome,
                    "STATUS" => status,
                    "CODE" => code,
                    "CALLER" => principal,
                    "CPU_US" => usage.cpu_us,
                    "WALL_US" => usage.wall_us,
                );
                output.table(&found, &columns)
            }
            Self::Show { of, id } => {
                output.object(&client.get::<InvocationView>(&["tenants", &of.tenant, "invocations", &id])?)
            }
        }
    }
}
