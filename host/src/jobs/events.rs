//! Finds the receivers of an event, its subscribers and endpoints, and makes a job for each.
//!
//! A subscriber is a kind of job of a plugin of the same tenant. It gets one job for an event, even
//! if two of its patterns stand for the topic. A plugin that cannot be served now keeps its
//! subscriptions: its jobs wait. The receivers are counted before their jobs are made.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::logged_errors::{WorkError, in_time};
use crate::capability::jobs::PublishError;
use crate::domain::clock::Timestamp;
use crate::domain::event::{MOST_RECEIVERS, Topic, TopicPattern};
use crate::domain::id::{EndpointId, JobId, JobName, PluginName, TenantId};
use crate::domain::job::{ConcurrencyKey, JobOrigin, JobSpec, NewJob};
use crate::domain::outbox::PublishedEvent;
use crate::domain::units::as_u64;
use crate::domain::webhook_out::{self, EndpointTopics, FanOut};
use crate::storage::Repository;
use crate::tenants::{Routing, TenantRoutes};

/// The subscriptions of a tenant's plugins, and the tenant's endpoints.
pub(super) struct Subscribers {
    routes: Arc<TenantRoutes>,
    /// The subscriptions of plugins whose active version cannot be served.
    unavailable: Vec<Subscriber>,
    /// The endpoint that gets nothing.
    without: Option<EndpointId>,
}

/// A subscription with the kind of job that it adds.
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
        let unavailable = match routes.unavailable.is_empty() {
            true => Vec::new(),
            false => unavailable(&routes, db).await?,
        };
        Ok(Self {
            routes,
            unavailable,
            without: None,
        })
    }

    /// The same, but for this endpoint.
    pub fn without(self, endpoint: EndpointId) -> Self {
        Self {
            without: Some(endpoint),
            ..self
        }
    }

    /// How many jobs an event on a topic becomes.
    pub fn count(&self, topic: &Topic) -> Result<u64, PublishError> {
        let most = usize::from(MOST_RECEIVERS);
        let endpoints = self.endpoints(topic).count();
        let mut kinds = HashSet::new();
        for (plugin, kind) in self.kinds(topic) {
            kinds.insert((plugin, &kind.name));
            if kinds.len() + endpoints > most {
                break;
            }
        }
        match kinds.len() + endpoints {
            count if count <= most => Ok(as_u64(count)),
            _ => Err(PublishError::TooManyReceivers),
        }
    }

    /// What an event becomes: a job for each subscriber, and one for each delivery to an endpoint.
    /// If there are more than [`MOST_RECEIVERS`], the first ones in the order of plugins get it.
    pub fn fan_out(&self, tenant: TenantId, event: &PublishedEvent, now: Timestamp) -> FanOut {
        let (topic, most) = (&event.event.topic, usize::from(MOST_RECEIVERS));
        let kinds: BTreeMap<(&PluginName, &JobName), &JobSpec> = self
            .kinds(topic)
            .map(|(plugin, kind)| ((plugin, &kind.name), kind))
            .collect();
        let payload: Arc<str> = event.data.as_str().into();
        let mut jobs = Vec::with_capacity(kinds.len().min(most));
        for ((plugin, _), kind) in kinds.into_iter().take(most) {
            jobs.push(job_for((tenant, plugin, kind), event, &payload, now));
        }
        let endpoints = self.endpoints(topic).take(most - jobs.len());
        let delivered = webhook_out::deliveries(tenant, event, endpoints, now);
        jobs.extend(delivered.jobs);
        FanOut {
            jobs,
            outgoing: delivered.outgoing,
        }
    }

    /// The kinds of jobs that subscribe to a topic. A kind with two matching patterns is there
    /// twice.
    fn kinds<'a>(&'a self, topic: &'a Topic) -> impl Iterator<Item = (&'a PluginName, &'a JobSpec)> {
        let served = self.routes.plugins.iter().flat_map(move |(plugin, served)| {
            let subscriptions = served.subscriptions().iter();
            let matching = subscriptions.filter(move |subscription| subscription.topic.matches(topic));
            // The manifest's checks guarantee that the job exists.
            matching.filter_map(move |subscription| {
                let kind = served.jobs().get(&subscription.job)?;
                Some((plugin, &kind.job.spec))
            })
        });
        let unavailable = self.unavailable.iter();
        let unavailable = unavailable.filter(move |subscriber| subscriber.topic.matches(topic));
        served.chain(unavailable.map(|subscriber| (&subscriber.plugin, &subscriber.job)))
    }

    /// The endpoints that get events on a topic.
    fn endpoints<'a>(&'a self, topic: &'a Topic) -> impl Iterator<Item = &'a EndpointTopics> {
        let endpoints = self.routes.endpoints.iter();
        endpoints.filter(move |endpoint| Some(endpoint.id) != self.without && endpoint.gets(topic))
    }
}

/// The subscriptions of plugins whose active version cannot be served, from their manifests. A
/// plugin whose row cannot be read has none until it can.
async fn unavailable(routes: &TenantRoutes, db: &dyn Repository) -> Result<Vec<Subscriber>, WorkError> {
    let mut subscribers = Vec::new();
    let Some(stored) = in_time(db.routed_tenant(routes.id)).await? else {
        return Ok(subscribers);
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
    Ok(subscribers)
}

/// The job of a subscriber of an event.
fn job_for(
    (tenant, plugin, kind): (TenantId, &PluginName, &JobSpec),
    event: &PublishedEvent,
    payload: &Arc<str>,
    now: Timestamp,
) -> NewJob {
    NewJob {
        id: JobId::generate(),
        tenant,
        plugin: plugin.clone(),
        name: kind.name.clone(),
        payload: payload.clone(),
        origin: JobOrigin::Event {
            event: event.event.clone(),
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
        depth: event.depth,
        traceparent: event.traceparent.clone(),
        created_at: now,
    }
}
