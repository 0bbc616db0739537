//! The command line options of the attacks.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::stage::Scale;

pub const HELP: &str = "\
Attacks a running host, row by row, and measures what its good tenants notice.

  --executable FILE  the host
  --quick            rows in small, and no figures but those that are named, which then do not fail
  --row B1,D4        these rows, and no figures
  --figure loops     these figures, and no rows
  --jobs             hosts that are killed while they run jobs, and no rows and figures
  --mail             hosts that are killed while they send mail and webhooks, and nothing else
  --orders           hosts that are killed while a shop takes orders, and nothing else
  --seed NUMBER      what is left to chance
  --json FILE        keep the raw results
  --list             say what there is
";

/// The default seed.
const SEED: u64 = 0x6d6f_7274_6973_6521;

/// What hosts do while they are killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kills {
    /// They run jobs.
    Jobs,
    /// They send mail and webhooks.
    Mail,
    /// They run the shop `plugins/orders`.
    Orders,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    pub executable: PathBuf,
    pub scale: Scale,
    /// None: all.
    pub rows: Option<Vec<String>>,
    /// None: all.
    pub figures: Option<Vec<String>>,
    pub seed: u64,
    pub json: Option<PathBuf>,
    pub list: bool,
    /// The hosts that are killed, instead of rows and figures.
    pub kills: Option<Kills>,
}

impl Options {
    /// Reads the command line.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            executable: PathBuf::from("target/release/mortise"),
            scale: Scale::Full,
            rows: None,
            figures: None,
            seed: SEED,
            json: None,
            list: false,
            kills: None,
        };
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{name} needs a value"));
            match name.as_str() {
                "--executable" => options.executable = value()?.into(),
                "--quick" => options.scale = Scale::Quick,
                "--row" => options.rows = Some(list(&value()?)),
                "--figure" => options.figures = Some(list(&value()?)),
                "--seed" => options.seed = value()?.parse().context("--seed")?,
                "--json" => options.json = Some(value()?.into()),
                "--list" => options.list = true,
                "--jobs" => options.kills = Some(Kills::Jobs),
                "--mail" => options.kills = Some(Kills::Mail),
                "--orders" => options.kills = Some(Kills::Orders),
                _ => bail!("`{name}` is not known\n\n{HELP}"),
            }
        }
        // Figures are meaningful only on an idle machine and with a release build.
        if options.scale == Scale::Quick && options.figures.is_none() {
            options.figures = Some(Vec::new());
        }
        // If only rows or only figures are named, nothing of the other kind is run.
        match (&options.rows, &options.figures) {
            (Some(_), None) => options.figures = Some(Vec::new()),
            (None, Some(figures)) if !figures.is_empty() => options.rows = Some(Vec::new()),
            _ => {}
        }
        Ok(options)
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn rows_alone_want_no_figures() {
        let options = parse("--quick --row B1,D4 --seed 7").unwrap();
        assert_eq!(options.rows.unwrap(), ["B1", "D4"]);
        assert_eq!(options.figures.unwrap(), [""; 0]);
        assert_eq!((options.scale, options.seed), (Scale::Quick, 7));
        assert_eq!(parse("").unwrap().figures, None);
        let quick = parse("--quick").unwrap();
        assert_eq!((quick.rows, quick.figures), (None, Some(Vec::new())));
        assert_eq!(parse("--quick --figure loops").unwrap().rows, Some(Vec::new()));
    }

    #[test]
    fn hosts_are_killed_instead() {
        assert_eq!(parse("--quick").unwrap().kills, None);
        for (line, kills) in [
            ("--jobs", Kills::Jobs),
            ("--mail", Kills::Mail),
            ("--orders --quick", Kills::Orders),
        ] {
            assert_eq!(parse(line).unwrap().kills, Some(kills));
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        assert!(
            parse("--rows B1")
                .unwrap_err()
                .to_string()
                .contains("`--rows` is not known")
        );
        assert!(
            parse("--row")
                .unwrap_err()
                .to_string()
                .contains("--row needs a value")
        );
    }
}
