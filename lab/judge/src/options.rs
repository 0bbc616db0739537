//! The command line options of the judges.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};

use crate::judge::JUDGES;

pub struct Options {
    /// The executable of the host.
    pub executable: PathBuf,
    /// The folder with `node_modules` and the Python environment `python`.
    pub packages: PathBuf,
    judges: Vec<String>,
}

impl Options {
    /// Reads the arguments.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let (mut executable, mut packages, mut judges) = (None, None, Vec::new());
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .with_context(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--executable" => executable = Some(value()?),
                "--packages" => packages = Some(value()?),
                "--judge" => judges = value()?.split(',').map(str::to_owned).collect(),
                other => bail!("there is no `{other}`; `--judge NAME,NAME` chooses some of the judges"),
            }
        }
        for judge in &judges {
            let names: Vec<&str> = JUDGES.iter().map(|judge| judge.name).collect();
            ensure!(
                names.contains(&judge.as_str()),
                "there is no judge `{judge}`; there are {}",
                names.join(", ")
            );
        }
        let executable = PathBuf::from(executable.context("--executable FILE is missing")?);
        Ok(Self {
            executable: executable
                .canonicalize()
                .with_context(|| format!("the host {}", executable.display()))?,
            packages: packages.context("--packages FOLDER is missing")?.into(),
            judges,
        })
    }

    /// Whether this judge is selected.
    pub fn wants(&self, judge: &str) -> bool {
        self.judges.is_empty() || self.judges.iter().any(|wanted| wanted == judge)
    }
}
