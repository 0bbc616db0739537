//! Webhooks that were received: what is stored of them.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::id::{JobId, PluginName, ReceivedId, TenantId, WebhookName};

/// A webhook that is to be stored. Its signature was checked.
#[derive(Clone, PartialEq, Eq)]
pub struct NewReceived {
    /// Its id.
    pub id: ReceivedId,
    /// The tenant.
    pub tenant: TenantId,
    /// The plugin.
    pub plugin: PluginName,
    /// The webhook of the plugin's manifest.
    pub webhook: WebhookName,
    /// The id by which repeats are recognised.
    pub message: String,
    /// What the plugin gets.
    pub content: WebhookContent,
    /// When it was received.
    pub received_at: Timestamp,
}

/// Headers and body of a received webhook.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookContent {
    /// The headers, with lower-case names.
    pub headers: Vec<(String, String)>,
    /// The body as it was received.
    pub body: String,
}

/// A stored webhook, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its id.
    pub id: ReceivedId,
    /// The plugin.
    pub plugin: PluginName,
    /// The webhook of the plugin's manifest.
    pub webhook: WebhookName,
    /// The id by which repeats are recognised.
    pub message: String,
    /// Bytes of headers and body.
    pub bytes: u64,
    /// How often it was received again.
    pub repeats: u64,
    /// When it was first received.
    pub received_at: Timestamp,
    /// When it was last received.
    pub last_at: Timestamp,
    /// The job that it added last: the first one, or that of the last replay.
    pub job: JobId,
}

// Headers and bodies are data of the tenant's customers, so they are not printed.
impl std::fmt::Debug for NewReceived {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("NewReceived")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("plugin", &self.plugin)
            .field("webhook", &self.webhook)
            .field("content", &self.content)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for WebhookContent {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("WebhookContent")
            .field("headers", &self.headers.len())
            .field("bytes", &self.body.len())
            .finish()
    }
}
