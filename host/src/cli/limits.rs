//! `mortise limits`: shows the limits of a tenant and sets overrides.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::client::Client;
use super::limit_change::Change;
use super::output::columns;
use super::{CliError, Output, TenantArgument};
use crate::wire::limits::{LimitView, TenantLimits};
use crate::wire::tenants::TenantView;

/// Subcommands for the limits of a tenant.
#[derive(Debug, Subcommand)]
pub enum Limits {
    /// Show each limit of a tenant with its source and its ceiling
    Show(TenantArgument),
    /// Set limits for one tenant, which override those of its plan, and keep its other overrides
    Set(Set),
}

/// Arguments of `mortise limits set`.
#[derive(Debug, Args)]
pub struct Set {
    #[command(flatten)]
    of: TenantArgument,
    #[command(flatten)]
    change: Change,
}

impl Limits {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::Show(of) => {
                let limits: TenantLimits = client.get(&["tenants", &of.tenant, "limits"])?;
                if output.is_json() {
                    return output.data(&limits);
                }
                let rows: Vec<Row> = limits
                    .limits
                    .into_iter()
                    .map(|(name, limit)| Row { name, limit })
                    .collect();
                let columns = columns!(Row:
                    "LIMIT" => name,
                    "VALUE" => limit.value,
                    "FROM" => limit.source,
                    "CEILING" => limit.ceiling,
                );
                output.table(&rows, &columns)
            }
            Self::Set(Set { of, change }) => {
                let path = ["tenants", of.tenant.as_str()];
                let tenant: TenantView = client.get(&path)?;
                let limits = change.apply(&tenant.limits)?;
                output.object(&client.patch::<TenantView>(&path, &json!({"limits": limits}))?)
            }
        }
    }
}

/// A row of the table.
#[derive(Serialize)]
struct Row {
    name: String,
    limit: LimitView,
}
