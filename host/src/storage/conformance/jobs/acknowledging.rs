//! Conformance tests of the ends of attempts.

use super::super::tenant;
use super::{
    NOW, acknowledge, add, add_some, claim, claim_one, discarded, end_of, later, new_job, retry_at, state,
    states, stored,
};
use crate::domain::id::{ClaimId, InvocationId};
use crate::domain::job::{AttemptOutcome, Ending, JobState, NewJob};
use crate::storage::{Acknowledged, Repository};

pub async fn a_failed_job_waits_and_runs_again_until_its_last_attempt(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let id = add(repository, new_job(acme, "send")).await;
    let mut now = NOW;
    for attempt in 1..=2 {
        let claimed = claim_one(repository, now).await;
        assert_eq!(claimed.job.attempt, attempt);
        let next = now.saturating_add(super::LEASE);
        let acknowledged = acknowledge(repository, &claimed, retry_at(next), now).await;
        assert_eq!(acknowledged, Acknowledged::Applied(JobState::Scheduled));
        let (job, _) = stored(repository, acme, id).await;
        assert_eq!((job.new.run_at, job.error.as_deref()), (next, Some("it failed")));
        assert_eq!((job.attempt, job.lease_until), (attempt, None));
        let just_before = next.saturating_sub(std::time::Duration::from_millis(1));
        assert_eq!(repository.promote_jobs(just_before, 9).await.unwrap(), 0);
        assert!(claim(repository, 9, just_before).await.is_empty());
        assert_eq!(repository.promote_jobs(next, 9).await.unwrap(), 1);
        now = next;
    }
    let last = claim_one(repository, now).await;
    let acknowledged = acknowledge(repository, &last, retry_at(later(999)), now).await;
    assert_eq!(acknowledged, Acknowledged::Applied(JobState::Dead));
    let (job, attempts) = stored(repository, acme, id).await;
    assert_eq!(
        (job.ended_at, job.attempt, job.error.as_deref()),
        (Some(now), 3, Some("it failed"))
    );
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome.unwrap()).collect();
    assert_eq!(
        outcomes,
        [AttemptOutcome::Retry, AttemptOutcome::Retry, AttemptOutcome::Dead]
    );
}

pub async fn a_job_that_is_given_back_is_ready_at_once(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    add(repository, new_job(acme, "send")).await;
    let claimed = claim_one(repository, NOW).await;
    let given_back = acknowledge(repository, &claimed, retry_at(later(1)), later(1)).await;
    assert_eq!(given_back, Acknowledged::Applied(JobState::Ready));
    // The attempt had begun, so it counts.
    assert_eq!(claim_one(repository, later(1)).await.job.attempt, 2);
}

pub async fn many_ends_are_written_in_one_call(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let ids = add_some(repository, acme, "send", 4).await;
    let theirs = add(
        repository,
        NewJob {
            max_attempts: 1,
            ..new_job(other, "send")
        },
    )
    .await;
    let claimed = claim(repository, 9, NOW).await;
    let find = |id| claimed.iter().find(|claimed| claimed.job.new.id == id).unwrap();
    let invocation = InvocationId::generate();
    let mut done = end_of(find(ids[0]), Ending::Done, later(1));
    done.invocation = Some(invocation);
    let mut unknown = done.clone();
    unknown.claim = ClaimId::generate();
    let ended = [
        end_of(find(ids[3]), Ending::Cancelled, later(2)),
        unknown,
        done.clone(),
        end_of(find(ids[1]), retry_at(later(9)), later(3)),
        end_of(find(theirs), retry_at(later(9)), later(4)),
        done,
        end_of(find(ids[2]), discarded(), later(5)),
    ];
    let acknowledged = repository.acknowledge_jobs(&ended).await.unwrap();
    let applied = Acknowledged::Applied;
    assert_eq!(
        acknowledged,
        [
            applied(JobState::Cancelled),
            Acknowledged::Stale,
            applied(JobState::Done),
            applied(JobState::Scheduled),
            applied(JobState::Dead),
            Acknowledged::Stale,
            applied(JobState::Dead),
        ]
    );
    assert_eq!(
        states(repository, acme, &ids).await,
        [
            JobState::Done,
            JobState::Scheduled,
            JobState::Dead,
            JobState::Cancelled
        ]
    );
    assert_eq!(state(repository, other, theirs).await, JobState::Dead);
    let (job, attempts) = stored(repository, acme, ids[0]).await;
    assert_eq!((job.ended_at, job.error), (Some(later(1)), None));
    assert_eq!(
        (attempts[0].invocation, attempts[0].ended_at),
        (Some(invocation), Some(later(1)))
    );
    let (job, attempts) = stored(repository, acme, ids[2]).await;
    assert_eq!(job.error.as_deref(), Some("it is discarded"));
    assert_eq!(attempts[0].error, job.error);
    assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Dead));
    assert_eq!(repository.acknowledge_jobs(&[]).await.unwrap(), []);
}
