//! Receives a webhook: finds the secrets, checks the signature, stores the request with its job.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::HeaderMap;
use secrecy::SecretString;

use super::signature::{self, Invalid};
use crate::capability::ActiveVersion;
use crate::capability::jobs::QueueError;
use crate::capability::secrets::{SecretError, value_for_use};
use crate::domain::clock::SharedClock;
use crate::domain::id::ReceivedId;
use crate::domain::received::{NewReceived, WebhookContent};
use crate::jobs::Queue;
use crate::metrics::WebhookTotals;
use crate::storage::Receipt;
use crate::storage::vault::Vault;
use crate::tenants::{PluginRoutes, TenantRoutes, WebhookEntry};

/// Receives webhooks.
pub struct Receiver {
    queue: Arc<Queue>,
    vault: Arc<Vault>,
    clock: SharedClock,
    counters: Arc<WebhookCounters>,
}

/// Counts webhooks for the metrics.
#[derive(Debug, Default)]
pub struct WebhookCounters {
    stored: AtomicU64,
    repeated: AtomicU64,
    refused: AtomicU64,
    deferred: AtomicU64,
}

/// Why a webhook was not received.
#[derive(Debug, thiserror::Error)]
pub enum NotReceived {
    /// The request is not valid. Its sender does not learn which part of it.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The signature is right, and the body is no text that a job could have.
    #[error("the body is not UTF-8 text")]
    NotText,
    /// The tenant has set none of the secrets, so nothing can be checked.
    #[error("the tenant has set none of the secrets that this webhook names")]
    NoSecret,
    /// The secrets cannot be decrypted. The text is for the host's log.
    #[error("a secret of the webhook cannot be decrypted: {0}")]
    Vault(SecretError),
    /// The tenant's received webhooks have no room.
    #[error("the received webhooks of this tenant have reached their limit, and all of them still wait")]
    Full,
    /// The queue takes no job.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl Receiver {
    /// A receiver that adds jobs to `queue` and decrypts secrets with `vault`.
    pub fn new(queue: Arc<Queue>, vault: Arc<Vault>, clock: SharedClock) -> Self {
        Self {
            queue,
            vault,
            clock,
            counters: Arc::default(),
        }
    }

    /// The counters of webhooks.
    pub fn counters(&self) -> &Arc<WebhookCounters> {
        &self.counters
    }

    /// Checks a request to a webhook, and stores it with its job. Returns once both are durable.
    /// `content` are the headers for the plugin.
    pub async fn receive(
        &self,
        tenant: &TenantRoutes,
        plugin: &PluginRoutes,
        webhook: &WebhookEntry,
        headers: &HeaderMap,
        content: Vec<(String, String)>,
        body: Bytes,
    ) -> Result<Receipt, NotReceived> {
        let result = self.store(tenant, plugin, webhook, headers, content, body).await;
        self.count(webhook, &result);
        result
    }

    async fn store(
        &self,
        tenant: &TenantRoutes,
        plugin: &PluginRoutes,
        webhook: &WebhookEntry,
        headers: &HeaderMap,
        content: Vec<(String, String)>,
        body: Bytes,
    ) -> Result<Receipt, NotReceived> {
        let now = self.clock.now();
        let secrets = self.secrets(&plugin.active, webhook)?;
        let message = signature::check(&webhook.scheme, &secrets, headers, &body, now)?;
        drop(secrets);
        let Ok(body) = String::from_utf8(body.into()) else {
            return Err(NotReceived::NotText);
        };
        // The manifest's checks make sure that the kind of job is declared.
        let kind = plugin.jobs().get(&webhook.spec.job);
        let kind = kind.ok_or(QueueError::Unavailable)?;
        let received = NewReceived {
            id: ReceivedId::generate(),
            tenant: tenant.id,
            plugin: plugin.active.plugin.clone(),
            webhook: webhook.spec.name.clone(),
            message,
            content: WebhookContent {
                headers: content,
                body,
            },
            received_at: now,
        };
        let spec = &kind.job.spec;
        match self
            .queue
            .receive_webhook(&received, spec, &tenant.limits)
            .await?
        {
            Receipt::Full => Err(NotReceived::Full),
            receipt => Ok(receipt),
        }
    }

    /// The secrets that the tenant has granted and set. While one is replaced, the other may not be
    /// set yet.
    fn secrets(
        &self,
        active: &ActiveVersion,
        webhook: &WebhookEntry,
    ) -> Result<Vec<SecretString>, NotReceived> {
        let mut secrets = Vec::with_capacity(webhook.spec.secrets.len());
        for name in &webhook.spec.secrets {
            match value_for_use(active, &self.vault, name) {
                Ok(secret) => secrets.push(secret),
                Err(SecretError::NotGranted(_) | SecretError::NotFound(_)) => {}
                Err(error @ SecretError::Vault(_)) => return Err(NotReceived::Vault(error)),
            }
        }
        match secrets.is_empty() {
            true => Err(NotReceived::NoSecret),
            false => Ok(secrets),
        }
    }

    fn count(&self, webhook: &WebhookEntry, result: &Result<Receipt, NotReceived>) {
        let counters = &self.counters;
        let count = match result {
            Ok(Receipt::New(_)) => {
                webhook.tally.stored();
                &counters.stored
            }
            Ok(Receipt::Repeated(_)) => {
                webhook.tally.repeated();
                &counters.repeated
            }
            Err(error) => {
                webhook.tally.refused(self.clock.now(), error.to_string());
                match error {
                    NotReceived::Invalid(_) | NotReceived::NotText => &counters.refused,
                    NotReceived::NoSecret
                    | NotReceived::Vault(_)
                    | NotReceived::Full
                    | NotReceived::Queue(_) => &counters.deferred,
                }
            }
            // It is an error by now.
            Ok(Receipt::Full) => &counters.deferred,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl WebhookCounters {
    /// The counts so far.
    pub fn totals(&self) -> WebhookTotals {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        WebhookTotals {
            stored: read(&self.stored),
            repeated: read(&self.repeated),
            refused: read(&self.refused),
            deferred: read(&self.deferred),
        }
    }
}
