//! `mortise config`: the settings of a plugin.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::de::IgnoredAny;

use super::client::Client;
use super::{CliError, Output, PluginArgument};

/// Settings by name.
type Settings = BTreeMap<String, String>;

/// Subcommands for settings.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// List the settings of a plugin
    List(PluginArgument),
    /// Set settings, and keep the others
    Set(Set),
    /// Remove settings
    Unset(Unset),
}

/// Arguments of `mortise config set`.
#[derive(Debug, Args)]
pub struct Set {
    #[command(flatten)]
    of: PluginArgument,
    /// Settings to set
    #[arg(required = true, value_name = "NAME=VALUE", value_parser = parse_setting)]
    settings: Vec<(String, String)>,
}

/// Arguments of `mortise config unset`.
#[derive(Debug, Args)]
pub struct Unset {
    #[command(flatten)]
    of: PluginArgument,
    /// Settings to remove
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

impl Config {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::List(of) => output.object(&client.get::<Settings>(&of.path(&["config"]))?),
            Self::Set(Set { of, settings }) => {
                let path = of.path(&["config"]);
                let mut all: Settings = client.get(&path)?;
                all.extend(settings);
                let _: IgnoredAny = client.put(&path, &all)?;
                output.object(&all)
            }
            Self::Unset(Unset { of, names }) => {
                let mut left: Settings = client.get(&of.path(&["config"]))?;
                for name in &names {
                    if left.remove(name).is_none() {
                        return Err(no_such_setting(name, &left));
                    }
                }
                for name in &names {
                    client.delete(&of.path(&["config", name]))?;
                }
                output.object(&left)
            }
        }
    }
}

fn no_such_setting(name: &str, all: &Settings) -> CliError {
    let set: Vec<&str> = all.keys().map(String::as_str).collect();
    let hint = match set.is_empty() {
        true => "nothing is set".to_owned(),
        false => format!("set are {}", set.join(", ")),
    };
    CliError::failed(
        format!("the setting `{name}` is not set; nothing was changed"),
        hint,
    )
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_anything() {
        assert_eq!(
            parse_setting("url=http://x/?a=b"),
            Ok(("url".to_owned(), "http://x/?a=b".to_owned()))
        );
        assert_eq!(parse_setting("empty="), Ok(("empty".to_owned(), String::new())));
        assert!(parse_setting("name").is_err() && parse_setting("=value").is_err());
    }
}
