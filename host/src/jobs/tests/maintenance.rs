//! Tests of the maintenance of the queue.

use super::*;
use crate::domain::host_job::HostJob;
use crate::domain::job::{AttemptOutcome, JobState};
use crate::jobs::{HostJobHandler, HostJobs};

const DAY: u64 = 24 * 60 * 60;

impl World {
    async fn add(&self, jobs: &[NewJob]) {
        self.db.add_jobs(jobs).await.unwrap();
    }

    async fn states(&self, tenant: TenantId) -> Vec<JobState> {
        self.jobs(tenant).await.iter().map(|job| job.state).collect()
    }

    async fn count(&self, tenant: TenantId, state: JobState) -> usize {
        self.states(tenant)
            .await
            .iter()
            .filter(|other| **other == state)
            .count()
    }
}

#[tokio::test]
async fn all_due_jobs_become_ready_however_many() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let later = |seconds: u64| NewJob {
        run_at: NOW.saturating_add(Duration::from_secs(seconds)),
        ..job(tenant, "sync", "")
    };
    let mut jobs: Vec<NewJob> = (0..1_200).map(|_| later(10)).collect();
    jobs.push(later(11));
    world.add(&jobs).await;
    world.maintenance.pass().await;
    assert_eq!(world.count(tenant, JobState::Scheduled).await, 1_201);
    world.advance(10);
    world.maintenance.pass().await;
    assert_eq!(world.count(tenant, JobState::Ready).await, 1_200);
    assert_eq!(world.count(tenant, JobState::Scheduled).await, 1);
}

#[tokio::test]
async fn due_jobs_of_one_key_do_not_stop_the_promotion_of_others() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let bound = crate::domain::job::Concurrency {
        limit: std::num::NonZeroU32::MIN,
        ordered: true,
    };
    let with_key = |seconds: u64, key: Option<&str>| NewJob {
        run_at: NOW.saturating_add(Duration::from_secs(seconds)),
        concurrency: key.map(|key| crate::domain::job::ConcurrencyKey {
            key: key.to_owned(),
            bound,
        }),
        ..job(tenant, "sync", "")
    };
    let mut jobs: Vec<NewJob> = (0..1_100).map(|_| with_key(5, Some("one"))).collect();
    jobs.push(with_key(6, None));
    world.add(&jobs).await;
    world.advance(10);
    world.maintenance.pass().await;
    assert_eq!(world.count(tenant, JobState::Ready).await, 2);
    assert_eq!(world.count(tenant, JobState::Blocked).await, 1_099);
}

#[tokio::test]
async fn a_lost_attempt_runs_again_until_it_was_the_last_one() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let poison = job(tenant, "sync", "kills the host");
    let id = poison.id;
    world.add(&[poison]).await;
    for attempt in 1..=3 {
        let claimed = world.claim(1).await;
        assert_eq!(claimed[0].job.attempt, attempt);
        // The lease is 70 s. One second before its end, the job is still this node's.
        world.advance(69);
        world.maintenance.pass().await;
        assert_eq!(world.states(tenant).await, [JobState::Running]);
        world.advance(2);
        world.maintenance.pass().await;
        world.advance(600);
        world.maintenance.pass().await;
        // What the lost node says now is not believed.
        world.done(&claimed[0]).await;
    }
    assert_eq!(world.states(tenant).await, [JobState::Dead]);
    let (_, attempts) = world.db.job(tenant, id).await.unwrap().unwrap();
    assert_eq!(attempts.len(), 3);
    assert!(
        attempts
            .iter()
            .all(|attempt| attempt.outcome == Some(AttemptOutcome::Lost))
    );
    assert_eq!(world.counters.totals().lost, 3);
}

#[tokio::test]
async fn held_jobs_run_as_soon_as_they_can() {
    let world = World::new().await;
    let (suspended, other) = (world.tenant().await, world.tenant().await);
    world
        .add(&[job(suspended, "sync", "1"), job(other, "sync", "2")])
        .await;
    world.suspend(suspended, true).await;
    let claimed = world.claim(10).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].job.new.tenant, other);
    world.maintenance.pass().await;
    assert_eq!(world.states(suspended).await, [JobState::Held]);
    world.suspend(suspended, false).await;
    world.maintenance.pass().await;
    assert_eq!(world.claim(10).await.len(), 1);
}

#[tokio::test]
async fn jobs_wait_for_a_version_that_has_them() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    world.add(&[job(tenant, "sync", "1")]).await;
    world.activate(tenant, "shop", "[[job]]\nname = 'report'\n").await;
    assert!(world.claim(10).await.is_empty());
    world.maintenance.pass().await;
    assert_eq!(world.states(tenant).await, [JobState::Held]);
    world.activate(tenant, "shop", SHOP).await;
    world.maintenance.pass().await;
    assert_eq!(world.claim(10).await.len(), 1);
}

#[tokio::test]
async fn jobs_of_a_deleted_plugin_are_dead_letters_and_those_of_a_deleted_tenant_wait() {
    let world = World::new().await;
    let (tenant, deleted) = (world.tenant().await, world.tenant().await);
    let later = NewJob {
        run_at: NOW.saturating_add(Duration::from_secs(60)),
        ..job(tenant, "sync", "2")
    };
    world
        .add(&[job(tenant, "sync", "1"), later, job(deleted, "sync", "3")])
        .await;
    world
        .db
        .delete_plugin(tenant, &name("shop"), &change(1))
        .await
        .unwrap();
    world.db.delete_tenant(deleted, &change(1)).await.unwrap();
    for tenant in [tenant, deleted] {
        world.serve(tenant).await;
    }
    assert!(world.claim(10).await.is_empty());
    world.maintenance.pass().await;
    world.advance(61);
    world.maintenance.pass().await;
    assert!(world.claim(10).await.is_empty());
    world.maintenance.pass().await;
    assert_eq!(world.states(tenant).await, [JobState::Dead; 2]);
    let error = world.jobs(tenant).await.remove(0).error.unwrap();
    assert!(error.contains("no plugin `shop`; restore"), "{error}");
    world.db.restore_tenant(deleted, &change(1)).await.unwrap();
    world.serve(deleted).await;
    world.maintenance.pass().await;
    assert_eq!(world.claim(10).await.len(), 1);
}

#[tokio::test]
async fn ended_jobs_are_deleted_after_their_retention_time() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    world
        .add(&[
            job(tenant, "sync", "done"),
            job(tenant, "sync", "dead"),
            job(tenant, "sync", "live"),
        ])
        .await;
    let claimed = world.claim(2).await;
    world.done(&claimed[0]).await;
    world
        .ended(
            &claimed[1],
            Ending::Dead {
                error: "no".to_owned(),
            },
        )
        .await;
    world.advance(DAY - 1);
    world.maintenance.pass().await;
    assert_eq!(world.payloads(tenant).await, ["done", "dead", "live"]);
    world.advance(2);
    world.maintenance.pass().await;
    assert_eq!(world.payloads(tenant).await, ["dead", "live"]);
    world.advance(13 * DAY);
    world.maintenance.pass().await;
    assert_eq!(world.payloads(tenant).await, ["live"]);
}

#[tokio::test]
async fn the_oldest_ended_jobs_above_the_limits_are_deleted() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let limits = TenantChange {
        limits: Some(crate::domain::limits::LimitOverrides {
            jobs_kept: Some(2),
            dead_jobs_kept: Some(1),
            ..Default::default()
        }),
        ..TenantChange::default()
    };
    let changes = |_: &_, _: &_| vec![change(1)];
    world.db.change_tenant(tenant, &limits, &changes).await.unwrap();
    world.serve(tenant).await;
    for payload in ["done 1", "dead 1", "done 2", "done 3", "dead 2"] {
        world.add(&[job(tenant, "sync", payload)]).await;
        let claimed = world.claim(1).await.remove(0);
        match payload.starts_with("done") {
            true => world.done(&claimed).await,
            false => {
                world
                    .ended(
                        &claimed,
                        Ending::Dead {
                            error: "no".to_owned(),
                        },
                    )
                    .await
            }
        }
        world.advance(1);
    }
    world.maintenance.pass().await;
    assert_eq!(world.payloads(tenant).await, ["done 2", "done 3", "dead 2"]);
}

#[tokio::test]
async fn traces_are_removed_when_their_job_is_done_or_deleted() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let jobs = ["done", "dead", "cancelled", "live"].map(|payload| job(tenant, "sync", payload));
    let [done, dead, cancelled, live] = [0, 1, 2, 3].map(|at: usize| jobs[at].id);
    world.add(&jobs).await;
    for id in [done, dead, cancelled, live] {
        world.complete(tenant, id).await;
    }
    let claimed = world.claim(2).await;
    assert_eq!(claimed[0].job.new.id, done);
    world.done(&claimed[0]).await;
    let error = "no".to_owned();
    world.ended(&claimed[1], Ending::Dead { error }).await;
    world
        .db
        .cancel_job(tenant, cancelled, NOW, &change(1))
        .await
        .unwrap();
    let left = async || {
        let mut left = world.databases.job_traces(tenant, None, 10).await.unwrap();
        left.sort();
        left
    };
    let sorted = |mut ids: Vec<JobId>| {
        ids.sort();
        ids
    };
    world.advance(3_601);
    world.maintenance.pass().await;
    assert_eq!(left().await, sorted(vec![dead, cancelled, live]));
    assert!(!world.databases.is_completed(tenant, done).await.unwrap());
    assert!(world.databases.is_completed(tenant, dead).await.unwrap());
    let filter = JobFilter {
        states: vec![JobState::Dead],
        ..JobFilter::default()
    };
    let purged = world.db.purge_jobs(tenant, &filter, 10, &change(1)).await;
    assert_eq!(purged.unwrap(), 1);
    world.maintenance.pass().await;
    assert_eq!(left().await, sorted(vec![cancelled, live]));
}

#[tokio::test]
async fn the_work_goes_on_until_it_is_stopped() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let later = NewJob {
        run_at: NOW.saturating_add(Duration::from_secs(5)),
        ..job(tenant, "sync", "")
    };
    world.add(&[later]).await;
    let stop = tokio_util::sync::CancellationToken::new();
    world.advance(5);
    let running = tokio::spawn(Arc::new(world.maintenance).run(stop.clone()));
    world.wake.for_jobs().await;
    stop.cancel();
    running.await.unwrap();
}

/// A handler that fails the first time, and remembers what it was told.
#[derive(Default)]
struct Handler {
    told: std::sync::Mutex<Vec<String>>,
    fails: std::sync::atomic::AtomicBool,
}

#[async_trait::async_trait]
impl HostJobHandler for Handler {
    async fn run(&self, _: &Job) -> Ending {
        Ending::Done
    }

    async fn gave_up(&self, job: &Job) -> Result<(), crate::storage::DbError> {
        self.told.lock().unwrap().push(job.new.payload.to_string());
        match self.fails.swap(false, std::sync::atomic::Ordering::SeqCst) {
            true => Err(crate::storage::DbError::corrupt("x", "for a test")),
            false => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_handler_of_the_hosts_jobs_is_told_until_it_succeeds() {
    let mut world = World::new().await;
    let tenant = world.tenant().await;
    let handler = Arc::new(Handler::default());
    handler.fails.store(true, std::sync::atomic::Ordering::SeqCst);
    world.maintenance.host_jobs = HostJobs::default().with(HostJob::Mail, handler.clone());
    let job = HostJob::Mail.job(tenant, "the mail".to_owned(), NOW);
    let id = job.id;
    world.add(&[job]).await;
    world.maintenance.pass().await;
    assert!(handler.told.lock().unwrap().is_empty());
    world.db.cancel_job(tenant, id, NOW, &change(1)).await.unwrap();
    for _ in 0..3 {
        world.maintenance.pass().await;
    }
    assert_eq!(*handler.told.lock().unwrap(), ["the mail", "the mail"]);
}

#[tokio::test]
async fn jobs_of_the_host_wait_only_for_their_tenant() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    world.suspend(tenant, true).await;
    let job = HostJob::Delivery.job(tenant, "the delivery".to_owned(), NOW);
    world.add(&[job]).await;
    assert!(world.claim(1).await.is_empty());
    assert_eq!(world.states(tenant).await, [JobState::Held]);
    world.maintenance.pass().await;
    assert_eq!(world.states(tenant).await, [JobState::Held]);
    world.suspend(tenant, false).await;
    world.maintenance.pass().await;
    let claimed = world.claim(1).await;
    assert_eq!(claimed.len(), 1);
    assert!(claimed[0].job.new.plugin.is_host());
}
