//! `mortise webhooks received`: webhooks that were received, with their content.

use clap::{Args, Subcommand};
use serde_json::json;

use super::super::client::Client;
use super::super::job_filter::{Query, pairs};
use super::super::moment;
use super::super::output::{columns, printable};
use super::super::{CliError, Output, TenantArgument};
use crate::domain::clock::Timestamp;
use crate::wire::webhooks_received::{ReceivedDetail, ReceivedView, ReplayedView};

/// Subcommands for received webhooks.
#[derive(Debug, Subcommand)]
pub enum ReceivedWebhooks {
    /// List received webhooks, the newest first
    List(List),
    /// Show a received webhook with its headers and its body
    Show(OneReceived),
    /// Run the plugin's job for a received webhook again
    Replay(OneReceived),
    /// Delete a received webhook with its headers and its body
    Delete(OneReceived),
}

/// Arguments of `mortise webhooks received list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    of: TenantArgument,
    /// Only webhooks of this plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Only webhooks of this name
    #[arg(long, value_name = "NAME")]
    webhook: Option<String>,
    /// Only webhooks received from this time on: 2026-01-02T03:04:05Z, or 15min for as long ago
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    from: Option<Timestamp>,
    /// Only webhooks received before this time
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    to: Option<Timestamp>,
    /// Number of webhooks, the newest ones
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

/// A received webhook.
#[derive(Debug, Args)]
pub struct OneReceived {
    #[command(flatten)]
    of: TenantArgument,
    /// Its id
    id: String,
}

impl ReceivedWebhooks {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::List(list) => {
                let path = ["tenants", &list.of.tenant, "webhooks", "received"];
                table(&client.first(&path, &pairs(&list.query()), list.limit)?, output)
            }
            Self::Show(received) => show(&client.get(&received.path(&[]))?, output),
            Self::Replay(received) => {
                let replayed: ReplayedView = client.post_where(&received.path(&["replay"]), &[])?;
                if !replayed.added {
                    output.news("the last job of this webhook is still live, so no job was added");
                }
                output.object(&replayed)
            }
            Self::Delete(received) => {
                client.delete(&received.path(&[]))?;
                output.news(format_args!("deleted {}", received.id));
                Ok(())
            }
        }
    }
}

impl List {
    fn query(&self) -> Query {
        let mut query = Query::new();
        query.extend(self.plugin.clone().map(|plugin| ("plugin", plugin)));
        query.extend(self.webhook.clone().map(|webhook| ("webhook", webhook)));
        query.extend(self.from.map(|from| ("from", from.to_string())));
        query.extend(self.to.map(|to| ("to", to.to_string())));
        query
    }
}

impl OneReceived {
    fn path<'a>(&'a self, below: &[&'a str]) -> Vec<&'a str> {
        let path = ["tenants", &self.of.tenant, "webhooks", "received", &self.id];
        [&path[..], below].concat()
    }
}

fn table(received: &[ReceivedView], output: &mut Output) -> Result<(), CliError> {
    let columns = columns!(ReceivedView:
        "RECEIVED" => received_at,
        "ID" => id,
        "PLUGIN" => plugin,
        "WEBHOOK" => webhook,
        "MESSAGE" => message,
        "BYTES" => bytes,
        "REPEATS" => repeats,
        "JOB" => job_id,
    );
    output.table(received, &columns)
}

fn show(detail: &ReceivedDetail, output: &mut Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.data(detail);
    }
    let mut shown =
        serde_json::to_value(detail).unwrap_or_else(|error| json!({ "error": error.to_string() }));
    if let Some(members) = shown.as_object_mut() {
        members.remove("headers");
    }
    output.object(&shown)?;
    if detail.content_hidden {
        output.news("headers and bodies are for developers and owners of the tenant");
    }
    for header in detail.headers.iter().flatten() {
        output.line(printable(&header.join(": ")))?;
    }
    Ok(())
}
