//! `mortise plans`: named sets of limits.

use clap::Subcommand;

use super::client::Client;
use super::{CliError, Output};

/// What to do with plans.
#[derive(Debug, Subcommand)]
pub enum Plans {
    /// List the plans and the limits that they change
    List,
    /// Show a plan
    Show {
        /// Its name
        name: String,
    },
}

impl Plans {
    /// Does it.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::List => output.table(
                &client.list(&["plans"])?,
                &[("NAME", "name"), ("LIMITS", "limits")],
            ),
            Self::Show { name } => output.object(&client.get(&["plans", &name])?),
        }
    }
}
