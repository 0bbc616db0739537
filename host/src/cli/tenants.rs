//! `mortise tenants`: manages the tenants of a host.

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::Client;
use super::output::columns;
use super::{CliError, Output, confirmed};
use crate::wire::tenants::TenantView;

/// Subcommands for tenants.
#[derive(Debug, Subcommand)]
pub enum Tenants {
    /// List the tenants
    List(List),
    /// Create a tenant
    Create(Create),
    /// Show a tenant
    Show(Name),
    /// Change the plan of a tenant
    SetPlan {
        /// Name of the tenant
        name: String,
        /// Name of the plan
        plan: String,
    },
    /// Suspend a tenant: its endpoints answer 503, and nothing is deleted
    Suspend(Name),
    /// End a suspension
    Resume(Name),
    /// Delete a tenant. It can be restored for `retention.deleted`, 7 days by default
    Delete(Delete),
    /// Restore a deleted tenant with all of its data
    Restore(Name),
}

/// Arguments of `mortise tenants list`.
#[derive(Debug, Args)]
pub struct List {
    /// List the deleted tenants that can be restored, instead of the others
    #[arg(long)]
    deleted: bool,
}

/// A tenant by name.
#[derive(Debug, Args)]
pub struct Name {
    /// Name of the tenant
    name: String,
}

/// Arguments of `mortise tenants create`.
#[derive(Debug, Args)]
pub struct Create {
    /// Name of the tenant, which is the first segment of its URLs
    name: String,
    /// Name of its plan [default: standard]
    #[arg(long)]
    plan: Option<String>,
}

/// Arguments of `mortise tenants delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// Name of the tenant
    name: String,
    /// The name again, to confirm: the endpoints of the tenant stop at once
    #[arg(long, value_name = "NAME")]
    confirm: String,
    /// Delete the tenant and its data permanently; they cannot be restored
    #[arg(long)]
    purge: bool,
}

impl Tenants {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::List(List { deleted }) => {
                let mut columns = Vec::from(columns!(TenantView:
                    "NAME" => name,
                    "PLAN" => plan,
                    "SUSPENDED" => suspended,
                    "CREATED" => created_at,
                ));
                if !deleted {
                    return output.table(&client.list(&["tenants"])?, &columns);
                }
                columns.extend(columns!(TenantView: "DELETED" => deleted_at));
                output.table(
                    &client.list_where(&["tenants"], &[("deleted", "true")])?,
                    &columns,
                )
            }
            Self::Create(Create { name, plan }) => {
                let body = match plan {
                    Some(plan) => json!({"name": name, "plan": plan}),
                    None => json!({"name": name}),
                };
                output.object(&client.post::<TenantView>(&["tenants"], &body)?)
            }
            Self::Show(Name { name }) => output.object(&client.get::<TenantView>(&["tenants", &name])?),
            Self::SetPlan { name, plan } => {
                output.object(&client.patch::<TenantView>(&["tenants", &name], &json!({"plan": plan}))?)
            }
            Self::Suspend(Name { name }) => suspend(client, output, &name, true),
            Self::Resume(Name { name }) => suspend(client, output, &name, false),
            Self::Restore(Name { name }) => {
                output.object(&client.post::<TenantView>(&["tenants", &name, "restore"], &json!({}))?)
            }
            Self::Delete(Delete { name, confirm, purge }) => {
                confirmed(&name, &confirm)?;
                if purge {
                    client.purge(&["tenants", &name])?;
                    output.news(format_args!("deleted the tenant {name} permanently"));
                } else {
                    client.delete(&["tenants", &name])?;
                    output.news(format_args!(
                        "deleted the tenant {name}; `mortise tenants restore {name}` restores it, \
                         `--purge` deletes it permanently"
                    ));
                }
                Ok(())
            }
        }
    }
}

fn suspend(client: &Client, output: &mut Output, name: &str, suspended: bool) -> Result<(), CliError> {
    let body = json!({"suspended": suspended});
    output.object(&client.patch::<TenantView>(&["tenants", name], &body)?)
}
