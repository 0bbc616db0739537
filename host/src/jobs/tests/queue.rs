//! Tests of the queue as host calls use it.

use super::*;
use crate::capability::database::OutboxMarks as _;
use crate::capability::jobs::{PublishError, QueueError};
use crate::domain::event::MOST_RECEIVERS;
use crate::domain::outbox::OutboxMark;

fn backlog(most: u32) -> Limits {
    Limits {
        job_backlog: most,
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_share_commits_and_each_gets_its_own_answer() {
    let world = World::new().await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    let mut callers = Vec::new();
    for number in 0..250 {
        let (queue, tenant) = (world.queue.clone(), if number % 2 == 0 { a } else { b });
        let mut new = job(tenant, "sync", &number.to_string());
        new.unique_key = (number % 10 < 2).then(|| "same".to_owned());
        callers.push(tokio::spawn(async move {
            let (wanted, is_unique) = (new.id, new.unique_key.is_some());
            let added = queue.add(new, &Limits::default()).await.unwrap();
            (tenant, is_unique, wanted, added)
        }));
    }
    let mut by_key: HashMap<TenantId, JobId> = HashMap::new();
    for caller in callers {
        let (tenant, is_unique, wanted, added) = caller.await.unwrap();
        match is_unique {
            true => assert_eq!(*by_key.entry(tenant).or_insert(added), added),
            false => assert_eq!(added, wanted),
        }
    }
    // Of each tenant's 25 jobs with the same key, one was added.
    assert_eq!(world.jobs(a).await.len(), 101);
    assert_eq!(world.jobs(b).await.len(), 101);
    assert_eq!(world.counters.totals().enqueued, 202);
}

#[tokio::test]
async fn the_backlog_is_full_at_its_limit_and_has_room_again_when_jobs_end() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let limits = backlog(2);
    for payload in ["1", "2"] {
        assert_eq!(world.queue.has_room(tenant, 1, &limits), Ok(()));
        world
            .queue
            .add(job(tenant, "sync", payload), &limits)
            .await
            .unwrap();
    }
    let full = Err(QueueError::Full { live: 2, limit: 2 });
    assert_eq!(world.queue.has_room(tenant, 1, &limits), full);
    let refused = world.queue.add(job(tenant, "sync", "3"), &limits).await;
    assert_eq!(refused, Err(QueueError::Full { live: 2, limit: 2 }));
    let event = event("order.created", "4");
    assert!(world.queue.publish(tenant, event, &limits).await.is_err());
    // The counters agree with what was counted here.
    world.queue.read_counts().await.unwrap();
    assert_eq!(world.queue.has_room(tenant, 1, &limits), full);
    for claimed in world.claim(1).await {
        world.done(&claimed).await;
    }
    world.queue.read_counts().await.unwrap();
    world.queue.add(job(tenant, "sync", "5"), &limits).await.unwrap();
    assert_eq!(world.payloads(tenant).await, ["1", "2", "5"]);
}

#[tokio::test]
async fn jobs_of_an_outbox_and_of_schedules_count_for_the_backlog() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let entry = OutboxEntry::Job(job(tenant, "sync", "1"));
    world.write_outbox(tenant, &[entry]).await;
    world.relay.pass().await;
    world.scheduler.pass().await;
    world.advance(3_600);
    world.scheduler.pass().await;
    let limits = backlog(2);
    let full = Err(QueueError::Full { live: 2, limit: 2 });
    assert_eq!(world.queue.has_room(tenant, 1, &limits), full);
}

#[tokio::test]
async fn an_event_is_published_to_its_subscribers() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let limits = backlog(9);
    let publish = |topic: &str| world.queue.publish(tenant, event(topic, topic), &limits);
    publish("order.created").await.unwrap();
    publish("payment.settled").await.unwrap();
    assert_eq!(world.payloads(tenant).await, ["order.created"]);
    // A tenant that is gone gets nothing.
    let gone = TenantId::generate();
    let published = world
        .queue
        .publish(gone, event("order.created", ""), &limits)
        .await;
    assert_eq!(published, Err(PublishError::Queue(QueueError::Unavailable)));
}

#[tokio::test]
async fn an_event_with_too_many_receivers_is_refused_before_its_jobs_are_made() {
    let world = World::new().await;
    let (tenant, limits) = (world.tenant().await, Limits::default());
    let topic = "stock.low".parse().unwrap();
    let most = usize::from(MOST_RECEIVERS);
    // Both patterns of a kind count once.
    let twice = "[[subscribe]]\ntopic = 'stock.*'\njob = 'j0'\n";
    let manifest = subscriptions("stock.low", most - 1) + twice;
    world.activate(tenant, "many", &manifest).await;
    assert_eq!(world.queue.receivers(tenant, &topic).await, Ok(199));
    conformance::endpoint(&*world.db, tenant, &["stock.*"]).await;
    world.serve(tenant).await;
    assert_eq!(world.queue.receivers(tenant, &topic).await, Ok(200));
    let event = event("stock.low", "1");
    world.queue.publish(tenant, event.clone(), &limits).await.unwrap();
    assert_eq!(world.payloads(tenant).await.len(), most);
    conformance::endpoint(&*world.db, tenant, &["stock.>"]).await;
    world.serve(tenant).await;
    let refused = world.queue.receivers(tenant, &topic).await;
    assert_eq!(refused, Err(PublishError::TooManyReceivers));
    let refused = world.queue.publish(tenant, event, &limits).await.unwrap_err();
    assert!(refused.to_string().contains("200"), "{refused}");
    assert_eq!(world.payloads(tenant).await.len(), most);
    // Other topics are not affected.
    let other = "stock.high".parse().unwrap();
    assert_eq!(world.queue.receivers(tenant, &other).await, Ok(3));
}

#[tokio::test]
async fn jobs_of_transactions_take_room_until_they_are_relayed() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let entry = serde_json::to_string(&OutboxEntry::Job(job(tenant, "sync", "1"))).unwrap();
    let limits = backlog(5);
    let full = |live| Err(QueueError::Full { live, limit: 5 });
    let mut transaction = world.begin(tenant).await;
    world.add_to_outbox(&mut transaction, tenant, &entry, 3).await;
    assert_eq!(world.queue.has_room(tenant, 3, &limits), full(3));
    transaction.rollback().await.unwrap();
    assert_eq!(world.queue.has_room(tenant, 5, &limits), Ok(()));
    // Dropping it rolls it back too.
    let mut transaction = world.begin(tenant).await;
    world.add_to_outbox(&mut transaction, tenant, &entry, 3).await;
    drop(transaction);
    assert_eq!(world.queue.has_room(tenant, 5, &limits), Ok(()));

    let mut transaction = world.begin(tenant).await;
    world.add_to_outbox(&mut transaction, tenant, &entry, 3).await;
    transaction.commit(Box::new(|_| ())).await.unwrap();
    drop(transaction);
    // The counters of the queue do not contain these jobs yet.
    world.queue.read_counts().await.unwrap();
    assert_eq!(world.queue.has_room(tenant, 3, &limits), full(3));
    let (event, limits_of_3) = (event("order.created", ""), backlog(3));
    let refused = world.queue.publish(tenant, event, &limits_of_3).await;
    let wanted = QueueError::Full { live: 3, limit: 3 };
    assert_eq!(refused, Err(PublishError::Queue(wanted)));
    // Once they are relayed, what was added counts.
    world.relay.pass().await;
    assert_eq!(world.queue.has_room(tenant, 5, &limits), full(1));
    world.queue.read_counts().await.unwrap();
    assert_eq!(world.queue.has_room(tenant, 4, &limits), Ok(()));
}

#[tokio::test]
async fn jobs_of_a_purged_tenant_do_not_fail_those_of_others() {
    let world = World::new().await;
    let (here, gone) = (world.tenant().await, world.tenant().await);
    world.db.purge_tenant(gone, &change(1)).await.unwrap();
    let limits = Limits::default();
    // All three wait before the commit begins, since nothing has polled it yet.
    let (first, dropped, last) = tokio::join!(
        world.queue.add(job(here, "sync", "1"), &limits),
        world.queue.add(job(gone, "sync", "2"), &limits),
        world.queue.add(job(here, "sync", "3"), &limits),
    );
    for added in [first, dropped, last] {
        added.unwrap();
    }
    assert_eq!(world.payloads(here).await, ["1", "3"]);
}

#[tokio::test]
async fn a_caller_that_left_before_the_commit_adds_nothing() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let limits = Limits::default();
    {
        let mut left = Box::pin(world.queue.add(job(tenant, "sync", "left"), &limits));
        // The first poll only puts the job into the queue of the commit.
        assert!(futures_util::poll!(&mut left).is_pending());
    }
    world
        .queue
        .add(job(tenant, "sync", "stayed"), &limits)
        .await
        .unwrap();
    assert_eq!(world.payloads(tenant).await, ["stayed"]);
    assert_eq!(world.queue.has_room(tenant, 1, &backlog(2)), Ok(()));
}

#[tokio::test]
async fn the_marks_of_outboxes_are_those_of_the_control_plane() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    assert_eq!(world.queue.mark(tenant).await, Ok(None));
    world.queue.set_epoch(tenant, "e").await.unwrap();
    let mark = OutboxMark {
        epoch: "e".to_owned(),
        sequence: 0,
    };
    assert_eq!(world.queue.mark(tenant).await, Ok(Some(mark)));
    assert_eq!(world.db.tenants_with_outbox().await.unwrap(), [tenant]);
    world.queue.outbox_written(tenant);
    assert_eq!(world.wake.take_dirty(), [tenant]);
}
