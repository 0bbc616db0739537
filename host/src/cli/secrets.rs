//! `mortise secrets`: write-only values of a tenant. A value is never an argument, since other
//! users of the machine and the shell's history could see it.

use std::io::{IsTerminal as _, Read as _};

use clap::Subcommand;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::IgnoredAny;

use super::client::Client;
use super::output::{columns, printable};
use super::{CliError, Output, TenantArgument};
use crate::domain::id::PluginName;
use crate::wire::plugins::PluginView;
use crate::wire::secrets::{NewSecret, SecretView};
use crate::wire::settings::GrantsView;

/// Subcommands for secrets.
#[derive(Debug, Subcommand)]
pub enum Secrets {
    /// Set a secret from standard input or from an environment variable
    Set {
        #[command(flatten)]
        of: TenantArgument,
        /// Name of the secret
        name: String,
        /// Take the value from this environment variable
        #[arg(long, value_name = "VARIABLE")]
        from_env: Option<String>,
    },
    /// List the secrets: name, time of the last change, and whether the host's key can decrypt it
    List(TenantArgument),
    /// Delete a secret
    Delete {
        #[command(flatten)]
        of: TenantArgument,
        /// Name of the secret
        name: String,
    },
}

impl Secrets {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::Set { of, name, from_env } => {
                let value = match from_env {
                    Some(variable) => from_variable(&variable)?,
                    None => from_input(output)?,
                };
                let body = NewSecret {
                    value: value.expose_secret().to_owned(),
                };
                let _: IgnoredAny = client.put(&["tenants", &of.tenant, "secrets", &name], &body)?;
                output.news(format_args!("set the secret {name}"));
                Ok(())
            }
            Self::List(of) => {
                let secrets: Vec<SecretView> = client.list(&["tenants", &of.tenant, "secrets"])?;
                let columns =
                    columns!(SecretView: "NAME" => name, "SET" => updated_at, "READABLE" => readable);
                output.table(&secrets, &columns)?;
                for secret in secrets.iter().filter(|secret| !secret.readable) {
                    let name = printable(&secret.name);
                    output.news(format_args!(
                        "the secret {name} does not open under the host's key; set it again: `mortise secrets set \
                         {name} --tenant {}`",
                        of.tenant
                    ));
                }
                Ok(())
            }
            Self::Delete { of, name } => {
                let plugins = plugins_with(client, &of.tenant, &name)?;
                client.delete(&["tenants", &of.tenant, "secrets", &name])?;
                output.news(format_args!("deleted the secret {name}"));
                for plugin in plugins {
                    output.news(format_args!(
                        "warning: the plugin {plugin} is active and may use the secret {name}, which is not set any \
                         more; set it again, or take the grant away: `mortise grants put`"
                    ));
                }
                Ok(())
            }
        }
    }
}

/// The plugins with an active version that are granted a secret.
fn plugins_with(client: &Client, tenant: &str, secret: &str) -> Result<Vec<PluginName>, CliError> {
    let mut plugins = client.list::<PluginView>(&["tenants", tenant, "plugins"])?;
    plugins.retain(|plugin| plugin.active.is_some());
    let mut granted = Vec::new();
    for plugin in plugins {
        let path = ["tenants", tenant, "plugins", plugin.name.as_str(), "grants"];
        let GrantsView { grants, .. } = client.get(&path)?;
        if grants.secrets.names().any(|name| name == secret) {
            granted.push(plugin.name);
        }
    }
    Ok(granted)
}

fn from_variable(variable: &str) -> Result<SecretString, CliError> {
    std::env::var(variable)
        .map(SecretString::from)
        .map_err(|error| CliError::failed(format!("{variable}: {error}"), "export it, or pipe the value in"))
}

fn from_input(output: &mut Output) -> Result<SecretString, CliError> {
    if std::io::stdin().is_terminal() {
        output
            .news("type the value and end with Ctrl-D; it is visible here, and a pipe or --from-env is not");
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| {
        CliError::failed(
            format!("cannot read standard input: {error}"),
            "a secret is UTF-8 text",
        )
    })?;
    let value = without_line_end(&text);
    if value.is_empty() {
        return Err(CliError::failed(
            "standard input holds no value",
            "printf %s \"$VALUE\" | mortise secrets set …",
        ));
    }
    Ok(SecretString::from(value))
}

/// Removes the line end that `echo` adds.
fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_not_meant() {
        assert_eq!(without_line_end("a b\n"), "a b");
        assert_eq!(without_line_end("a\r\n"), "a");
        assert_eq!(without_line_end("a\n\n"), "a\n");
        assert_eq!(without_line_end(" a "), " a ");
    }
}
