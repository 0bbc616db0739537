//! `mortise webhooks`: the inbound webhooks of a tenant and what was received, and the endpoints
//! that get events with the deliveries to them.

mod deliveries;
mod endpoints;
mod received;

use clap::Subcommand;
use serde::Serialize;

use super::client::Client;
use super::output::{columns, printable};
use super::{CliError, Output, TenantArgument};
use crate::domain::clock::Timestamp;
use crate::domain::webhook::SchemeName;
use crate::wire::webhooks_received::{WebhookSecretView, WebhookView, WebhooksView};

/// Subcommands for webhooks.
#[derive(Debug, Subcommand)]
pub enum Webhooks {
    /// List the inbound webhooks of the active versions, with the URLs for their senders
    List(TenantArgument),
    /// Webhooks that were received
    #[command(subcommand)]
    Received(received::ReceivedWebhooks),
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
            Self::List(of) => list(&client.get(&["tenants", &of.tenant, "webhooks"])?, output),
            Self::Received(command) => command.run(client, output),
            Self::Endpoints(command) => command.run(client, output),
            Self::Deliveries(command) => command.run(client, output),
        }
    }
}

fn list(webhooks: &WebhooksView, output: &mut Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.data(webhooks);
    }
    for webhook in &webhooks.items {
        if !webhook.secrets.iter().any(|secret| secret.usable) {
            output.news(format_args!(
                "none of the secrets of {} {} is set, so its senders get 503; `mortise secrets set` sets one",
                webhook.plugin, webhook.name
            ));
        }
    }
    let columns = columns!(Row:
        "PLUGIN" => plugin,
        "WEBHOOK" => webhook,
        "SCHEME" => scheme,
        "JOB" => job,
        "URL" => url,
        "SECRETS" => secrets,
        "STORED" => stored,
        "REPEATED" => repeated,
        "REFUSED" => refused,
        "LAST REFUSED" => last_refused,
        "BECAUSE" => because,
    );
    let rows: Vec<Row> = webhooks.items.iter().map(Row::from).collect();
    output.table(&rows, &columns)
}

/// A row of the table.
#[derive(Serialize)]
struct Row {
    plugin: String,
    webhook: String,
    scheme: SchemeName,
    job: String,
    url: String,
    secrets: String,
    stored: u64,
    repeated: u64,
    refused: u64,
    last_refused: Option<Timestamp>,
    because: Option<String>,
}

impl From<&WebhookView> for Row {
    fn from(webhook: &WebhookView) -> Self {
        let secret = |secret: &WebhookSecretView| match secret.usable {
            true => secret.name.clone(),
            false => format!("{} (not set)", secret.name),
        };
        let secrets: Vec<String> = webhook.secrets.iter().map(secret).collect();
        let last = webhook.last_refusal.as_ref();
        Self {
            plugin: webhook.plugin.to_string(),
            webhook: webhook.name.to_string(),
            scheme: webhook.scheme,
            job: webhook.job.to_string(),
            url: webhook.url.clone(),
            secrets: secrets.join(", "),
            stored: webhook.counts.stored,
            repeated: webhook.counts.repeated,
            refused: webhook.counts.refused,
            last_refused: last.map(|refusal| refusal.at),
            because: last.map(|refusal| printable(&refusal.reason)),
        }
    }
}
