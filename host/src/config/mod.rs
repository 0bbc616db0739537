//! The operator's configuration: `mortise.toml`, with an environment variable for every key.
//!
//! Defaults stand in `mortise.example.toml` at the top of the repository, and a test holds them to the code. A key
//! `section.key` is overridden by `MORTISE_SECTION_KEY`. Unknown keys are refused.

mod environment;
mod sections;

pub use sections::{
    BreakerSection, CompileSection, DataSection, HttpClientSection, LogFormat, LogSection, RetentionSection,
    RuntimeSection, ServerSection, ShieldSection, listener_address,
};

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::domain::effective::OutOfRange;
use crate::domain::limits::{LimitOverrides, Limits};
use crate::domain::units::ByteSize;

/// The most that a WebAssembly memory with 32-bit addresses can have.
const MOST_MEMORY: ByteSize = ByteSize::mib(4_096);

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the host listens, and how long it waits for its callers.
    pub server: ServerSection,
    /// Where it keeps what it knows.
    pub data: DataSection,
    /// How plugins run.
    pub runtime: RuntimeSection,
    /// What one compilation may take.
    pub compile: CompileSection,
    /// What is refused because of a fault in the engine.
    pub shield: ShieldSection,
    /// When routes that fail all the time are left alone.
    pub breaker: BreakerSection,
    /// Outbound requests of plugins.
    pub http_client: HttpClientSection,
    /// How long records are kept.
    pub retention: RetentionSection,
    /// The host's own log.
    pub log: LogSection,
    /// The limits of tenants whose plan does not say otherwise.
    pub limits: Limits,
    /// Changes to what no plan can exceed.
    pub ceiling: LimitOverrides,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is not TOML, or has a key or a value that is not known.
    #[error("{path}: {error}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        error: toml::de::Error,
    },
    /// A variable does not go with its key.
    #[error("the environment variable {variable} does not fit: {message}")]
    Variable {
        /// The variable.
        variable: String,
        /// What is wrong.
        message: String,
    },
    /// A limit that cannot be in effect, or with which nothing could run.
    #[error("the configuration's [{section}]: {error}")]
    Limit {
        /// Where.
        section: &'static str,
        /// What is wrong.
        error: OutOfRange,
    },
    /// A ceiling for memory that no WebAssembly memory can have.
    #[error(
        "the configuration's [ceiling]: memory: {asked} is more than a WebAssembly memory can have; write \
         {MOST_MEMORY} at most"
    )]
    TooMuchMemory {
        /// What was written.
        asked: ByteSize,
    },
    /// A variable names no key.
    #[error("the environment variable {0} names no key of the configuration")]
    UnknownVariable(String),
}

impl Config {
    /// Reads `path`, where one is given, and the environment over it.
    pub fn load(
        path: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let config = match path {
            Some(path) => Self::read(path)?,
            None => Self::default(),
        };
        let config = environment::apply(config, environment)?;
        config.check_limits()?;
        Ok(config)
    }

    /// Refuses limits above the ceiling and such that nothing could run with. A default above a
    /// ceiling that the operator has lowered is none of the operator's mistakes: the ceiling holds.
    fn check_limits(&self) -> Result<(), ConfigError> {
        let within = |section| move |error| ConfigError::Limit { section, error };
        self.ceiling.check_floor().map_err(within("ceiling"))?;
        if let Some(asked) = self.ceiling.memory.filter(|asked| *asked > MOST_MEMORY) {
            return Err(ConfigError::TooMuchMemory { asked });
        }
        let set = self.limits.beside(&Limits::default());
        set.check(&self.ceiling()).map_err(within("limits"))
    }

    /// What no plan, no override and no manifest can exceed.
    pub fn ceiling(&self) -> Limits {
        Limits::ceiling().replaced_by(&self.ceiling)
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

    #[test]
    fn limits_that_cannot_hold_are_refused_with_their_bound() {
        let load = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("mortise.toml");
            std::fs::write(&path, text).unwrap();
            Config::load(Some(&path), std::iter::empty()).map_err(|error| error.to_string())
        };
        let above = load("[limits]\nmemory = '10GiB'\n").unwrap_err();
        insta::assert_snapshot!(above, @"the configuration's [limits]: memory: 10GiB is above the ceiling of 256MiB; the operator raises that in the host's configuration (`[ceiling]`)");
        let below = load("[limits]\ncpu = '0ms'\n").unwrap_err();
        insta::assert_snapshot!(below, @"the configuration's [limits]: cpu: 0ms is below 1ms, and with less no plugin can run");
        let below = load("[ceiling]\nconcurrency = 0\n").unwrap_err();
        insta::assert_snapshot!(below, @"the configuration's [ceiling]: concurrency: 0 is below 1, and with less no plugin can run");
        for fine in [
            "[limits]\nmemory = '3GiB'\n[ceiling]\nmemory = '4GiB'\n",
            "[ceiling]\nmemory = '1MiB'\n",
            "[limits]\nqueue = 0\n",
        ] {
            assert!(load(fine).is_ok(), "{fine}");
        }
    }

    #[test]
    fn what_no_memory_can_have_is_refused_and_an_address_is_shown() {
        let load = |variable: &str, value: &str| {
            let variable = (variable.to_owned(), value.to_owned());
            Config::load(None, [variable].into_iter()).map_err(|error| error.to_string())
        };
        let above = load("MORTISE_CEILING_MEMORY", "4097MiB").unwrap_err();
        insta::assert_snapshot!(above, @"the configuration's [ceiling]: memory: 4097MiB is more than a WebAssembly memory can have; write 4GiB at most");
        assert!(load("MORTISE_CEILING_MEMORY", "4GiB").is_ok());
        for variable in ["MORTISE_SERVER_PUBLIC", "MORTISE_SERVER_ADMIN"] {
            let wrong = load(variable, "localhost:80").unwrap_err();
            let wanted = "`localhost:80` is not an IP address with a port, such as 127.0.0.1:8080";
            assert!(wrong.contains(variable) && wrong.contains(wanted), "{wrong}");
        }
    }

    #[test]
    fn the_ceiling_can_be_raised() {
        let config: Config = toml::from_str("[ceiling]\nmemory = '1GiB'").unwrap();
        assert_eq!(config.ceiling().memory.to_string(), "1GiB");
        assert_eq!(config.ceiling().cpu, Limits::ceiling().cpu);
    }
}
