//! Common parts of the commands for the data folder of a stopped host.

use std::path::PathBuf;

use clap::Args;

use super::CliError;
use super::serve::{Serve, configuration};
use crate::causes::with_causes;
use crate::config::Config;

/// Options that select the data folder.
#[derive(Debug, Args)]
pub struct Folder {
    /// Configuration file; by default ./mortise.toml, if it exists
    #[arg(long, env = "MORTISE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data folder of the host
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

impl Folder {
    /// The configuration of the host that uses the data folder.
    pub fn configuration(self) -> Result<Config, CliError> {
        let loaded = configuration(Serve {
            config: self.config,
            data: self.data,
            public: None,
            admin: None,
            accept_database: false,
        })?;
        Ok(loaded.config)
    }
}

/// Runs the work of an offline command.
pub fn run<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<T, CliError>
where
    E: std::error::Error + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format!("cannot start: {error}"), ""))?;
    runtime
        .block_on(work)
        .map_err(|error| CliError::failed(with_causes(&error), ""))
}
