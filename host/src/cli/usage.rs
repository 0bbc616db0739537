//! `mortise usage`: shows what the plugins of a tenant consumed.

use clap::Args;
use serde_json::json;

use super::client::Client;
use super::moment;
use super::output::columns;
use super::{CliError, Output, TenantArgument};
use crate::domain::clock::Timestamp;
use crate::domain::invocation::UsageSum;
use crate::wire::invocations::UsageView;

/// Arguments of `mortise usage`.
#[derive(Debug, Args)]
pub struct Usage {
    #[command(flatten)]
    of: TenantArgument,
    /// Start of the period, in whole hours: 2026-01-02T03:04:05Z, or 30d for as long ago; by
    /// default a day before `--to`
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    from: Option<Timestamp>,
    /// End of the period, in whole hours; by default now
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    to: Option<Timestamp>,
}

impl Usage {
    /// Shows the sums of each plugin and the tenant's current counts.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        let [from, to] = [self.from, self.to].map(|moment| moment.map(|moment| moment.to_string()));
        let mut query = Vec::new();
        query.extend(from.as_deref().map(|from| ("from", from)));
        query.extend(to.as_deref().map(|to| ("to", to)));
        let usage: UsageView = client.get_where(&["tenants", &self.of.tenant, "usage"], &query)?;
        if output.is_json() {
            return output.data(&usage);
        }
        output.object(&json!({"from": usage.from, "to": usage.to}))?;
        output.line("")?;
        let columns = columns!(UsageSum:
            "PLUGIN" => plugin,
            "INVOCATIONS" => invocations,
            "FAILURES" => failures,
            "CPU_US" => cpu_us,
            "WALL_US" => wall_us,
            "SQL_STATEMENTS" => sql_statements,
            "HTTP_REQUESTS" => http_requests,
            "LOG_LINES" => log_lines,
            "DROPPED" => log_lines_dropped,
            "RESPONSE_BYTES" => response_bytes,
        );
        output.table(&usage.plugins, &columns)?;
        output.line("")?;
        output.object(&json!({"kept": usage.kept, "counts": usage.counts}))
    }
}
