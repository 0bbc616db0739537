//! `mortise serve`: runs the host.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::CliError;
use crate::causes::with_causes;
use crate::config::{Config, ConfigError, Loaded, LogFormat, LogSection, listener_address};
use crate::host::serve;

/// The configuration file that is read if it exists and no other is named.
const DEFAULT_CONFIG: &str = "mortise.toml";

/// Arguments of `mortise serve`. They override the configuration.
#[derive(Debug, Args)]
pub struct Serve {
    /// Configuration file; by default ./mortise.toml, if it exists
    #[arg(long, env = "MORTISE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data folder of the host
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// Address of the public listener, such as 0.0.0.0:8080
    #[arg(long, value_name = "ADDRESS", value_parser = listener_address)]
    pub public: Option<SocketAddr>,
    /// Address of the admin listener, such as 127.0.0.1:8081
    #[arg(long, value_name = "ADDRESS", value_parser = listener_address)]
    pub admin: Option<SocketAddr>,
    /// Use mortise.db as it is, although it does not belong to the data folder or is older than it.
    /// Files of tenants that it does not know are moved to `set-aside`
    #[arg(long)]
    pub accept_database: bool,
}

/// Runs the host until it receives a signal to stop.
pub fn run(arguments: Serve) -> Result<(), CliError> {
    let Loaded {
        config,
        foreign_variables,
    } = configuration(arguments)?;
    start_log(&config.log)?;
    if !foreign_variables.is_empty() {
        tracing::warn!(
            variables = foreign_variables.join(" "),
            "environment variables that name no key of the configuration are ignored; a key `section.key` is \
             written MORTISE_SECTION__KEY"
        );
    }
    let ready = |ready: &serve::Ready| {
        tracing::info!(
            public = %ready.public,
            admin = %ready.admin,
            operator_token = %ready.operator_token.display(),
            "the host is ready"
        );
    };
    serve::run(&config, ready).map_err(|error| CliError::failed(with_causes(&error), ""))
}

/// Loads the configuration and applies the arguments.
pub(super) fn configuration(arguments: Serve) -> Result<Loaded, CliError> {
    let default = Path::new(DEFAULT_CONFIG);
    let path = arguments
        .config
        .or_else(|| default.exists().then(|| default.to_owned()));
    let mut loaded = Config::load(path.as_deref(), std::env::vars_os()).map_err(|error| {
        let hint = match error {
            // These are not about the keys of the file.
            ConfigError::Read { .. } | ConfigError::RenamedVariables(_) => "",
            _ => "mortise.example.toml shows every key with its default",
        };
        CliError::failed(error.to_string(), hint)
    })?;
    let config = &mut loaded.config;
    if let Some(folder) = arguments.data {
        config.data.folder = folder;
    }
    config.data.accept_database = arguments.accept_database;
    if let Some(address) = arguments.public {
        config.server.public = address;
    }
    if let Some(address) = arguments.admin {
        config.server.admin = address;
    }
    Ok(loaded)
}

fn start_log(log: &LogSection) -> Result<(), CliError> {
    let filter = EnvFilter::try_new(&log.filter).map_err(|error| {
        CliError::failed(
            format!("log.filter: {error}"),
            "write it like `mortise=debug,info`",
        )
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => subscriber.with_target(false).init(),
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(())
}
