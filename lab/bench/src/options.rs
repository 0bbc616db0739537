//! The command line options of the benchmarks.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

pub const HELP: &str = "\
Measures a host beside native baselines.

  --executable FILE  the host (target/release/mortise)
  --beside FILE      another host, in turn with the first over the whole path
  --profile          also where the host spends its time, by the samples of perf
  --plugins NUMBER   the most that `growth` deploys (10000); 0 leaves only its tenants
  --quick            a look in two minutes; no bar fails
  --part LIST        these parts, with commas: in-process, whole-path, growth, reconcile, jobs, peers
  --json FILE        keep the raw results
";

/// A part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Without sockets, compared with native functions.
    InProcess,
    /// From socket to socket, compared with bare axum.
    WholePath,
    /// Many plugins and many tenants.
    Growth,
    /// Changes of many tenants by another node.
    Reconcile,
    /// Jobs, compared with a native handler on the same queue.
    Jobs,
    /// Other hosts, if they are installed.
    Peers,
}

#[derive(Debug)]
pub struct Options {
    pub executable: PathBuf,
    /// Another host to compare with, to show the effect of a change.
    pub beside: Option<PathBuf>,
    /// Whether perf takes samples.
    pub profile: bool,
    /// The most plugins that are deployed; zero to measure only tenants.
    pub plugins: usize,
    pub quick: bool,
    pub parts: Vec<Part>,
    pub json: Option<PathBuf>,
}

impl Part {
    const ALL: [Part; 6] = [
        Part::InProcess,
        Part::WholePath,
        Part::Growth,
        Part::Reconcile,
        Part::Jobs,
        Part::Peers,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Part::InProcess => "in-process",
            Part::WholePath => "whole-path",
            Part::Growth => "growth",
            Part::Reconcile => "reconcile",
            Part::Jobs => "jobs",
            Part::Peers => "peers",
        }
    }
}

impl Options {
    /// Reads the command line.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            executable: PathBuf::from("target/release/mortise"),
            beside: None,
            profile: false,
            plugins: 10_000,
            quick: false,
            parts: Part::ALL.to_vec(),
            json: None,
        };
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{name} needs a value"));
            match name.as_str() {
                "--executable" => options.executable = value()?.into(),
                "--beside" => options.beside = Some(found(value()?.as_ref())?),
                "--profile" => options.profile = true,
                "--plugins" => {
                    options.plugins = value()?.parse().context("--plugins needs a number")?;
                }
                "--quick" => options.quick = true,
                "--part" => options.parts = parts(&value()?)?,
                "--json" => options.json = Some(value()?.into()),
                _ => bail!("there is no `{name}`\n\n{HELP}"),
            }
        }
        options.executable = found(&options.executable)?;
        Ok(options)
    }

    /// Returns `quick` for a quick run, and `full` otherwise.
    pub fn scaled<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }
}

fn found(executable: &Path) -> Result<PathBuf> {
    let path = executable.canonicalize();
    path.with_context(|| format!("the host {}", executable.display()))
}

fn parts(list: &str) -> Result<Vec<Part>> {
    let part = |name: &str| Part::ALL.into_iter().find(|part| part.name() == name);
    list.split(',')
        .map(|name| part(name).with_context(|| format!("there is no part `{name}`\n\n{HELP}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_names() {
        assert_eq!(
            parts("growth,whole-path").unwrap(),
            [Part::Growth, Part::WholePath]
        );
        let error = parts("speed").unwrap_err().to_string();
        assert!(error.starts_with("there is no part `speed`"), "{error}");
    }
}
