//! Conformance tests of the state of schedules.

use super::super::{change, name, plugin, tenant};
use super::{NOW, acknowledge, claim_one, later, listed, new_job, tick};
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, TenantId};
use crate::domain::job::{Ending, NewJob};
use crate::storage::{Added, DbError, JobFilter, Repository, ScheduleState, Ticked};

fn schedule(tenant: TenantId, plugin: &PluginName, last_due: Timestamp) -> ScheduleState {
    ScheduleState {
        tenant,
        plugin: plugin.clone(),
        name: name("nightly"),
        expression: "0 2 * * * Europe/Amsterdam".to_owned(),
        last_due,
    }
}

pub async fn a_time_of_a_schedule_is_handled_once(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let (orders, _) = plugin(repository, acme, "orders").await;
    repository
        .begin_schedule(&schedule(acme, &orders, NOW))
        .await
        .unwrap();
    let tick = async |at, job: Option<&NewJob>| {
        let due = schedule(acme, &orders, at);
        tick(repository, &due, job).await.unwrap()
    };
    let job = new_job(acme, "report");
    assert_eq!(
        tick(later(1), Some(&job)).await,
        Ticked::Now(Some(Added::New(job.id)))
    );
    // Another node comes to the same time, and a slow one to an earlier time.
    let of_another_node = new_job(acme, "report");
    assert_eq!(tick(later(1), Some(&of_another_node)).await, Ticked::Before);
    assert_eq!(tick(NOW, Some(&of_another_node)).await, Ticked::Before);
    assert_eq!(listed(repository, acme, &JobFilter::default()).await.len(), 1);
    assert_eq!(
        repository.schedules().await.unwrap(),
        [schedule(acme, &orders, later(1))]
    );
    // A time may be handled without a job: it was missed.
    assert_eq!(tick(later(2), None).await, Ticked::Now(None));
    assert_eq!(tick(later(2), Some(&of_another_node)).await, Ticked::Before);
    // Old ticks are deleted, and their times stay handled.
    repository.prune_jobs(later(99), later(99), 9).await.unwrap();
    assert_eq!(tick(later(1), Some(&of_another_node)).await, Ticked::Before);
    assert_eq!(tick(later(2), Some(&of_another_node)).await, Ticked::Before);
}

pub async fn a_time_whose_previous_job_is_live_adds_none(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let (orders, _) = plugin(repository, acme, "orders").await;
    repository
        .begin_schedule(&schedule(acme, &orders, NOW))
        .await
        .unwrap();
    let once = || NewJob {
        unique_key: Some("schedule:nightly".to_owned()),
        ..new_job(acme, "report")
    };
    let (first, second, third) = (once(), once(), once());
    let tick = async |at, job: &NewJob| {
        let due = schedule(acme, &orders, at);
        tick(repository, &due, Some(job)).await.unwrap()
    };
    assert_eq!(
        tick(later(1), &first).await,
        Ticked::Now(Some(Added::New(first.id)))
    );
    assert_eq!(
        tick(later(2), &second).await,
        Ticked::Now(Some(Added::Exists(first.id)))
    );
    let claimed = claim_one(repository, NOW).await;
    acknowledge(repository, &claimed, Ending::Done, NOW).await;
    assert_eq!(
        tick(later(3), &third).await,
        Ticked::Now(Some(Added::New(third.id)))
    );
}

pub async fn a_schedule_begins_and_ends_with_its_version(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let (orders, _) = plugin(repository, acme, "orders").await;
    let begun = schedule(acme, &orders, NOW);
    repository.begin_schedule(&begun).await.unwrap();
    // The same expression goes on.
    repository
        .begin_schedule(&schedule(acme, &orders, later(5)))
        .await
        .unwrap();
    assert_eq!(repository.schedules().await.unwrap(), [begun]);
    let changed = ScheduleState {
        expression: "0 3 * * * UTC".to_owned(),
        ..schedule(acme, &orders, later(9))
    };
    repository.begin_schedule(&changed).await.unwrap();
    assert_eq!(
        repository.schedules().await.unwrap(),
        std::slice::from_ref(&changed)
    );
    // A node that still has the former version handles no time.
    let late = schedule(acme, &orders, later(10));
    assert_eq!(tick(repository, &late, None).await.unwrap(), Ticked::Before);
    let due = ScheduleState {
        last_due: later(20),
        ..changed.clone()
    };
    assert_eq!(tick(repository, &due, None).await.unwrap(), Ticked::Now(None));
    repository
        .end_schedule(acme, &orders, &changed.name)
        .await
        .unwrap();
    repository
        .end_schedule(acme, &orders, &changed.name)
        .await
        .unwrap();
    assert!(repository.schedules().await.unwrap().is_empty());
    let later_due = ScheduleState {
        last_due: later(30),
        ..changed.clone()
    };
    assert_eq!(tick(repository, &later_due, None).await.unwrap(), Ticked::Before);

    // A clock that was set back does not handle a time again, and goes on after it.
    repository.begin_schedule(&changed).await.unwrap();
    assert_eq!(tick(repository, &due, None).await.unwrap(), Ticked::Before);
    assert_eq!(repository.schedules().await.unwrap(), [due]);
    assert_eq!(
        tick(repository, &later_due, None).await.unwrap(),
        Ticked::Now(None)
    );
    let nowhere = schedule(acme, &name("nowhere"), NOW);
    let refused = repository.begin_schedule(&nowhere).await;
    assert!(matches!(refused, Err(DbError::Missing(_))), "{refused:?}");
    repository.purge_tenant(acme, &change(1)).await.unwrap();
    assert!(repository.schedules().await.unwrap().is_empty());
}
