//! Conformance tests of adding jobs.

use super::super::{change, tenant};
use super::{NOW, acknowledge, add, claim_one, discarded, later, listed, new_job, stored};
use crate::domain::event::Event;
use crate::domain::id::{EventId, JobId};
use crate::domain::job::{Concurrency, ConcurrencyKey, Ending, Job, JobOrigin, JobState, NewJob};
use crate::storage::{Added, Cancelled, JobFilter, Repository};

pub async fn a_job_is_stored_as_it_was_added(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let plain = new_job(acme, "send");
    let full = NewJob {
        payload: "x".repeat(100_000).into(),
        origin: JobOrigin::Event {
            event: Event {
                id: EventId::generate(),
                source: "shop".parse().unwrap(),
                topic: "order.created".parse().unwrap(),
                time: NOW,
            },
        },
        priority: -7,
        run_at: later(5),
        unique_key: Some("u".to_owned()),
        concurrency: Some(ConcurrencyKey {
            key: String::new(),
            bound: Concurrency {
                limit: 3.try_into().unwrap(),
                ordered: true,
            },
        }),
        depth: 4,
        traceparent: Some("00-1-2-01".to_owned()),
        ..new_job(acme, "report")
    };
    let scheduled = NewJob {
        origin: JobOrigin::Schedule {
            name: "nightly".parse().unwrap(),
            due_at: NOW,
        },
        ..new_job(acme, "report")
    };
    for (new, state) in [
        (plain, JobState::Ready),
        (full, JobState::Scheduled),
        (scheduled, JobState::Ready),
    ] {
        add(repository, new.clone()).await;
        let wanted = Job {
            state,
            attempt: 0,
            lease_until: None,
            cancel_requested: false,
            ended_at: None,
            error: None,
            new,
        };
        assert_eq!(
            stored(repository, acme, wanted.new.id).await,
            (wanted, Vec::new())
        );
    }
}

pub async fn a_unique_key_is_free_again_when_its_job_ends(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let with_key = || NewJob {
        unique_key: Some("order-7".to_owned()),
        ..new_job(acme, "send")
    };
    // The second job of one call meets the first one.
    let both = [with_key(), with_key()];
    let added = repository.add_jobs(&both).await.unwrap();
    assert_eq!(added, [Added::New(both[0].id), Added::Exists(both[0].id)]);
    assert!(repository.job(acme, both[1].id).await.unwrap().is_none());
    let running = claim_one(repository, NOW).await;
    let third = repository.add_jobs(&[with_key()]).await.unwrap();
    assert_eq!(third, [Added::Exists(running.job.new.id)]);

    // A key is of one kind of job, one plugin and one tenant.
    let other = tenant(repository, "other").await.id;
    let others = [
        NewJob {
            unique_key: Some("order-7".to_owned()),
            ..new_job(acme, "report")
        },
        NewJob {
            plugin: "shop".parse().unwrap(),
            ..with_key()
        },
        NewJob {
            tenant: other,
            ..with_key()
        },
    ];
    let added = repository.add_jobs(&others).await.unwrap();
    assert!(
        added.iter().all(|added| matches!(added, Added::New(_))),
        "{added:?}"
    );
    for job in &others {
        repository
            .cancel_job(job.tenant, job.id, NOW, &change(1))
            .await
            .unwrap();
    }

    acknowledge(repository, &running, Ending::Done, NOW).await;
    add(repository, with_key()).await;
    let second = claim_one(repository, NOW).await;
    acknowledge(repository, &second, discarded(), NOW).await;
    let third = add(repository, with_key()).await;
    let cancelled = repository.cancel_job(acme, third, NOW, &change(1)).await.unwrap();
    assert_eq!(cancelled, Some(Cancelled::Now));
    add(repository, with_key()).await;
}

pub async fn a_job_that_is_added_twice_is_added_once(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let job = new_job(acme, "send");
    let added = repository.add_jobs(&[job.clone(), job.clone()]).await.unwrap();
    assert_eq!(added, [Added::New(job.id), Added::Exists(job.id)]);
    let again = repository.add_jobs(std::slice::from_ref(&job)).await.unwrap();
    assert_eq!(again, [Added::Exists(job.id)]);
    let claimed = claim_one(repository, NOW).await;
    acknowledge(repository, &claimed, Ending::Done, NOW).await;
    let after_its_end = repository.add_jobs(std::slice::from_ref(&job)).await.unwrap();
    assert_eq!(after_its_end, [Added::Exists(job.id)]);
    let all = listed(repository, acme, &JobFilter::default()).await;
    assert_eq!(all.len(), 1);
    assert_eq!(repository.add_jobs(&[]).await.unwrap(), []);
}

pub async fn jobs_of_a_purged_tenant_are_dropped(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let gone = tenant(repository, "gone").await.id;
    repository.purge_tenant(gone, &change(1)).await.unwrap();
    let jobs = [
        new_job(gone, "send"),
        new_job(acme, "send"),
        new_job(gone, "send"),
    ];
    let added = repository.add_jobs(&jobs).await.unwrap();
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    assert_eq!(added, ids.iter().copied().map(Added::New).collect::<Vec<_>>());
    assert!(repository.job(gone, ids[0]).await.unwrap().is_none());
    assert_eq!(claim_one(repository, NOW).await.job.new.id, ids[1]);
}
