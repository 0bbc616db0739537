//! Conformance tests of what a deleted or purged tenant or plugin leaves of its jobs.

use super::super::{change, name, plugin, tenant};
use super::{
    NOW, acknowledge, add, add_some, claim, claim_one, counts, discarded, keyed, later, listed, new_job,
    state, tick,
};
use crate::domain::id::{PluginName, TenantId};
use crate::domain::job::{Ending, JobState, NewJob};
use crate::storage::{Acknowledged, JobCounts, JobFilter, Repository, ScheduleState, Ticked};

/// Jobs of a plugin in all states. The last one is running.
async fn jobs_of(repository: &dyn Repository, tenant: TenantId, plugin: &PluginName) -> Vec<NewJob> {
    let of_plugin = |job: NewJob| NewJob {
        plugin: plugin.clone(),
        ..job
    };
    let jobs = [
        new_job(tenant, "send"),
        NewJob {
            unique_key: Some("u".to_owned()),
            run_at: later(99),
            ..new_job(tenant, "send")
        },
        keyed(tenant, "k", 1, true),
        keyed(tenant, "k", 1, true),
    ]
    .map(of_plugin);
    repository.add_jobs(&jobs).await.unwrap();
    let claimed = claim(repository, 9, NOW).await;
    assert_eq!(claimed.len(), 2);
    acknowledge(repository, &claimed[0], discarded(), NOW).await;
    jobs.to_vec()
}

fn nightly(tenant: TenantId, plugin: &PluginName) -> ScheduleState {
    ScheduleState {
        tenant,
        plugin: plugin.clone(),
        name: name("nightly"),
        expression: "0 2 * * * UTC".to_owned(),
        last_due: NOW,
    }
}

pub async fn a_purged_tenant_leaves_no_jobs(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let (orders, _) = plugin(repository, acme, "orders").await;
    let jobs = jobs_of(repository, acme, &orders).await;
    repository.begin_schedule(&nightly(acme, &orders)).await.unwrap();
    let theirs = add_some(repository, other, "send", 1).await[0];
    let running = listed(repository, acme, &super::in_state(JobState::Running)).await;
    assert_eq!(running.len(), 1);

    // Deleting keeps everything, so that the tenant can be restored.
    repository.delete_tenant(acme, &change(1)).await.unwrap();
    assert_eq!(counts(repository, acme).await.live, 3);
    assert!(repository.purge_tenant(acme, &change(2)).await.unwrap());
    for job in &jobs {
        assert!(repository.job(acme, job.id).await.unwrap().is_none());
    }
    assert!(listed(repository, acme, &JobFilter::default()).await.is_empty());
    assert_eq!(counts(repository, acme).await, JobCounts::default());
    assert!(repository.schedules().await.unwrap().is_empty());
    assert_eq!(super::reap(repository, later(999), 9).await, []);
    assert_eq!(repository.promote_jobs(later(999), 9).await.unwrap(), 0);
    assert_eq!(state(repository, other, theirs).await, JobState::Ready);
}

pub async fn a_purged_plugin_leaves_no_jobs(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let (orders, _) = plugin(repository, acme, "orders").await;
    let (shop, _) = plugin(repository, acme, "shop").await;
    let of_shop = NewJob {
        plugin: shop.clone(),
        run_at: later(50),
        ..new_job(acme, "send")
    };
    let of_shop = add(repository, of_shop).await;
    let jobs = jobs_of(repository, acme, &orders).await;
    repository.begin_schedule(&nightly(acme, &orders)).await.unwrap();
    repository.begin_schedule(&nightly(acme, &shop)).await.unwrap();
    assert!(repository.delete_plugin(acme, &orders, &change(1)).await.unwrap());
    assert_eq!(counts(repository, acme).await.live, 4);

    assert!(repository.purge_plugin(acme, &orders, &change(2)).await.unwrap());
    for job in &jobs {
        assert!(repository.job(acme, job.id).await.unwrap().is_none());
    }
    let left = counts(repository, acme).await;
    assert_eq!((left.live, left.running, left.dead), (1, 0, 0));
    assert_eq!(state(repository, acme, of_shop).await, JobState::Scheduled);
    assert_eq!(repository.schedules().await.unwrap(), [nightly(acme, &shop)]);
    // Keys of the purged jobs are free.
    for job in &jobs {
        let again = NewJob {
            id: crate::domain::id::JobId::generate(),
            run_at: NOW,
            ..job.clone()
        };
        add(repository, again).await;
    }
    assert_eq!(claim(repository, 9, NOW).await.len(), 3);
}

pub async fn a_job_that_is_purged_while_it_runs_ends_nowhere(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let (orders, _) = plugin(repository, acme, "orders").await;
    add(repository, new_job(acme, "send")).await;
    let claimed = claim_one(repository, NOW).await;
    repository.purge_plugin(acme, &orders, &change(1)).await.unwrap();
    let acknowledged = acknowledge(repository, &claimed, Ending::Done, later(1)).await;
    assert_eq!(acknowledged, Acknowledged::Stale);
    let due = ScheduleState {
        last_due: later(1),
        ..nightly(acme, &orders)
    };
    assert_eq!(tick(repository, &due, None).await.unwrap(), Ticked::Before);
}
