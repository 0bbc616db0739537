//! Tests of events that become many jobs: the bounds of one event and of one batch of the relay.

use super::relay::left;
use super::*;
use crate::capability::jobs::QueueError;
use crate::domain::event::MOST_RECEIVERS;
use crate::jobs::events::Subscribers;
use crate::jobs::tenant_queue::Outcome;

/// Commits so many events with this data, for 200 receivers each.
async fn write_events(world: &World, tenant: TenantId, count: usize, data: &str) {
    let mut transaction = world.begin(tenant).await;
    for _ in 0..count {
        let entry = OutboxEntry::Event(event("stock.low", data));
        let entry = serde_json::to_string(&entry).unwrap();
        world
            .add_to_outbox(&mut transaction, tenant, &entry, MOST_RECEIVERS.into())
            .await;
    }
    transaction.commit(Box::new(|_| ())).await.unwrap();
}

async fn count(world: &World, tenant: TenantId) -> usize {
    let all = world
        .db
        .jobs(tenant, &JobFilter::default(), Page::first(10_000))
        .await;
    all.unwrap().len()
}

#[tokio::test]
async fn a_batch_is_cut_by_the_jobs_that_its_entries_become() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let manifest = subscriptions("stock.low", MOST_RECEIVERS.into());
    world.activate(tenant, "many", &manifest).await;
    write_events(&world, tenant, 6, "1").await;
    for (outcome, added) in [
        (Outcome::More, 1_000),
        (Outcome::More, 1_200),
        (Outcome::Empty, 1_200),
    ] {
        assert_eq!(world.relay.relay_or_later(tenant).await, outcome);
        assert_eq!(count(&world, tenant).await, added);
    }
    // Their payloads have 3 MB together, so two events are too many.
    write_events(&world, tenant, 2, &"x".repeat(15_000)).await;
    for (outcome, added) in [
        (Outcome::More, 1_400),
        (Outcome::More, 1_600),
        (Outcome::Empty, 1_600),
    ] {
        assert_eq!(world.relay.relay_or_later(tenant).await, outcome);
        assert_eq!(count(&world, tenant).await, added);
    }
    // One event is relayed however large its payloads are together.
    write_events(&world, tenant, 1, &"x".repeat(30_000)).await;
    world.relay.pass().await;
    assert_eq!(count(&world, tenant).await, 1_800);
    assert_eq!(left(&world, tenant).await, 0);
}

#[tokio::test]
async fn the_jobs_of_an_event_share_its_payload() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let manifest = subscriptions("stock.low", 3);
    world.activate(tenant, "many", &manifest).await;
    let subscribers = Subscribers::of(tenant, &world.routing, &*world.db).await;
    let jobs = subscribers
        .unwrap_or_else(|error| panic!("{error}"))
        .fan_out(tenant, &event("stock.low", "1"), NOW)
        .jobs;
    assert_eq!(jobs.len(), 3);
    for job in &jobs {
        assert!(Arc::ptr_eq(&job.payload, &jobs[0].payload));
    }
}

#[tokio::test]
async fn receivers_that_came_after_an_event_was_published_do_not_exceed_the_most() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let most = usize::from(MOST_RECEIVERS);
    let first = subscriptions("stock.low", most);
    world.activate(tenant, "first", &first).await;
    write_events(&world, tenant, 1, "1").await;
    let second = subscriptions("stock.*", 1);
    world.activate(tenant, "second", &second).await;
    world.relay.pass().await;
    let jobs = world.jobs(tenant).await;
    assert_eq!(jobs.len(), most);
    assert!(jobs.iter().all(|job| job.new.plugin.as_str() == "first"));
    assert_eq!(left(&world, tenant).await, 0);
}

#[tokio::test]
async fn what_an_earlier_process_committed_takes_room_until_it_is_relayed() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let manifest = subscriptions("stock.low", MOST_RECEIVERS.into());
    world.activate(tenant, "many", &manifest).await;
    write_events(&world, tenant, 6, "1").await;
    let world = world.restarted().await;
    let limits = Limits {
        job_backlog: 1_200,
        ..Limits::default()
    };
    let full = |live| Err(QueueError::Full { live, limit: 1_200 });
    assert_eq!(world.relay.relay_or_later(tenant).await, Outcome::More);
    assert_eq!(world.queue.has_room(tenant, 1, &limits), full(1_200));
    world.queue.read_counts().await.unwrap();
    assert_eq!(world.queue.has_room(tenant, 1, &limits), full(1_200));
    world.relay.pass().await;
    world.queue.read_counts().await.unwrap();
    assert_eq!(world.queue.has_room(tenant, 1, &limits), full(1_200));
    for claimed in world.claim(1).await {
        world.done(&claimed).await;
    }
    world.queue.read_counts().await.unwrap();
    assert_eq!(world.queue.has_room(tenant, 1, &limits), Ok(()));
}
