//! `mortise webhooks deliveries`: what became of the events for endpoints.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::client::Client;
use super::super::job_filter::{Query, pairs};
use super::super::moment;
use super::super::output::{columns, printable};
use super::super::{CliError, Output, TenantArgument, confirmed};
use crate::domain::clock::Timestamp;
use crate::domain::webhook_out::DeliveryState;
use crate::wire::webhooks_out::{DeletedDeliveries, DeliveryAttemptView, DeliveryDetail, DeliveryView};

/// Subcommands for deliveries.
#[derive(Debug, Subcommand)]
pub enum Deliveries {
    /// List deliveries, the newest first
    List(List),
    /// Show a delivery with its body, and its attempts with the answers
    Show(OneDelivery),
    /// Send a delivery again, or make the next attempt of one that waits now
    Replay(OneDelivery),
    /// Delete deliveries with their bodies and attempts; those that wait stay
    Delete(Delete),
    /// Write deliveries with bodies and attempts, one JSON object per line
    Export(Export),
}

/// Arguments of `mortise webhooks deliveries list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    of: TenantArgument,
    #[command(flatten)]
    filter: Filter,
    /// Number of deliveries, the newest ones
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

/// A delivery.
#[derive(Debug, Args)]
pub struct OneDelivery {
    #[command(flatten)]
    of: TenantArgument,
    /// Its id
    id: String,
}

/// Arguments of `mortise webhooks deliveries delete`.
#[derive(Debug, Args)]
pub struct Delete {
    #[command(flatten)]
    of: TenantArgument,
    #[command(flatten)]
    filter: Filter,
    /// The name of the tenant again, to confirm: without a filter, all that do not wait are deleted
    #[arg(long, value_name = "NAME")]
    confirm: String,
}

/// Arguments of `mortise webhooks deliveries export`.
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    of: TenantArgument,
    #[command(flatten)]
    filter: Filter,
    /// File to write; by default standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A filter for deliveries.
#[derive(Debug, Args)]
struct Filter {
    /// Only deliveries to this endpoint
    #[arg(long, value_name = "ID")]
    endpoint: Option<String>,
    /// Only deliveries in this state: waiting, delivered, failed, cancelled
    #[arg(long, value_name = "STATE")]
    state: Option<DeliveryState>,
    /// Only deliveries of events with this topic
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Only deliveries that were added from this time on: 2026-01-02T03:04:05Z, or 15min for as
    /// long ago
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    from: Option<Timestamp>,
    /// Only deliveries that were added before this time
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    to: Option<Timestamp>,
}

impl Deliveries {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::List(List { of, filter, limit }) => {
                let path = ["tenants", &of.tenant, "webhooks", "deliveries"];
                let deliveries = client.first(&path, &pairs(&filter.query()), limit)?;
                let columns = columns!(DeliveryView:
                    "ADDED" => created_at,
                    "ID" => id,
                    "TOPIC" => r#type,
                    "ENDPOINT" => endpoint,
                    "STATE" => state,
                    "ATTEMPTS" => attempts,
                    "STATUS" => status,
                    "NEXT" => next_at,
                    "ERROR" => error,
                );
                output.table(&deliveries, &columns)
            }
            Self::Show(delivery) => show(&client.get(&delivery.path(&[]))?, output),
            Self::Replay(delivery) => {
                let detail: DeliveryDetail = client.post_where(&delivery.path(&["replay"]), &[])?;
                output.news(format_args!("the delivery {} is sent again", delivery.id));
                output.object(&detail.delivery)
            }
            Self::Delete(Delete { of, filter, confirm }) => {
                confirmed(&of.tenant, &confirm)?;
                let path = ["tenants", &of.tenant, "webhooks", "deliveries"];
                let deleted: DeletedDeliveries = client.delete_where(&path, &pairs(&filter.query()))?;
                output.object(&deleted)
            }
            Self::Export(Export {
                of,
                filter,
                output: file,
            }) => {
                let path = ["tenants", &of.tenant, "webhooks", "deliveries", "export"];
                let mut lines = client.download(&path, &pairs(&filter.query()))?;
                let Some(file) = file else {
                    return output.copy(lines);
                };
                let mut written =
                    File::create(&file).map_err(|error| CliError::file("write", &file, &error))?;
                io::copy(&mut lines, &mut written)
                    .map_err(|error| CliError::file("write the whole export to", &file, &error))?;
                output.news(format_args!("wrote {}", file.display()));
                Ok(())
            }
        }
    }
}

impl OneDelivery {
    fn path<'a>(&'a self, below: &[&'a str]) -> Vec<&'a str> {
        let own = ["tenants", &self.of.tenant, "webhooks", "deliveries", &self.id];
        [&own, below].concat()
    }
}

impl Filter {
    /// The filter as query parameters.
    fn query(&self) -> Query {
        let mut query = Query::new();
        query.extend(self.endpoint.clone().map(|endpoint| ("endpoint", endpoint)));
        query.extend(self.state.map(|state| ("state", state.as_str().to_owned())));
        query.extend(self.topic.clone().map(|topic| ("topic", topic)));
        query.extend(self.from.map(|from| ("from", from.to_string())));
        query.extend(self.to.map(|to| ("to", to.to_string())));
        query
    }
}

fn show(detail: &DeliveryDetail, output: &mut Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.data(detail);
    }
    output.object(&detail.delivery)?;
    output.line("")?;
    output.line(printable(&detail.body))?;
    output.line("")?;
    let columns = columns!(DeliveryAttemptView:
        "ATTEMPT" => number,
        "BEGAN" => at,
        "MS" => took_ms,
        "STATUS" => status,
        "ERROR" => error,
        "ANSWER" => answer,
    );
    output.table(&detail.attempts, &columns)
}
