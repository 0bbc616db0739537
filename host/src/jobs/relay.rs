//! Relays the outboxes of tenants' databases to the job queue, exactly once.
//!
//! Each entry has a sequence in its file. One transaction of the control plane adds the jobs of
//! some entries and moves the tenant's mark to the last of them. Entries up to the mark are never
//! read again, and are deleted afterwards. A crash between any two steps therefore neither loses an
//! entry nor adds its jobs twice.
//!
//! A batch is cut by the jobs that its entries become, so that the transaction is short. After each
//! batch, the next tenant has its turn.

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
use super::tenant_queue::{Outcome, TenantQueue};
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

/// The most entries that are read at once. The engine also bounds their bytes.
const READ: u32 = 250;

/// The most jobs of one transaction. An entry becomes at most
/// [`MOST_RECEIVERS`](crate::domain::event::MOST_RECEIVERS).
const BATCH_JOBS: usize = 1_000;

/// The most bytes of payloads in one transaction, unless one entry has more.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

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

/// Entries that are relayed in one transaction.
#[derive(Default)]
struct Batch {
    /// The sequence of the last entry; `None` without entries.
    last: Option<i64>,
    /// The bytes of payloads.
    bytes: usize,
    /// The sequence of the entry of each job, and the job.
    jobs: Vec<(i64, NewJob)>,
    /// The sequence of the entry of each event for endpoints, and the event.
    events: Vec<(i64, OutgoingEvent)>,
    /// What is wrong with entries.
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
                    let (id, outcome) = match ended {
                        Ok(ended) => ended,
                        // It panicked, which is logged.
                        Err(error) => (error.id(), Outcome::Failed),
                    };
                    if let Some(tenant) = running.remove(&id) {
                        tenants.done(tenant, outcome, self.clock.monotonic());
                    }
                }
                _ = retry.tick() => tenants.add_due(self.clock.monotonic()),
                _ = all.tick() => tenants.add_others(self.all().await),
            }
        }
    }

    /// Relays the outboxes of all tenants until they are empty, batch after batch. A tenant that
    /// fails is left.
    pub async fn pass(&self) {
        let mut tenants = TenantQueue::default();
        tenants.add_dirty(self.wake.take_dirty());
        tenants.add_others(self.all().await);
        while let Some(tenant) = tenants.next() {
            let outcome = self.relay_or_later(tenant).await;
            tenants.done(tenant, outcome, self.clock.monotonic());
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

    /// Relays a batch of a tenant's outbox.
    pub(super) async fn relay_or_later(&self, tenant: TenantId) -> Outcome {
        let relayed = self.relay(tenant).await;
        if let Some(error) = self.logged_errors.news(&Some(tenant), &relayed) {
            tracing::error!(
                %tenant,
                error,
                "the outbox of a tenant is not relayed, so its jobs and events wait; the host tries again"
            );
        }
        relayed.unwrap_or(Outcome::Failed)
    }

    async fn relay(&self, tenant: TenantId) -> Result<Outcome, RelayError> {
        // The tenant's subscribers are those of now, not those of the time of the event.
        let subscribers = match Subscribers::of(tenant, &self.routing, &*self.db).await {
            Ok(subscribers) => subscribers,
            // Its entries wait until it is restored. They are part of the file that is removed when
            // it is purged.
            Err(UnknownSubscribers::TenantMissing) => return Ok(Outcome::Empty),
            Err(error) => return Err(RelayError::Subscribers(error)),
        };
        let live = &self.queue.live;
        let committed = live.committed(tenant);
        let mark = in_time(self.db.outbox_mark(tenant)).await?;
        let found = in_time(self.databases.outbox(tenant, mark.as_ref(), READ)).await?;
        let waiting = found.jobs_up_to(found.last);
        let committed = live.change_committed(tenant, |counts| counts.count_earlier(committed, waiting));
        let batch = self.batch(tenant, &found.entries, &subscribers);
        let (Some(epoch), Some(sequence)) = (found.epoch.clone(), batch.last) else {
            live.change_committed(tenant, |counts| counts.relayed(u64::MAX, committed));
            let mark = mark.filter(|mark| found.epoch.as_ref() == Some(&mark.epoch));
            self.delete_leftovers(tenant, mark).await?;
            return Ok(Outcome::Empty);
        };
        fail_point::reach("relay-read");
        let mark = OutboxMark { epoch, sequence };
        self.clean().remove(&tenant);
        let adding = self.db.relay_events(tenant, &mark, &batch.jobs, &batch.events);
        let added = in_time(adding).await?;
        fail_point::reach("relay-added");
        self.queue.note_added(tenant, &added);
        let relayed = found.jobs_up_to(sequence);
        live.change_committed(tenant, |counts| counts.relayed(relayed, committed));
        for (sequence, problem) in batch.problems {
            tracing::error!(%tenant, sequence, problem, "an entry of a tenant's outbox has a problem");
        }
        self.delete(tenant, &mark).await?;
        fail_point::reach("relay-deleted");
        Ok(Outcome::More)
    }

    /// What the first entries become: as many of them as fit into one transaction, at least one.
    fn batch(&self, tenant: TenantId, entries: &[(i64, String)], subscribers: &Subscribers) -> Batch {
        let now = self.clock.now();
        let mut batch = Batch::default();
        for (sequence, text) in entries {
            let entry = jobs_of(tenant, text, subscribers, now);
            let jobs = batch.jobs.len() + entry.jobs.len();
            let bytes = batch.bytes + entry.bytes();
            if batch.last.is_some() && (jobs > BATCH_JOBS || bytes > BATCH_BYTES) {
                break;
            }
            batch.bytes = bytes;
            batch.last = Some(*sequence);
            let jobs = entry.jobs.into_iter();
            batch.jobs.extend(jobs.map(|job| (*sequence, job)));
            let event = entry.outgoing.into_iter();
            batch.events.extend(event.map(|event| (*sequence, event)));
            let problem = entry.problem.into_iter();
            batch.problems.extend(problem.map(|problem| (*sequence, problem)));
        }
        batch
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
