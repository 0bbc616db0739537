//! `mortise mail suppressions`: addresses to which the plugins of a tenant send no mail.

use clap::Subcommand;
use serde::de::IgnoredAny;

use super::super::client::Client;
use super::super::output::{columns, printable};
use super::super::{CliError, Output, TenantArgument};
use crate::domain::suppression::AddressKey;
use crate::wire::mail_settings::{NewSuppression, SuppressionView};

/// Subcommands for the suppression list.
#[derive(Debug, Subcommand)]
pub enum Suppressions {
    /// List the addresses, and why each is on the list
    List(TenantArgument),
    /// Add an address
    Add {
        #[command(flatten)]
        of: TenantArgument,
        /// The address
        address: String,
        /// A note on why, for people
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Remove an address, because the person asked for mail again
    Remove {
        #[command(flatten)]
        of: TenantArgument,
        /// The address
        address: String,
    },
}

impl Suppressions {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::List(of) => {
                let list: Vec<SuppressionView> =
                    client.list(&["tenants", &of.tenant, "mail", "suppressions"])?;
                let columns = columns!(SuppressionView:
                    "ADDRESS" => address,
                    "REASON" => reason,
                    "SINCE" => created_at,
                    "MAIL" => mail,
                    "DETAIL" => detail,
                );
                output.table(&list, &columns)
            }
            Self::Add { of, address, note } => {
                let address = address
                    .parse::<AddressKey>()
                    .map_err(|error| CliError::Usage(error.to_string()))?;
                let body = NewSuppression { address, note };
                let path = ["tenants", &of.tenant, "mail", "suppressions"];
                let _: IgnoredAny = client.post(&path, &body)?;
                output.news(format_args!("{} gets no more mail", body.address));
                Ok(())
            }
            Self::Remove { of, address } => {
                client.delete(&["tenants", &of.tenant, "mail", "suppressions", &address])?;
                output.news(format_args!("{} may get mail again", printable(&address)));
                Ok(())
            }
        }
    }
}
