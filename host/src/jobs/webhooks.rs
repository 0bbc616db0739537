//! Adds the jobs of received webhooks.

use super::logged_errors::{WorkError, in_time};
use super::queue::Queue;
use crate::capability::jobs::{JobQueue as _, QueueError};
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::{JobId, PluginName, ReceivedId, TenantId, WebhookName};
use crate::domain::job::{ConcurrencyKey, JobOrigin, JobSpec, NewJob};
use crate::domain::limits::Limits;
use crate::domain::received::{NewReceived, Received};
use crate::storage::{Added, KeptWebhooks, Receipt};

/// Why a received webhook cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no such webhook.
    #[error("there is no such received webhook")]
    Missing,
    /// The active version of the plugin cannot be served, or there is none.
    #[error("the plugin `{0}` has no active version that can be served; activate one")]
    NoVersion(PluginName),
    /// The active version does not declare the webhook.
    #[error(
        "the active version of the plugin `{plugin}` has no webhook `{webhook}`; activate a version that declares it"
    )]
    NoWebhook {
        /// The plugin.
        plugin: PluginName,
        /// The webhook.
        webhook: WebhookName,
    },
    /// The queue takes no job.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl Queue {
    /// Stores a webhook and adds its job `kind`, in one transaction. Returns once both are durable.
    pub async fn receive_webhook(
        &self,
        received: &NewReceived,
        kind: &JobSpec,
        limits: &Limits,
    ) -> Result<Receipt, QueueError> {
        let tenant = received.tenant;
        let reserved = self.live.reserve(tenant, 1, u64::from(limits.job_backlog))?;
        let (plugin, webhook) = (&received.plugin, &received.webhook);
        let job = job((tenant, plugin, webhook), received.id, kind, received.received_at);
        let most = KeptWebhooks {
            count: u64::from(limits.webhooks_kept),
            bytes: limits.webhook_size.0,
        };
        let receipt = in_time(self.db.receive_webhook(received, &job, most)).await;
        if let Some(error) = self.logged_errors.news(&"webhook", &receipt) {
            tracing::error!(error, "webhooks cannot be stored; their senders get 503");
        }
        let receipt = receipt.map_err(|_| QueueError::Unavailable)?;
        drop(reserved);
        if let Receipt::New(_) = receipt {
            self.note_added(tenant, &[Added::New(job.id)]);
        }
        Ok(receipt)
    }

    /// Adds another job for a received webhook, of the kind that the active version declares for
    /// it. If the last job of the webhook is live, the answer names that job.
    pub async fn replay_webhook(
        &self,
        tenant: TenantId,
        id: ReceivedId,
        change: &Change,
    ) -> Result<Added, ReplayError> {
        let received = self.or_queue_error(in_time(self.db.received_webhook(tenant, id)).await)?;
        let received = received.ok_or(ReplayError::Missing)?;
        let kind = self.kind_of(tenant, &received)?;
        let Received { plugin, webhook, .. } = &received;
        let now = self.clock.now();
        let routes = self.routing.tenant_by_id(tenant);
        if let Some(routes) = routes {
            self.has_room(tenant, 1, &routes.limits)?;
        }
        let job = job((tenant, plugin, webhook), id, &kind, now);
        let replayed = in_time(self.db.replay_webhook(tenant, id, &job, change)).await;
        let added = self.or_queue_error(replayed)?.ok_or(ReplayError::Missing)?;
        self.note_added(tenant, &[added]);
        Ok(added)
    }

    /// The kind of job that the active version declares for a webhook.
    fn kind_of(&self, tenant: TenantId, received: &Received) -> Result<JobSpec, ReplayError> {
        let Received { plugin, webhook, .. } = received;
        let routes = self.routing.tenant_by_id(tenant);
        let served = routes.as_ref().and_then(|routes| routes.plugins.get(plugin));
        let served = served.ok_or_else(|| ReplayError::NoVersion(plugin.clone()))?;
        let missing = || ReplayError::NoWebhook {
            plugin: plugin.clone(),
            webhook: webhook.clone(),
        };
        let entry = served.webhook(webhook.as_str()).ok_or_else(missing)?;
        let kind = served.jobs().get(&entry.spec.job).ok_or_else(missing)?;
        Ok(kind.job.spec.clone())
    }

    fn or_queue_error<T>(&self, result: Result<T, WorkError>) -> Result<T, QueueError> {
        if let Some(error) = self.logged_errors.news(&"replay", &result) {
            tracing::error!(error, "a received webhook cannot be replayed");
        }
        result.map_err(|_| QueueError::Unavailable)
    }
}

/// The job of a received webhook. Its payload is the id of the webhook, whose body is stored once.
fn job(
    (tenant, plugin, webhook): (TenantId, &PluginName, &WebhookName),
    received: ReceivedId,
    kind: &JobSpec,
    now: Timestamp,
) -> NewJob {
    NewJob {
        id: JobId::generate(),
        tenant,
        plugin: plugin.clone(),
        name: kind.name.clone(),
        payload: received.to_string().into(),
        origin: JobOrigin::Webhook {
            name: webhook.clone(),
            received,
        },
        priority: 0,
        run_at: now,
        max_attempts: kind.attempts.get(),
        backoff: kind.backoff,
        unique_key: None,
        concurrency: kind.concurrency.map(|bound| ConcurrencyKey {
            key: String::new(),
            bound,
        }),
        depth: 0,
        traceparent: None,
        created_at: now,
    }
}
