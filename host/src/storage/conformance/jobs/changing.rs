//! Conformance tests of what people do with jobs: cancel, retry, purge and pause.

use super::super::{change, name, plugin, tenant};
use super::{
    NOW, acknowledge, add, add_some, claim, claim_one, counts, discarded, in_state, later, listed, new_job,
    reap, retry_at, state, states, stored,
};
use crate::domain::id::{JobId, JobName, PluginName, TenantId};
use crate::domain::job::{AttemptOutcome, Ending, JobState, NewJob};
use crate::domain::resource::Resource;
use crate::storage::{
    Acknowledged, AuditFilter, Cancelled, DbError, JobFilter, Page, PausedJobs, Repository,
};

/// The number of audit entries of a tenant.
async fn told(repository: &dyn Repository, tenant: TenantId) -> usize {
    let all = AuditFilter::default();
    repository
        .audit(Some(tenant), &all, Page::first(200))
        .await
        .unwrap()
        .len()
}

pub async fn waiting_running_and_ended_jobs_are_cancelled(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let ids = add_some(repository, acme, "send", 3).await;
    let before = told(repository, acme).await;
    let cancel = async |id| {
        repository
            .cancel_job(acme, id, later(1), &change(1))
            .await
            .unwrap()
    };
    let claimed = claim(repository, 2, NOW).await;
    assert_eq!(cancel(ids[2]).await, Some(Cancelled::Now));
    let (job, attempts) = stored(repository, acme, ids[2]).await;
    assert_eq!((job.state, job.ended_at), (JobState::Cancelled, Some(later(1))));
    assert_eq!(attempts, []);
    assert_eq!(cancel(ids[0]).await, Some(Cancelled::Requested));
    assert_eq!(cancel(ids[0]).await, Some(Cancelled::Requested));
    assert!(stored(repository, acme, ids[0]).await.0.cancel_requested);
    let requests = repository.cancel_requests("node-1").await.unwrap();
    assert_eq!(requests, [(ids[0], claimed[0].claim)]);
    assert!(repository.cancel_requests("node-2").await.unwrap().is_empty());

    acknowledge(repository, &claimed[0], Ending::Cancelled, later(2)).await;
    assert!(repository.cancel_requests("node-1").await.unwrap().is_empty());
    let (job, attempts) = stored(repository, acme, ids[0]).await;
    assert_eq!((job.state, job.ended_at), (JobState::Cancelled, Some(later(2))));
    assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Cancelled));
    acknowledge(repository, &claimed[1], Ending::Done, later(2)).await;
    assert_eq!(cancel(ids[1]).await, Some(Cancelled::Ended(JobState::Done)));
    assert_eq!(cancel(JobId::generate()).await, None);
    // What changed nothing is not in the audit log.
    assert_eq!(told(repository, acme).await - before, 2);
}

pub async fn an_attempt_that_fails_after_it_was_to_be_cancelled_is_the_last(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let ids = add_some(repository, acme, "send", 4).await;
    let claimed = claim(repository, 9, NOW).await;
    for id in &ids {
        repository.cancel_job(acme, *id, NOW, &change(1)).await.unwrap();
    }
    let applied = Acknowledged::Applied;
    let failed = acknowledge(repository, &claimed[0], retry_at(later(9)), later(1)).await;
    assert_eq!(failed, applied(JobState::Cancelled));
    let (job, _) = stored(repository, acme, ids[0]).await;
    assert_eq!(job.error.as_deref(), Some("it failed"));
    let succeeded = acknowledge(repository, &claimed[1], Ending::Done, later(1)).await;
    assert_eq!(succeeded, applied(JobState::Done));
    let discarded = acknowledge(repository, &claimed[2], discarded(), later(1)).await;
    assert_eq!(discarded, applied(JobState::Dead));
    let lost = reap(repository, later(60), 9).await;
    assert_eq!((lost.len(), lost[0].state), (1, JobState::Cancelled));
    assert_eq!(state(repository, acme, ids[3]).await, JobState::Cancelled);
}

pub async fn an_ended_job_runs_again_with_as_many_attempts(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let id = add(repository, new_job(acme, "send")).await;
    let before = told(repository, acme).await;
    let retry = async |id| {
        repository
            .retry_job(acme, id, later(5), &change(1))
            .await
            .unwrap()
    };
    // Attempts after each retry, and the highest number that they may have.
    for (attempts, most) in [(3, 3), (3, 6), (1, 9), (3, 10)] {
        for _ in 1..attempts {
            let claimed = claim_one(repository, later(5)).await;
            assert_eq!(claimed.job.new.max_attempts, most);
            acknowledge(repository, &claimed, retry_at(later(5)), later(5)).await;
        }
        let claimed = claim_one(repository, later(5)).await;
        let ending = if attempts == 3 {
            retry_at(later(5))
        } else {
            discarded()
        };
        let ended = acknowledge(repository, &claimed, ending, later(5)).await;
        assert_eq!(ended, Acknowledged::Applied(JobState::Dead));
        assert_eq!(counts(repository, acme).await.dead, 1);
        assert_eq!(retry(id).await, Some(JobState::Ready));
        assert_eq!(
            (
                counts(repository, acme).await.live,
                counts(repository, acme).await.dead
            ),
            (1, 0)
        );
    }
    let (job, attempts) = stored(repository, acme, id).await;
    assert_eq!((job.attempt, job.new.max_attempts, attempts.len()), (10, 13, 10));
    assert_eq!((job.new.run_at, job.ended_at), (later(5), None));
    assert_eq!(&*job.new.payload, "{}");
    assert_eq!(told(repository, acme).await - before, 4);
}

pub async fn a_retry_lets_a_scheduled_job_run_now(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let id = add(repository, new_job(acme, "send")).await;
    let retry = async |id| {
        repository
            .retry_job(acme, id, later(5), &change(1))
            .await
            .unwrap()
    };
    let before = told(repository, acme).await;
    // A job that is ready or runs stays as it is.
    assert_eq!(retry(id).await, Some(JobState::Ready));
    let claimed = claim_one(repository, NOW).await;
    assert_eq!(retry(id).await, Some(JobState::Running));
    assert_eq!(retry(JobId::generate()).await, None);
    assert_eq!(told(repository, acme).await, before);

    acknowledge(repository, &claimed, retry_at(later(500)), NOW).await;
    assert_eq!(retry(id).await, Some(JobState::Ready));
    assert_eq!(told(repository, acme).await, before + 1);
    let again = claim_one(repository, later(5)).await;
    assert_eq!((again.job.attempt, again.job.new.max_attempts), (2, 3));
    assert_eq!(again.job.new.run_at, later(5));
    // Also a cancelled job can run again.
    acknowledge(repository, &again, Ending::Cancelled, later(5)).await;
    assert_eq!(retry(id).await, Some(JobState::Ready));
    assert!(!claim_one(repository, later(5)).await.job.cancel_requested);
}

pub async fn a_job_whose_unique_key_is_taken_does_not_run_again(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let with_key = |key: &str| NewJob {
        unique_key: Some(key.to_owned()),
        ..new_job(acme, "send")
    };
    let mut dead = Vec::new();
    for key in ["a", "a", "b"] {
        dead.push(add(repository, with_key(key)).await);
        let claimed = claim_one(repository, NOW).await;
        acknowledge(repository, &claimed, discarded(), NOW).await;
    }
    let live = add(repository, with_key("b")).await;
    let refused = repository
        .retry_job(acme, dead[2], NOW, &change(1))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, DbError::UniqueKeyTaken(other) if other == live),
        "{refused:?}"
    );
    assert!(refused.to_string().contains(&live.to_string()));
    assert_eq!(state(repository, acme, dead[2]).await, JobState::Dead);

    // Of many, those run again that can.
    let filter = in_state(JobState::Dead);
    assert_eq!(
        repository
            .retry_jobs(acme, &filter, NOW, 9, &change(1))
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        repository
            .retry_jobs(acme, &filter, NOW, 9, &change(1))
            .await
            .unwrap(),
        0
    );
    let expected = [JobState::Ready, JobState::Dead, JobState::Dead];
    assert_eq!(states(repository, acme, &dead).await, expected);
}

pub async fn ended_jobs_that_match_run_again(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    add_some(repository, acme, "send", 5).await;
    add_some(repository, acme, "report", 1).await;
    add_some(repository, other, "send", 1).await;
    for (number, claimed) in claim(repository, 9, NOW).await.iter().enumerate() {
        let ending = if number == 0 { Ending::Done } else { discarded() };
        acknowledge(repository, claimed, ending, NOW).await;
    }
    let before = told(repository, acme).await;
    let dead = JobFilter {
        name: Some(name("send")),
        ..in_state(JobState::Dead)
    };
    let retry = async |tenant, filter: &JobFilter| {
        repository
            .retry_jobs(tenant, filter, later(1), 3, &change(1))
            .await
            .unwrap()
    };
    assert_eq!(retry(acme, &dead).await, 3);
    assert_eq!(retry(acme, &dead).await, 1);
    assert_eq!(retry(acme, &dead).await, 0);
    assert_eq!(retry(acme, &in_state(JobState::Ready)).await, 0);
    assert_eq!(told(repository, acme).await - before, 2);
    assert_eq!(claim(repository, 9, later(1)).await.len(), 4);
    let left = [counts(repository, acme).await, counts(repository, other).await];
    assert_eq!(left.map(|counts| (counts.done, counts.dead)), [(1, 1), (0, 1)]);
}

pub async fn jobs_that_match_and_do_not_run_are_purged(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let ids = add_some(repository, acme, "send", 4).await;
    let report = add_some(repository, acme, "report", 1).await[0];
    let theirs = add_some(repository, other, "send", 1).await[0];
    let claimed = claim(repository, 2, NOW).await;
    acknowledge(repository, &claimed[0], discarded(), NOW).await;
    let before = told(repository, acme).await;
    let filter = JobFilter {
        name: Some(name("send")),
        ..JobFilter::default()
    };
    for wanted in [2, 1, 0] {
        let purged = repository.purge_jobs(acme, &filter, 2, &change(1)).await.unwrap();
        assert_eq!(purged, wanted);
    }
    assert_eq!(told(repository, acme).await - before, 2);
    let left = listed(repository, acme, &JobFilter::default()).await;
    let left: Vec<JobId> = left.into_iter().map(|job| job.new.id).collect();
    assert_eq!(left, [report, ids[1]]);
    assert_eq!(state(repository, acme, ids[1]).await, JobState::Running);
    assert_eq!(state(repository, other, theirs).await, JobState::Ready);
    let counts = counts(repository, acme).await;
    assert_eq!((counts.live, counts.running, counts.dead), (2, 1, 0));
}

pub async fn paused_jobs_are_part_of_the_snapshot(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let (orders, _) = plugin(repository, acme, "orders").await;
    plugin(repository, acme, "shop").await;
    let send: JobName = name("send");
    let paused = async || {
        let routed = repository.routed_tenant(acme).await.unwrap().unwrap();
        let paused = |routed: crate::storage::RoutedPlugin| (routed.plugin.name.to_string(), routed.paused);
        routed.plugins.into_iter().map(paused).collect::<Vec<_>>()
    };
    let generation = async || {
        repository.listed_tenants().await.unwrap()[0]
            .as_ref()
            .unwrap()
            .generations
            .content
    };
    let nothing = PausedJobs::default;
    assert_eq!(
        paused().await,
        [("orders".to_owned(), nothing()), ("shop".to_owned(), nothing())]
    );

    let (at, told_before) = (generation().await, told(repository, acme).await);
    let pause = async |job: Option<&JobName>, paused| {
        repository
            .pause_jobs(acme, &orders, job, paused, &change(1))
            .await
            .unwrap()
    };
    assert!(pause(Some(&send), true).await);
    assert!(!pause(Some(&send), true).await);
    assert!(pause(None, true).await);
    let wanted = PausedJobs {
        all: true,
        jobs: [send.clone()].into(),
    };
    assert_eq!(paused().await[0].1, wanted);
    assert_eq!(paused().await[1].1, nothing());
    assert!(pause(None, false).await);
    assert!(!pause(None, false).await);
    let one = PausedJobs { all: false, ..wanted };
    assert_eq!(paused().await[0].1, one);
    assert_eq!(generation().await, at.next().next().next());
    assert_eq!(told(repository, acme).await - told_before, 3);

    let nowhere: PluginName = name("nowhere");
    let missing = repository
        .pause_jobs(acme, &nowhere, None, true, &change(1))
        .await;
    assert!(
        matches!(missing, Err(DbError::Missing(Resource::Plugin))),
        "{missing:?}"
    );
    // A plugin that is purged and uploaded again is not paused.
    repository.purge_plugin(acme, &orders, &change(1)).await.unwrap();
    plugin(repository, acme, "orders").await;
    assert_eq!(paused().await[0].1, nothing());
    assert!(repository.orphans().await.unwrap().is_empty());
}
