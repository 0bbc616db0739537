//! `mortise versions`: what was uploaded.

use clap::Args;

use super::client::Client;
use super::{CliError, Output, PluginArgument};

/// Whose versions.
#[derive(Debug, Args)]
pub struct Versions {
    #[command(flatten)]
    of: PluginArgument,
}

impl Versions {
    /// Lists the versions of a plugin.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        let versions = client.list(&self.of.path(&["versions"]))?;
        let columns = [
            ("DIGEST", "version"),
            ("VERSION", "author_version"),
            ("ACTIVE", "active"),
            ("BYTES", "size"),
            ("UPLOADED", "created_at"),
        ];
        output.table(&versions, &columns)
    }
}
