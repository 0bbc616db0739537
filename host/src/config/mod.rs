//! The operator's configuration: `mortise.toml` and environment variables.
//!
//! `mortise.example.toml` lists all keys with their defaults; a test compares it with the code. The
//! variable `MORTISE_SECTION__KEY` overrides the key `section.key`. Unknown keys are refused.

mod bounds;
mod breaker;
mod compile;
mod data;
mod environment;
mod http_client;
mod jobs;
mod limits;
mod log;
mod mail;
mod retention;
mod runtime;
mod server;
mod shield;

pub use breaker::BreakerSection;
pub use compile::CompileSection;
pub use data::DataSection;
pub use http_client::HttpClientSection;
pub use jobs::JobsSection;
pub use log::{LogFormat, LogSection};
pub use mail::{ConfiguredPassword, MailSection};
pub use retention::RetentionSection;
pub use runtime::RuntimeSection;
pub use server::{ServerSection, listener_address};
pub use shield::ShieldSection;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::environment::Environment;
use self::limits::MOST_MEMORY;
use crate::domain::effective::{LimitValue, OutOfRange};
use crate::domain::limits::{LimitOverrides, Limits};
use crate::domain::units::ByteSize;

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses and timeouts of the listeners.
    pub server: ServerSection,
    /// The data folder and the key file.
    pub data: DataSection,
    /// How plugins run.
    pub runtime: RuntimeSection,
    /// The resources of one compilation.
    pub compile: CompileSection,
    /// Features of WebAssembly that are refused because of a fault in the engine.
    pub shield: ShieldSection,
    /// When circuit breakers of routes open.
    pub breaker: BreakerSection,
    /// Outbound requests of plugins.
    pub http_client: HttpClientSection,
    /// How many jobs a node runs.
    pub jobs: JobsSection,
    /// The mail server of the host.
    pub mail: MailSection,
    /// How long records are kept.
    pub retention: RetentionSection,
    /// The host's own log.
    pub log: LogSection,
    /// Default limits of tenants, which their plan may change.
    pub limits: Limits,
    /// Changes to the highest values that plans can set.
    pub ceiling: LimitOverrides,
}

/// A loaded configuration.
#[derive(Debug)]
pub struct Loaded {
    /// The values of the file, overridden by the environment.
    pub config: Config,
    /// Environment variables with the prefix of the host that name no key. They are ignored, and a
    /// warning lists them.
    pub foreign_variables: Vec<String>,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: std::io::Error,
    },
    /// The file is not TOML, or contains an unknown key or value.
    #[error("{path}: {error}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        error: toml::de::Error,
    },
    /// A variable has a value that its key does not accept.
    #[error("the environment variable {variable} does not fit: {message}")]
    Variable {
        /// The variable.
        variable: String,
        /// What is wrong.
        message: String,
    },
    /// A limit is out of range.
    #[error("the configuration's [{section}]: {error}")]
    Limit {
        /// The section.
        section: &'static str,
        /// What is wrong.
        error: OutOfRange,
    },
    /// A ceiling for memory is more than WebAssembly can address.
    #[error(
        "the configuration's [ceiling]: memory: {asked} is more than a WebAssembly memory can have; write \
         {MOST_MEMORY} at most"
    )]
    TooMuchMemory {
        /// The configured value.
        asked: ByteSize,
    },
    /// A value with which the host cannot work.
    #[error(
        "the configuration's {key}: {value} is too low, and with it {consequence}; write {smallest} or more"
    )]
    TooLow {
        /// The key, with its section.
        key: &'static str,
        /// What was written.
        value: LimitValue,
        /// The smallest value.
        smallest: LimitValue,
        /// What would happen.
        consequence: &'static str,
    },
    /// A value that is larger than the host can use.
    #[error("the configuration's {key}: {value} is too high; write {largest} or less ({hint})")]
    TooHigh {
        /// The key, with its section.
        key: &'static str,
        /// What was written.
        value: LimitValue,
        /// The largest value.
        largest: LimitValue,
        /// What else helps to choose a value.
        hint: &'static str,
    },
    /// A variable names no key.
    #[error(
        "the environment variable {0} names no key of the configuration; a key `section.key` is written \
         MORTISE_SECTION__KEY"
    )]
    UnknownVariable(String),
    /// Variables are written as in earlier versions: the old and the new name of each.
    #[error("environment variables of the configuration have other names by now: {}", renamed(.0))]
    RenamedVariables(Vec<(String, String)>),
    /// Variables that fit by themselves do not fit together.
    #[error("the environment variables do not fit together: {0}")]
    Environment(String),
}

impl Config {
    /// Reads the file at `path`, if there is one, and then the environment.
    pub fn load(
        path: Option<&Path>,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Loaded, ConfigError> {
        let file = match path {
            Some(path) => Self::read(path)?,
            None => Self::default(),
        };
        let mut environment = Environment::read(environment)?;
        let foreign_variables = std::mem::take(&mut environment.foreign);
        let config = environment.apply(file)?;
        config.check_bounds()?;
        config.check_limits()?;
        Ok(Loaded {
            config,
            foreign_variables,
        })
    }

    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read {
            path: path.to_owned(),
            error,
        })?;
        toml::from_str(&text).map_err(|error| ConfigError::Form {
            path: path.to_owned(),
            error,
        })
    }
}

/// `OLD is now NEW` for each variable.
fn renamed(variables: &[(String, String)]) -> String {
    let each = variables.iter().map(|(old, new)| format!("{old} is now {new}"));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_holds_the_defaults() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mortise.example.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), Config::default());

        let example: toml::Table = toml::from_str(&text).unwrap();
        let defaults = toml::Table::try_from(Config::default()).unwrap();
        for (section, keys) in &defaults {
            for key in keys.as_table().unwrap().keys() {
                assert!(
                    example[section].get(key).is_some(),
                    "the example leaves out {section}.{key}"
                );
            }
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mortise.toml");
        std::fs::write(&path, "[server]\npublik = '127.0.0.1:1'\n").unwrap();
        let error = Config::load(Some(&path), std::iter::empty())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("unknown field `publik`") && error.contains("line 2"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Config::load(Some(Path::new("/nowhere.toml")), std::iter::empty())
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("cannot read /nowhere.toml"), "{error}");
    }
}
