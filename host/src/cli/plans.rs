//! `mortise plans`: named sets of limits.

use clap::Subcommand;

use super::client::Client;
use super::limit_change::Change;
use super::{CliError, Output};

/// What to do with plans.
#[derive(Debug, Subcommand)]
pub enum Plans {
    /// List the plans, and the limits in which each differs from the defaults of the host
    List,
    /// Show a plan
    Show {
        /// Name of the plan
        name: String,
    },
    /// Change limits of a plan, and keep the others. Creates the plan if there is none of this name
    Set {
        /// Name of the plan
        name: String,
        #[command(flatten)]
        change: Change,
    },
    /// Delete a plan that no tenant is on
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
                &[("NAME", "name"), ("LIMITS", "limits")],
            ),
            Self::Show { name } => output.object(&client.get(&["plans", &name])?),
            Self::Set { name, change } => {
                let plans = client.list(&["plans"])?;
                let known = plans.into_iter().find(|plan| plan["name"] == name.as_str());
                let limits = known.map_or_else(Default::default, |mut plan| plan["limits"].take());
                output.object(&client.put(&["plans", &name], &change.apply(limits)?)?)
            }
            Self::Delete { name } => {
                client.delete(&["plans", &name])?;
                output.news(format_args!("deleted the plan {name}"));
                Ok(())
            }
        }
    }
}
