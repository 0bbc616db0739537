//! `mortise operator-token`: replaces a lost operator's token.

use clap::Subcommand;
use serde_json::json;

use super::offline::{self, Folder};
use super::{CliError, Output};
use crate::domain::clock::{Clock as _, SystemClock};
use crate::host::{Offline, OpenError, operator_token};

/// Subcommands for the token that the host created.
#[derive(Debug, Subcommand)]
pub enum OperatorToken {
    /// Create a new token in place of the former one and write it to operator.token in the data
    /// folder. The host must not be running
    Reset(Folder),
}

impl OperatorToken {
    /// Runs the command.
    pub fn run(self, output: &mut Output) -> Result<(), CliError> {
        let Self::Reset(folder) = self;
        let config = folder.configuration()?;
        let path = offline::run(async {
            let offline = Offline::open(&config).await?;
            let path = operator_token::reset(&offline.db, offline.folder.path(), SystemClock.now()).await?;
            offline.close().await;
            Ok::<_, OpenError>(path)
        })?;
        output.news(
            "the former token of the data folder no longer works; tokens that operators created still do",
        );
        output.object(&json!({ "operator_token": path.display().to_string() }))
    }
}
