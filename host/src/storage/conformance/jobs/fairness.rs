//! Conformance tests of fairness between tenants.

use std::collections::BTreeMap;

use super::super::tenant;
use super::{NOW, Policy, acknowledge, add, add_some, later, new_job, round, state};
use crate::domain::id::TenantId;
use crate::domain::job::{ClaimedJob, Ending, JobState, NewJob};
use crate::storage::Repository;

const ONE_EACH: Policy = Policy {
    running: u32::MAX,
    share: 1,
    reserved: 0,
    stopped: Vec::new(),
};

fn tenants_of(claimed: &[ClaimedJob]) -> Vec<TenantId> {
    claimed.iter().map(|claimed| claimed.job.new.tenant).collect()
}

pub async fn claims_go_round_the_tenants(repository: &dyn Repository) {
    let mut tenants = Vec::new();
    for number in 0..12 {
        tenants.push(tenant(repository, &format!("t{number}")).await.id);
    }
    tenants.sort();
    add_some(repository, tenants[3], "send", 500).await;
    for id in &tenants {
        add_some(repository, *id, "send", 2).await;
    }
    let mut claimed = Vec::new();
    let mut cursor = Some(tenants[1]);
    for slots in [5, 5, 5, 5, 5] {
        let round = repository
            .claim_jobs("node-1", cursor, slots, NOW, &ONE_EACH)
            .await
            .unwrap();
        assert_eq!(round.claimed.len(), 5);
        assert!(round.more);
        cursor = round.cursor;
        claimed.extend(tenants_of(&round.claimed));
    }
    // Each tenant has its turn before any has its second one.
    let order: Vec<TenantId> = (0..25).map(|turn| tenants[(turn + 2) % 12]).collect();
    assert_eq!(claimed[..24], order[..24]);
    assert_eq!(claimed[24], tenants[3]);
}

pub async fn slots_that_are_left_go_to_the_tenants_with_more_jobs(repository: &dyn Repository) {
    let small = tenant(repository, "small").await.id;
    let large = tenant(repository, "large").await.id;
    add_some(repository, small, "send", 1).await;
    add_some(repository, large, "send", 10).await;
    let claims = round(repository, 6, NOW, &ONE_EACH).await;
    let mut counted = BTreeMap::new();
    for tenant in tenants_of(&claims.claimed) {
        *counted.entry(tenant).or_insert(0) += 1;
    }
    assert_eq!(counted, BTreeMap::from([(small, 1), (large, 5)]));
    assert!(claims.more);
    let rest = round(repository, 9, NOW, &ONE_EACH).await;
    assert_eq!((rest.claimed.len(), rest.more), (5, false));
    let nothing = round(repository, 9, NOW, &ONE_EACH).await;
    assert_eq!((nothing.claimed.len(), nothing.more), (0, false));
}

pub async fn a_tenant_has_no_more_running_jobs_than_it_may(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    add_some(repository, acme, "send", 5).await;
    let two = Policy {
        running: 2,
        ..Policy::default()
    };
    let first = round(repository, 9, NOW, &two).await;
    // The others wait for an end, so there is no reason to ask again at once.
    assert_eq!((first.claimed.len(), first.more), (2, false));
    assert!(round(repository, 9, NOW, &two).await.claimed.is_empty());
    add_some(repository, other, "send", 1).await;
    let theirs = round(repository, 9, NOW, &two).await;
    assert_eq!(tenants_of(&theirs.claimed), [other]);
    acknowledge(repository, &first.claimed[0], Ending::Done, NOW).await;
    assert_eq!(tenants_of(&round(repository, 9, NOW, &two).await.claimed), [acme]);
    let none = round(repository, 0, NOW, &Policy::default()).await;
    assert!(none.claimed.is_empty());
}

pub async fn reserved_slots_go_to_tenants_that_run_no_job(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    add_some(repository, acme, "send", 10).await;
    let two_reserved = Policy {
        share: 2,
        reserved: 2,
        ..Policy::default()
    };
    let first = round(repository, 6, NOW, &two_reserved).await;
    assert_eq!(tenants_of(&first.claimed), [acme; 4]);
    // Two slots are free, and the tenant gets none of them, so there is no reason to ask at once.
    let second = round(repository, 2, NOW, &two_reserved).await;
    assert_eq!((second.claimed.len(), second.more), (0, false));
    add_some(repository, other, "send", 2).await;
    let theirs = round(repository, 2, NOW, &two_reserved).await;
    assert_eq!(tenants_of(&theirs.claimed), [other]);
    assert!(round(repository, 1, NOW, &two_reserved).await.claimed.is_empty());
    // A slot that becomes free beside the reserved ones goes to any tenant.
    let freed = round(repository, 3, NOW, &two_reserved).await;
    assert_eq!(freed.claimed.len(), 1);
}

pub async fn tenants_take_turns_beside_reserved_slots(repository: &dyn Repository) {
    let mut tenants = Vec::new();
    for number in 0..4 {
        tenants.push(tenant(repository, &format!("t{number}")).await.id);
    }
    tenants.sort();
    let (busy, small) = (&tenants[..3], tenants[3]);
    for id in busy {
        add_some(repository, *id, "send", 9).await;
    }
    let one_reserved = Policy {
        reserved: 1,
        ..ONE_EACH
    };
    let first = round(repository, 4, NOW, &one_reserved).await;
    assert_eq!(tenants_of(&first.claimed), busy);
    // All of them run jobs now, and in each round one slot is free beside the reserved one. A
    // tenant with short jobs takes that one, and does not change whose turn it is.
    let (mut cursor, mut claimed) = (first.cursor, Vec::new());
    for _ in 0..7 {
        add_some(repository, small, "send", 1).await;
        let claims = repository
            .claim_jobs("node-1", cursor, 2, NOW, &one_reserved)
            .await
            .unwrap();
        cursor = claims.cursor;
        for job in &claims.claimed {
            match job.job.new.tenant == small {
                true => {
                    acknowledge(repository, job, Ending::Done, NOW).await;
                }
                false => claimed.push(job.job.new.tenant),
            }
        }
    }
    assert_eq!(claimed, busy.repeat(2));
}

pub async fn due_jobs_of_one_tenant_do_not_delay_those_of_others(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let at = |tenant, seconds| NewJob {
        run_at: later(seconds),
        ..new_job(tenant, "send")
    };
    let many: Vec<NewJob> = (0..200).map(|_| at(acme, 1)).collect();
    repository.add_jobs(&many).await.unwrap();
    let theirs = add(repository, at(other, 2)).await;
    let third = add(repository, at(acme, 3)).await;
    assert_eq!(repository.promote_jobs(NOW, 50).await.unwrap(), 0);
    assert_eq!(repository.promote_jobs(later(2), 50).await.unwrap(), 50);
    assert_eq!(state(repository, other, theirs).await, JobState::Ready);
    // The share of a tenant with fewer jobs goes to the others.
    let mut promoted = 0;
    loop {
        match repository.promote_jobs(later(2), 60).await.unwrap() {
            60 => promoted += 60,
            rest => {
                promoted += rest;
                break;
            }
        }
    }
    assert_eq!(promoted, 151);
    assert_eq!(state(repository, acme, third).await, JobState::Scheduled);
    assert_eq!(repository.promote_jobs(later(3), 60).await.unwrap(), 1);
    assert_eq!(repository.promote_jobs(later(3), 60).await.unwrap(), 0);
}
