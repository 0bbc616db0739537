//! `mortise versions`: manages the uploaded versions of a plugin.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::client::Client;
use super::deploy::report_activation;
use super::output::columns;
use super::{CliError, Output, PluginArgument};
use crate::wire::activations::ActivatedView;
use crate::wire::versions::{VersionDetail, VersionView};

/// Subcommands for versions.
#[derive(Debug, Subcommand)]
pub enum Versions {
    /// List the versions of a plugin, the newest first
    List(PluginArgument),
    /// Show a version with its manifest
    Show(Named),
    /// Activate a version
    Activate(Named),
    /// Delete an inactive version
    Delete(Named),
}

/// A version without its manifest, which is printed separately.
#[derive(Serialize)]
struct WithoutManifest<'a> {
    #[serde(flatten)]
    version: &'a VersionView,
    compiled_size: Option<u64>,
}

/// A version by name.
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
                let columns = columns!(VersionView:
                    "DIGEST" => version,
                    "VERSION" => author_version,
                    "ACTIVE" => active,
                    "BYTES" => size,
                    "UPLOADED" => created_at,
                );
                output.table(&client.list(&of.path(&["versions"]))?, &columns)
            }
            Self::Show(Named { of, version }) => {
                let shown: VersionDetail = client.get(&of.path(&["versions", &version]))?;
                if output.is_json() {
                    return output.data(&shown);
                }
                output.object(&WithoutManifest {
                    version: &shown.version,
                    compiled_size: shown.compiled_size,
                })?;
                output.line("")?;
                for line in shown.manifest.lines() {
                    output.line(super::output::printable(line))?;
                }
                Ok(())
            }
            Self::Activate(Named { of, version }) => {
                let activated: ActivatedView =
                    client.put(&of.path(&["activation"]), &json!({"version": version}))?;
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
