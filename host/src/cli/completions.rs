//! `mortise completions`: prints a completion script for a shell.

use clap::Args;
use clap_complete::Shell;

use super::{CliError, Output};

/// Arguments of `mortise completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell, for instance `mortise completions bash > /etc/bash_completion.d/mortise`
    shell: Shell,
}

impl Completions {
    /// Writes the completion script.
    pub fn run(self, mut command: clap::Command, output: &mut Output) -> Result<(), CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "mortise", &mut script);
        output.text(&String::from_utf8_lossy(&script))
    }
}
