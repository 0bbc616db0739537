//! Received webhooks in the database.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Added, DbError, Page};
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, ReceivedId, TenantId, WebhookName};
use crate::domain::job::NewJob;
use crate::domain::received::{NewReceived, Received, WebhookContent};

/// What became of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It was stored, and its job was added.
    New(ReceivedId),
    /// The message was stored before; nothing was added.
    Repeated(ReceivedId),
    /// The tenant's received webhooks have no room for it, since all of them still wait for their
    /// jobs; nothing was added.
    Full,
}

/// How much is kept of a tenant's received webhooks. If it is more, the oldest are deleted whose
/// job has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptWebhooks {
    /// The number.
    pub count: u64,
    /// The bytes of headers and bodies.
    pub bytes: u64,
}

/// How much is stored of a tenant's received webhooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookCounts {
    /// The number.
    pub received: u64,
    /// The bytes of headers and bodies.
    pub bytes: u64,
}

/// A filter for lists of received webhooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceivedFilter {
    /// Only of this plugin.
    pub plugin: Option<PluginName>,
    /// Only of this webhook.
    pub webhook: Option<WebhookName>,
    /// Only received at this time or later.
    pub from: Option<Timestamp>,
    /// Only received before this time.
    pub to: Option<Timestamp>,
}

/// A place in a list of received webhooks: newest first by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedPosition(pub ReceivedId);

/// Received webhooks.
#[async_trait]
pub trait WebhooksReceived {
    /// Stores a webhook and adds its job, in one transaction. A message that is stored already is
    /// only counted.
    async fn receive_webhook(
        &self,
        received: &NewReceived,
        job: &NewJob,
        most: KeptWebhooks,
    ) -> Result<Receipt, DbError>;

    /// A received webhook.
    async fn received_webhook(&self, tenant: TenantId, id: ReceivedId) -> Result<Option<Received>, DbError>;

    /// Headers and body of a received webhook.
    async fn webhook_content(
        &self,
        tenant: TenantId,
        id: ReceivedId,
    ) -> Result<Option<WebhookContent>, DbError>;

    /// A page of a tenant's received webhooks, newest first.
    async fn received_webhooks(
        &self,
        tenant: TenantId,
        filter: &ReceivedFilter,
        page: Page<ReceivedPosition>,
    ) -> Result<Vec<Received>, DbError>;

    /// Adds another job for a received webhook, unless its last job is live. `None` if there is no
    /// such webhook.
    async fn replay_webhook(
        &self,
        tenant: TenantId,
        id: ReceivedId,
        job: &NewJob,
        change: &Change,
    ) -> Result<Option<Added>, DbError>;

    /// Deletes a received webhook. A job of it that did not run yet fails. `false` if there is no
    /// such webhook.
    async fn delete_received(
        &self,
        tenant: TenantId,
        id: ReceivedId,
        change: &Change,
    ) -> Result<bool, DbError>;

    /// Deletes up to `limit` webhooks that were received before `before` and whose job has ended.
    /// Returns how many.
    async fn prune_received(&self, before: Timestamp, limit: u32) -> Result<u32, DbError>;

    /// How much is stored of a tenant's received webhooks.
    async fn webhook_counts(&self, tenant: TenantId) -> Result<WebhookCounts, DbError>;
}
