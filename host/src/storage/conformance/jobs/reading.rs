//! Conformance tests of lists and counts of jobs.

use super::super::{change, name, tenant};
use super::{
    NOW, acknowledge, add, claim, counts, discarded, in_state, later, listed, new_job, retry_at, stored,
};
use crate::domain::id::{JobId, TenantId};
use crate::domain::job::{Ending, Job, JobState, NewJob};
use crate::storage::{JobCounts, JobFilter, JobPosition, Page, Repository};

fn ids(jobs: &[Job]) -> Vec<JobId> {
    jobs.iter().map(|job| job.new.id).collect()
}

pub async fn jobs_are_filtered_and_paged_newest_first(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let mut all = Vec::new();
    for (number, (plugin, job)) in [
        ("orders", "send"),
        ("orders", "report"),
        ("shop", "send"),
        ("shop", "send"),
        ("orders", "send"),
    ]
    .into_iter()
    .enumerate()
    {
        let at = later(u64::try_from(number).unwrap());
        let job = NewJob {
            plugin: name(plugin),
            payload: "x".repeat(9).into(),
            run_at: at,
            created_at: at,
            ..new_job(acme, job)
        };
        all.push(add(repository, job).await);
    }
    add(repository, new_job(other, "send")).await;
    let claimed = claim(repository, 4, later(9)).await;
    acknowledge(repository, &claimed[0], Ending::Done, later(9)).await;
    acknowledge(repository, &claimed[1], discarded(), later(9)).await;
    acknowledge(repository, &claimed[2], retry_at(later(99)), later(9)).await;
    // From the oldest to the newest: done, dead, scheduled, running, ready.
    let newest_first = |numbers: &[usize]| numbers.iter().map(|number| all[*number]).collect::<Vec<_>>();

    let everything = JobFilter::default();
    let jobs = listed(repository, acme, &everything).await;
    assert_eq!(ids(&jobs), newest_first(&[4, 3, 2, 1, 0]));
    // Lists leave payloads out, and are the same otherwise.
    for job in &jobs {
        let (mut one, _) = stored(repository, acme, job.new.id).await;
        assert_eq!(&*std::mem::take(&mut one.new.payload), "x".repeat(9));
        assert_eq!(one, *job);
    }
    let mut after = None;
    let mut paged = Vec::new();
    loop {
        let page = Page { after, limit: 2 };
        let jobs = repository.jobs(acme, &everything, page).await.unwrap();
        paged.extend(ids(&jobs));
        match jobs.last() {
            Some(last) if jobs.len() == 2 => after = Some(JobPosition(last.new.id)),
            _ => break,
        }
    }
    assert_eq!(paged, ids(&jobs));

    let filtered = async |filter: JobFilter| ids(&listed(repository, acme, &filter).await);
    let of_shop = JobFilter {
        plugin: Some(name("shop")),
        ..JobFilter::default()
    };
    assert_eq!(filtered(of_shop).await, newest_first(&[3, 2]));
    let send = JobFilter {
        name: Some(name("send")),
        ..JobFilter::default()
    };
    assert_eq!(filtered(send).await, newest_first(&[4, 3, 2, 0]));
    for (state, wanted) in [
        (JobState::Done, 0),
        (JobState::Dead, 1),
        (JobState::Scheduled, 2),
        (JobState::Running, 3),
        (JobState::Ready, 4),
    ] {
        assert_eq!(filtered(in_state(state)).await, newest_first(&[wanted]));
    }
    assert!(filtered(in_state(JobState::Blocked)).await.is_empty());
    let some_states = JobFilter {
        states: vec![JobState::Ready, JobState::Dead, JobState::Held],
        ..JobFilter::default()
    };
    assert_eq!(filtered(some_states).await, newest_first(&[4, 1]));
    let between = JobFilter {
        from: Some(later(1)),
        to: Some(later(3)),
        ..JobFilter::default()
    };
    assert_eq!(filtered(between).await, newest_first(&[2, 1]));
    let page = Page::after(JobPosition(all[3]), 9);
    let in_shop = JobFilter {
        plugin: Some(name("shop")),
        ..JobFilter::default()
    };
    assert_eq!(
        ids(&repository.jobs(acme, &in_shop, page).await.unwrap()),
        newest_first(&[2])
    );
}

pub async fn jobs_of_other_tenants_are_not_found(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let id = add(repository, new_job(acme, "send")).await;
    let everything = JobFilter::default();
    let told = change(1);
    assert!(repository.job(other, id).await.unwrap().is_none());
    assert!(listed(repository, other, &everything).await.is_empty());
    assert!(repository.unfinished_jobs(other, &[id]).await.unwrap().is_empty());
    assert_eq!(repository.retry_job(other, id, NOW, &told).await.unwrap(), None);
    assert_eq!(repository.cancel_job(other, id, NOW, &told).await.unwrap(), None);
    assert_eq!(
        repository.purge_jobs(other, &everything, 9, &told).await.unwrap(),
        0
    );
    assert_eq!(counts(repository, other).await, JobCounts::default());
    assert_eq!(repository.unfinished_jobs(acme, &[id]).await.unwrap(), [id]);
}

async fn unfinished(repository: &dyn Repository, tenant: TenantId, asked: &[JobId]) -> Vec<JobId> {
    let mut found = repository.unfinished_jobs(tenant, asked).await.unwrap();
    found.sort();
    found
}

pub async fn unfinished_jobs_are_told_from_done_ones(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let ids = super::add_some(repository, acme, "send", 4).await;
    let claimed = claim(repository, 3, NOW).await;
    acknowledge(repository, &claimed[0], Ending::Done, NOW).await;
    acknowledge(repository, &claimed[1], discarded(), NOW).await;
    acknowledge(repository, &claimed[2], Ending::Cancelled, NOW).await;
    let mut wanted = ids[1..].to_vec();
    wanted.sort();
    let asked = [ids[0], JobId::generate(), ids[1], ids[2], ids[3]];
    // Dead letters and cancelled jobs can be retried until they are deleted.
    assert_eq!(unfinished(repository, acme, &asked).await, wanted);
    assert!(unfinished(repository, acme, &[]).await.is_empty());
    for state in [JobState::Dead, JobState::Cancelled] {
        let purged = repository.purge_jobs(acme, &in_state(state), 9, &change(1)).await;
        assert_eq!(purged.unwrap(), 1);
    }
    assert_eq!(unfinished(repository, acme, &asked).await, [ids[3]]);
}

pub async fn jobs_of_a_tenant_are_counted(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let idle = tenant(repository, "idle").await.id;
    assert!(repository.job_counts().await.unwrap().is_empty());
    for (priority, due) in [(0, 3), (5, 1), (0, 2), (0, 9)] {
        let job = NewJob {
            priority,
            run_at: later(due),
            created_at: later(due.min(8)),
            ..new_job(acme, "send")
        };
        add(repository, job).await;
    }
    // The oldest ready job is the one with the lowest priority.
    let wanted = JobCounts {
        live: 4,
        oldest_ready: Some(later(1)),
        ..JobCounts::default()
    };
    assert_eq!(counts(repository, acme).await, wanted);
    let claimed = claim(repository, 3, later(5)).await;
    acknowledge(repository, &claimed[0], Ending::Done, later(5)).await;
    acknowledge(repository, &claimed[1], discarded(), later(5)).await;
    let wanted = JobCounts {
        live: 2,
        running: 1,
        done: 1,
        dead: 1,
        oldest_ready: None,
    };
    assert_eq!(repository.job_counts().await.unwrap(), [(acme, wanted)]);
    assert_eq!(counts(repository, idle).await, JobCounts::default());
    assert_eq!(
        counts(repository, TenantId::generate()).await,
        JobCounts::default()
    );
}
