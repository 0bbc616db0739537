//! Conformance tests of held jobs and of jobs of deleted plugins.

use super::super::{change, tenant};
use super::{
    NOW, Policy, add, add_some, claim, claim_one, counts, in_state, keyed, later, listed, new_job, round,
    state, stored,
};
use crate::domain::id::{JobId, PluginName};
use crate::domain::job::{JobState, NewJob};
use crate::storage::{HeldJobs, Repository};

pub async fn jobs_that_cannot_run_are_held_and_released(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let paused = add_some(repository, acme, "paused", 300).await;
    add_some(repository, other, "paused", 1).await;
    let runs = add_some(repository, acme, "send", 2).await;
    let policy = Policy {
        stopped: vec!["paused".parse().unwrap()],
        ..Policy::default()
    };
    // One round finds the jobs behind those that cannot run.
    let first = round(repository, 2, NOW, &policy).await;
    let claimed: Vec<JobId> = first.claimed.iter().map(|claimed| claimed.job.new.id).collect();
    assert_eq!(claimed, runs);
    round(repository, 2, NOW, &policy).await;
    assert_eq!(
        listed(repository, acme, &in_state(JobState::Held)).await.len(),
        300
    );
    let mut held = repository.held_jobs().await.unwrap();
    held.sort_by_key(|held| held.tenant);
    let kind = |tenant| HeldJobs {
        tenant,
        plugin: "orders".parse().unwrap(),
        job: "paused".parse().unwrap(),
    };
    let mut wanted = [kind(acme), kind(other)];
    wanted.sort_by_key(|held| held.tenant);
    assert_eq!(held, wanted);
    assert_eq!(
        (
            counts(repository, acme).await.live,
            counts(repository, acme).await.running
        ),
        (302, 2)
    );
    assert_eq!(counts(repository, acme).await.oldest_ready, None);

    // They are released in blocks, in order of addition.
    assert_eq!(repository.release_held(&kind(acme), 200).await.unwrap(), 200);
    let next = claim(repository, 1, NOW).await;
    assert_eq!(next[0].job.new.id, paused[0]);
    assert_eq!(state(repository, acme, paused[199]).await, JobState::Ready);
    assert_eq!(state(repository, acme, paused[200]).await, JobState::Held);
    assert_eq!(repository.held_jobs().await.unwrap().len(), 2);
    assert_eq!(repository.release_held(&kind(acme), 200).await.unwrap(), 100);
    assert_eq!(repository.release_held(&kind(acme), 200).await.unwrap(), 0);
    assert_eq!(repository.held_jobs().await.unwrap(), [kind(other)]);
    // A kind whose last held job is gone is not listed either.
    let all = in_state(JobState::Held);
    assert_eq!(
        repository.purge_jobs(other, &all, 9, &change(1)).await.unwrap(),
        1
    );
    assert!(repository.held_jobs().await.unwrap().is_empty());
}

pub async fn jobs_of_a_deleted_plugin_become_dead_letters(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let orders: PluginName = "orders".parse().unwrap();
    let running = add(repository, new_job(acme, "send")).await;
    claim_one(repository, NOW).await;
    let held = add_some(repository, acme, "send", 2).await;
    let stopped = Policy {
        stopped: vec!["send".parse().unwrap()],
        ..Policy::default()
    };
    round(repository, 9, NOW, &stopped).await;
    let delayed = NewJob {
        run_at: later(99),
        ..new_job(acme, "send")
    };
    let mut waiting = held;
    waiting.push(add(repository, delayed).await);
    waiting.push(add(repository, keyed(acme, "k", 1, true)).await);
    waiting.push(add(repository, keyed(acme, "k", 1, true)).await);
    let of_another = add(
        repository,
        NewJob {
            plugin: "shop".parse().unwrap(),
            ..new_job(acme, "send")
        },
    )
    .await;

    for wanted in [3, 2, 0] {
        let buried = repository
            .bury_jobs(acme, &orders, "the plugin was deleted", later(1), 3)
            .await
            .unwrap();
        assert_eq!(buried, wanted);
    }
    for id in &waiting {
        let (job, _) = stored(repository, acme, *id).await;
        assert_eq!((job.state, job.ended_at), (JobState::Dead, Some(later(1))));
        assert_eq!(job.error.as_deref(), Some("the plugin was deleted"));
    }
    assert_eq!(state(repository, acme, running).await, JobState::Running);
    assert_eq!(state(repository, acme, of_another).await, JobState::Ready);
    assert!(repository.held_jobs().await.unwrap().is_empty());
    assert_eq!(
        (
            counts(repository, acme).await.live,
            counts(repository, acme).await.dead
        ),
        (2, 5)
    );
    // A restored plugin can run them again. Those of one key still run one after the other.
    let dead = in_state(JobState::Dead);
    assert_eq!(
        repository
            .retry_jobs(acme, &dead, later(2), 9, &change(1))
            .await
            .unwrap(),
        5
    );
    assert_eq!(claim(repository, 9, later(2)).await.len(), 1 + 4);
}
