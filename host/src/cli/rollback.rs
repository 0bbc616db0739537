//! `mortise rollback`: activates the version that was active before.

use clap::Args;
use serde_json::json;

use super::client::Client;
use super::deploy::report_activation;
use super::{CliError, Output, PluginArgument};
use crate::wire::activations::ActivatedView;

/// Arguments of `mortise rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    #[command(flatten)]
    of: PluginArgument,
}

impl Rollback {
    /// Activates the version that was active before and was not itself rolled back from.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        let activated: ActivatedView = client.post(&self.of.path(&["activation", "back"]), &json!({}))?;
        report_activation(&self.of.plugin, &activated, output)?;
        match output.is_json() {
            true => output.data(&activated),
            false => Ok(()),
        }
    }
}
