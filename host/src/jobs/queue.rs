//! The job queue as host calls use it: adds jobs, publishes events and bounds backlogs.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Handle;

use super::counters::Counters;
use super::events::{Subscribers, UnknownSubscribers};
use super::group_commit::{GroupCommit, count_new};
use super::live_counts::{LiveCounts, Reserved};
use super::logged_errors::{LoggedErrors, WorkError, in_time};
use super::outbox_room::Room;
use super::wake::Wake;
use crate::capability::database::{DatabaseError, OutboxMarks, OutboxRoom};
use crate::capability::jobs::{JobQueue, PublishError, QueueError};
use crate::domain::clock::SharedClock;
use crate::domain::event::Topic;
use crate::domain::id::{EndpointId, JobId, TenantId};
use crate::domain::job::NewJob;
use crate::domain::limits::Limits;
use crate::domain::outbox::{OutboxMark, PublishedEvent};
use crate::domain::units::as_u64;
use crate::domain::webhook_out::FanOut;
use crate::storage::{Added, Repository};
use crate::tenants::Routing;

/// The job queue of this node.
pub struct Queue {
    pub(super) db: Arc<dyn Repository>,
    pub(super) routing: Arc<Routing>,
    wake: Arc<Wake>,
    pub(super) clock: SharedClock,
    counters: Arc<Counters>,
    commits: Arc<GroupCommit>,
    /// Where events for endpoints are committed.
    runtime: Handle,
    pub(super) live: Arc<LiveCounts>,
    pub(super) logged_errors: LoggedErrors<&'static str>,
}

impl Queue {
    /// Creates the queue. Jobs are committed on the current tokio runtime.
    pub fn new(
        db: Arc<dyn Repository>,
        routing: Arc<Routing>,
        wake: Arc<Wake>,
        counters: Arc<Counters>,
        clock: SharedClock,
    ) -> Self {
        Self {
            commits: GroupCommit::new(db.clone(), wake.clone(), counters.clone()),
            runtime: Handle::current(),
            counters,
            db,
            routing,
            wake,
            clock,
            live: Arc::default(),
            logged_errors: LoggedErrors::default(),
        }
    }

    /// Adds jobs for which there is room, all of them or none. Returns the results in the order of
    /// `jobs`, once they are durable.
    async fn add_reserved(
        &self,
        jobs: Vec<NewJob>,
        reserved: Reserved<'_>,
    ) -> Result<Vec<Added>, QueueError> {
        let added = self.commits.add(jobs).await?;
        reserved.are_added(as_u64(count_new(&added)));
        Ok(added)
    }

    /// Counts jobs of a tenant that something else than this queue added, and wakes the dispatcher.
    pub fn note_added(&self, tenant: TenantId, added: &[Added]) {
        let new = as_u64(count_new(added));
        if new > 0 {
            self.live.added(tenant, new);
            self.counters.enqueued(new);
            self.wake.jobs_added();
        }
    }

    /// Adds what an event became. It is added as a whole although the caller may stop waiting.
    async fn add_fan_out(
        &self,
        tenant: TenantId,
        fan_out: FanOut,
        reserved: Reserved<'_>,
    ) -> Result<(), QueueError> {
        let (db, wake, counters) = (self.db.clone(), self.wake.clone(), self.counters.clone());
        let adding = self.runtime.spawn(async move {
            let added = in_time(db.add_fan_out(tenant, &fan_out)).await?;
            let new = as_u64(count_new(&added));
            counters.enqueued(new);
            wake.jobs_added();
            Ok::<_, WorkError>(new)
        });
        let Ok(added) = adding.await else {
            // It panicked, which is logged.
            return Err(QueueError::Unavailable);
        };
        if let Some(error) = self.logged_errors.news(&"publish-outgoing", &added) {
            tracing::error!(
                error,
                "events for endpoints cannot be added; plugins get `unavailable`"
            );
        }
        reserved.are_added(added.map_err(|_| QueueError::Unavailable)?);
        Ok(())
    }

    /// The subscribers of a tenant's events.
    async fn subscribers(&self, tenant: TenantId) -> Result<Subscribers, QueueError> {
        let subscribers = match Subscribers::of(tenant, &self.routing, &*self.db).await {
            Err(UnknownSubscribers::TenantMissing) => return Err(QueueError::Unavailable),
            Err(UnknownSubscribers::Work(error)) => Err(error),
            Ok(subscribers) => Ok(subscribers),
        };
        if let Some(error) = self.logged_errors.news(&"publish", &subscribers) {
            tracing::error!(
                error,
                "the subscribers of an event cannot be read; plugins get `unavailable`"
            );
        }
        subscribers.map_err(|_| QueueError::Unavailable)
    }

    /// What an event of the host becomes. The endpoint that it is about does not get it.
    pub async fn fan_out_without(
        &self,
        tenant: TenantId,
        event: &PublishedEvent,
        endpoint: EndpointId,
    ) -> Result<FanOut, QueueError> {
        let subscribers = Subscribers::of(tenant, &self.routing, &*self.db).await;
        let subscribers = subscribers.map_err(|_| QueueError::Unavailable)?;
        Ok(subscribers
            .without(endpoint)
            .fan_out(tenant, event, self.clock.now()))
    }

    /// Reads the counters of all tenants. Call it each second.
    pub(super) async fn read_counts(&self) -> Result<(), WorkError> {
        self.live.reading();
        let counts = in_time(self.db.job_counts()).await?;
        self.live
            .read(counts.into_iter().map(|(tenant, counts)| (tenant, counts.live)));
        Ok(())
    }

    /// Turns an error of the control plane into one for a plugin.
    fn or_unavailable<T>(
        &self,
        kind: &'static str,
        result: Result<T, WorkError>,
    ) -> Result<T, DatabaseError> {
        if let Some(error) = self.logged_errors.news(&kind, &result) {
            tracing::error!(
                error,
                "the marks of outboxes cannot be used ({kind}); transactions that add jobs or events fail \
                 with `unavailable`"
            );
        }
        result.map_err(|_| {
            let message = "the host cannot read or write how far the outbox was relayed; try again";
            DatabaseError::Unavailable(message.to_owned())
        })
    }
}

#[async_trait]
impl OutboxMarks for Queue {
    async fn mark(&self, tenant: TenantId) -> Result<Option<OutboxMark>, DatabaseError> {
        let mark = in_time(self.db.outbox_mark(tenant)).await;
        self.or_unavailable("reading a mark", mark)
    }

    async fn set_epoch(&self, tenant: TenantId, epoch: &str) -> Result<(), DatabaseError> {
        let set = in_time(self.db.set_outbox_epoch(tenant, epoch)).await;
        self.or_unavailable("recording an epoch", set)
    }
}

#[async_trait]
impl JobQueue for Queue {
    async fn add(&self, job: NewJob, limits: &Limits) -> Result<JobId, QueueError> {
        let reserved = self.live.reserve(job.tenant, 1, limits.job_backlog.into())?;
        let added = self.add_reserved(vec![job], reserved).await?;
        match added.first() {
            Some(Added::New(id) | Added::Exists(id)) => Ok(*id),
            None => Err(QueueError::Unavailable),
        }
    }

    async fn publish(
        &self,
        tenant: TenantId,
        event: PublishedEvent,
        limits: &Limits,
    ) -> Result<(), PublishError> {
        let subscribers = self.subscribers(tenant).await?;
        let receivers = subscribers.count(&event.event.topic)?;
        if receivers == 0 {
            return Ok(());
        }
        let limit = u64::from(limits.job_backlog);
        let reserved = self.live.reserve(tenant, receivers, limit)?;
        let fan_out = subscribers.fan_out(tenant, &event, self.clock.now());
        match fan_out.outgoing.is_some() {
            true => self.add_fan_out(tenant, fan_out, reserved).await?,
            false => drop(self.add_reserved(fan_out.jobs, reserved).await?),
        }
        Ok(())
    }

    async fn receivers(&self, tenant: TenantId, topic: &Topic) -> Result<u64, PublishError> {
        self.subscribers(tenant).await?.count(topic)
    }

    fn has_room(&self, tenant: TenantId, more: u64, limits: &Limits) -> Result<(), QueueError> {
        self.live.check(tenant, more, u64::from(limits.job_backlog))
    }

    fn reserve(
        &self,
        tenant: TenantId,
        jobs: u64,
        limits: &Limits,
    ) -> Result<Box<dyn OutboxRoom>, QueueError> {
        let room = Room::reserve(self.live.clone(), tenant, jobs, limits.job_backlog.into())?;
        Ok(Box::new(room))
    }

    fn outbox_written(&self, tenant: TenantId) {
        self.wake.outbox_written(tenant);
    }
}
