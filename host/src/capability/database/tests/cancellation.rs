//! Tests of callers that drop a running call.

use std::time::Duration;

use tokio::time::Instant;

use super::*;

const NOTES: &str = "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT);";
const ENDLESS_READ: &str =
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
const ENDLESS_WRITE: &str =
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) INSERT INTO notes SELECT x, x FROM n";

fn patient() -> Limits {
    let hour = crate::domain::units::Span::s(3600);
    Limits {
        sql_time: hour,
        wall: hour,
        ..Default::default()
    }
}

/// Polls a future for 50 ms and drops it.
async fn abandon<T: std::fmt::Debug>(future: impl Future<Output = T>) {
    tokio::time::timeout(Duration::from_millis(50), future)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn an_abandoned_statement_stops_and_gives_everything_back() {
    let fixture = fixture(patient(), NOTES).await;
    let began = Instant::now();
    for _ in 0..5 {
        abandon(fixture.another().query(ENDLESS_READ, &[])).await;
        abandon(fixture.another().execute(ENDLESS_WRITE, &[])).await;
    }
    let mut call = fixture.another();
    assert_eq!(
        call.execute("INSERT INTO notes VALUES (1, 'a')", &[])
            .await
            .unwrap(),
        1
    );
    assert_eq!(call.number("SELECT count(*) FROM notes").await, 1);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_abandoned_statement_takes_its_transaction_along() {
    let fixture = fixture(patient(), NOTES).await;
    for sql in [ENDLESS_WRITE, ENDLESS_READ] {
        let mut call = fixture.another();
        let transaction = call.begin().await.unwrap();
        call.execute_in(&transaction, "INSERT INTO notes VALUES (0, 'lost')")
            .await
            .unwrap();
        abandon(call.execute_in(&transaction, sql)).await;
        // The guest still holds the resource, but the transaction has been rolled back.
        assert_eq!(
            fixture.another().execute("DELETE FROM notes", &[]).await.unwrap(),
            0
        );
        is_invalid(call.commit(&transaction).await, "rolled back");
    }
}

#[tokio::test]
async fn an_abandoned_wait_does_not_take_the_permit() {
    let fixture = fixture(patient(), NOTES).await;
    let mut holder = fixture.another();
    let transaction = holder.begin().await.unwrap();
    let mut waiting = fixture.another();
    abandon(waiting.begin()).await;
    abandon(waiting.execute("DELETE FROM notes", &[])).await;
    holder.commit(&transaction).await.unwrap();
    let transaction = waiting.begin().await.unwrap();
    waiting
        .execute_in(&transaction, "INSERT INTO notes VALUES (2, 'b')")
        .await
        .unwrap();
    waiting.commit(&transaction).await.unwrap();
}

#[tokio::test]
async fn an_abandoned_cursor_stops() {
    use super::super::super::bindings::database::HostCursor as _;
    let fixture = fixture(patient(), NOTES).await;
    for _ in 0..6 {
        let mut call;
        let endless = ENDLESS_READ.replace("SELECT count", "SELECT 1 UNION ALL SELECT count");
        // The permit is released a moment after the previous cursor was dropped.
        let cursor = loop {
            call = fixture.another();
            match call.view().open(endless.clone(), vec![]).await.unwrap() {
                Ok(cursor) => break cursor,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let borrowed = || Resource::new_borrow(cursor.rep());
        assert_eq!(call.view().next(borrowed(), 1).await.unwrap().unwrap().len(), 1);
        abandon(call.view().next(borrowed(), 1)).await;
        is_invalid(
            call.view().next(borrowed(), 1).await.unwrap(),
            "the cursor is over",
        );
    }
}
