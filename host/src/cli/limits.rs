//! `mortise limits`: the limits of a tenant and its overrides.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::client::Client;
use super::limit_change::Change;
use super::output::columns;
use super::{CliError, Output, TenantArgument};
use crate::wire::limits::{LimitView, TenantLimits};
use crate::wire::tenants::TenantView;

/// What to do with the limits of a tenant.
#[derive(Debug, Subcommand)]
pub enum Limits {
    /// Show each limit of a tenant, what set it, and how far it can be raised
    Show(TenantArgument),
    /// Set limits for one tenant, in place of those of its plan, and keep its others
    Set(Set),
}

/// Changes to the limits of a tenant.
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
                if change.is_empty() {
                    return Err(CliError::Usage(
                        "no limit is named; write for example `memory=128MiB`, or `--unset memory`"
                            .to_owned(),
                    ));
                }
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
