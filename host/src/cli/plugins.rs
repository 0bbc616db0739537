//! `mortise plugins`: the plugins of a tenant.

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::Client;
use super::deploy::report;
use super::moment;
use super::output::columns;
use super::{CliError, Output, PluginArgument, TenantArgument, confirmed};
use crate::domain::clock::Timestamp;
use crate::wire::calls::CallsView;
use crate::wire::plugins::PluginView;

/// Subcommands for plugins.
#[derive(Debug, Subcommand)]
pub enum Plugins {
    /// List the plugins of a tenant
    List(List),
    /// Show a plugin
    Show(PluginArgument),
    /// Delete a plugin. It can be restored for `retention.deleted`, 7 days by default; the tenant's
    /// data stays
    Delete(Delete),
    /// Restore a deleted plugin with its versions, grants and settings
    Restore(PluginArgument),
    /// Show how often the routes and functions of a plugin were called, by day and caller
    Calls(Calls),
}

/// Arguments of `mortise plugins list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    of: TenantArgument,
    /// List the deleted plugins that can be restored, instead of the others
    #[arg(long)]
    deleted: bool,
}

/// Which calls.
#[derive(Debug, Args)]
pub struct Calls {
    #[command(flatten)]
    of: PluginArgument,
    /// Only calls of the route with this pattern: /orders/{id}; or of the function with this
    /// address: /-/functions/price.adjust
    #[arg(long, value_name = "PATTERN")]
    route: Option<String>,
    /// Start of the period, in whole days: 2026-01-02T00:00:00Z, or 30d for as long ago; by
    /// default a week before `--to`
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    from: Option<Timestamp>,
    /// End of the period, in whole days; by default now
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    to: Option<Timestamp>,
}

/// A plugin's end.
#[derive(Debug, Args)]
pub struct Delete {
    #[command(flatten)]
    of: PluginArgument,
    /// The name of the plugin again, to confirm: its routes stop at once
    #[arg(long, value_name = "NAME")]
    confirm: String,
    /// Delete its versions, grants and settings permanently; they cannot be restored
    #[arg(long)]
    purge: bool,
}

impl Plugins {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::List(List { of, deleted }) => {
                let path = ["tenants", &of.tenant, "plugins"];
                let mut columns = Vec::from(columns!(PluginView:
                    "NAME" => name,
                    "VERSION" => author_version,
                    "ACTIVE" => active,
                    "DISABLED" => disabled,
                    "CREATED" => created_at,
                ));
                if !deleted {
                    return output.table(&client.list(&path)?, &columns);
                }
                columns.extend(columns!(PluginView: "DELETED" => deleted_at));
                output.table(&client.list_where(&path, &[("deleted", "true")])?, &columns)
            }
            Self::Show(of) => {
                let mut plugin: PluginView = client.get(&of.path(&[]))?;
                if !output.is_json() {
                    report("warning", &std::mem::take(&mut plugin.warnings), output);
                }
                output.object(&plugin)
            }
            Self::Delete(Delete { of, confirm, purge }) => {
                let plugin = &of.plugin;
                confirmed(plugin, &confirm)?;
                if purge {
                    client.purge(&of.path(&[]))?;
                    output.news(format_args!("deleted the plugin {plugin} permanently"));
                } else {
                    client.delete(&of.path(&[]))?;
                    output.news(format_args!(
                        "deleted the plugin {plugin}; `mortise plugins restore` restores it, `--purge` \
                         deletes it permanently"
                    ));
                }
                Ok(())
            }
            Self::Restore(of) => {
                output.object(&client.post::<PluginView>(&of.path(&["restore"]), &json!({}))?)
            }
            Self::Calls(Calls { of, route, from, to }) => {
                let [from, to] = [from, to].map(|moment| moment.map(|moment| moment.to_string()));
                let wanted = [("route", &route), ("from", &from), ("to", &to)];
                let wanted = wanted
                    .iter()
                    .filter_map(|(name, value)| Some((*name, value.as_deref()?)));
                let filter: Vec<_> = wanted.collect();
                let columns = columns!(CallsView:
                    "DAY" => day,
                    "METHOD" => method,
                    "ROUTE" => route,
                    "CALLER" => caller,
                    "INVOCATIONS" => invocations,
                    "FAILURES" => failures,
                );
                output.table(&client.list_where(&of.path(&["calls"]), &filter)?, &columns)
            }
        }
    }
}
