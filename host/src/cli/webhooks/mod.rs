//! `mortise webhooks`: endpoints that get events, and deliveries to them.

mod deliveries;
mod endpoints;

use clap::Subcommand;

use super::client::Client;
use super::{CliError, Output};

/// Subcommands for webhooks.
#[derive(Debug, Subcommand)]
pub enum Webhooks {
    /// Endpoints that get the events of some topics
    #[command(subcommand)]
    Endpoints(endpoints::Endpoints),
    /// Deliveries of events to endpoints
    #[command(subcommand)]
    Deliveries(deliveries::Deliveries),
}

impl Webhooks {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::Endpoints(command) => command.run(client, output),
            Self::Deliveries(command) => command.run(client, output),
        }
    }
}
