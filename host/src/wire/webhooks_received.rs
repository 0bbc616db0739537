//! JSON of inbound webhooks and of what was received.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::{JobId, JobName, PluginName, ReceivedId, WebhookName};
use crate::domain::webhook::SchemeName;

/// The inbound webhooks of a tenant.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct WebhooksView {
    /// The webhooks of the active versions, by plugin and name.
    pub items: Vec<WebhookView>,
    /// Stored received webhooks, which the limit `webhooks_kept` bounds.
    pub received: u64,
    /// Bytes of their headers and bodies, which the limit `webhook_size` bounds.
    pub bytes: u64,
}

/// An inbound webhook of a plugin's active version.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct WebhookView {
    /// The plugin.
    pub plugin: PluginName,
    /// The name within the plugin.
    pub name: WebhookName,
    /// The URL for the sender.
    pub url: String,
    /// How the sender signs.
    pub scheme: SchemeName,
    /// The kind of job that each webhook adds.
    pub job: JobName,
    /// The secrets, any of which may have signed.
    pub secrets: Vec<WebhookSecretView>,
    /// Counts of this node since the version became active or the node started.
    pub counts: WebhookCountsView,
    /// The last refused request; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<RefusalView>,
}

/// A secret of a webhook.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct WebhookSecretView {
    /// The name.
    pub name: String,
    /// Whether the tenant has set it and granted it to the plugin. While none is, senders get 503.
    pub usable: bool,
}

/// Counts of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookCountsView {
    /// Webhooks that were stored and got a job.
    pub stored: u64,
    /// Messages that were stored before.
    pub repeated: u64,
    /// Requests that were refused, or that their senders have to repeat.
    pub refused: u64,
}

/// A refused request.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RefusalView {
    /// When it came.
    pub at: Timestamp,
    /// Why it was refused. The sender does not see this.
    pub reason: String,
}

/// A received webhook. Viewers do not see the id of the message.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ReceivedView {
    /// Its id.
    pub id: ReceivedId,
    /// The plugin.
    pub plugin: PluginName,
    /// The webhook of the plugin.
    pub webhook: WebhookName,
    /// The sender's id of the message, by which repeats are recognised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Bytes of headers and body. The limit `webhook_body` bounds those of the body.
    pub bytes: u64,
    /// How often the message came again.
    pub repeats: u64,
    /// When it was received.
    pub received_at: Timestamp,
    /// When it was last received.
    pub last_at: Timestamp,
    /// The job that was added last: the first one, or that of the last replay.
    pub job_id: JobId,
}

/// A received webhook with its content.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ReceivedDetail {
    /// The webhook.
    #[serde(flatten)]
    pub received: ReceivedView,
    /// The headers, as pairs of lower-case name and value. Absent for viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<Vec<String>>>,
    /// The body as it was received. Absent for viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Whether headers and body are hidden from the caller.
    pub content_hidden: bool,
}

/// The result of replaying a received webhook.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayedView {
    /// The job.
    pub job_id: JobId,
    /// Whether the job is new. `false` if the last job of the webhook is still live.
    pub added: bool,
}
