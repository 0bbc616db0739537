//! `mortise host-key`: rotates or replaces the key that encrypts secrets.

use clap::Subcommand;
use serde_json::json;

use super::offline::{self, Folder};
use super::{CliError, Output};
use crate::domain::clock::{Clock as _, SystemClock};
use crate::host::{Offline, OpenError, host_key};

/// Subcommands for the host's key. The host must not be running.
#[derive(Debug, Subcommand)]
pub enum HostKey {
    /// Create a new key and encrypt all secrets with it. The old key is deleted; older backups
    /// still need it
    Rotate(Folder),
    /// Use the present key file, or a new key, if the right key is lost. All secrets of another key
    /// have to be set again
    Accept(Folder),
}

impl HostKey {
    /// Runs the command.
    pub fn run(self, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::Rotate(folder) => rotate(folder, output),
            Self::Accept(folder) => accept(folder, output),
        }
    }
}

fn rotate(folder: Folder, output: &mut Output) -> Result<(), CliError> {
    let config = folder.configuration()?;
    let rotated = offline::run(async {
        let offline = Offline::open(&config).await?;
        let rotated = host_key::rotate(&offline.db, &config, SystemClock.now()).await?;
        offline.close().await;
        Ok::<_, OpenError>(rotated)
    })?;
    for (tenant, name) in &rotated.unreadable {
        output.news(format_args!(
            "the secret `{name}` of the tenant {tenant} could not be decrypted with the old key; set it again"
        ));
    }
    let mut answer = json!({
        "host_key": host_key::path(&config).display().to_string(),
        "secrets": rotated.secrets,
        "unreadable_secrets": rotated.unreadable.len(),
    });
    match rotated.code {
        Ok(files) => answer["files_of_code"] = json!(files),
        Err(error) => output.news(format_args!(
            "stored code is compiled again when it is needed: {error}"
        )),
    }
    output.object(&answer)
}

fn accept(folder: Folder, output: &mut Output) -> Result<(), CliError> {
    let config = folder.configuration()?;
    let path = offline::run(async {
        let offline = Offline::open(&config).await?;
        let path = host_key::accept(&offline.db, &config, SystemClock.now()).await?;
        offline.close().await;
        Ok::<_, OpenError>(path)
    })?;
    output.news(
        "secrets of another key cannot be decrypted; set them again. `mortise secrets list` shows which",
    );
    output.object(&json!({ "host_key": path.display().to_string() }))
}
