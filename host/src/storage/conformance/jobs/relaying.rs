//! Conformance tests of the relay of outboxes.

use super::super::{change, tenant};
use super::{NOW, claim, listed, new_job};
use crate::domain::id::TenantId;
use crate::domain::job::NewJob;
use crate::domain::outbox::OutboxMark;
use crate::storage::{Added, JobFilter, Repository};

fn mark(epoch: &str, sequence: i64) -> OutboxMark {
    OutboxMark {
        epoch: epoch.to_owned(),
        sequence,
    }
}

/// Outbox entries with these sequences.
fn entries(tenant: TenantId, sequences: std::ops::RangeInclusive<i64>) -> Vec<(i64, NewJob)> {
    sequences
        .map(|sequence| (sequence, new_job(tenant, "send")))
        .collect()
}

pub async fn an_outbox_is_relayed_once(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let relay = async |up_to: OutboxMark, entries: &[(i64, NewJob)]| {
        repository.relay_jobs(acme, &up_to, entries).await.unwrap().len()
    };
    let stored = async || listed(repository, acme, &JobFilter::default()).await.len();
    assert_eq!(repository.outbox_mark(acme).await.unwrap(), None);
    let mut first = entries(acme, 1..=2);
    // An event may lead to several jobs, or to none.
    first.push((2, new_job(acme, "report")));
    let added = repository.relay_jobs(acme, &mark("a", 3), &first).await.unwrap();
    let wanted: Vec<Added> = first.iter().map(|(_, job)| Added::New(job.id)).collect();
    assert_eq!(added, wanted);
    assert_eq!(repository.outbox_mark(acme).await.unwrap(), Some(mark("a", 3)));

    // The host stopped before the entries were deleted, and reads them again. The jobs may have
    // ended and been deleted meanwhile.
    let everything = JobFilter::default();
    assert_eq!(
        repository
            .purge_jobs(acme, &everything, 1, &change(1))
            .await
            .unwrap(),
        1
    );
    assert_eq!(relay(mark("a", 3), &first).await, 0);
    assert_eq!(stored().await, 2);
    let more = entries(acme, 1..=5);
    let added = repository.relay_jobs(acme, &mark("a", 5), &more).await.unwrap();
    assert_eq!(added, [Added::New(more[3].1.id), Added::New(more[4].1.id)]);
    // The mark never goes back within an epoch.
    assert_eq!(relay(mark("a", 4), &entries(acme, 4..=4)).await, 0);
    assert_eq!(repository.outbox_mark(acme).await.unwrap(), Some(mark("a", 5)));

    // Another epoch means another file, whose sequence began anew.
    assert_eq!(relay(mark("b", 1), &entries(acme, 1..=1)).await, 1);
    assert_eq!(relay(mark("b", 1), &entries(acme, 1..=1)).await, 0);
    assert_eq!(repository.outbox_mark(acme).await.unwrap(), Some(mark("b", 1)));
    assert_eq!(stored().await, 5);
    assert_eq!(claim(repository, 9, NOW).await.len(), 5);
    // Entries without jobs move the mark too.
    assert_eq!(relay(mark("b", 9), &[]).await, 0);
    assert_eq!(repository.outbox_mark(acme).await.unwrap(), Some(mark("b", 9)));
}

pub async fn the_epoch_of_an_outbox_is_known_before_its_first_entry(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    assert!(repository.tenants_with_outbox().await.unwrap().is_empty());
    repository.set_outbox_epoch(acme, "a").await.unwrap();
    assert_eq!(repository.tenants_with_outbox().await.unwrap(), [acme]);
    assert_eq!(repository.outbox_mark(acme).await.unwrap(), Some(mark("a", 0)));
    assert_eq!(repository.outbox_mark(other).await.unwrap(), None);
    repository
        .relay_jobs(acme, &mark("a", 4), &entries(acme, 4..=4))
        .await
        .unwrap();
    // The same epoch again keeps the sequence.
    repository.set_outbox_epoch(acme, "a").await.unwrap();
    assert_eq!(repository.outbox_mark(acme).await.unwrap(), Some(mark("a", 4)));
    repository.set_outbox_epoch(acme, "b").await.unwrap();
    assert_eq!(repository.outbox_mark(acme).await.unwrap(), Some(mark("b", 0)));
    repository.purge_tenant(acme, &change(1)).await.unwrap();
    assert!(repository.tenants_with_outbox().await.unwrap().is_empty());
    assert_eq!(
        repository
            .relay_jobs(acme, &mark("b", 1), &entries(acme, 1..=1))
            .await
            .unwrap(),
        []
    );
}
