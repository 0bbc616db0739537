//! Conformance tests of lost attempts after which their jobs end.

use super::super::{change, tenant};
use super::{NOW, acknowledge, add, claim, later, new_job, state, stored};
use crate::domain::host_job::HostJob;
use crate::domain::id::{JobId, TenantId};
use crate::domain::job::{AttemptOutcome, ClaimedJob, Ending, Job, JobState, NewJob};
use crate::storage::{Acknowledged, Cancelled, LostAttempt, Repository};

/// A job with one attempt.
fn once(tenant: TenantId) -> NewJob {
    NewJob {
        max_attempts: 1,
        ..new_job(tenant, "send")
    }
}

/// A job of the host with one attempt.
fn of_host(tenant: TenantId) -> NewJob {
    NewJob {
        max_attempts: 1,
        ..HostJob::Mail.job(tenant, "{}".to_owned(), NOW)
    }
}

fn find(claimed: &[ClaimedJob], id: JobId) -> &ClaimedJob {
    let found = claimed.iter().find(|claimed| claimed.job.new.id == id);
    found.expect("it is claimed")
}

/// The lost attempt of a claimed job.
fn lost(claimed: &ClaimedJob) -> LostAttempt {
    LostAttempt {
        tenant: claimed.job.new.tenant,
        job: claimed.job.new.id,
        claim: claimed.claim,
    }
}

fn states_of(jobs: &[Job]) -> Vec<(JobId, JobState)> {
    let mut states: Vec<_> = jobs.iter().map(|job| (job.new.id, job.state)).collect();
    states.sort_by_key(|(id, _)| *id);
    states
}

/// The lost last attempts of these tenants at a time, by job.
async fn last(
    repository: &dyn Repository,
    seconds: u64,
    except: &[TenantId],
    limit: u32,
) -> Vec<LostAttempt> {
    let found = repository.lost_last_attempts(later(seconds), except, limit).await;
    let mut found = found.unwrap();
    found.sort_by_key(|lost| lost.job);
    found
}

pub async fn a_lost_last_attempt_ends_when_it_is_known_what_it_did(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let completed = add(repository, once(acme)).await;
    let theirs = add(repository, once(other)).await;
    let cancelled = add(repository, new_job(acme, "send")).await;
    let again = add(repository, new_job(acme, "send")).await;
    let mail = add(repository, of_host(acme)).await;
    let claimed = claim(repository, 9, NOW).await;
    assert_eq!(claimed.len(), 5);
    let cancel = repository.cancel_job(acme, cancelled, NOW, &change(1)).await;
    assert_eq!(cancel.unwrap(), Some(Cancelled::Requested));
    assert_eq!(last(repository, 59, &[], 9).await, []);

    // The others run again, or are jobs of the host.
    let reaped = repository.reap_jobs(later(60), 9).await.unwrap();
    let mut wanted = [(again, JobState::Scheduled), (mail, JobState::Dead)];
    wanted.sort_by_key(|(id, _)| *id);
    assert_eq!(states_of(&reaped), wanted);
    let mut wanted = [completed, theirs, cancelled].map(|id| lost(find(&claimed, id)));
    wanted.sort_by_key(|lost| lost.job);
    let found = last(repository, 60, &[], 9).await;
    assert_eq!(found, wanted);
    assert_eq!(last(repository, 60, &[], 2).await.len(), 2);
    assert_eq!(
        last(repository, 60, &[acme], 9).await,
        [lost(find(&claimed, theirs))]
    );
    assert_eq!(last(repository, 60, &[acme, other], 9).await, []);

    // One is done, and the lease of another one is extended before they are ended.
    let done = acknowledge(repository, find(&claimed, completed), Ending::Done, later(61)).await;
    assert_eq!(done, Acknowledged::Applied(JobState::Done));
    let claim = find(&claimed, theirs).claim;
    assert!(repository.extend_lease(theirs, claim, later(100)).await.unwrap());
    let ended = repository.end_lost_attempts(&found, None, later(61)).await;
    assert_eq!(states_of(&ended.unwrap()), [(cancelled, JobState::Cancelled)]);
    assert_eq!(state(repository, acme, completed).await, JobState::Done);
    assert_eq!(state(repository, other, theirs).await, JobState::Running);

    let why = Some("the file is gone");
    let ended = repository.end_lost_attempts(&found, why, later(100)).await;
    assert_eq!(states_of(&ended.unwrap()), [(theirs, JobState::Dead)]);
    let (job, attempts) = stored(repository, other, theirs).await;
    assert_eq!((job.state, job.ended_at), (JobState::Dead, Some(later(100))));
    let error = job.error.unwrap();
    assert!(
        error.contains("lease was over") && error.ends_with("is not known: the file is gone"),
        "{error}"
    );
    assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Lost));
    assert_eq!(last(repository, 999, &[], 9).await, []);
    let ended = repository.end_lost_attempts(&found, None, later(999)).await;
    assert_eq!(ended.unwrap(), []);
}

pub async fn the_last_attempts_of_a_node_that_starts_again_are_lost(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let id = add(repository, once(acme)).await;
    let again = add(repository, new_job(acme, "send")).await;
    let mail = add(repository, of_host(acme)).await;
    let claimed = claim(repository, 9, NOW).await;
    assert_eq!(claimed.len(), 3);
    for (node, wanted) in [("node-2", 0), ("node-1", 2)] {
        let reaped = repository.reap_node(node, later(1), 9).await.unwrap();
        assert_eq!(reaped.len(), wanted);
    }
    assert_eq!(state(repository, acme, again).await, JobState::Scheduled);
    assert_eq!(state(repository, acme, mail).await, JobState::Dead);
    assert_eq!(repository.expire_leases("node-2", later(1)).await.unwrap(), 0);
    assert_eq!(last(repository, 1, &[], 9).await, []);
    assert_eq!(repository.expire_leases("node-1", later(1)).await.unwrap(), 1);
    let found = last(repository, 1, &[], 9).await;
    assert_eq!(found, [lost(find(&claimed, id))]);
    let (job, _) = stored(repository, acme, id).await;
    assert_eq!((job.state, job.lease_until), (JobState::Running, Some(later(1))));

    let ended = repository
        .end_lost_attempts(&found, None, later(2))
        .await
        .unwrap();
    let (mut job, attempts) = stored(repository, acme, id).await;
    job.new.payload = Default::default();
    assert_eq!(ended, [job.clone()]);
    let error = job.error.unwrap();
    assert!(error.contains("`node-1` ended before attempt 1"), "{error}");
    assert_eq!(job.state, JobState::Dead);
    assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Lost));
}
