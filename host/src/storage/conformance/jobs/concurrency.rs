//! Conformance tests of concurrency keys.

use super::super::{change, tenant};
use super::{
    NOW, Policy, acknowledge, add, claim, claim_one, discarded, in_state, keyed, later, reap, retry_at,
    round, state, states,
};
use crate::domain::id::{JobId, TenantId};
use crate::domain::job::{ClaimedJob, Ending, JobState, NewJob};
use crate::storage::{JobFilter, Repository};

const READY: JobState = JobState::Ready;
const BLOCKED: JobState = JobState::Blocked;

/// Adds jobs of one key, one after the other.
async fn add_keyed(
    repository: &dyn Repository,
    tenant: TenantId,
    limit: u32,
    ordered: bool,
    count: usize,
) -> Vec<JobId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(add(repository, keyed(tenant, "k", limit, ordered)).await);
    }
    ids
}

fn find(claimed: &[ClaimedJob], id: JobId) -> &ClaimedJob {
    claimed.iter().find(|claimed| claimed.job.new.id == id).unwrap()
}

pub async fn a_key_lets_so_many_jobs_run_at_once(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let ids = add_keyed(repository, acme, 2, false, 7).await;
    assert_eq!(
        states(repository, acme, &ids).await,
        [READY, READY, BLOCKED, BLOCKED, BLOCKED, BLOCKED, BLOCKED]
    );
    let claimed = claim(repository, 9, NOW).await;
    assert_eq!(claimed.len(), 2);
    assert!(claim(repository, 9, NOW).await.is_empty());

    // Each way in which a job ends makes room for the next one in order of addition.
    acknowledge(repository, find(&claimed, ids[1]), Ending::Done, later(1)).await;
    assert_eq!(states(repository, acme, &ids[2..4]).await, [READY, BLOCKED]);
    repository
        .cancel_job(acme, ids[2], later(1), &change(1))
        .await
        .unwrap();
    assert_eq!(states(repository, acme, &ids[3..5]).await, [READY, BLOCKED]);
    let ready = in_state(READY);
    assert_eq!(
        repository.purge_jobs(acme, &ready, 9, &change(1)).await.unwrap(),
        1
    );
    assert_eq!(states(repository, acme, &ids[4..6]).await, [READY, BLOCKED]);
    let next = claim_one(repository, later(1)).await;
    acknowledge(repository, &next, discarded(), later(1)).await;
    assert_eq!(states(repository, acme, &ids[5..]).await, [READY, BLOCKED]);
    // The first job still runs, and is lost.
    assert_eq!(repository.reap_jobs(later(60), 9).await.unwrap().len(), 1);
    assert_eq!(state(repository, acme, ids[6]).await, READY);
    assert_eq!(claim(repository, 9, later(60)).await.len(), 2);
}

pub async fn jobs_of_a_key_that_are_added_together_are_counted(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let jobs: Vec<NewJob> = (0..300).map(|_| keyed(acme, "k", 250, false)).collect();
    repository.add_jobs(&jobs).await.unwrap();
    let ready = super::listed(repository, acme, &in_state(READY)).await;
    assert_eq!(ready.len(), 250);
    let first: Vec<JobId> = jobs[..250].iter().map(|job| job.id).collect();
    assert!(ready.iter().all(|job| first.contains(&job.new.id)));
    // Purging all jobs that wait leaves none of them behind.
    assert_eq!(
        repository
            .purge_jobs(acme, &JobFilter::default(), 999, &change(1))
            .await
            .unwrap(),
        300
    );
    add_keyed(repository, acme, 1, false, 1).await;
    claim_one(repository, NOW).await;
}

pub async fn keys_are_of_one_kind_of_job(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let same = keyed(acme, "k", 1, false);
    let others = [
        keyed(other, "k", 1, false),
        keyed(acme, "", 1, false),
        NewJob {
            name: "report".parse().unwrap(),
            ..keyed(acme, "k", 1, false)
        },
        NewJob {
            plugin: "shop".parse().unwrap(),
            ..keyed(acme, "k", 1, false)
        },
    ];
    add(repository, same).await;
    for job in others {
        add(repository, job).await;
    }
    assert_eq!(claim(repository, 9, NOW).await.len(), 5);
}

pub async fn an_ordered_key_waits_for_a_failed_job(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let ids = add_keyed(repository, acme, 1, true, 3).await;
    for attempt in 1..=2 {
        let first = claim_one(repository, later(attempt)).await;
        assert_eq!(first.job.new.id, ids[0]);
        acknowledge(repository, &first, retry_at(later(attempt + 1)), later(attempt)).await;
        assert_eq!(
            states(repository, acme, &ids).await,
            [JobState::Scheduled, BLOCKED, BLOCKED]
        );
        repository.promote_jobs(later(attempt + 1), 9).await.unwrap();
        assert_eq!(states(repository, acme, &ids).await, [READY, BLOCKED, BLOCKED]);
    }
    let lost = claim_one(repository, later(3)).await;
    assert_eq!(lost.job.attempt, 3);
    reap(repository, later(99), 9).await;
    assert_eq!(
        states(repository, acme, &ids).await,
        [JobState::Dead, READY, BLOCKED]
    );
    // A job that waits for its next attempt can be cancelled, which lets the others go on.
    let second = claim_one(repository, later(99)).await;
    acknowledge(repository, &second, retry_at(later(200)), later(99)).await;
    assert_eq!(state(repository, acme, ids[2]).await, BLOCKED);
    repository
        .cancel_job(acme, ids[1], later(99), &change(1))
        .await
        .unwrap();
    assert_eq!(state(repository, acme, ids[2]).await, READY);
}

pub async fn a_key_without_order_goes_on_while_a_failed_job_waits(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let ids = add_keyed(repository, acme, 1, false, 3).await;
    let first = claim_one(repository, NOW).await;
    acknowledge(repository, &first, retry_at(later(5)), NOW).await;
    assert_eq!(
        states(repository, acme, &ids).await,
        [JobState::Scheduled, READY, BLOCKED]
    );
    let second = claim_one(repository, NOW).await;
    repository.promote_jobs(later(5), 9).await.unwrap();
    assert_eq!(
        states(repository, acme, &ids).await,
        [BLOCKED, JobState::Running, BLOCKED]
    );
    // It was added before the third one.
    acknowledge(repository, &second, Ending::Done, later(5)).await;
    assert_eq!(
        states(repository, acme, &ids).await,
        [READY, JobState::Done, BLOCKED]
    );
}

pub async fn a_delayed_job_takes_its_key_when_it_is_due(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let delayed = NewJob {
        run_at: later(5),
        ..keyed(acme, "k", 1, true)
    };
    let delayed = add(repository, delayed).await;
    let other = add_keyed(repository, acme, 1, true, 1).await[0];
    let running = claim_one(repository, NOW).await;
    assert_eq!(running.job.new.id, other);
    repository.promote_jobs(later(5), 9).await.unwrap();
    assert_eq!(state(repository, acme, delayed).await, BLOCKED);
    // A retry of a delayed job lets it run now, if its key is free.
    let another = NewJob {
        run_at: later(99),
        ..keyed(acme, "k", 1, true)
    };
    let another = add(repository, another).await;
    let retried = repository
        .retry_job(acme, another, later(5), &change(1))
        .await
        .unwrap();
    assert_eq!(retried, Some(BLOCKED));
    acknowledge(repository, &running, Ending::Done, later(6)).await;
    assert_eq!(
        states(repository, acme, &[delayed, another]).await,
        [READY, BLOCKED]
    );
}

pub async fn an_ended_job_that_runs_again_takes_its_key(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let ids = add_keyed(repository, acme, 1, true, 2).await;
    let first = claim_one(repository, NOW).await;
    acknowledge(repository, &first, discarded(), NOW).await;
    let second = claim_one(repository, NOW).await;
    let retried = repository.retry_job(acme, ids[0], NOW, &change(1)).await.unwrap();
    assert_eq!(retried, Some(BLOCKED));
    acknowledge(repository, &second, Ending::Done, NOW).await;
    assert_eq!(claim_one(repository, NOW).await.job.new.id, ids[0]);
}

pub async fn a_held_job_keeps_its_key(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let ids = add_keyed(repository, acme, 1, true, 2).await;
    let stopped = Policy {
        stopped: vec!["sync".parse().unwrap()],
        ..Policy::default()
    };
    assert!(round(repository, 9, NOW, &stopped).await.claimed.is_empty());
    assert_eq!(states(repository, acme, &ids).await, [JobState::Held, BLOCKED]);
    let held = repository.held_jobs().await.unwrap();
    assert_eq!(repository.release_held(&held[0], 9).await.unwrap(), 1);
    assert_eq!(states(repository, acme, &ids).await, [READY, BLOCKED]);
    round(repository, 9, NOW, &stopped).await;
    repository
        .cancel_job(acme, ids[0], NOW, &change(1))
        .await
        .unwrap();
    assert_eq!(states(repository, acme, &ids).await, [JobState::Cancelled, READY]);
}

pub async fn a_key_without_order_takes_the_most_urgent_job_next(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    for ordered in [false, true] {
        let mut ids = Vec::new();
        for priority in [0, 5, 0, -1_000, 5] {
            let job = NewJob {
                priority,
                ..keyed(acme, &format!("ordered: {ordered}"), 1, ordered)
            };
            ids.push(add(repository, job).await);
        }
        let mut ran = Vec::new();
        for _ in 0..5 {
            let next = claim_one(repository, NOW).await;
            ran.push(next.job.new.id);
            acknowledge(repository, &next, Ending::Done, NOW).await;
        }
        let expected = match ordered {
            // The first one had the key to itself when it was added.
            false => [0, 3, 2, 1, 4].map(|index: usize| ids[index]),
            true => [0, 1, 2, 3, 4].map(|index: usize| ids[index]),
        };
        assert_eq!(ran, expected, "ordered: {ordered}");
    }
}

pub async fn a_changed_limit_of_a_key_holds_for_new_jobs(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let narrow = add_keyed(repository, acme, 1, false, 2).await;
    // A later version of the plugin allows more at once. The jobs still run in order.
    let wide = add_keyed(repository, acme, 3, false, 2).await;
    let running = claim_one(repository, NOW).await;
    assert_eq!(states(repository, acme, &wide).await, [BLOCKED, BLOCKED]);
    acknowledge(repository, &running, Ending::Done, NOW).await;
    assert_eq!(state(repository, acme, narrow[1]).await, READY);
    assert_eq!(states(repository, acme, &wide).await, [READY, READY]);
}
