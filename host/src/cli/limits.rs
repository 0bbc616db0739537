//! `mortise limits`: shows the limits of a tenant and sets overrides.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::client::Client;
use super::limit_change::Change;
use super::output::columns;
use super::{CliError, Output, TenantArgument};
use crate::wire::limits::{LimitView, PluginLimits, TenantLimits};
use crate::wire::tenants::TenantView;

/// Subcommands for the limits of a tenant.
#[derive(Debug, Subcommand)]
pub enum Limits {
    /// Show each limit of a tenant or of a plugin, what set it, and how far it can be raised
    Show(Show),
    /// Set limits for one tenant, in place of those of its plan, and keep its others
    Set(Set),
}

/// Whose limits.
#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    of: TenantArgument,
    /// Name of a plugin: its limits and those of its functions, with what its manifest lowers
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
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
            Self::Show(Show {
                of,
                plugin: Some(plugin),
            }) => {
                let path = ["tenants", &of.tenant, "plugins", &plugin, "limits"];
                let limits: PluginLimits = client.get(&path)?;
                if output.is_json() {
                    return output.data(&limits);
                }
                let mut rows = rows_of(None, limits.limits);
                for (function, limits) in limits.functions {
                    rows.extend(rows_of(Some(function), limits));
                }
                let columns = columns!(Row:
                    "FUNCTION" => function,
                    "LIMIT" => name,
                    "VALUE" => limit.value,
                    "FROM" => limit.source,
                    "CEILING" => limit.ceiling,
                );
                output.table(&rows, &columns)
            }
            Self::Show(Show { of, plugin: None }) => {
                let limits: TenantLimits = client.get(&["tenants", &of.tenant, "limits"])?;
                if output.is_json() {
                    return output.data(&limits);
                }
                let rows = rows_of(None, limits.limits);
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
    function: Option<String>,
    name: String,
    limit: LimitView,
}

fn rows_of(function: Option<String>, limits: BTreeMap<String, LimitView>) -> Vec<Row> {
    let row = |(name, limit)| Row {
        function: function.clone(),
        name,
        limit,
    };
    limits.into_iter().map(row).collect()
}
