//! Conformance tests of claims and leases.

use super::super::{change, tenant};
use super::{
    LEASE, NOW, acknowledge, add, claim, claim_one, discarded, end_of, later, new_job, reap, retry_at, state,
    stored,
};
use crate::domain::id::ClaimId;
use crate::domain::job::{AttemptOutcome, Ending, JobState, NewJob};
use crate::storage::{Acknowledged, Cancelled, Repository};

pub async fn jobs_are_claimed_by_priority_time_and_addition(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let mut ids = Vec::new();
    for (priority, due) in [(0, 1), (0, 0), (1, 0), (-1, 2), (0, 0)] {
        let due = later(due);
        let job = NewJob {
            priority,
            run_at: due,
            created_at: due,
            ..new_job(acme, "send")
        };
        ids.push(add(repository, job).await);
    }
    let first = claim(repository, 3, later(9)).await;
    let second = claim(repository, 9, later(9)).await;
    let claimed: Vec<_> = first
        .iter()
        .chain(&second)
        .map(|claimed| claimed.job.new.id)
        .collect();
    assert_eq!(claimed, [ids[3], ids[1], ids[4], ids[0], ids[2]]);
    assert_eq!((first.len(), claim(repository, 9, later(9)).await.len()), (3, 0));
}

pub async fn a_claim_begins_an_attempt(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let new = NewJob {
        payload: "[1]".into(),
        ..new_job(acme, "send")
    };
    let id = add(repository, new.clone()).await;
    let claimed = claim_one(repository, later(1)).await;
    let (job, attempts) = stored(repository, acme, id).await;
    assert_eq!(claimed.job, job);
    assert_eq!(job.new, new);
    assert_eq!((job.state, job.attempt), (JobState::Running, 1));
    assert_eq!(job.lease_until, Some(later(1).saturating_add(LEASE)));
    assert_eq!(attempts.len(), 1);
    assert_eq!((attempts[0].number, attempts[0].node.as_str()), (1, "node-1"));
    assert_eq!((attempts[0].started_at, attempts[0].ended_at), (later(1), None));
    assert_eq!(attempts[0].outcome, None);
}

pub async fn a_stale_claim_changes_nothing(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let id = add(repository, new_job(acme, "send")).await;
    let stale = claim_one(repository, NOW).await;
    // The worker stops; its lease ends, and another node has the job.
    let reaped = repository.reap_jobs(later(60), 9).await.unwrap();
    assert_eq!(reaped.len(), 1);
    repository.promote_jobs(later(70), 9).await.unwrap();
    let fresh = claim_one(repository, later(70)).await;
    assert_ne!(stale.claim, fresh.claim);
    let before = stored(repository, acme, id).await;

    for ending in [Ending::Done, retry_at(later(71)), discarded(), Ending::Cancelled] {
        let acknowledged = acknowledge(repository, &stale, ending, later(71)).await;
        assert_eq!(acknowledged, Acknowledged::Stale);
    }
    assert!(
        !repository
            .extend_lease(id, stale.claim, later(999))
            .await
            .unwrap()
    );
    let guessed = ClaimId::generate();
    assert!(!repository.extend_lease(id, guessed, later(999)).await.unwrap());
    assert_eq!(stored(repository, acme, id).await, before);

    // A claim is of one job.
    let other = add(repository, new_job(acme, "send")).await;
    let mut foreign = end_of(&fresh, Ending::Done, later(72));
    foreign.job = other;
    assert_eq!(
        repository.acknowledge_jobs(&[foreign]).await.unwrap(),
        [Acknowledged::Stale]
    );
    assert!(
        !repository
            .extend_lease(other, fresh.claim, later(999))
            .await
            .unwrap()
    );

    // Only the node of the fresh claim is asked to cancel.
    let cancelled = repository
        .cancel_job(acme, id, later(72), &change(1))
        .await
        .unwrap();
    assert_eq!(cancelled, Some(Cancelled::Requested));
    let requests = repository.cancel_requests("node-1").await.unwrap();
    assert_eq!(requests, [(id, fresh.claim)]);
    let done = acknowledge(repository, &fresh, Ending::Done, later(73)).await;
    assert_eq!(done, Acknowledged::Applied(JobState::Done));
    // An acknowledged claim is over.
    let again = acknowledge(repository, &fresh, Ending::Done, later(74)).await;
    assert_eq!(again, Acknowledged::Stale);
    assert_eq!(state(repository, acme, id).await, JobState::Done);
}

pub async fn an_interrupted_last_attempt_is_followed_by_one_more(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let id = add(
        repository,
        NewJob {
            max_attempts: 1,
            ..new_job(acme, "send")
        },
    )
    .await;
    for attempt in 1..=2 {
        let claimed = claim_one(repository, later(attempt)).await;
        let interrupted = Ending::Interrupted {
            error: "the host was stopped".to_owned(),
        };
        let acknowledged = acknowledge(repository, &claimed, interrupted, later(attempt)).await;
        assert_eq!(acknowledged, Acknowledged::Applied(JobState::Ready));
    }
    let claimed = claim_one(repository, later(3)).await;
    assert_eq!((claimed.job.attempt, claimed.job.new.max_attempts), (3, 3));
    let failed = acknowledge(repository, &claimed, retry_at(later(4)), later(3)).await;
    assert_eq!(failed, Acknowledged::Applied(JobState::Dead));
    let (_, attempts) = stored(repository, acme, id).await;
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome).collect();
    let [retry, dead] = [AttemptOutcome::Retry, AttemptOutcome::Dead].map(Some);
    assert_eq!(outcomes, [retry, retry, dead]);
}

pub async fn a_job_that_kills_the_host_becomes_a_dead_letter(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let id = add(repository, new_job(acme, "poison")).await;
    let mut now = NOW;
    for attempt in 1..=3 {
        let claimed = claim_one(repository, now).await;
        // Attempts are counted when they begin, so a crash counts.
        assert_eq!(claimed.job.attempt, attempt);
        assert!(reap(repository, now, 9).await.is_empty());
        now = now.saturating_add(LEASE);
        let reaped = reap(repository, now, 9).await;
        let (mut job, _) = stored(repository, acme, id).await;
        job.new.payload = Default::default();
        assert_eq!(reaped, [job.clone()]);
        assert_eq!(job.attempt, attempt);
        assert!(job.error.unwrap().contains("node-1"));
        let wanted = if attempt < 3 {
            JobState::Scheduled
        } else {
            JobState::Dead
        };
        assert_eq!(job.state, wanted);
        if job.state == JobState::Scheduled {
            // The wait doubles, and up to half of it is taken off.
            let wait = job.new.run_at.since(now).as_millis();
            let whole = 1_000 << (attempt - 1);
            assert!(
                (whole / 2..=whole).contains(&wait),
                "{wait} ms after attempt {attempt}"
            );
        }
        now = now.saturating_add(LEASE);
        repository.promote_jobs(now, 9).await.unwrap();
    }
    assert!(claim(repository, 9, now).await.is_empty());
    let (job, attempts) = stored(repository, acme, id).await;
    assert_eq!((job.state, job.ended_at), (JobState::Dead, Some(later(300))));
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [Some(AttemptOutcome::Lost); 3]);
}

pub async fn a_lease_is_kept_until_it_ends_and_can_be_extended(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let id = add(repository, new_job(acme, "send")).await;
    let claimed = claim_one(repository, NOW).await;
    assert!(
        repository
            .extend_lease(id, claimed.claim, later(100))
            .await
            .unwrap()
    );
    assert!(repository.reap_jobs(later(99), 9).await.unwrap().is_empty());
    assert_eq!(state(repository, acme, id).await, JobState::Running);
    assert_eq!(repository.reap_jobs(later(100), 9).await.unwrap().len(), 1);
    assert!(
        !repository
            .extend_lease(id, claimed.claim, later(200))
            .await
            .unwrap()
    );
}

pub async fn lost_attempts_are_reaped_in_blocks(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    super::add_some(repository, acme, "send", 3).await;
    assert_eq!(claim(repository, 9, NOW).await.len(), 3);
    let mut reaped = Vec::new();
    for wanted in [2, 1, 0] {
        let jobs = repository.reap_jobs(later(60), 2).await.unwrap();
        assert_eq!(jobs.len(), wanted);
        reaped.extend(jobs.into_iter().map(|job| job.new.id));
    }
    reaped.sort();
    reaped.dedup();
    assert_eq!(reaped.len(), 3);
}
