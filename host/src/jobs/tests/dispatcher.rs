//! Tests of the dispatcher on the real queue, with a runner that does what the payload of a job
//! says.

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::domain::clock::{Clock as _, ManualClock, SharedClock, Timestamp};
use crate::domain::id::{InvocationId, JobId, JobName, PluginName, TenantId};
use crate::domain::job::{Attempt, AttemptOutcome, ClaimedJob, Ending, Job, JobState, NewJob};
use crate::jobs::acknowledge::Acknowledger;
use crate::jobs::counters::Counters;
use crate::jobs::dispatcher::Dispatcher;
use crate::jobs::logged_errors::LoggedErrors;
use crate::jobs::recover::recover;
use crate::jobs::runner::Runner;
use crate::jobs::slots::Slots;
use crate::jobs::testing::new_job;
use crate::jobs::wake::Wake;
use crate::storage::conformance::{change, tenant};
use crate::storage::sqlite::SqliteRepository;
use crate::storage::{Cancelled, ClaimPolicy, Repository};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const LEASE: Duration = Duration::from_secs(70);

/// Runs jobs by their payloads: `done`, `retry`, `stale`, `panic`, `wait` for a permit, `hang`.
struct FakeRunner {
    permits: Semaphore,
    /// A permit for each attempt that has started.
    started: Semaphore,
    /// The jobs that count as completed in a transaction.
    completed: Mutex<Vec<JobId>>,
}

#[async_trait]
impl Runner for FakeRunner {
    async fn run(&self, claimed: &ClaimedJob, invocation: &OnceLock<InvocationId>) -> Option<Ending> {
        let job = &claimed.job;
        if &*job.new.payload == "stale" {
            return None;
        }
        invocation.set(InvocationId::generate()).unwrap();
        self.started.add_permits(1);
        match &*job.new.payload {
            "done" => Some(Ending::Done),
            "retry" => Some(Ending::Retry {
                at: NOW.saturating_add(Duration::from_secs(5) * job.attempt),
                error: "erp is down".to_owned(),
            }),
            "panic" => std::panic::resume_unwind(Box::new("a fault of the host")),
            "wait" => {
                self.permits.acquire().await.unwrap().forget();
                Some(Ending::Done)
            }
            _ => pending().await,
        }
    }

    async fn has_completed(&self, job: &Job) -> bool {
        self.completed.lock().unwrap().contains(&job.new.id)
    }
}

/// Two jobs for each tenant and round, and at most three at once.
struct FixedPolicy;

impl ClaimPolicy for FixedPolicy {
    fn quota(&self, _: TenantId, running: u32, _: u32) -> u32 {
        2.min(3_u32.saturating_sub(running))
    }

    fn lease(&self, _: TenantId, _: &PluginName, _: &JobName) -> Option<Duration> {
        Some(LEASE)
    }
}

/// A node with its dispatcher.
struct Node {
    db: Arc<dyn Repository>,
    clock: Arc<ManualClock>,
    runner: Arc<FakeRunner>,
    slots: Arc<Slots>,
    counters: Arc<Counters>,
    dispatcher: Arc<Dispatcher>,
    acme: TenantId,
    folder: Arc<tempfile::TempDir>,
}

impl Node {
    async fn new(slots: u32) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let db: Arc<dyn Repository> = Arc::new(SqliteRepository::open(folder.path()).await.unwrap());
        let acme = tenant(&*db, "acme").await.id;
        Self::of("a", db, Arc::new(ManualClock::new(NOW)), acme, folder, slots)
    }

    /// Another node with the same queue.
    fn other(&self, name: &str) -> Self {
        let (db, clock, folder) = (self.db.clone(), self.clock.clone(), self.folder.clone());
        Self::of(name, db, clock, self.acme, folder, self.slots.total())
    }

    fn of(
        name: &str,
        db: Arc<dyn Repository>,
        clock: Arc<ManualClock>,
        acme: TenantId,
        folder: Arc<tempfile::TempDir>,
        slots: u32,
    ) -> Self {
        let runner = Arc::new(FakeRunner {
            permits: Semaphore::new(0),
            started: Semaphore::new(0),
            completed: Mutex::default(),
        });
        let (slots, counters) = (Slots::new(slots), Arc::<Counters>::default());
        let (acknowledger, _) = Acknowledger::start(db.clone(), counters.clone());
        let shared: SharedClock = clock.clone();
        let dispatcher = Dispatcher {
            db: db.clone(),
            runner: runner.clone(),
            policy: Arc::new(FixedPolicy),
            clock: shared,
            wake: Arc::new(Wake::default()),
            slots: slots.clone(),
            acknowledger,
            node: name.to_owned(),
            background: Handle::current(),
            draining: CancellationToken::new(),
            claims: tokio::sync::Mutex::default(),
            claimed: AtomicU64::new(0),
            running: Mutex::new(HashMap::new()),
            logged_errors: LoggedErrors::default(),
        };
        Self {
            db,
            clock,
            runner,
            slots,
            counters,
            dispatcher: Arc::new(dispatcher),
            acme,
            folder,
        }
    }

    /// Adds jobs of acme with these payloads.
    async fn add(&self, payloads: &[&str]) -> Vec<JobId> {
        self.add_of(self.acme, payloads).await
    }

    async fn add_of(&self, tenant: TenantId, payloads: &[&str]) -> Vec<JobId> {
        let job = |payload: &&str| NewJob {
            payload: (*payload).into(),
            run_at: NOW,
            created_at: NOW,
            max_attempts: 3,
            ..new_job(tenant, "sync-erp")
        };
        let jobs: Vec<NewJob> = payloads.iter().map(job).collect();
        self.db.add_jobs(&jobs).await.unwrap();
        jobs.into_iter().map(|job| job.id).collect()
    }

    async fn job(&self, id: JobId) -> (Job, Vec<Attempt>) {
        self.db.job(self.acme, id).await.unwrap().unwrap()
    }

    async fn state(&self, id: JobId) -> JobState {
        self.job(id).await.0.state
    }

    async fn claim(&self) -> u64 {
        self.dispatcher.claim_or_later().await
    }
}

#[tokio::test]
async fn a_job_is_claimed_run_and_done() {
    let node = Node::new(4).await;
    let ids = node.add(&["done", "done", "done"]).await;
    node.dispatcher.until_idle().await;
    for id in ids {
        let (job, attempts) = node.job(id).await;
        assert_eq!((job.state, job.attempt), (JobState::Done, 1));
        assert_eq!(attempts[0].node, "a");
        assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Done));
        assert!(attempts[0].invocation.is_some());
    }
    assert_eq!(node.counters.totals().done, 3);
    assert_eq!(node.slots.in_use(), 0);
}

#[tokio::test]
async fn no_more_jobs_are_claimed_than_slots_are_free() {
    let node = Node::new(2).await;
    node.add(&["wait", "wait", "wait"]).await;
    assert_eq!(node.claim().await, 2);
    assert_eq!((node.slots.free(), node.claim().await), (0, 0));
    node.runner.permits.add_permits(1);
    node.slots.freed().await;
    assert_eq!(node.claim().await, 1);
    node.runner.permits.add_permits(2);
    node.slots.all_free().await;
    assert_eq!(node.counters.totals().done, 3);
}

#[tokio::test]
async fn a_tenant_with_many_jobs_leaves_slots_to_others() {
    let node = Node::new(4).await;
    node.add(&["wait"; 20]).await;
    let other = tenant(&*node.db, "other").await.id;
    let ids = node.add_of(other, &["wait"]).await;
    assert_eq!(node.claim().await, 4);
    let (job, _) = node.db.job(other, ids[0]).await.unwrap().unwrap();
    assert_eq!(job.state, JobState::Running);
}

#[tokio::test]
async fn a_failed_job_runs_again_when_its_back_off_is_over() {
    let node = Node::new(1).await;
    let id = node.add(&["retry"]).await[0];
    node.dispatcher.until_idle().await;
    let (job, attempts) = node.job(id).await;
    assert_eq!(job.state, JobState::Scheduled);
    assert_eq!(job.error.as_deref(), Some("erp is down"));
    assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Retry));
    for attempt in 2..=3 {
        node.clock.advance(Duration::from_secs(5));
        node.db.promote_jobs(node.clock.now(), 9).await.unwrap();
        node.dispatcher.until_idle().await;
        assert_eq!(node.job(id).await.0.attempt, attempt);
    }
    assert_eq!(node.state(id).await, JobState::Dead);
    let totals = node.counters.totals();
    assert_eq!((totals.retried, totals.dead), (2, 1));
}

#[tokio::test]
async fn a_worker_that_wakes_up_after_its_lease_changes_nothing() {
    let node = Node::new(1).await;
    let id = node.add(&["wait"]).await[0];
    assert_eq!(node.claim().await, 1);
    node.clock.advance(LEASE + Duration::from_secs(1));
    let now = node.clock.now();
    assert_eq!(node.db.reap_jobs(now, 9).await.unwrap().len(), 1);
    node.clock.advance(Duration::from_secs(60));
    let now = node.clock.now();
    node.db.promote_jobs(now, 9).await.unwrap();
    let other = node.other("b");
    assert_eq!(other.claim().await, 1);
    node.runner.permits.add_permits(1);
    node.slots.all_free().await;
    assert_eq!(
        (node.counters.totals().stale, node.counters.totals().done),
        (1, 0)
    );
    assert_eq!(node.state(id).await, JobState::Running);
    other.runner.permits.add_permits(1);
    other.slots.all_free().await;
    let (job, attempts) = node.job(id).await;
    assert_eq!((job.state, job.attempt), (JobState::Done, 2));
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome).collect();
    assert!(outcomes.contains(&Some(AttemptOutcome::Lost)), "{outcomes:?}");
    assert!(outcomes.contains(&Some(AttemptOutcome::Done)), "{outcomes:?}");
}

#[tokio::test]
async fn a_stale_claim_frees_its_slot_without_an_acknowledgement() {
    let node = Node::new(1).await;
    let id = node.add(&["stale"]).await[0];
    assert_eq!(node.claim().await, 1);
    node.slots.all_free().await;
    assert_eq!(node.state(id).await, JobState::Running);
    assert_eq!(node.counters.totals().stale, 0);
}

#[tokio::test]
async fn a_running_job_is_cancelled() {
    let node = Node::new(2).await;
    let ids = node.add(&["hang", "hang"]).await;
    assert_eq!(node.claim().await, 2);
    node.runner.completed.lock().unwrap().push(ids[1]);
    node.runner.started.acquire_many(2).await.unwrap().forget();
    for id in &ids {
        let cancelled = node.db.cancel_job(node.acme, *id, NOW, &change(1)).await.unwrap();
        assert_eq!(cancelled, Some(Cancelled::Requested));
    }
    // Another node does not stop them.
    node.other("b").dispatcher.cancel_requested().await;
    node.dispatcher.cancel_requested().await;
    node.slots.all_free().await;
    assert_eq!(node.state(ids[0]).await, JobState::Cancelled);
    // Its transaction was committed before.
    assert_eq!(node.state(ids[1]).await, JobState::Done);
}

#[tokio::test]
async fn a_host_that_stops_waits_for_its_jobs() {
    let node = Node::new(1).await;
    let id = node.add(&["wait"]).await[0];
    assert_eq!(node.claim().await, 1);
    node.runner.permits.add_permits(1);
    node.dispatcher.drain(Duration::from_secs(60)).await;
    assert_eq!(node.state(id).await, JobState::Done);
    node.add(&["done"]).await;
    assert_eq!(node.claim().await, 0);
}

#[tokio::test]
async fn a_job_that_runs_too_long_when_the_host_stops_runs_again_at_once() {
    let node = Node::new(1).await;
    let id = node.add(&["hang"]).await[0];
    assert_eq!(node.claim().await, 1);
    node.dispatcher.drain(Duration::ZERO).await;
    let (job, attempts) = node.job(id).await;
    assert_eq!((job.state, job.attempt), (JobState::Ready, 1));
    assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Retry));
    assert_eq!(node.other("b").claim().await, 1);
}

#[tokio::test]
async fn a_fault_of_the_host_is_a_failed_attempt() {
    let node = Node::new(1).await;
    let id = node.add(&["panic"]).await[0];
    node.dispatcher.until_idle().await;
    let (job, _) = node.job(id).await;
    assert_eq!(job.state, JobState::Scheduled);
    assert!(job.error.unwrap().starts_with("the host failed"));
}

#[tokio::test]
async fn what_ran_before_a_restart_runs_again_without_waiting_for_its_lease() {
    let node = Node::new(1).await;
    let ids = node.add(&["hang", "hang"]).await;
    assert_eq!(node.claim().await, 1);
    let other = node.other("b");
    assert_eq!(other.claim().await, 1);
    // The process of node a ends here, and a new one starts.
    let counters = Counters::default();
    recover(&*node.db, "a", &*node.clock, &counters).await;
    let mut states = Vec::new();
    for id in ids {
        states.push(node.state(id).await);
    }
    states.sort_unstable_by_key(|state| state.as_str());
    assert_eq!(states, [JobState::Running, JobState::Scheduled]);
    assert_eq!(counters.totals().lost, 1);
}
