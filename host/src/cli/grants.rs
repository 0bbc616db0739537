//! `mortise grants`: shows and replaces the grants of a plugin.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::client::Client;
use super::error::describe_missing;
use super::{CliError, Output, PluginArgument};
use crate::domain::grant::Grants as PluginGrants;
use crate::wire::settings::GrantsView;

/// Subcommands for grants.
#[derive(Debug, Subcommand)]
pub enum Grants {
    /// Show what a plugin may use, as JSON
    Show(PluginArgument),
    /// Replace the grants of a plugin by those in a JSON file, in the form that `show` prints
    Put(Put),
}

/// Arguments of `mortise grants put`.
#[derive(Debug, Args)]
pub struct Put {
    #[command(flatten)]
    of: PluginArgument,
    /// The file
    file: PathBuf,
}

impl Grants {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::Show(of) => {
                let view: GrantsView = client.get(&of.path(&["grants"]))?;
                report_missing(&view, output);
                output.data(&view.grants)
            }
            Self::Put(Put { of, file }) => {
                let text =
                    std::fs::read_to_string(&file).map_err(|error| CliError::file("read", &file, &error))?;
                let grants: PluginGrants = serde_json::from_str(&text).map_err(|error| {
                    CliError::failed(
                        format!("{}: {error}", file.display()),
                        "`mortise grants show` shows the form",
                    )
                })?;
                let view = put(client, &of.path(&["grants"]), &grants)?;
                output.news(format_args!(
                    "{} may use what {} says, and nothing else",
                    of.plugin,
                    file.display()
                ));
                report_missing(&view, output);
                Ok(())
            }
        }
    }
}

/// Replaces the grants at `path`.
pub fn put(client: &Client, path: &[&str], grants: &PluginGrants) -> Result<GrantsView, CliError> {
    client.put(path, grants)
}

/// Says what the active version, or else the newest, asks for and is not granted.
fn report_missing(view: &GrantsView, output: &mut Output) {
    for missing in &view.missing {
        output.news(format_args!("missing: {}", describe_missing(missing)));
    }
}
