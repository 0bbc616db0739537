//! Tests of jobs that are completed in a transaction, together with their effects.

use std::time::Duration;

use tokio::time::sleep_until;

use super::*;
use crate::domain::units::Span;

const COUNTS: &str = "CREATE TABLE counts (n INTEGER NOT NULL); INSERT INTO counts VALUES (0);";

impl Call {
    async fn complete(&mut self, transaction: &Resource<Transaction>) -> Result<(), Error> {
        self.view().complete(borrowed(transaction)).await.unwrap()
    }

    /// Begins a transaction with an effect.
    async fn effect(&mut self) -> Resource<Transaction> {
        let transaction = self.begin().await.unwrap();
        self.execute_in(&transaction, "UPDATE counts SET n = n + 1")
            .await
            .unwrap();
        transaction
    }

    fn is_completed(&self) -> bool {
        self.invocation.job.as_ref().is_some_and(|job| job.completed)
    }
}

#[tokio::test]
async fn a_job_is_completed_with_its_effect_and_not_twice() {
    let mut fixture = fixture(Limits::default(), COUNTS).await;
    let (tenant, id) = (fixture.tenant(), JobId::generate());
    let mut first = fixture.another().running(id);
    let transaction = first.effect().await;
    first.complete(&transaction).await.unwrap();
    assert!(!first.is_completed());
    assert!(!fixture.databases.is_completed(tenant, id).await.unwrap());
    first.commit(&transaction).await.unwrap();
    assert!(first.is_completed());
    assert!(fixture.databases.is_completed(tenant, id).await.unwrap());

    let mut second = fixture.another().running(id);
    let transaction = second.effect().await;
    is_conflict(second.complete(&transaction).await, "only `rollback` is left");
    // Others can write at once.
    fixture
        .call
        .execute("UPDATE counts SET n = n + 10", &[])
        .await
        .unwrap();
    for result in [
        second.commit(&transaction).await,
        second.complete(&transaction).await,
        second
            .execute_in(&transaction, "DELETE FROM counts")
            .await
            .map(drop),
        second.enqueue_in(&transaction).await.map(drop),
    ] {
        is_conflict(result, "only `rollback` is left");
    }
    second.rollback(&transaction).await.unwrap();
    is_invalid(second.rollback(&transaction).await, "is over");
    assert!(!second.is_completed());
    assert_eq!(fixture.call.number("SELECT n FROM counts").await, 11);
    // The same invocation may begin another transaction.
    let transaction = second.effect().await;
    second.commit(&transaction).await.unwrap();
    assert!(!second.is_completed());
}

#[tokio::test]
async fn completing_twice_in_one_transaction_is_a_conflict() {
    let mut fixture = fixture(Limits::default(), COUNTS).await;
    let (tenant, id) = (fixture.tenant(), JobId::generate());
    let mut call = fixture.another().running(id);
    let transaction = call.effect().await;
    call.complete(&transaction).await.unwrap();
    is_conflict(call.complete(&transaction).await, "completed before");
    is_conflict(call.commit(&transaction).await, "only `rollback` is left");
    call.rollback(&transaction).await.unwrap();
    assert!(!fixture.databases.is_completed(tenant, id).await.unwrap());
    assert_eq!(fixture.call.number("SELECT n FROM counts").await, 0);
}

#[tokio::test]
async fn a_rollback_completes_nothing() {
    let fixture = fixture(Limits::default(), COUNTS).await;
    let (tenant, id) = (fixture.tenant(), JobId::generate());
    let mut call = fixture.another().running(id);
    let transaction = call.effect().await;
    call.complete(&transaction).await.unwrap();
    call.rollback(&transaction).await.unwrap();
    assert!(!call.is_completed());
    let transaction = call.effect().await;
    call.complete(&transaction).await.unwrap();
    drop(call);
    let mut retried = fixture.another().running(id);
    let transaction = retried.effect().await;
    retried.complete(&transaction).await.unwrap();
    retried.commit(&transaction).await.unwrap();
    assert!(fixture.databases.is_completed(tenant, id).await.unwrap());
    assert_eq!(retried.number("SELECT n FROM counts").await, 1);
}

#[tokio::test]
async fn after_the_time_of_the_attempt_nothing_is_completed() {
    let limits = Limits {
        wall: Span::ms(500),
        ..Limits::default()
    };
    let mut fixture = fixture(Limits::default(), COUNTS).await;
    let (tenant, id) = (fixture.tenant(), JobId::generate());
    let mut late = call(&fixture.databases, Some(tenant), limits).running(id);
    let transaction = late.effect().await;
    sleep_until(late.invocation.deadline).await;
    is_conflict(late.complete(&transaction).await, "time of this attempt is over");
    is_conflict(late.commit(&transaction).await, "only `rollback` is left");
    late.rollback(&transaction).await.unwrap();
    assert!(!fixture.databases.is_completed(tenant, id).await.unwrap());
    assert_eq!(fixture.call.number("SELECT n FROM counts").await, 0);
}

#[tokio::test]
async fn outside_of_a_job_there_is_nothing_to_complete() {
    let mut fixture = fixture(Limits::default(), COUNTS).await;
    let call = &mut fixture.call;
    let transaction = call.effect().await;
    is_invalid(call.complete(&transaction).await, "runs no job");
    call.commit(&transaction).await.unwrap();
    assert_eq!(call.number("SELECT n FROM counts").await, 1);
}

#[tokio::test]
async fn the_mark_of_a_completed_job_stays_for_an_hour() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    let databases =
        Arc::new(SqliteDatabases::new(folder.path(), DESCRIPTORS, Handle::current(), clock.clone()).unwrap());
    let (tenant, id) = (TenantId::generate(), JobId::generate());
    let mut call = call(&databases, Some(tenant), Limits::default()).running(id);
    let transaction = call.begin().await.unwrap();
    call.complete(&transaction).await.unwrap();
    call.commit(&transaction).await.unwrap();
    for minutes in [0, 59] {
        clock.advance(Duration::from_secs(60 * minutes));
        assert_eq!(databases.job_traces(tenant, None, 10).await.unwrap(), []);
        databases.forget_jobs(tenant, &[id]).await.unwrap();
        assert!(databases.is_completed(tenant, id).await.unwrap());
    }
    clock.advance(Duration::from_secs(60));
    assert_eq!(databases.job_traces(tenant, None, 10).await.unwrap(), [id]);
    databases.forget_jobs(tenant, &[id]).await.unwrap();
    assert!(!databases.is_completed(tenant, id).await.unwrap());
    assert_eq!(databases.job_traces(tenant, None, 10).await.unwrap(), []);
}
