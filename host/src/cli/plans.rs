//! `mortise plans`: named sets of limits.

use clap::Subcommand;

use super::client::Client;
use super::limit_change::Change;
use super::output::columns;
use super::{CliError, Output};
use crate::domain::tenant::Plan;

/// Subcommands for plans.
#[derive(Debug, Subcommand)]
pub enum Plans {
    /// List the plans, and the limits in which each differs from the defaults of the host
    List,
    /// Show a plan
    Show {
        /// Name of the plan
        name: String,
    },
    /// Change limits of a plan, and keep the others. Creates the plan if there is none of this
    /// name; without limits it has the defaults of the host
    Set {
        /// Name of the plan
        name: String,
        #[command(flatten)]
        change: Change,
    },
    /// Delete a plan that no tenant is on. The default plan cannot be deleted
    Delete {
        /// Name of the plan
        name: String,
    },
}

impl Plans {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::List => output.table(
                &client.list(&["plans"])?,
                &columns!(Plan: "NAME" => name, "LIMITS" => limits),
            ),
            Self::Show { name } => output.object(&client.get::<Plan>(&["plans", &name])?),
            Self::Set { name, change } => {
                let plans: Vec<Plan> = client.list(&["plans"])?;
                let known = plans.into_iter().find(|plan| plan.name.as_str() == name);
                let limits = known.map_or_else(Default::default, |plan| plan.limits);
                output.object(&client.put::<Plan>(&["plans", &name], &change.apply(&limits)?)?)
            }
            Self::Delete { name } => {
                client.delete(&["plans", &name])?;
                output.news(format_args!("deleted the plan {name}"));
                Ok(())
            }
        }
    }
}
