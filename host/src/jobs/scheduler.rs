//! Adds the jobs of schedules when they are due.
//!
//! A schedule is part of the active version: it begins with an activation or a rollback, begins
//! anew if its expression or zone changes, and ends with the version. Its state has the last time
//! that was handled, so the next time follows from the state, not from the current time. One
//! transaction adds the job of a time and records the time, so any number of schedulers add one job
//! for it.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::logged_errors::{LoggedErrors, WorkError, in_time};
use super::queue::Queue;
use super::schedule_states::{DueSchedule, ScheduleStates, Step};
use crate::capability::jobs::{JobQueue as _, QueueError};
use crate::domain::audit::Change;
use crate::domain::clock::{SharedClock, Timestamp};
use crate::domain::id::{JobId, PluginName, ScheduleName, TenantId};
use crate::domain::job::{Concurrency, ConcurrencyKey, JobOrigin, NewJob};
use crate::domain::schedule::{Overlap, ScheduleSpec, Tick, due};
use crate::domain::units::as_u64;
use crate::fail_point;
use crate::storage::{Added, DbError, DueTime, Repository, ScheduleState, Ticked};
use crate::tenants::{HoldReason, PluginRoutes, Routing, ScheduleEntry, TenantRoutes, job_hold};

/// How often schedules are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How often all stored states are read again, to see what other nodes did.
const RELOAD: Duration = Duration::from_secs(60);

/// The most times of one transaction.
const BATCH: usize = 100;

/// Adds the jobs of schedules.
pub struct Scheduler {
    db: Arc<dyn Repository>,
    routing: Arc<Routing>,
    queue: Arc<Queue>,
    clock: SharedClock,
    states: Mutex<ScheduleStates>,
    /// When the stored states were read, by the monotonic clock. Held while a pass runs.
    loaded: tokio::sync::Mutex<Option<Duration>>,
    logged_errors: LoggedErrors<&'static str>,
}

/// A schedule of an active version with its next times.
#[derive(Clone)]
pub struct UpcomingSchedule {
    /// The plugin.
    pub plugin: PluginName,
    /// The schedule.
    pub entry: Arc<ScheduleEntry>,
    /// The last time that was handled, or when the schedule began. `None` if it begins within the
    /// next second.
    pub last_due: Option<Timestamp>,
    /// The next times, in order.
    pub next: Vec<Timestamp>,
    /// Why its times add no job now.
    pub skips: Option<HoldReason>,
}

/// Why a schedule cannot be run now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunNowError {
    /// The tenant is not served.
    #[error("there is no such tenant, or its data cannot be read")]
    NoTenant,
    /// The active version of the plugin cannot be served.
    #[error("the plugin `{plugin}` cannot be served now: {reason}")]
    Unavailable {
        /// The plugin.
        plugin: PluginName,
        /// The reason.
        reason: String,
    },
    /// The active version has no such schedule.
    #[error(
        "the active version of the plugin `{plugin}` has no schedule `{schedule}`; list its schedules, or \
         activate a version that declares it"
    )]
    NoSchedule {
        /// The plugin.
        plugin: PluginName,
        /// The schedule.
        schedule: ScheduleName,
    },
    /// The queue takes no job.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl Scheduler {
    /// Creates the scheduler.
    pub fn new(
        db: Arc<dyn Repository>,
        routing: Arc<Routing>,
        queue: Arc<Queue>,
        clock: SharedClock,
    ) -> Self {
        Self {
            db,
            routing,
            queue,
            clock,
            states: Mutex::default(),
            loaded: tokio::sync::Mutex::default(),
            logged_errors: LoggedErrors::default(),
        }
    }

    /// Handles schedules until `stop` is cancelled.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = look.tick() => {}
            }
            tokio::select! {
                // A transaction is written as a whole or not at all.
                () = stop.cancelled() => return,
                () = self.pass() => {}
            }
        }
    }

    /// Follows the active versions, and handles the times that are due.
    pub async fn pass(&self) {
        let mut loaded = self.loaded.lock().await;
        let monotonic = self.clock.monotonic();
        if loaded.is_none_or(|at| monotonic.saturating_sub(at) >= RELOAD) {
            match self.load().await {
                Ok(()) => *loaded = Some(monotonic),
                // Without the states, times could be handled twice.
                Err(_) if loaded.is_none() => return,
                Err(_) => {}
            }
        }
        self.follow().await;
        self.tick().await;
    }

    async fn load(&self) -> Result<(), WorkError> {
        let stored = in_time(self.db.schedules()).await;
        if let Some(error) = self.logged_errors.news(&"load", &stored) {
            tracing::error!(
                error,
                "the states of schedules cannot be read; the host tries again"
            );
        }
        let steps = self.states().load(stored?, self.clock.now());
        for step in &steps {
            tracing::warn!(
                ?step,
                "the last time of a schedule lies in the future, so it begins anew"
            );
        }
        // If this fails, the states are still there at the next look.
        self.write(&steps).await;
        Ok(())
    }

    /// Begins and ends schedules, so that they are those of the active versions.
    async fn follow(&self) {
        let now = self.clock.now();
        let served = self.routing.all();
        for routes in &served {
            let steps = self.states().compare(routes, now);
            if self.write(&steps).await {
                self.states().agrees(routes, steps);
            }
        }
        let served: HashSet<TenantId> = served.iter().map(|routes| routes.id).collect();
        let deleted = self.states().without(&served);
        for (tenant, keys) in deleted {
            let steps: Vec<Step> = keys.into_iter().map(|key| Step::End(tenant, key)).collect();
            if self.write(&steps).await {
                self.states().forget(tenant);
            }
        }
    }

    /// Writes steps. `false` if one failed; all are tried again then, which does no harm.
    async fn write(&self, steps: &[Step]) -> bool {
        for step in steps {
            let written = match step {
                Step::Begin(state) => in_time(self.db.begin_schedule(state)).await,
                Step::End(tenant, (plugin, name)) => {
                    in_time(self.db.end_schedule(*tenant, plugin, name)).await
                }
            };
            if let Some(error) = self.logged_errors.news(&"follow", &written) {
                tracing::error!(error, "a schedule cannot begin or end; the host tries again");
            }
            if written.is_err() {
                return false;
            }
        }
        true
    }

    /// Handles the times that are due.
    async fn tick(&self) {
        let now = self.clock.now();
        let due = self.states().are_due(now);
        let mut times = Vec::new();
        for (tenant, schedules) in due {
            let Some(routes) = self.routing.tenant_by_id(tenant) else {
                continue;
            };
            for schedule in schedules {
                times.extend(self.times(&routes, schedule, now));
            }
        }
        self.handle(&times).await;
    }

    /// The times of a schedule that are due. If the tenant's backlog is full, they wait, and count
    /// as missed if they wait for long.
    fn times(&self, routes: &TenantRoutes, schedule: DueSchedule, now: Timestamp) -> Vec<DueTime> {
        let (plugin, name) = &schedule.key;
        let Some(served) = routes.plugins.get(plugin) else {
            return Vec::new();
        };
        let (spec, cron) = (&schedule.entry.spec, &schedule.entry.cron);
        let times = match job_hold(Some(routes), plugin, &spec.job) {
            None => due(cron, schedule.last_due, now, spec.catch_up),
            // They wait until the tenant can be served. If that takes long, they count as missed.
            Some(HoldReason::Unavailable(_) | HoldReason::TenantMissing | HoldReason::NoActiveVersion) => {
                return Vec::new();
            }
            // Whatever the manifest says about missed times, these are skipped.
            Some(
                HoldReason::TenantSuspended
                | HoldReason::PluginDisabled
                | HoldReason::Paused
                | HoldReason::NoSuchJob,
            ) => {
                let newest = cron.last_within(schedule.last_due, now);
                newest.map(|at| (at, Tick::Skip)).into_iter().collect()
            }
        };
        let runs = as_u64(times.iter().filter(|(_, tick)| *tick == Tick::Run).count());
        let limits = &served.active.limits;
        if runs > 0 && self.queue.has_room(routes.id, runs, limits).is_err() {
            return Vec::new();
        }
        let time = |(at, tick)| DueTime {
            state: ScheduleState {
                tenant: routes.id,
                plugin: plugin.clone(),
                name: name.clone(),
                expression: schedule.expression.clone(),
                last_due: at,
            },
            job: match tick {
                Tick::Run => job(routes.id, plugin, served, &schedule.entry, at, now),
                Tick::Skip => None,
            },
        };
        times.into_iter().map(time).collect()
    }

    /// Handles times in their order, many in one transaction. If that fails, each is handled alone,
    /// so that a schedule that fails does not stop the others.
    async fn handle(&self, times: &[DueTime]) {
        for batch in times.chunks(BATCH) {
            match self.write_times(batch).await {
                Ok(()) => {}
                // Each of them would fail as well.
                Err(WorkError::Db(DbError::Unavailable(_)) | WorkError::TimedOut) => return,
                Err(_) => self.handle_alone(batch).await,
            }
        }
    }

    async fn handle_alone(&self, times: &[DueTime]) {
        let mut failed = HashSet::new();
        for time in times {
            let schedule = (time.state.tenant, &time.state.plugin, &time.state.name);
            // The earlier times of a schedule come first.
            if !failed.contains(&schedule) && self.write_times(std::slice::from_ref(time)).await.is_err() {
                failed.insert(schedule);
            }
        }
    }

    async fn write_times(&self, times: &[DueTime]) -> Result<(), WorkError> {
        let written = in_time(self.db.handle_times(times)).await;
        if let Some(error) = self.logged_errors.news(&"tick", &written) {
            tracing::error!(
                error,
                "times of schedules cannot be handled; the host tries again"
            );
        }
        let written = written?;
        fail_point::reach("tick");
        for (DueTime { state, .. }, ticked) in times.iter().zip(written) {
            if let Ticked::Now(Some(added)) = ticked {
                self.queue.note_added(state.tenant, &[added]);
            }
            self.states().handled(state);
        }
        Ok(())
    }

    /// Adds the job of a schedule now, whatever its times are, unless a job of the schedule is live
    /// and overlapping ones are skipped.
    pub async fn run_now(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        schedule: &ScheduleName,
        change: &Change,
    ) -> Result<Added, RunNowError> {
        let routes = self.routing.tenant_by_id(tenant);
        let routes = routes.filter(|routes| routes.problem.is_none());
        let routes = routes.ok_or(RunNowError::NoTenant)?;
        if let Some(unavailable) = routes.unavailable.get(plugin) {
            return Err(RunNowError::Unavailable {
                plugin: plugin.clone(),
                reason: unavailable.reason.clone(),
            });
        }
        let missing = || RunNowError::NoSchedule {
            plugin: plugin.clone(),
            schedule: schedule.clone(),
        };
        let served = routes.plugins.get(plugin).ok_or_else(missing)?;
        let mut declared = served.schedules().iter();
        let entry = declared
            .find(|entry| entry.spec.name == *schedule)
            .ok_or_else(missing)?;
        let now = self.clock.now();
        let job = job(tenant, plugin, served, entry, now, now).ok_or_else(missing)?;
        self.queue.has_room(tenant, 1, &served.active.limits)?;
        let added = in_time(self.db.add_job(&job, change)).await;
        if let Some(error) = self.logged_errors.news(&"run now", &added) {
            tracing::error!(error, "the job of a schedule cannot be added");
        }
        let added = added.map_err(|_| QueueError::Unavailable)?;
        self.queue.note_added(tenant, &[added]);
        Ok(added)
    }

    /// The schedules of a tenant's active versions, each with its next `count` times.
    pub fn upcoming(&self, tenant: TenantId, count: usize) -> Vec<UpcomingSchedule> {
        let Some(routes) = self.routing.tenant_by_id(tenant) else {
            return Vec::new();
        };
        let now = self.clock.now();
        let states = self.states();
        let mut upcoming = Vec::new();
        for (plugin, served) in &routes.plugins {
            for entry in served.schedules() {
                let key = (plugin.clone(), entry.spec.name.clone());
                let last_due = states.get(tenant, &key).map(|known| known.last_due);
                upcoming.push(UpcomingSchedule {
                    plugin: plugin.clone(),
                    next: entry.cron.upcoming(last_due.unwrap_or(now).max(now), count),
                    last_due,
                    skips: job_hold(Some(&routes), plugin, &entry.spec.job),
                    entry: entry.clone(),
                });
            }
        }
        upcoming.sort_by(|a, b| (&a.plugin, &a.entry.spec.name).cmp(&(&b.plugin, &b.entry.spec.name)));
        upcoming
    }

    fn states(&self) -> MutexGuard<'_, ScheduleStates> {
        // Nothing panics while the lock is held.
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bound of a schedule whose kind of job has none: a job waits for the previous one.
fn one_by_one(schedule: &ScheduleSpec) -> ConcurrencyKey {
    ConcurrencyKey {
        key: schedule.key(),
        bound: Concurrency {
            limit: NonZeroU32::MIN,
            ordered: true,
        },
    }
}

/// The job of a time. `None` if the version has no such kind of job, which the checks of its
/// manifest exclude.
fn job(
    tenant: TenantId,
    plugin: &PluginName,
    served: &PluginRoutes,
    entry: &ScheduleEntry,
    due_at: Timestamp,
    now: Timestamp,
) -> Option<NewJob> {
    let schedule = &entry.spec;
    let kind = &served.jobs().get(&schedule.job)?.job.spec;
    // The bound of the kind holds for all of its jobs, whoever adds them.
    let bound = kind.concurrency.map(|bound| ConcurrencyKey {
        key: String::new(),
        bound,
    });
    let (unique_key, concurrency) = match schedule.overlap {
        Overlap::Skip => (Some(schedule.key()), bound),
        Overlap::Queue => (None, Some(bound.unwrap_or_else(|| one_by_one(schedule)))),
    };
    Some(NewJob {
        id: JobId::generate(),
        tenant,
        plugin: plugin.clone(),
        name: schedule.job.clone(),
        payload: schedule.payload.as_str().into(),
        origin: JobOrigin::Schedule {
            name: schedule.name.clone(),
            due_at,
        },
        priority: 0,
        run_at: now,
        max_attempts: kind.attempts.get(),
        backoff: kind.backoff,
        unique_key,
        concurrency,
        depth: 0,
        traceparent: None,
        created_at: now,
    })
}
