//! JSON of endpoints for webhooks and of deliveries to them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::event::{Topic, TopicPattern};
use crate::domain::id::{DeliveryId, EndpointId, EventId, JobId};
use crate::domain::units::Span;
use crate::domain::webhook_out::DeliveryState;

/// An endpoint that gets webhooks.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EndpointView {
    /// Id of the endpoint.
    pub id: EndpointId,
    /// The URL.
    pub url: String,
    /// The topics: `*` stands for one segment, and `>` at the end for the rest.
    #[schema(value_type = Vec<String>)]
    pub topics: Vec<TopicPattern>,
    /// A text for people.
    pub description: String,
    /// Whether events are delivered to it.
    pub enabled: bool,
    /// The most deliveries in a minute; absent for any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_per_minute: Option<u32>,
    /// When it was created.
    pub created_at: Timestamp,
    /// The first failure since the last success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// When it was disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Timestamp>,
    /// Why it was disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_because: Option<String>,
    /// The secrets that sign now, the newest first, without their values.
    pub secrets: Vec<EndpointSecretView>,
}

/// A secret of an endpoint, without its value.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EndpointSecretView {
    /// When it was created.
    pub created_at: Timestamp,
    /// When it stops to sign; absent for the current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A new endpoint.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEndpoint {
    /// The URL: `https`, without user information.
    pub url: String,
    /// 1 to 50 topics or patterns of topics.
    #[schema(value_type = Vec<String>)]
    pub topics: Vec<TopicPattern>,
    /// A text for people, up to 200 characters.
    #[serde(default)]
    pub description: String,
    /// Whether events are delivered to it; `true` by default.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// The most deliveries in a minute; absent or 0 for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_minute: Option<u32>,
    /// The secret that signs: `whsec_` and the base64 of 24 to 64 bytes. By default, the host makes
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// A new endpoint with its secret. Only this answer shows it.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct CreatedEndpoint {
    #[serde(flatten)]
    pub endpoint: EndpointView,
    /// The secret, with which the receiver verifies signatures.
    pub secret: String,
}

/// A change of an endpoint. Absent members stay as they are.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointChange {
    /// The URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The topics, as a whole.
    #[schema(value_type = Option<Vec<String>>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topics: Option<Vec<TopicPattern>>,
    /// A text for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether events are delivered to it. Enabling it forgets its failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The most deliveries in a minute; 0 for any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_per_minute: Option<u32>,
}

/// A change of the secret of an endpoint.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SecretRotation {
    /// How long the former secret signs beside the new one: up to 720h; 24h by default.
    pub grace: Span,
    /// The new secret. By default, the host makes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// The new secret of an endpoint. Only this answer shows it.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct RotatedSecret {
    /// The secret.
    pub secret: String,
    /// When the former secret stops to sign.
    pub former_until: Timestamp,
}

/// An event that is sent to one endpoint for a test.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TestEvent {
    /// The topic; `webhook.test` by default. The endpoint gets it whatever its topics are.
    #[schema(value_type = Option<String>)]
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub topic: Option<Topic>,
    /// The data; `{}` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// A delivery of an event to an endpoint.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DeliveryView {
    /// Id of the delivery.
    pub id: DeliveryId,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// Id of the event: the header `webhook-id`.
    pub event: EventId,
    /// The topic.
    #[schema(value_type = String)]
    pub r#type: Topic,
    /// The plugin that published the event, or `mortise` for an event of the host.
    pub source: String,
    /// The job that sends it, or sent it last.
    pub job: JobId,
    /// The state.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// The status of the last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why the last attempt failed, or why it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When the next attempt is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// When it was delivered or given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// A delivery with its body and its attempts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DeliveryDetail {
    #[serde(flatten)]
    pub delivery: DeliveryView,
    /// The body, exactly as it is sent.
    pub body: String,
    /// The attempts, the oldest first; the last 50 are kept.
    pub attempts: Vec<DeliveryAttemptView>,
}

/// One attempt of a delivery.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DeliveryAttemptView {
    /// 1 for the first one.
    pub number: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The status of the answer; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The first 16 KiB of the body of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// How many deliveries are sent again.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ReplayedDeliveriesView {
    /// The number.
    pub replayed: u64,
    /// Whether the backlog of the tenant is full, so that others that match are not sent.
    pub backlog_full: bool,
}

/// How many deliveries were deleted.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DeletedDeliveries {
    /// The number. Deliveries that wait stay.
    pub deleted: u64,
}

impl Default for SecretRotation {
    fn default() -> Self {
        Self {
            grace: Span::s(24 * 60 * 60),
            secret: None,
        }
    }
}

fn enabled() -> bool {
    true
}
