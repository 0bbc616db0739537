//! `mortise versions`: what was uploaded, and which of it serves.

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::Client;
use super::deploy::report_activation;
use super::{CliError, Output, PluginArgument};

/// What to do with versions.
#[derive(Debug, Subcommand)]
pub enum Versions {
    /// List the versions of a plugin, the newest first
    List(PluginArgument),
    /// Show a version with its manifest
    Show(Named),
    /// Make a version the active one
    Activate(Named),
    /// Delete a version that is not the active one
    Delete(Named),
}

/// Which version.
#[derive(Debug, Args)]
pub struct Named {
    #[command(flatten)]
    of: PluginArgument,
    /// Its digest, the first digits of it (four at least), or the author's version, such as 1.2.0
    version: String,
}

impl Versions {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::List(of) => {
                let columns = [
                    ("DIGEST", "version"),
                    ("VERSION", "author_version"),
                    ("ACTIVE", "active"),
                    ("BYTES", "size"),
                    ("UPLOADED", "created_at"),
                ];
                output.table(&client.list(&of.path(&["versions"]))?, &columns)
            }
            Self::Show(Named { of, version }) => {
                let mut shown = client.get(&of.path(&["versions", &version]))?;
                if output.is_json() {
                    return output.data(&shown);
                }
                // Text of several lines stands below the others.
                let manifest = shown["manifest"].take();
                if let Some(members) = shown.as_object_mut() {
                    members.remove("manifest");
                }
                output.object(&shown)?;
                output.line("")?;
                for line in manifest.as_str().unwrap_or_default().lines() {
                    output.line(super::output::printable(line))?;
                }
                Ok(())
            }
            Self::Activate(Named { of, version }) => {
                let activated = client.put(&of.path(&["activation"]), &json!({"version": version}))?;
                report_activation(&of.plugin, &activated, output)?;
                match output.is_json() {
                    true => output.data(&activated),
                    false => Ok(()),
                }
            }
            Self::Delete(Named { of, version }) => {
                client.delete(&of.path(&["versions", &version]))?;
                output.news(format_args!("deleted the version {version} of {}", of.plugin));
                Ok(())
            }
        }
    }
}
