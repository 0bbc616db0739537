//! Conformance tests of how long ended jobs are kept.

use super::super::tenant;
use super::{NOW, acknowledge, add, add_some, claim, claim_one, counts, discarded, later, new_job, stored};
use crate::domain::id::{JobId, TenantId};
use crate::domain::job::{Ending, NewJob};
use crate::storage::Repository;

/// Adds and ends a job at each of these seconds.
async fn ended_at(
    repository: &dyn Repository,
    tenant: TenantId,
    ending: &Ending,
    seconds: &[u64],
) -> Vec<JobId> {
    let mut ids = Vec::new();
    for second in seconds {
        ids.push(add(repository, new_job(tenant, "send")).await);
        let claimed = claim_one(repository, NOW).await;
        acknowledge(repository, &claimed, ending.clone(), later(*second)).await;
    }
    ids
}

async fn is_kept(repository: &dyn Repository, tenant: TenantId, ids: &[JobId]) -> Vec<bool> {
    let mut kept = Vec::new();
    for id in ids {
        kept.push(repository.job(tenant, *id).await.unwrap().is_some());
    }
    kept
}

pub async fn old_ended_jobs_are_pruned(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let done = ended_at(repository, acme, &Ending::Done, &[10, 20, 30]).await;
    let cancelled = ended_at(repository, other, &Ending::Cancelled, &[10, 30]).await;
    let dead = ended_at(repository, acme, &discarded(), &[10, 20]).await;
    let live = NewJob {
        run_at: later(1_000),
        ..new_job(acme, "send")
    };
    let live = add(repository, live).await;
    let prune = async |done, dead, limit| {
        repository
            .prune_jobs(later(done), later(dead), limit)
            .await
            .unwrap()
    };
    assert_eq!(prune(10, 10, 9).await, 0);
    // Two of the four, and then the rest.
    assert_eq!(prune(25, 15, 2).await, 2);
    assert_eq!(prune(25, 15, 9).await, 2);
    assert_eq!(is_kept(repository, acme, &done).await, [false, false, true]);
    assert_eq!(is_kept(repository, other, &cancelled).await, [false, true]);
    assert_eq!(is_kept(repository, acme, &dead).await, [false, true]);
    let (acme_has, other_has) = (counts(repository, acme).await, counts(repository, other).await);
    assert_eq!((acme_has.live, acme_has.done, acme_has.dead), (1, 1, 1));
    assert_eq!((other_has.done, other_has.dead), (1, 0));
    assert_eq!(prune(9_999, 9_999, 9).await, 3);
    assert_eq!(&*stored(repository, acme, live).await.0.new.payload, "{}");
}

pub async fn the_oldest_of_too_many_ended_jobs_are_trimmed(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let done = ended_at(repository, acme, &Ending::Done, &[30, 10, 20, 40]).await;
    let dead = ended_at(repository, acme, &discarded(), &[20, 10]).await;
    let theirs = ended_at(repository, other, &Ending::Done, &[1]).await;
    let trim = async |done, dead, limit| repository.trim_jobs(acme, done, dead, limit).await.unwrap();
    assert_eq!(trim(4, 2, 9).await, 0);
    assert_eq!(trim(1, 1, 2).await, 2);
    assert_eq!(is_kept(repository, acme, &done).await, [true, false, false, true]);
    assert_eq!(trim(1, 1, 9).await, 2);
    assert_eq!(trim(1, 1, 9).await, 0);
    assert_eq!(
        is_kept(repository, acme, &done).await,
        [false, false, false, true]
    );
    assert_eq!(is_kept(repository, acme, &dead).await, [true, false]);
    assert_eq!(trim(0, 0, 9).await, 2);
    assert_eq!(is_kept(repository, other, &theirs).await, [true]);
    let nobody = TenantId::generate();
    assert_eq!(repository.trim_jobs(nobody, 0, 0, 9).await.unwrap(), 0);
}

pub async fn the_last_attempts_of_a_job_are_kept(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let many = NewJob {
        max_attempts: 1_000,
        ..new_job(acme, "send")
    };
    let id = add(repository, many).await;
    let other = add_some(repository, acme, "report", 1).await[0];
    for attempt in 1..=103 {
        let claimed = claim(repository, 9, NOW).await;
        for claimed in &claimed {
            let ending = if claimed.job.new.id == id {
                super::retry_at(NOW)
            } else {
                Ending::Done
            };
            acknowledge(repository, claimed, ending, NOW).await;
        }
        assert_eq!(claimed.len(), if attempt == 1 { 2 } else { 1 });
    }
    let (job, attempts) = stored(repository, acme, id).await;
    let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!((job.attempt, numbers), (103, (4..=103).collect()));
    assert_eq!(stored(repository, acme, other).await.1.len(), 1);
}
