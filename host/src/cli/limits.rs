//! `mortise limits`: the limits of a tenant and its overrides.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Client;
use super::limit_change::Change;
use super::{CliError, Output, TenantArgument};

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
                let limits = client.get(&["tenants", &of.tenant, "limits"])?;
                if output.is_json() {
                    return output.data(&limits);
                }
                let columns = [
                    ("LIMIT", "name"),
                    ("VALUE", "value"),
                    ("FROM", "source"),
                    ("CEILING", "ceiling"),
                ];
                output.table(&rows(&limits), &columns)
            }
            Self::Set(Set { of, change }) => {
                let path = ["tenants", of.tenant.as_str()];
                let limits = change.apply(client.get(&path)?["limits"].take())?;
                output.object(&client.patch(&path, &json!({"limits": limits}))?)
            }
        }
    }
}

/// One row per limit, from `{"limits": {name: {…}}}`.
fn rows(limits: &Value) -> Vec<Value> {
    let named = |(name, limit): (&String, &Value)| {
        let mut limit = limit.clone();
        limit["name"] = name.as_str().into();
        limit
    };
    let members = limits["limits"].as_object();
    members.into_iter().flatten().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_limits_are_rows_by_name() {
        let limit = json!({"value": "64MiB", "source": "plan", "ceiling": "256MiB"});
        let mut row = limit.clone();
        row["name"] = "memory".into();
        assert_eq!(rows(&json!({"limits": {"memory": limit}})), [row]);
    }
}
