//! Tests of schedules: once for each time, whatever happens to the version, the tenant, the clock
//! and the host.

use super::*;
use crate::capability::jobs::QueueError;
use crate::domain::job::{Concurrency, ConcurrencyKey, JobState};
use crate::jobs::RunNowError;
use crate::storage::Added;
use crate::tenants::HoldReason;

const HOUR: u64 = 3_600;

impl World {
    /// A pass of the scheduler after so many seconds. Returns the times that got a job since the
    /// last call, and lets these jobs end.
    async fn after(&self, tenant: TenantId, seconds: u64) -> Vec<String> {
        self.advance(seconds);
        self.scheduler.pass().await;
        self.ran(tenant).await
    }

    /// The times of the live jobs of schedules, which end.
    async fn ran(&self, tenant: TenantId) -> Vec<String> {
        let mut times = Vec::new();
        for job in self.jobs(tenant).await {
            if job.state.is_live()
                && let JobOrigin::Schedule { due_at, .. } = &job.new.origin
            {
                times.push(due_at.to_string()[5..16].to_owned());
                assert!(
                    self.db
                        .cancel_job(tenant, job.new.id, NOW, &change(1))
                        .await
                        .unwrap()
                        .is_some()
                );
            }
        }
        times
    }

    fn upcoming(&self, tenant: TenantId) -> Vec<String> {
        let schedules = self.scheduler.upcoming(tenant, 2).into_iter();
        let shown = schedules.map(|upcoming| {
            let next = upcoming
                .next
                .iter()
                .map(|time| time.to_string()[5..16].to_owned());
            let next = next.collect::<Vec<_>>().join(", ");
            format!("{}/{}: {next}", upcoming.plugin, upcoming.entry.spec.name)
        });
        shown.collect()
    }
}

fn schedule(cron: &str, more: &str) -> String {
    format!("[[job]]\nname = 'report'\n[[schedule]]\nname = 's'\njob = 'report'\ncron = '{cron}'\n{more}\n")
}

/// A host with a tenant whose only schedule is this one.
async fn with_schedule(cron: &str, more: &str) -> (World, TenantId) {
    let world = World::new().await;
    let tenant = conformance::tenant(&*world.db, "acme").await.id;
    world.activate(tenant, "shop", &schedule(cron, more)).await;
    world.scheduler.pass().await;
    (world, tenant)
}

#[tokio::test]
async fn each_time_adds_one_job_with_what_the_manifest_says() {
    let (world, tenant) = with_schedule("0 * * * *", "payload = '{\"a\":1}'").await;
    assert!(world.after(tenant, HOUR - 1).await.is_empty());
    world.advance(1);
    world.scheduler.pass().await;
    world.scheduler.pass().await;
    let jobs = world.jobs(tenant).await;
    assert_eq!(jobs.len(), 1);
    let new = &jobs[0].new;
    assert_eq!((new.plugin.as_str(), new.name.as_str()), ("shop", "report"));
    assert_eq!(&*new.payload, "{\"a\":1}");
    assert_eq!(new.depth, 0);
    let due_at = NOW.saturating_add(Duration::from_secs(HOUR));
    let origin = JobOrigin::Schedule {
        name: name("s"),
        due_at,
    };
    assert_eq!(new.origin, origin);
    assert_eq!(jobs[0].state, JobState::Ready);
    assert_eq!(world.upcoming(tenant), ["shop/s: 03-01T02:00, 03-01T03:00"]);
}

#[tokio::test]
async fn two_schedulers_on_one_repository_add_one_job_for_each_time() {
    let (world, tenant) = with_schedule("0 * * * *", "").await;
    let other = Scheduler::new(
        world.db.clone(),
        world.routing.clone(),
        world.queue.clone(),
        world.clock.clone(),
    );
    other.pass().await;
    for hour in 1..=5 {
        world.advance(HOUR);
        tokio::join!(world.scheduler.pass(), other.pass());
        assert_eq!(world.ran(tenant).await, [format!("03-01T0{hour}:00")]);
    }
    // One of them alone goes on, and the other one repeats nothing.
    assert_eq!(world.after(tenant, HOUR).await, ["03-01T06:00"]);
    other.pass().await;
    assert!(world.ran(tenant).await.is_empty());
}

#[tokio::test]
async fn three_hours_without_a_host_are_caught_up_as_the_manifest_says() {
    for (catch_up, expected) in [
        ("'skip'", vec![]),
        ("'once'", vec!["03-01T03:00"]),
        ("{ all = 2 }", vec!["03-01T02:00", "03-01T03:00"]),
    ] {
        let more = format!("catch_up = {catch_up}\noverlap = 'queue'");
        let (world, tenant) = with_schedule("0 * * * *", &more).await;
        let world = world.restarted().await;
        assert_eq!(world.after(tenant, 3 * HOUR + 61).await, expected, "{catch_up}");
        assert!(world.after(tenant, 1).await.is_empty(), "{catch_up}");
        assert_eq!(
            world.after(tenant, HOUR - 62).await,
            ["03-01T04:00"],
            "{catch_up}"
        );
    }
}

#[tokio::test]
async fn a_plugin_that_is_being_prepared_at_the_start_keeps_its_times() {
    let (world, tenant) = with_schedule("0 * * * *", "catch_up = 'once'").await;
    let world = world.restarted().await;
    world.serve_without(tenant, "shop").await;
    assert!(world.after(tenant, 3 * HOUR).await.is_empty());
    assert!(world.after(tenant, 120).await.is_empty());
    world.serve(tenant).await;
    assert_eq!(world.after(tenant, 1).await, ["03-01T03:00"]);
}

#[tokio::test]
async fn a_schedule_follows_activation_and_rollback() {
    let (world, tenant) = with_schedule("0 * * * *", "").await;
    let first = world.upload(tenant, "shop", &schedule("0 * * * *", "")).await;
    // Another payload is no other schedule.
    world
        .activate(tenant, "shop", &schedule("0 * * * *", "payload = '2'"))
        .await;
    assert_eq!(world.after(tenant, HOUR).await, ["03-01T01:00"]);
    // Another expression or zone begins anew: half past one has passed without a job.
    world.advance(HOUR / 2 - 5);
    world.activate(tenant, "shop", &schedule("30 * * * *", "")).await;
    world.advance(10);
    world.scheduler.pass().await;
    assert!(world.ran(tenant).await.is_empty());
    assert_eq!(world.after(tenant, HOUR - 5).await, ["03-01T02:30"]);
    // A version without it ends it.
    world.activate(tenant, "shop", "[[job]]\nname = 'report'\n").await;
    assert!(world.after(tenant, HOUR).await.is_empty());
    assert!(world.db.schedules().await.unwrap().is_empty());
    assert!(world.upcoming(tenant).is_empty());
    // A rollback begins it anew, and catches nothing up.
    world.activate_version(tenant, "shop", first, Some(1)).await;
    world.scheduler.pass().await;
    assert!(world.ran(tenant).await.is_empty());
    assert_eq!(world.after(tenant, HOUR / 2).await, ["03-01T04:00"]);
}

#[tokio::test]
async fn what_cannot_run_skips_its_times() {
    let (world, tenant) = with_schedule("0 * * * *", "catch_up = { all = 9 }").await;
    world.suspend(tenant, true).await;
    assert!(world.after(tenant, 3 * HOUR).await.is_empty());
    let skips = world.scheduler.upcoming(tenant, 1).remove(0).skips;
    assert_eq!(skips, Some(HoldReason::TenantSuspended));
    world.suspend(tenant, false).await;
    assert!(world.after(tenant, 0).await.is_empty());
    assert_eq!(world.after(tenant, HOUR).await, ["03-01T04:00"]);

    let plugin: PluginName = name("shop");
    for disabled in [true, false] {
        world
            .db
            .set_plugin_disabled(tenant, &plugin, disabled, &change(1))
            .await
            .unwrap();
        world.serve(tenant).await;
        let ran = world.after(tenant, HOUR).await;
        assert_eq!(ran.is_empty(), disabled, "{ran:?}");
    }
    let report: JobName = name("report");
    for paused in [true, false] {
        let paused_job = Some(&report);
        world
            .db
            .pause_jobs(tenant, &plugin, paused_job, paused, &change(1))
            .await
            .unwrap();
        world.serve(tenant).await;
        let ran = world.after(tenant, HOUR).await;
        assert_eq!(ran.is_empty(), paused, "{ran:?}");
    }
}

#[tokio::test]
async fn a_deleted_plugin_or_tenant_has_no_schedules_and_a_restored_one_begins_anew() {
    let (world, tenant) = with_schedule("0 * * * *", "catch_up = { all = 9 }").await;
    let plugin: PluginName = name("shop");
    world.db.delete_plugin(tenant, &plugin, &change(1)).await.unwrap();
    world.serve(tenant).await;
    assert!(world.after(tenant, 2 * HOUR).await.is_empty());
    world
        .db
        .restore_plugin(tenant, &plugin, &change(1))
        .await
        .unwrap();
    world.serve(tenant).await;
    assert!(world.after(tenant, 0).await.is_empty());
    assert_eq!(world.after(tenant, HOUR).await, ["03-01T03:00"]);

    world.db.delete_tenant(tenant, &change(1)).await.unwrap();
    world.serve(tenant).await;
    assert!(world.after(tenant, 2 * HOUR).await.is_empty());
    world.db.restore_tenant(tenant, &change(1)).await.unwrap();
    world.serve(tenant).await;
    assert!(world.after(tenant, 0).await.is_empty());
    assert_eq!(world.after(tenant, HOUR).await, ["03-01T06:00"]);

    world.db.purge_plugin(tenant, &plugin, &change(1)).await.unwrap();
    world.serve(tenant).await;
    assert!(world.after(tenant, HOUR).await.is_empty());
    assert!(world.db.schedules().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_clock_that_is_set_repeats_nothing_and_stops_nothing() {
    let more = "catch_up = 'once'\noverlap = 'queue'";
    let (world, tenant) = with_schedule("*/10 * * * *", more).await;
    assert_eq!(world.after(tenant, HOUR).await, ["03-01T00:50", "03-01T01:00"]);
    // An hour back: the times of this hour were handled.
    world.clock.set(NOW);
    for _ in 0..6 {
        assert!(world.after(tenant, HOUR / 6).await.is_empty());
    }
    assert_eq!(world.after(tenant, HOUR / 6).await, ["03-01T01:10"]);
    // An hour forward: missed times are caught up, once.
    world
        .clock
        .set(NOW.saturating_add(Duration::from_secs(2 * HOUR + 900)));
    assert_eq!(world.after(tenant, 0).await, ["03-01T02:10"]);
    assert_eq!(world.after(tenant, 300).await, ["03-01T02:20"]);
    // The clock was years ahead for a moment. The schedule does not wait until then.
    let right = world.clock.now();
    world.clock.set(Timestamp(4_000_000_000_000));
    assert_eq!(world.after(tenant, 0).await.len(), 1);
    world.clock.set(right);
    let world = world.restarted().await;
    assert!(world.after(tenant, 0).await.is_empty());
    assert_eq!(world.after(tenant, 600).await, ["03-01T02:30"]);
}

#[tokio::test]
async fn overlapping_jobs_are_skipped_or_wait() {
    let (world, tenant) = with_schedule("0 * * * *", "").await;
    for _ in 0..2 {
        world.advance(HOUR);
        world.scheduler.pass().await;
    }
    assert_eq!(world.jobs(tenant).await.len(), 1);
    // The key is free as soon as the job ends.
    assert_eq!(world.ran(tenant).await, ["03-01T01:00"]);
    assert_eq!(world.after(tenant, HOUR).await, ["03-01T03:00"]);

    let (world, tenant) = with_schedule("0 * * * *", "overlap = 'queue'").await;
    for _ in 0..3 {
        world.advance(HOUR);
        world.scheduler.pass().await;
    }
    let states: Vec<JobState> = world.jobs(tenant).await.iter().map(|job| job.state).collect();
    assert_eq!(states, [JobState::Ready, JobState::Blocked, JobState::Blocked]);
    let claimed = world.claim(10).await;
    assert_eq!(claimed.len(), 1);
    world.done(&claimed[0]).await;
    assert_eq!(world.claim(10).await.len(), 1);
}

#[tokio::test]
async fn jobs_of_a_schedule_keep_the_bound_of_their_kind() {
    for overlap in ["skip", "queue"] {
        let more = format!("overlap = '{overlap}'");
        let manifest = schedule("0 * * * *", &more).replace(
            "name = 'report'\n",
            "name = 'report'\nconcurrency = { limit = 1 }\n",
        );
        let world = World::new().await;
        let tenant = conformance::tenant(&*world.db, "acme").await.id;
        world.activate(tenant, "shop", &manifest).await;
        world.scheduler.pass().await;
        // A job that the plugin added without a key.
        let bound = Concurrency {
            limit: std::num::NonZeroU32::MIN,
            ordered: false,
        };
        let added = NewJob {
            concurrency: Some(ConcurrencyKey {
                key: String::new(),
                bound,
            }),
            ..job(tenant, "report", "added")
        };
        world.db.add_jobs(&[added]).await.unwrap();
        world.advance(HOUR);
        world.scheduler.pass().await;
        let states: Vec<JobState> = world.jobs(tenant).await.iter().map(|job| job.state).collect();
        assert_eq!(states, [JobState::Ready, JobState::Blocked], "{overlap}");
    }
}

#[tokio::test]
async fn times_wait_while_the_backlog_is_full() {
    let (world, tenant) = with_schedule("0 * * * *", "catch_up = 'once'").await;
    let change_limits = |most: u32| TenantChange {
        limits: Some(crate::domain::limits::LimitOverrides {
            job_backlog: Some(most),
            ..Default::default()
        }),
        ..TenantChange::default()
    };
    let changes = |_: &_, _: &_| vec![change(1)];
    world
        .db
        .change_tenant(tenant, &change_limits(1), &changes)
        .await
        .unwrap();
    world.serve(tenant).await;
    let waiting = job(tenant, "report", "waits");
    let id = waiting.id;
    world.db.add_jobs(&[waiting]).await.unwrap();
    world.queue.read_counts().await.unwrap();
    assert!(world.after(tenant, HOUR).await.is_empty());
    assert!(world.after(tenant, 600).await.is_empty());
    world.db.cancel_job(tenant, id, NOW, &change(1)).await.unwrap();
    world.queue.read_counts().await.unwrap();
    assert_eq!(world.after(tenant, 1).await, ["03-01T01:00"]);
}

#[tokio::test]
async fn a_person_runs_a_schedule_now() {
    let (world, tenant) = with_schedule("0 * * * *", "payload = 'p'").await;
    let (plugin, schedule) = (name("shop"), name("s"));
    world.advance(5);
    let added = world
        .scheduler
        .run_now(tenant, &plugin, &schedule, &change(1))
        .await;
    let Ok(Added::New(id)) = added else {
        panic!("{added:?}");
    };
    let job = world.jobs(tenant).await.remove(0);
    assert_eq!((job.new.id, &*job.new.payload), (id, "p"));
    let origin = JobOrigin::Schedule {
        name: name("s"),
        due_at: world.clock.now(),
    };
    assert_eq!(job.new.origin, origin);
    // Its job is still live, and overlapping ones are skipped.
    let added = world
        .scheduler
        .run_now(tenant, &plugin, &schedule, &change(1))
        .await;
    assert_eq!(added, Ok(Added::Exists(id)));
    // The schedule itself goes on as if nothing had happened.
    world.ran(tenant).await;
    assert_eq!(world.after(tenant, HOUR - 5).await, ["03-01T01:00"]);

    let run = |tenant, plugin, schedule| {
        let (plugin, schedule) = (name::<PluginName>(plugin), name(schedule));
        let scheduler = &world.scheduler;
        async move {
            scheduler
                .run_now(tenant, &plugin, &schedule, &change(1))
                .await
                .unwrap_err()
        }
    };
    let no_schedule = run(tenant, "shop", "nightly").await;
    assert!(
        no_schedule.to_string().contains("no schedule `nightly`"),
        "{no_schedule}"
    );
    assert!(matches!(
        run(tenant, "other", "s").await,
        RunNowError::NoSchedule { .. }
    ));
    assert_eq!(
        run(TenantId::generate(), "shop", "s").await,
        RunNowError::NoTenant
    );
    world.serve_without(tenant, "shop").await;
    assert!(matches!(
        run(tenant, "shop", "s").await,
        RunNowError::Unavailable { .. }
    ));
    let full = RunNowError::from(QueueError::Full { live: 1, limit: 1 });
    assert!(full.to_string().contains("job_backlog"), "{full}");
}

#[tokio::test]
async fn a_schedule_follows_the_clock_of_its_zone() {
    // 2026-03-29 is the day on which clocks go forward in Amsterdam.
    let (world, tenant) = with_schedule("30 2 * * *", "zone = 'Europe/Amsterdam'\ncatch_up = 'once'").await;
    let before = Timestamp(1_774_656_000_000 - 1);
    world.clock.set(before);
    world.scheduler.pass().await;
    world.ran(tenant).await;
    assert_eq!(world.upcoming(tenant), ["shop/s: 03-28T01:30, 03-29T01:00"]);
    let mut ran = Vec::new();
    for _ in 0..72 {
        ran.extend(world.after(tenant, HOUR / 2).await);
    }
    assert_eq!(ran, ["03-28T01:30", "03-29T01:00"]);
}
