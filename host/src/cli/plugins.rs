//! `mortise plugins`: the plugins of a tenant.

use clap::Subcommand;

use super::client::Client;
use super::{CliError, Output, PluginArgument, TenantArgument};

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub enum Plugins {
    /// List the plugins of a tenant
    List(TenantArgument),
    /// Show a plugin
    Show(PluginArgument),
    /// Delete a plugin with its versions, grants and settings; the tenant's data stays
    Delete(PluginArgument),
}

impl Plugins {
    /// Does it.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::List(of) => {
                let plugins = client.list(&["tenants", &of.tenant, "plugins"])?;
                let columns = [
                    ("NAME", "name"),
                    ("ACTIVE", "active"),
                    ("DISABLED", "disabled"),
                    ("CREATED", "created_at"),
                ];
                output.table(&plugins, &columns)
            }
            Self::Show(of) => output.object(&client.get(&of.path(&[]))?),
            Self::Delete(of) => {
                client.delete(&of.path(&[]))?;
                output.news(format_args!("deleted the plugin {}", of.plugin));
                Ok(())
            }
        }
    }
}
