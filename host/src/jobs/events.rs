//! Finds the subscribers and the endpoints of an event, and makes a job for each.
//!
//! A subscriber is a kind of job of a plugin of the same tenant. It gets one job for an event, even
//! if two of its patterns stand for the topic. A plugin that cannot be served now keeps its
//! subscriptions: its jobs wait.

use std::collections::BTreeSet;

use super::logged_errors::{WorkError, in_time};
use crate::domain::clock::Timestamp;
use crate::domain::event::TopicPattern;
use crate::domain::id::{EndpointId, JobId, PluginName, TenantId};
use crate::domain::job::{ConcurrencyKey, JobOrigin, JobSpec, NewJob};
use crate::domain::outbox::PublishedEvent;
use crate::domain::webhook_out::{self, EndpointTopics, FanOut};
use crate::storage::Repository;
use crate::tenants::{Routing, TenantRoutes};

/// The subscriptions of a tenant's plugins, by plugin, and the tenant's endpoints.
#[derive(Debug)]
pub(super) struct Subscribers {
    subscribers: Vec<Subscriber>,
    endpoints: Vec<EndpointTopics>,
}

/// A subscription with the kind of job that it adds.
#[derive(Debug)]
struct Subscriber {
    plugin: PluginName,
    topic: TopicPattern,
    job: JobSpec,
}

/// Why the subscribers of a tenant's events are not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnknownSubscribers {
    /// The tenant was deleted, or its data cannot be read.
    #[error("the tenant is not served")]
    TenantMissing,
    /// The control plane cannot be read.
    #[error(transparent)]
    Work(#[from] WorkError),
}

impl Subscribers {
    /// The subscribers by the tenant's snapshot. The control plane is read only if a plugin of the
    /// tenant is unavailable.
    pub async fn of(
        tenant: TenantId,
        routing: &Routing,
        db: &dyn Repository,
    ) -> Result<Self, UnknownSubscribers> {
        let routes = routing.tenant_by_id(tenant);
        let routes = routes.filter(|routes| routes.problem.is_none());
        let routes = routes.ok_or(UnknownSubscribers::TenantMissing)?;
        let mut subscribers = Vec::new();
        for (plugin, served) in &routes.plugins {
            for subscription in served.subscriptions() {
                // The manifest's checks guarantee that the job exists.
                if let Some(job) = served.jobs().get(&subscription.job) {
                    subscribers.push(Subscriber {
                        plugin: plugin.clone(),
                        topic: subscription.topic.clone(),
                        job: job.job.spec.clone(),
                    });
                }
            }
        }
        if !routes.unavailable.is_empty() {
            add_unavailable(&mut subscribers, &routes, db).await?;
        }
        subscribers.sort_by(|a, b| (&a.plugin, &a.job.name).cmp(&(&b.plugin, &b.job.name)));
        Ok(Self {
            subscribers,
            endpoints: routes.endpoints.to_vec(),
        })
    }

    /// The same, but for this endpoint.
    pub fn without(mut self, endpoint: EndpointId) -> Self {
        self.endpoints.retain(|other| other.id != endpoint);
        self
    }

    /// What an event becomes: a job for each subscriber, and one for each delivery to an endpoint.
    pub fn fan_out(&self, tenant: TenantId, event: &PublishedEvent, now: Timestamp) -> FanOut {
        let mut fan_out = webhook_out::deliveries(tenant, event, &self.endpoints, now);
        let deliveries = std::mem::take(&mut fan_out.jobs);
        fan_out.jobs = self.jobs(tenant, event, now);
        fan_out.jobs.extend(deliveries);
        fan_out
    }

    /// The jobs of the subscribers of an event, in the order of plugins.
    fn jobs(&self, tenant: TenantId, event: &PublishedEvent, now: Timestamp) -> Vec<NewJob> {
        let mut seen = BTreeSet::new();
        let matching = self.subscribers.iter().filter(|subscriber| {
            subscriber.topic.matches(&event.event.topic)
                && seen.insert((&subscriber.plugin, &subscriber.job.name))
        });
        matching
            .map(|subscriber| subscriber.job_for(tenant, event, now))
            .collect()
    }
}

/// Adds the subscriptions of plugins whose active version cannot be served, from their manifests. A
/// plugin whose row cannot be read has none until it can.
async fn add_unavailable(
    subscribers: &mut Vec<Subscriber>,
    routes: &TenantRoutes,
    db: &dyn Repository,
) -> Result<(), WorkError> {
    let Some(stored) = in_time(db.routed_tenant(routes.id)).await? else {
        return Ok(());
    };
    for plugin in stored.plugins {
        let name = plugin.plugin.name;
        let Ok(Some(version)) = plugin.active else {
            continue;
        };
        if !routes.unavailable.contains_key(&name) {
            continue;
        }
        for subscription in &version.manifest.subscriptions {
            let mut jobs = version.manifest.jobs.iter();
            if let Some(job) = jobs.find(|job| job.name == subscription.job) {
                subscribers.push(Subscriber {
                    plugin: name.clone(),
                    topic: subscription.topic.clone(),
                    job: job.clone(),
                });
            }
        }
    }
    Ok(())
}

impl Subscriber {
    fn job_for(&self, tenant: TenantId, event: &PublishedEvent, now: Timestamp) -> NewJob {
        NewJob {
            id: JobId::generate(),
            tenant,
            plugin: self.plugin.clone(),
            name: self.job.name.clone(),
            payload: event.data.clone(),
            origin: JobOrigin::Event {
                event: event.event.clone(),
            },
            priority: 0,
            run_at: now,
            max_attempts: self.job.attempts.get(),
            backoff: self.job.backoff,
            unique_key: None,
            concurrency: self.job.concurrency.map(|bound| ConcurrencyKey {
                key: String::new(),
                bound,
            }),
            depth: event.depth,
            traceparent: event.traceparent.clone(),
            created_at: now,
        }
    }
}
