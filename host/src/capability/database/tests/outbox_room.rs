//! Tests of the room in the backlog that transactions keep for the jobs of their entries.

use super::*;
use crate::domain::event::TopicPattern;
use crate::domain::outbox::OutboxMark;

async fn publish(call: &mut Call, transaction: &Resource<Transaction>) -> Result<String, Error> {
    let (topic, data) = ("order.created".to_owned(), "7".to_owned());
    call.view()
        .publish(borrowed(transaction), topic, data)
        .await
        .unwrap()
}

/// A call that may publish, in a tenant with this backlog.
async fn publisher(job_backlog: u32) -> Fixture {
    let limits = Limits {
        job_backlog,
        ..Limits::default()
    };
    let mut fixture = fixture(limits, "CREATE TABLE t (n INTEGER);").await;
    let granted: TopicPattern = "order.*".parse().unwrap();
    let active = Arc::make_mut(&mut fixture.call.invocation.active);
    Arc::make_mut(&mut active.grants).events.insert(granted);
    fixture
}

#[tokio::test]
async fn a_transaction_reserves_room_for_the_jobs_of_its_events_until_it_ends() {
    let mut fixture = publisher(10).await;
    let call = &mut fixture.call;
    call.queue.set_receivers(4);
    let transaction = call.begin().await.unwrap();
    for _ in 0..2 {
        publish(call, &transaction).await.unwrap();
    }
    is_limit(publish(call, &transaction).await, "job_backlog");
    call.enqueue_in(&transaction).await.unwrap();
    assert_eq!(call.queue.reserved(), 9);
    call.rollback(&transaction).await.unwrap();
    assert_eq!(call.queue.reserved(), 0);
    // A transaction that a statement ended keeps nothing either.
    let transaction = call.begin().await.unwrap();
    publish(call, &transaction).await.unwrap();
    call.invocation.job = Some(RunningJob {
        id: JobId::generate(),
        attempt: 1,
        depth: 0,
        completed: false,
    });
    let completed = call.view().complete(borrowed(&transaction)).await.unwrap();
    completed.unwrap();
    let again = call.view().complete(borrowed(&transaction)).await.unwrap();
    is_conflict(again, "");
    assert_eq!(call.queue.reserved(), 0);
    call.rollback(&transaction).await.unwrap();
    call.invocation.job = None;
    // Nobody listens to these; each takes the place of one job.
    call.queue.set_receivers(0);
    let transaction = call.begin().await.unwrap();
    publish(call, &transaction).await.unwrap();
    call.commit(&transaction).await.unwrap();
    assert_eq!(call.queue.reserved(), 1);
}

#[tokio::test]
async fn an_event_with_too_many_receivers_is_a_limit_and_the_transaction_goes_on() {
    let mut fixture = publisher(1_000).await;
    let call = &mut fixture.call;
    let transaction = call.begin().await.unwrap();
    call.queue.set_receivers(201);
    is_limit(publish(call, &transaction).await, "200");
    assert_eq!(call.queue.reserved(), 0);
    call.queue.set_receivers(200);
    publish(call, &transaction).await.unwrap();
    call.commit(&transaction).await.unwrap();
    assert_eq!(call.invocation.usage.events_published, 1);
}

#[tokio::test]
async fn a_file_tells_for_how_many_jobs_room_was_reserved() {
    let mut fixture = publisher(1_000).await;
    let tenant = fixture.tenant();
    let call = &mut fixture.call;
    let transaction = call.begin().await.unwrap();
    for receivers in [3, 200] {
        call.queue.set_receivers(receivers);
        publish(call, &transaction).await.unwrap();
    }
    call.enqueue_in(&transaction).await.unwrap();
    call.commit(&transaction).await.unwrap();
    let queue = call.queue.clone();
    let mark = queue.told().marks[&tenant].clone();
    let batch = fixture.databases.outbox(tenant, Some(&mark), 2).await.unwrap();
    let sequences: Vec<i64> = batch.entries.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(sequences, [3, 203]);
    let jobs: Vec<u64> = [3, 203, batch.last].map(|up_to| batch.jobs_up_to(up_to)).into();
    assert_eq!(jobs, [3, 203, queue.reserved()]);
    // What was relayed does not count.
    let mark = OutboxMark { sequence: 3, ..mark };
    let batch = fixture.databases.outbox(tenant, Some(&mark), 2).await.unwrap();
    assert_eq!((batch.after, batch.jobs_up_to(batch.last)), (3, 201));
    // In a new epoch, the mark does not tell where the entries begin.
    fixture.databases.outbox_relayed(tenant, &mark).await.unwrap();
    let batch = fixture.databases.outbox(tenant, None, 2).await.unwrap();
    assert_eq!((batch.after, batch.jobs_up_to(batch.last)), (3, 201));
    let mark = OutboxMark {
        sequence: 204,
        ..mark
    };
    let batch = fixture.databases.outbox(tenant, Some(&mark), 2).await.unwrap();
    assert_eq!((batch.entries.len(), batch.jobs_up_to(batch.last)), (0, 0));
}
