//! `mortise webhooks endpoints`: where events are delivered.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::super::client::Client;
use super::super::moment;
use super::super::output::columns;
use super::super::{CliError, Output, TenantArgument, confirmed};
use crate::domain::clock::Timestamp;
use crate::domain::event::{Topic, TopicPattern};
use crate::domain::units::Span;
use crate::wire::webhooks_out::{
    CreatedEndpoint, DeliveryDetail, EndpointChange, EndpointView, NewEndpoint, ReplayedDeliveriesView,
    RotatedSecret, SecretRotation, TestEvent,
};

/// Subcommands for endpoints.
#[derive(Debug, Subcommand)]
pub enum Endpoints {
    /// List the endpoints with their ids
    List(TenantArgument),
    /// Show an endpoint
    Show(OneEndpoint),
    /// Create an endpoint. Its secret is shown only once
    Create(Create),
    /// Change an endpoint
    Set(Set),
    /// Enable an endpoint; its failures are forgotten
    Enable(OneEndpoint),
    /// Disable an endpoint; deliveries that wait are given up
    Disable(OneEndpoint),
    /// Replace the secret of an endpoint. The new one is shown only once
    Rotate(Rotate),
    /// Send an event to an endpoint for a test
    Test(Test),
    /// Send deliveries again that failed or were cancelled
    Replay(Replay),
    /// Delete an endpoint with all of its deliveries
    Delete(Delete),
}

/// An endpoint.
#[derive(Debug, Args)]
pub struct OneEndpoint {
    #[command(flatten)]
    of: TenantArgument,
    /// Its id
    id: String,
}

/// Arguments of `mortise webhooks endpoints create`.
#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    of: TenantArgument,
    /// The URL, which begins with https://
    url: String,
    /// Topics, separated by commas: `*` stands for one segment, `>` at the end for the rest
    #[arg(long, value_delimiter = ',', required = true, value_name = "TOPIC")]
    topics: Vec<TopicPattern>,
    /// A text for people
    #[arg(long, default_value = "", value_name = "TEXT")]
    description: String,
    /// The most deliveries in a minute; by default any number
    #[arg(long, value_name = "NUMBER")]
    rate_per_minute: Option<u32>,
}

/// Arguments of `mortise webhooks endpoints set`.
#[derive(Debug, Args)]
pub struct Set {
    #[command(flatten)]
    endpoint: OneEndpoint,
    /// The URL
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// All topics, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "TOPIC")]
    topics: Option<Vec<TopicPattern>>,
    /// A text for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The most deliveries in a minute; 0 for any number
    #[arg(long, value_name = "NUMBER")]
    rate_per_minute: Option<u32>,
}

/// Arguments of `mortise webhooks endpoints rotate`.
#[derive(Debug, Args)]
pub struct Rotate {
    #[command(flatten)]
    endpoint: OneEndpoint,
    /// How long the former secret signs beside the new one
    #[arg(long, default_value = "24h", value_name = "SPAN")]
    grace: Span,
}

/// Arguments of `mortise webhooks endpoints test`.
#[derive(Debug, Args)]
pub struct Test {
    #[command(flatten)]
    endpoint: OneEndpoint,
    /// The topic of the event; `webhook.test` by default
    #[arg(long, value_name = "TOPIC")]
    topic: Option<Topic>,
    /// The data of the event as JSON; `{}` by default
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
}

/// Arguments of `mortise webhooks endpoints replay`.
#[derive(Debug, Args)]
pub struct Replay {
    #[command(flatten)]
    endpoint: OneEndpoint,
    /// Only deliveries that were added from this time on: 2026-01-02T03:04:05Z, or 15min for as
    /// long ago
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    from: Option<Timestamp>,
    /// Only deliveries that were added before this time
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    to: Option<Timestamp>,
    /// Also deliveries that were delivered
    #[arg(long)]
    all: bool,
}

/// Arguments of `mortise webhooks endpoints delete`.
#[derive(Debug, Args)]
pub struct Delete {
    #[command(flatten)]
    endpoint: OneEndpoint,
    /// The id again, to confirm: its deliveries are deleted too
    #[arg(long, value_name = "ID")]
    confirm: String,
}

impl Endpoints {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::List(of) => {
                let endpoints = client.list(&["tenants", &of.tenant, "webhooks", "endpoints"])?;
                let columns = columns!(EndpointView:
                    "ID" => id,
                    "URL" => url,
                    "TOPICS" => topics,
                    "ENABLED" => enabled,
                    "FAILING SINCE" => failing_since,
                    "DISABLED BECAUSE" => disabled_because,
                );
                output.table(&endpoints, &columns)
            }
            Self::Show(endpoint) => output.object(&client.get::<EndpointView>(&endpoint.path(&[]))?),
            Self::Create(Create {
                of,
                url,
                topics,
                description,
                rate_per_minute,
            }) => {
                let body = NewEndpoint {
                    url,
                    topics,
                    description,
                    enabled: true,
                    rate_per_minute,
                    secret: None,
                };
                let path = ["tenants", &of.tenant, "webhooks", "endpoints"];
                let created: CreatedEndpoint = client.post(&path, &body)?;
                output.news("give the secret to the receiver now: the host does not show it again");
                output.object(&created)
            }
            Self::Set(Set {
                endpoint,
                url,
                topics,
                description,
                rate_per_minute,
            }) => {
                let change = EndpointChange {
                    url,
                    topics,
                    description,
                    enabled: None,
                    rate_per_minute,
                };
                changed(&endpoint, &change, client, output)
            }
            Self::Enable(endpoint) => enable(&endpoint, true, client, output),
            Self::Disable(endpoint) => enable(&endpoint, false, client, output),
            Self::Rotate(Rotate { endpoint, grace }) => {
                let body = SecretRotation { grace, secret: None };
                let rotated: RotatedSecret = client.post(&endpoint.path(&["rotate"]), &body)?;
                output.news("give the secret to the receiver now: the host does not show it again");
                output.object(&rotated)
            }
            Self::Test(Test {
                endpoint,
                topic,
                data,
            }) => {
                let data = data.map(|text| json_of(&text)).transpose()?;
                let body = TestEvent { topic, data };
                let detail: DeliveryDetail = client.post(&endpoint.path(&["test"]), &body)?;
                output.news("`mortise webhooks deliveries show` tells what the endpoint answered");
                output.object(&detail.delivery)
            }
            Self::Replay(replay) => replay.run(client, output),
            Self::Delete(Delete { endpoint, confirm }) => {
                confirmed(&endpoint.id, &confirm)?;
                client.delete(&endpoint.path(&[]))?;
                output.news(format_args!("deleted the endpoint {}", endpoint.id));
                Ok(())
            }
        }
    }
}

impl OneEndpoint {
    fn path<'a>(&'a self, below: &[&'a str]) -> Vec<&'a str> {
        let own = ["tenants", &self.of.tenant, "webhooks", "endpoints", &self.id];
        [&own, below].concat()
    }
}

impl Replay {
    fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        let (from, to) = (
            self.from.map(|from| from.to_string()),
            self.to.map(|to| to.to_string()),
        );
        let mut query = Vec::new();
        query.extend(from.as_deref().map(|from| ("from", from)));
        query.extend(to.as_deref().map(|to| ("to", to)));
        if self.all {
            query.push(("failed", "false"));
        }
        let replayed: ReplayedDeliveriesView = client.post_where(&self.endpoint.path(&["replay"]), &query)?;
        if replayed.backlog_full {
            output.news("the backlog of the tenant is full; repeat the command when jobs have ended");
        }
        output.object(&replayed)
    }
}

fn enable(
    endpoint: &OneEndpoint,
    enabled: bool,
    client: &Client,
    output: &mut Output,
) -> Result<(), CliError> {
    let change = EndpointChange {
        enabled: Some(enabled),
        ..EndpointChange::default()
    };
    changed(endpoint, &change, client, output)
}

fn changed(
    endpoint: &OneEndpoint,
    change: &EndpointChange,
    client: &Client,
    output: &mut Output,
) -> Result<(), CliError> {
    let view: EndpointView = client.patch(&endpoint.path(&[]), change)?;
    output.object(&view)
}

fn json_of(text: &str) -> Result<Value, CliError> {
    serde_json::from_str(text).map_err(|error| CliError::Usage(format!("--data is not JSON: {error}")))
}
