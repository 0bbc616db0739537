//! Conformance tests of reports about jobs, and of jobs that somebody asks for.

use super::jobs::tick;
use super::{change, name, plugin, tenant};
use crate::domain::clock::Timestamp;
use crate::domain::id::{JobId, TenantId};
use crate::domain::job::{Backoff, JobOrigin, JobState, NewJob};
use crate::storage::{
    Added, AuditFilter, JobFilter, JobsOfKind, Page, Repository, ScheduleState, ScheduledRun, Ticked,
};

const NOW: Timestamp = Timestamp(5_000);

/// A job of the plugin `orders` that is due.
fn job(tenant: TenantId, kind: &str) -> NewJob {
    NewJob {
        id: JobId::generate(),
        tenant,
        plugin: name("orders"),
        name: name(kind),
        payload: "{}".into(),
        origin: JobOrigin::Enqueued,
        priority: 0,
        run_at: NOW,
        max_attempts: 3,
        backoff: Backoff::default(),
        unique_key: None,
        concurrency: None,
        depth: 0,
        traceparent: None,
        created_at: NOW,
    }
}

pub async fn jobs_are_counted_by_kind_and_state(repository: &dyn Repository) {
    let tenants = [
        tenant(repository, "acme").await.id,
        tenant(repository, "other").await.id,
    ];
    for tenant in tenants {
        plugin(repository, tenant, "orders").await;
        let cancelled = job(tenant, "report");
        let delayed = NewJob {
            run_at: Timestamp(9_000),
            ..job(tenant, "sync")
        };
        let jobs = [
            cancelled.clone(),
            delayed,
            job(tenant, "sync"),
            job(tenant, "sync"),
        ];
        repository.add_jobs(&jobs).await.unwrap();
        repository
            .cancel_job(tenant, cancelled.id, NOW, &change(5_000))
            .await
            .unwrap();
    }
    let mut found = repository.jobs_by_kind(tenants[0]).await.unwrap();
    found.sort_by_key(|kind| (kind.name.clone(), kind.state.as_str()));
    let kind = |kind: &str, state, count| JobsOfKind {
        plugin: name("orders"),
        name: name(kind),
        state,
        count,
    };
    assert_eq!(
        found,
        [
            kind("report", JobState::Cancelled, 1),
            kind("sync", JobState::Ready, 2),
            kind("sync", JobState::Scheduled, 1),
        ]
    );
    let counts = repository.job_counts_of(tenants[0]).await.unwrap();
    assert_eq!((counts.live, counts.running, counts.dead), (3, 0, 0));
    assert_eq!(counts.oldest_ready, Some(NOW));
    let counts = repository.counts(tenants[0], NOW).await.unwrap();
    assert_eq!((counts.jobs, counts.ended_jobs, counts.dead_jobs), (3, 1, 0));
    let nobody = repository.job_counts_of(TenantId::generate()).await.unwrap();
    assert_eq!(nobody, Default::default());
}

pub async fn paused_jobs_are_named_by_plugin(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    for of in ["orders", "stock"] {
        plugin(repository, acme, of).await;
    }
    assert!(repository.paused_jobs(acme).await.unwrap().is_empty());
    let (orders, stock) = (name("orders"), name("stock"));
    let sync = name("sync");
    for (plugin, job) in [(&orders, Some(&sync)), (&stock, None)] {
        let changed = repository
            .pause_jobs(acme, plugin, job, true, &change(6_000))
            .await;
        assert!(changed.unwrap());
    }
    let paused = repository.paused_jobs(acme).await.unwrap();
    assert_eq!(paused.len(), 2);
    assert!(!paused[&orders].all && paused[&orders].jobs.contains(&sync));
    assert!(paused[&stock].all && paused[&stock].jobs.is_empty());
}

pub async fn a_job_that_somebody_asked_for_is_audited(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    plugin(repository, acme, "orders").await;
    let first = NewJob {
        unique_key: Some("schedule:nightly".to_owned()),
        ..job(acme, "report")
    };
    let second = NewJob {
        id: JobId::generate(),
        ..first.clone()
    };
    let asked = |at| {
        let mut change = change(at);
        change.action = "schedule.run".to_owned();
        change
    };
    let added = repository.add_job(&first, &asked(6_000)).await.unwrap();
    assert_eq!(added, Added::New(first.id));
    let added = repository.add_job(&second, &asked(7_000)).await.unwrap();
    assert_eq!(added, Added::Exists(first.id));
    let jobs = repository
        .jobs(acme, &JobFilter::default(), Page::first(9))
        .await
        .unwrap();
    assert_eq!(jobs.iter().map(|job| job.new.id).collect::<Vec<_>>(), [first.id]);
    let filter = AuditFilter {
        action: Some("schedule.run".to_owned()),
        ..AuditFilter::default()
    };
    let entries = repository
        .audit(Some(acme), &filter, Page::first(9))
        .await
        .unwrap();
    let times: Vec<Timestamp> = entries.iter().map(|entry| entry.change.at).collect();
    assert_eq!(times, [Timestamp(6_000)], "a job that is not added is no change");
}

pub async fn schedules_are_reported_with_their_last_job(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    plugin(repository, acme, "orders").await;
    let begun = ScheduleState {
        tenant: acme,
        plugin: name("orders"),
        name: name("nightly"),
        expression: "0 2 * * * UTC".to_owned(),
        last_due: NOW,
    };
    repository.begin_schedule(&begun).await.unwrap();
    let report = async || {
        let mut reported = repository.schedules_of(acme).await.unwrap();
        assert_eq!(reported.len(), 1);
        let reported = reported.remove(0);
        (reported.state.last_due, reported.last)
    };
    assert_eq!(report().await, (NOW, None));
    let added = job(acme, "report");
    for (due, job) in [(6_000, Some(&added)), (7_000, None)] {
        let time = ScheduleState {
            last_due: Timestamp(due),
            ..begun.clone()
        };
        let ticked = tick(repository, &time, job).await.unwrap();
        assert_eq!(ticked, Ticked::Now(job.map(|job| Added::New(job.id))));
    }
    let run = |state, ended_at| ScheduledRun {
        job: added.id,
        due: Timestamp(6_000),
        state,
        ended_at,
    };
    assert_eq!(
        report().await,
        (Timestamp(7_000), Some(run(JobState::Ready, None)))
    );
    let ended = Timestamp(8_000);
    repository
        .cancel_job(acme, added.id, ended, &change(8_000))
        .await
        .unwrap();
    let cancelled = run(JobState::Cancelled, Some(ended));
    assert_eq!(report().await, (Timestamp(7_000), Some(cancelled)));
    let everything = JobFilter::default();
    repository
        .purge_jobs(acme, &everything, 9, &change(9_000))
        .await
        .unwrap();
    assert_eq!(report().await, (Timestamp(7_000), None));
}
