//! The command line, with one file per command. Most commands call the admin API of a running host.
//! `serve` runs the host, `build` and `completions` need none, and `host-key` and `operator-token`
//! repair the data folder of a stopped host.
//!
//! Results go to standard output, as tables or, with `--json`, as data. Progress and errors go to
//! standard error. Exit codes: 0 success, 1 failure, 2 wrong usage.

mod audit;
mod build;
mod client;
mod completions;
mod components;
mod dead_letters;
mod deploy;
mod error;
mod grants;
mod host_key;
mod invocations;
mod job_filter;
mod jobs;
mod keys;
mod limit_change;
mod limits;
mod logs;
mod mail;
mod moment;
mod offline;
mod operator_token;
mod output;
mod plans;
mod plugins;
mod rollback;
mod schedules;
mod secrets;
mod serve;
mod settings;
mod sse;
mod tenants;
mod tokens;
mod transport;
mod usage;
mod versions;
mod webhooks;
mod whoami;

use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use client::{Client, Connection};
use error::CliError;
use output::Output;

/// A multi-tenant WebAssembly plugin host for business logic.
#[derive(Debug, Parser)]
#[command(
    name = "mortise",
    version,
    disable_help_subcommand = true,
    max_term_width = 100
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    #[command(flatten)]
    connection: Connection,
    /// Write results as JSON instead of tables
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the host
    Serve(serve::Serve),
    /// Build a plugin's folder into a single .wasm file
    Build(build::Build),
    /// Upload a plugin and activate it
    Deploy(deploy::Deploy),
    /// Activate the version that was active before this one; repeat it to go further back
    Rollback(rollback::Rollback),
    /// Show or follow what plugins write to their logs
    Logs(logs::Logs),
    /// Tenants: the customers of this host
    #[command(subcommand)]
    Tenants(tenants::Tenants),
    /// Plans: named sets of limits
    #[command(subcommand)]
    Plans(plans::Plans),
    /// The limits of a tenant
    #[command(subcommand)]
    Limits(limits::Limits),
    /// Plugins of a tenant
    #[command(subcommand)]
    Plugins(plugins::Plugins),
    /// Uploaded versions of a plugin
    #[command(subcommand)]
    Versions(versions::Versions),
    /// The components of all tenants
    #[command(subcommand)]
    Components(components::Components),
    /// Grants: what a plugin may use
    #[command(subcommand)]
    Grants(grants::Grants),
    /// Settings that a plugin reads
    #[command(subcommand)]
    Config(settings::Config),
    /// Secrets of a tenant: write-only
    #[command(subcommand)]
    Secrets(secrets::Secrets),
    /// API keys of a tenant, for calls of its endpoints
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Tokens for the admin API
    #[command(subcommand)]
    Tokens(tokens::Tokens),
    /// Invocation records
    #[command(subcommand)]
    Invocations(invocations::Invocations),
    /// Jobs: work of plugins outside requests
    #[command(subcommand)]
    Jobs(jobs::Jobs),
    /// Dead letters: jobs that failed for good
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLetters),
    /// Mail that plugins send, and its settings
    #[command(subcommand)]
    Mail(mail::Mail),
    /// Schedules of the active versions
    #[command(subcommand)]
    Schedules(schedules::Schedules),
    /// Webhooks: requests of other systems that plugins get as jobs, and events that endpoints get
    #[command(subcommand)]
    Webhooks(webhooks::Webhooks),
    /// Show what the plugins of a tenant consumed
    Usage(usage::Usage),
    /// Show the audit log: who changed what
    Audit(audit::Audit),
    /// Show the token of the caller: name, role and tenant
    Whoami,
    /// Print a completion script for a shell
    Completions(completions::Completions),
    /// Rotate or accept the host key of a stopped host
    #[command(subcommand)]
    HostKey(host_key::HostKey),
    /// Replace the operator token of a stopped host
    #[command(subcommand)]
    OperatorToken(operator_token::OperatorToken),
}

/// The tenant of a command.
#[derive(Debug, Args)]
struct TenantArgument {
    /// Name of the tenant
    #[arg(long, env = "MORTISE_TENANT", value_name = "NAME")]
    tenant: String,
}

/// The plugin of a command.
#[derive(Debug, Args)]
struct PluginArgument {
    #[command(flatten)]
    of: TenantArgument,
    /// Name of the plugin
    #[arg(long, value_name = "NAME")]
    plugin: String,
}

impl PluginArgument {
    /// The path of a resource of the plugin.
    fn path<'a>(&'a self, below: &[&'a str]) -> Vec<&'a str> {
        [&["tenants", &self.of.tenant, "plugins", &self.plugin], below].concat()
    }
}

/// Refuses a deletion unless `--confirm` repeats the name.
fn confirmed(name: &str, confirm: &str) -> Result<(), CliError> {
    if name == confirm {
        return Ok(());
    }
    Err(CliError::failed(
        format!("`--confirm {confirm}` does not match the name `{name}`"),
        "repeat the name with `--confirm`: a deletion takes effect at once",
    ))
}

/// Commands that do not connect to a host. They hide the connection options.
const LOCAL: [&str; 5] = ["serve", "build", "completions", "host-key", "operator-token"];

/// The command with all its arguments.
fn command() -> clap::Command {
    Cli::command().mut_subcommands(|command| match LOCAL.contains(&command.get_name()) {
        true => command.args(Connection::hidden()),
        false => command,
    })
}

/// Parses the arguments, runs the command and reports errors.
pub fn main() -> ExitCode {
    let arguments = command().try_get_matches();
    let Cli { global, command } = match arguments.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // If the terminal is closed, the error cannot be reported.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let mut output = Output::standard(global.json);
    match run(command, &global.connection, &mut output) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader closed the pipe (`mortise logs | head`).
        Err(CliError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(command: Command, connection: &Connection, output: &mut Output) -> Result<(), CliError> {
    let client = || Client::connect(connection);
    if command.is_local() && connection.is_given() {
        let message =
            "this command does not connect to a host, so --host, --token and --token-file have no effect";
        return Err(CliError::Usage(message.to_owned()));
    }
    match command {
        Command::Serve(command) => serve::run(command),
        Command::Build(command) => command.run(output),
        Command::Deploy(command) => command.run(&client()?, output),
        Command::Rollback(command) => command.run(&client()?, output),
        Command::Logs(command) => command.run(&client()?, output),
        Command::Tenants(command) => command.run(&client()?, output),
        Command::Plans(command) => command.run(&client()?, output),
        Command::Plugins(command) => command.run(&client()?, output),
        Command::Versions(command) => command.run(&client()?, output),
        Command::Components(command) => command.run(&client()?, output),
        Command::Grants(command) => command.run(&client()?, output),
        Command::Config(command) => command.run(&client()?, output),
        Command::Secrets(command) => command.run(&client()?, output),
        Command::Keys(command) => command.run(&client()?, output),
        Command::Tokens(command) => command.run(&client()?, output),
        Command::Limits(command) => command.run(&client()?, output),
        Command::Invocations(command) => command.run(&client()?, output),
        Command::Jobs(command) => command.run(&client()?, output),
        Command::DeadLetters(command) => command.run(&client()?, output),
        Command::Mail(command) => command.run(&client()?, output),
        Command::Schedules(command) => command.run(&client()?, output),
        Command::Webhooks(command) => command.run(&client()?, output),
        Command::Usage(command) => command.run(&client()?, output),
        Command::Audit(command) => command.run(&client()?, output),
        Command::Whoami => whoami::run(&client()?, output),
        Command::Completions(command) => command.run(self::command(), output),
        Command::HostKey(command) => command.run(output),
        Command::OperatorToken(command) => command.run(output),
    }
}

impl Command {
    /// Whether the command does not connect to a host.
    fn is_local(&self) -> bool {
        matches!(
            self,
            Self::Serve(_)
                | Self::Build(_)
                | Self::Completions(_)
                | Self::HostKey(_)
                | Self::OperatorToken(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn local_commands_offer_no_connection() {
        for local in LOCAL {
            let arguments = ["mortise", local, "--help"];
            let help = command().try_get_matches_from(arguments).unwrap_err().to_string();
            assert!(!help.contains("--host") && !help.contains("--token"), "{help}");
        }
        let help = command().try_get_matches_from(["mortise", "tenants", "list", "--help"]);
        let help = help.unwrap_err().to_string();
        assert!(
            help.contains("--host") && help.contains("MORTISE_TOKEN"),
            "{help}"
        );
    }

    #[test]
    fn the_usage_of_a_command_shows_its_own_arguments() {
        let arguments = [
            "mortise", "keys", "create", "--host", "http://x", "--tenant", "acme",
        ];
        let usage = command().try_get_matches_from(arguments).unwrap_err().to_string();
        assert!(usage.contains("--scopes <SCOPE>"), "{usage}");
        assert!(!usage.contains("--token"), "{usage}");
    }

    #[test]
    fn a_role_that_is_none_is_told_which_there_are() {
        for (role, wanted) in [
            ("admin", "viewer, developer and owner"),
            ("operator", "`--operator`"),
        ] {
            let arguments = [
                "mortise", "tokens", "create", "x", "--tenant", "a", "--role", role,
            ];
            let refused = command().try_get_matches_from(arguments).unwrap_err().to_string();
            assert!(refused.contains(wanted), "{refused}");
        }
    }

    #[test]
    fn a_secret_s_value_is_no_argument() {
        let arguments = ["mortise", "secrets", "set", "key", "hunter2", "--tenant", "demo"];
        assert!(command().try_get_matches_from(arguments).is_err());
    }
}
