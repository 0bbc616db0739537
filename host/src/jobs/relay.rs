//! Relays the outboxes of tenants' databases to the job queue, exactly once.
//!
//! Each entry has a sequence in its file. One transaction of the control plane adds the jobs of
//! some entries and moves the tenant's mark to the last of them. Entries up to the mark are never
//! read again, and are deleted afterwards. A crash between any two steps therefore neither loses an
//! entry nor adds its jobs twice.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::events::{Subscribers, UnknownSubscribers};
use super::logged_errors::{LoggedErrors, WorkError, in_time};
use super::outbox_entry::jobs_of;
use super::queue::Queue;
use super::tenant_queue::TenantQueue;
use super::wake::Wake;
use crate::capability::database::DatabaseEngine;
use crate::domain::clock::SharedClock;
use crate::domain::id::TenantId;
use crate::domain::job::NewJob;
use crate::domain::outbox::OutboxMark;
use crate::domain::webhook_out::OutgoingEvent;
use crate::fail_point;
use crate::storage::Repository;
use crate::tenants::Routing;

/// How often all tenants that may have entries are looked at, if a wake-up was lost.
const ALL: Duration = Duration::from_secs(60);

/// How often tenants that failed are looked for.
const RETRY: Duration = Duration::from_secs(1);

/// The most entries of one transaction. The engine also bounds their bytes.
const BATCH: u32 = 250;

/// The most tenants at once.
const AT_ONCE: usize = 8;

/// Relays outboxes.
pub struct Relay {
    db: Arc<dyn Repository>,
    databases: Arc<dyn DatabaseEngine>,
    routing: Arc<Routing>,
    queue: Arc<Queue>,
    wake: Arc<Wake>,
    clock: SharedClock,
    logged_errors: LoggedErrors<Option<TenantId>>,
    /// Tenants whose relayed entries this process has deleted. Others may have some left from a
    /// crash.
    clean: Mutex<HashSet<TenantId>>,
}

/// Entries that were read.
#[derive(Default)]
struct Read {
    /// The sequence of the entry of each job, and the job.
    jobs: Vec<(i64, NewJob)>,
    /// The sequence of the entry of each event for endpoints, and the event.
    events: Vec<(i64, OutgoingEvent)>,
    /// Entries that cannot be used, and why.
    problems: Vec<(i64, String)>,
}

/// Why the outbox of a tenant was not relayed. The host tries again.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error(transparent)]
    Work(#[from] WorkError),
    #[error(transparent)]
    Subscribers(UnknownSubscribers),
}

impl Relay {
    /// Creates the relay.
    pub fn new(
        db: Arc<dyn Repository>,
        databases: Arc<dyn DatabaseEngine>,
        routing: Arc<Routing>,
        queue: Arc<Queue>,
        wake: Arc<Wake>,
        clock: SharedClock,
    ) -> Self {
        Self {
            db,
            databases,
            routing,
            queue,
            wake,
            clock,
            logged_errors: LoggedErrors::default(),
            clean: Mutex::default(),
        }
    }

    /// Relays until `stop` is cancelled. What is cut off then is relayed after the next start.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let (mut all, mut retry) = (interval(ALL), interval(RETRY));
        all.set_missed_tick_behavior(MissedTickBehavior::Delay);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tenants = TenantQueue::default();
        let mut tasks = JoinSet::new();
        let mut running: HashMap<Id, TenantId> = HashMap::new();
        loop {
            while tasks.len() < AT_ONCE
                && let Some(tenant) = tenants.next()
            {
                let this = self.clone();
                let task = tasks.spawn(async move { this.relay_or_later(tenant).await });
                running.insert(task.id(), tenant);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.for_outbox() => tenants.add_dirty(self.wake.take_dirty()),
                Some(ended) = tasks.join_next_with_id() => {
                    let (id, succeeded) = match ended {
                        Ok(ended) => ended,
                        // It panicked, which is logged.
                        Err(error) => (error.id(), false),
                    };
                    if let Some(tenant) = running.remove(&id) {
                        tenants.done(tenant, succeeded, self.clock.monotonic());
                    }
                }
                _ = retry.tick() => tenants.add_due(self.clock.monotonic()),
                _ = all.tick() => tenants.add_others(self.all().await),
            }
        }
    }

    /// Relays the outboxes of all tenants once, one after the other.
    pub async fn pass(&self) {
        let mut tenants = TenantQueue::default();
        tenants.add_dirty(self.wake.take_dirty());
        tenants.add_others(self.all().await);
        while let Some(tenant) = tenants.next() {
            self.relay_or_later(tenant).await;
        }
    }

    /// The tenants that may have entries.
    async fn all(&self) -> Vec<TenantId> {
        let tenants = in_time(self.db.tenants_with_outbox()).await;
        if let Some(error) = self.logged_errors.news(&None, &tenants) {
            tracing::error!(
                error,
                "the tenants with outboxes cannot be listed; the host tries again"
            );
        }
        tenants.unwrap_or_default()
    }

    /// Relays the outbox of a tenant. `false` if that failed and has to be tried again.
    async fn relay_or_later(&self, tenant: TenantId) -> bool {
        let relayed = self.relay(tenant).await;
        if let Some(error) = self.logged_errors.news(&Some(tenant), &relayed) {
            tracing::error!(
                %tenant,
                error,
                "the outbox of a tenant is not relayed, so its jobs and events wait; the host tries again"
            );
        }
        relayed.is_ok()
    }

    async fn relay(&self, tenant: TenantId) -> Result<(), RelayError> {
        loop {
            // The tenant's subscribers are those of now, not those of the time of the event.
            let subscribers = match Subscribers::of(tenant, &self.routing, &*self.db).await {
                Ok(subscribers) => subscribers,
                // Its entries wait until it is restored. They are part of the file that is removed
                // when it is purged.
                Err(UnknownSubscribers::TenantMissing) => return Ok(()),
                Err(error) => return Err(RelayError::Subscribers(error)),
            };
            let mark = in_time(self.db.outbox_mark(tenant)).await?;
            let batch = in_time(self.databases.outbox(tenant, mark.as_ref(), BATCH)).await?;
            let Some(epoch) = batch.epoch else { return Ok(()) };
            let Some(sequence) = batch.entries.last().map(|(sequence, _)| *sequence) else {
                return self
                    .delete_leftovers(tenant, mark.filter(|mark| mark.epoch == epoch))
                    .await;
            };
            fail_point::reach("relay-read");
            let mark = OutboxMark { epoch, sequence };
            let read = self.read(tenant, &batch.entries, &subscribers);
            self.clean().remove(&tenant);
            let adding = self.db.relay_events(tenant, &mark, &read.jobs, &read.events);
            let added = in_time(adding).await?;
            fail_point::reach("relay-added");
            self.queue.note_added(tenant, &added);
            for (sequence, problem) in read.problems {
                tracing::error!(
                    %tenant,
                    sequence,
                    problem,
                    "an entry of a tenant's outbox cannot be used; it is kept as a job that does not run"
                );
            }
            self.delete(tenant, &mark).await?;
            fail_point::reach("relay-deleted");
        }
    }

    fn read(&self, tenant: TenantId, entries: &[(i64, String)], subscribers: &Subscribers) -> Read {
        let now = self.clock.now();
        let mut all = Read::default();
        for (sequence, text) in entries {
            let entry = jobs_of(tenant, text, subscribers, now);
            all.jobs
                .extend(entry.jobs.into_iter().map(|job| (*sequence, job)));
            all.events.extend(entry.outgoing.map(|event| (*sequence, event)));
            all.problems
                .extend(entry.problem.map(|problem| (*sequence, problem)));
        }
        all
    }

    /// Deletes relayed entries that are left from a crash.
    async fn delete_leftovers(&self, tenant: TenantId, mark: Option<OutboxMark>) -> Result<(), RelayError> {
        let is_clean = self.clean().contains(&tenant);
        match mark.filter(|mark| mark.sequence > 0 && !is_clean) {
            Some(mark) => self.delete(tenant, &mark).await,
            None => Ok(()),
        }
    }

    async fn delete(&self, tenant: TenantId, mark: &OutboxMark) -> Result<(), RelayError> {
        in_time(self.databases.outbox_relayed(tenant, mark)).await?;
        self.clean().insert(tenant);
        Ok(())
    }

    fn clean(&self) -> MutexGuard<'_, HashSet<TenantId>> {
        // Nothing panics while the lock is held.
        self.clean.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
