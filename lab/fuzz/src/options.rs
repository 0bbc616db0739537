//! The command line options of the fuzzer.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::kinds::{KINDS, Kind};

pub const HELP: &str = "\
Sends generated inputs to a host and looks for one that harms it.

  SECONDS            how long (60)
  --executable FILE  the host
  --seed NUMBER      what decides the inputs
  --kind LIST        these kinds, with commas: manifests, schemas, sql, components, http1, http2, outbound
  --p99 NUMBER       milliseconds that the good tenant's p99 may be in a window (250)
  --without GUARD    a guard of the host is off, so something has to be found: only that is a success. The host must have
                     been built for it; cargo xtask fuzz --guards does both
  --replay FILE      the inputs of a file, or of each file of a folder, and nothing else
";

/// The seed if none is given.
const SEED: u64 = 17;

pub struct Options {
    pub executable: PathBuf,
    pub time: Duration,
    pub seed: u64,
    pub kinds: Vec<&'static Kind>,
    pub p99: Duration,
    /// The guard of the host that is switched off.
    pub without: Option<String>,
    /// The stored inputs to replay; `None` generates inputs.
    pub replay: Option<PathBuf>,
}

impl Options {
    /// Reads the command line.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            executable: PathBuf::from("target/release/mortise"),
            time: Duration::from_secs(60),
            seed: SEED,
            kinds: KINDS.iter().collect(),
            p99: Duration::from_millis(250),
            without: None,
            replay: None,
        };
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{name} needs a value"));
            match name.as_str() {
                "--executable" => options.executable = value()?.into(),
                "--seed" => options.seed = value()?.parse().context("--seed")?,
                "--kind" => options.kinds = kinds(&value()?)?,
                "--p99" => options.p99 = Duration::from_millis(value()?.parse().context("--p99")?),
                "--without" => options.without = Some(value()?),
                "--replay" => options.replay = Some(value()?.into()),
                number => match number.parse() {
                    Ok(seconds) => options.time = Duration::from_secs(seconds),
                    Err(_) => bail!("`{name}` is not known\n\n{HELP}"),
                },
            }
        }
        Ok(options)
    }
}

fn kinds(list: &str) -> Result<Vec<&'static Kind>> {
    let kind = |name: &str| Kind::named(name).with_context(|| format!("there is no kind `{name}`\n\n{HELP}"));
    list.split(',').map(kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_command_line_is_read() {
        let options = parse("600 --seed 5 --kind sql,http2 --p99 100 --without sql-clock").unwrap();
        assert_eq!(options.without.as_deref(), Some("sql-clock"));
        assert_eq!((options.time.as_secs(), options.seed), (600, 5));
        let names: Vec<&str> = options.kinds.iter().map(|kind| kind.name).collect();
        assert_eq!(names, ["sql", "http2"]);
        assert_eq!(options.p99, Duration::from_millis(100));
        assert_eq!(parse("").unwrap().kinds.len(), KINDS.len());
    }

    #[test]
    fn what_is_not_known_is_named() {
        let error = |line| parse(line).err().unwrap().to_string();
        assert!(error("--sed 5").contains("`--sed` is not known"));
        assert!(error("--kind tcp").contains("no kind `tcp`"));
        assert!(error("--seed").contains("--seed needs a value"));
    }
}
