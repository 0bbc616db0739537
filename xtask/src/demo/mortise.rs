//! Runs the host's command line as a user would.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::TENANT;
use super::options::Options;
use crate::run;
use crate::steps::{Result, say};

/// The executable and the address of the host.
pub struct Mortise {
    /// The path of the executable.
    pub executable: PathBuf,
    host: String,
    token_file: PathBuf,
}

/// A plugin that was built.
pub struct Built {
    file: PathBuf,
    digest: String,
}

impl Mortise {
    /// Creates the command line for the host of the options.
    pub fn new(executable: PathBuf, options: &Options) -> Self {
        Self {
            executable,
            host: format!("http://{}", options.admin),
            token_file: options.data.join("operator.token"),
        }
    }

    /// Builds a plugin to a file.
    pub fn build(&self, folder: &Path, out: &Path) -> Result<Built> {
        self.build_with(folder, None, out)
    }

    /// Builds a plugin to a file, from a component that was built before if one is named.
    pub fn build_with(&self, folder: &Path, component: Option<&Path>, out: &Path) -> Result<Built> {
        let mut command = Command::new(&self.executable);
        command
            .arg("build")
            .arg(folder)
            .arg("--out")
            .arg(out)
            .arg("--json");
        if let Some(component) = component {
            command.arg("--component").arg(component);
        }
        let answer: Value = serde_json::from_str(&run::read_visibly(&mut command)?)
            .map_err(|error| format!("mortise build {}: {error}", folder.display()))?;
        let digest = answer["digest"]
            .as_str()
            .ok_or("`mortise build` names no digest")?
            .to_owned();
        Ok(Built {
            file: out.to_owned(),
            digest,
        })
    }

    /// Runs a command against the host.
    pub fn run(&self, arguments: &[&str]) -> Result<()> {
        run::read(&mut self.command(arguments)).map(|_| ())
    }

    /// Runs a command against the host, and returns its output.
    pub fn text(&self, arguments: &[&str]) -> Result<String> {
        run::read(&mut self.command(arguments))
    }

    /// Runs a command against the host and parses its output.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = run::read(self.command(arguments).arg("--json"))?;
        serde_json::from_str(&text).map_err(|error| format!("mortise {}: {error}", arguments.join(" ")))
    }

    /// Runs a command whose output is a list.
    pub fn list(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        match self.json(arguments)? {
            Value::Array(items) => Ok(items),
            _ => Err(format!("mortise {} is no list", arguments.join(" "))),
        }
    }

    /// Runs a command with this text as its standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Result<()> {
        let failed = |error: std::io::Error| format!("mortise {}: {error}", arguments.join(" "));
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).map_err(failed)?;
        }
        let status = child.wait().map_err(failed)?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("mortise {} failed", arguments.join(" ")))
        }
    }

    /// Deploys a plugin, unless this version was deployed before. In that case the user has chosen
    /// the active version since.
    pub fn deploy_if_new(&self, plugin: &str, built: &Built) -> Result<()> {
        let is_this = |item: &Value| item["name"] == plugin && !item["active"].is_null();
        if self
            .list(&["plugins", "list", "--tenant", TENANT])?
            .iter()
            .any(is_this)
        {
            let versions = self.list(&["versions", "list", "--tenant", TENANT, "--plugin", plugin])?;
            if versions.iter().any(|version| version["version"] == built.digest) {
                say(&format!("{plugin} is unchanged\n"));
                return Ok(());
            }
        }
        run::run(
            self.command(&["deploy", "--tenant", TENANT, "--grant"])
                .arg(&built.file),
        )
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.executable);
        command
            .args(arguments)
            .args(["--host", &self.host])
            .arg("--token-file")
            .arg(&self.token_file)
            .env_remove("MORTISE_TOKEN");
        command
    }
}
