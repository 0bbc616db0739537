//! Tests of transactions that guests keep open between calls.

use super::*;

const COUNTS: &str = "CREATE TABLE counts (name TEXT PRIMARY KEY, n INTEGER NOT NULL);
    CREATE TABLE parts (id INTEGER PRIMARY KEY, whole INTEGER REFERENCES parts (id) DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO counts VALUES ('a', 0);";

#[tokio::test]
async fn a_commit_keeps_and_a_rollback_undoes() {
    let mut fixture = fixture(Limits::default(), COUNTS).await;
    let call = &mut fixture.call;
    let transaction = call.begin().await.unwrap();
    assert_eq!(
        call.execute_in(&transaction, "UPDATE counts SET n = n + 1")
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        call.query_in(&transaction, "SELECT n FROM counts")
            .await
            .unwrap()
            .rows
            .len(),
        1
    );
    // Its changes are not visible outside yet.
    assert_eq!(call.number("SELECT n FROM counts").await, 0);
    call.commit(&transaction).await.unwrap();
    assert_eq!(call.number("SELECT n FROM counts").await, 1);
    is_invalid(
        call.execute_in(&transaction, "UPDATE counts SET n = 9").await,
        "is over",
    );
    is_invalid(call.commit(&transaction).await, "is over");
    let transaction = call.begin().await.unwrap();
    call.execute_in(&transaction, "UPDATE counts SET n = 9")
        .await
        .unwrap();
    let borrowed = Resource::new_borrow(transaction.rep());
    call.view().rollback(borrowed).await.unwrap().unwrap();
    is_invalid(call.query_in(&transaction, "SELECT 1").await, "is over");
    assert_eq!(call.number("SELECT n FROM counts").await, 1);
}

#[tokio::test]
async fn dropping_the_resource_or_the_invocation_rolls_back() {
    let mut fixture = fixture(Limits::default(), COUNTS).await;
    let call = &mut fixture.call;
    let transaction = call.begin().await.unwrap();
    call.execute_in(&transaction, "UPDATE counts SET n = 5")
        .await
        .unwrap();
    database::HostTransaction::drop(&mut call.view(), transaction)
        .await
        .unwrap();
    assert_eq!(call.execute("UPDATE counts SET n = n + 1", &[]).await.unwrap(), 1);
    let mut other = fixture.another();
    let transaction = other.begin().await.unwrap();
    other
        .execute_in(&transaction, "UPDATE counts SET n = 50")
        .await
        .unwrap();
    drop(other);
    assert_eq!(
        fixture
            .call
            .execute("UPDATE counts SET n = n + 1", &[])
            .await
            .unwrap(),
        1
    );
    assert_eq!(fixture.call.number("SELECT n FROM counts").await, 2);
}

#[tokio::test]
async fn waiting_for_oneself_is_refused_at_once() {
    let mut fixture = fixture(Limits::default(), COUNTS).await;
    let call = &mut fixture.call;
    let transaction = call.begin().await.unwrap();
    let began = tokio::time::Instant::now();
    is_invalid(call.begin().await, "open transaction already");
    is_invalid(
        call.execute("UPDATE counts SET n = 1", &[]).await,
        "outside of the transaction",
    );
    is_invalid(
        call.query("DELETE FROM counts RETURNING n", &[]).await,
        "outside of the transaction",
    );
    assert!(began.elapsed() < std::time::Duration::from_secs(1));
    assert_eq!(call.number("SELECT n FROM counts").await, 0);
    call.commit(&transaction).await.unwrap();
    call.execute("UPDATE counts SET n = 1", &[]).await.unwrap();
    call.begin().await.unwrap();
}

#[tokio::test]
async fn a_writer_waits_its_turn_and_not_for_ever() {
    let hasty = Limits {
        wall: crate::domain::units::Span::ms(300),
        ..Default::default()
    };
    let hour = crate::domain::units::Span::s(3600);
    let mut fixture = fixture(
        Limits {
            wall: hour,
            ..Default::default()
        },
        COUNTS,
    )
    .await;
    let transaction = fixture.call.begin().await.unwrap();
    let mut other = call(&fixture.databases, Some(fixture.tenant()), hasty);
    is_conflict(
        other.execute("UPDATE counts SET n = 1", &[]).await,
        "another writer",
    );
    let mut patient = fixture.another();
    let (waited, committed) = tokio::join!(patient.execute("UPDATE counts SET n = n + 10", &[]), async {
        fixture
            .call
            .view()
            .commit(Resource::new_borrow(transaction.rep()))
            .await
            .unwrap()
    },);
    committed.unwrap();
    assert_eq!(waited.unwrap(), 1);
}

#[tokio::test]
async fn many_writers_lose_nothing() {
    let fixture = fixture(Limits::default(), COUNTS).await;
    let writers = (0..50).map(|_| {
        let mut call = fixture.another();
        tokio::spawn(async move {
            let transaction = call.begin().await.unwrap();
            call.execute_in(&transaction, "UPDATE counts SET n = n + 1")
                .await
                .unwrap();
            call.commit(&transaction).await.unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(fixture.another().number("SELECT n FROM counts").await, 50);
}

#[tokio::test]
async fn a_failed_statement_leaves_the_transaction_open() {
    let mut fixture = fixture(Limits::default(), COUNTS).await;
    let call = &mut fixture.call;
    let transaction = call.begin().await.unwrap();
    call.execute_in(&transaction, "UPDATE counts SET n = 1")
        .await
        .unwrap();
    let result = call
        .execute_in(&transaction, "INSERT INTO counts VALUES ('a', 0)")
        .await;
    assert!(matches!(result, Err(Error::Constraint(_))), "{result:?}");
    is_denied(call.execute_in(&transaction, "COMMIT").await, "");
    call.commit(&transaction).await.unwrap();
    assert_eq!(call.number("SELECT n FROM counts").await, 1);
}

#[tokio::test]
async fn a_commit_that_fails_ends_it() {
    let mut fixture = fixture(Limits::default(), COUNTS).await;
    let call = &mut fixture.call;
    let transaction = call.begin().await.unwrap();
    call.execute_in(&transaction, "INSERT INTO parts VALUES (1, 99)")
        .await
        .unwrap();
    assert!(matches!(
        call.commit(&transaction).await,
        Err(Error::Constraint(_))
    ));
    is_invalid(call.commit(&transaction).await, "is over");
    call.execute("UPDATE counts SET n = 3", &[]).await.unwrap();
    assert_eq!(call.number("SELECT count(*) FROM parts").await, 0);
}

#[tokio::test]
async fn a_stopped_write_ends_the_transaction_and_nothing_runs_outside_of_it() {
    let limits = Limits {
        sql_time: crate::domain::units::Span::s(1),
        ..Default::default()
    };
    let mut fixture = fixture(limits, COUNTS).await;
    let call = &mut fixture.call;
    let transaction = call.begin().await.unwrap();
    call.execute_in(&transaction, "UPDATE counts SET n = 7")
        .await
        .unwrap();
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
        INSERT INTO counts SELECT x, x FROM n";
    is_limit(call.execute_in(&transaction, endless).await, "took longer than");
    is_invalid(
        call.execute_in(&transaction, "UPDATE counts SET n = 8").await,
        "rolled back",
    );
    is_invalid(call.commit(&transaction).await, "rolled back");
    assert_eq!(call.number("SELECT n FROM counts").await, 0);
    call.execute("UPDATE counts SET n = 1", &[]).await.unwrap();
}

#[tokio::test]
async fn realtime_is_not_served_on_it() {
    let mut fixture = fixture(Limits::default(), COUNTS).await;
    let call = &mut fixture.call;
    let transaction = call.begin().await.unwrap();
    let message = || super::super::super::bindings::types::Content::Text("m".to_owned());
    let live = call
        .view()
        .publish_live(borrowed(&transaction), "c".to_owned(), message())
        .await
        .unwrap();
    is_unavailable(live, "does not serve realtime");
    call.commit(&transaction).await.unwrap();
    let live = call
        .view()
        .publish_live(borrowed(&transaction), "c".to_owned(), message())
        .await
        .unwrap();
    is_invalid(live, "is over");
}
